<?php
// Pushes one update and shows the bridge's answer: php push_acknowledged.php com.example.form.invoice.42 '{"amount": ["120.00", "140.00"]}'

require __DIR__ . '/FormLock/autoload.php';

$pusher = new FormLock\ReliablePusher(getenv('FORMLOCK_ACKNOWLEDGED') ?: 'tcp://127.0.0.1:5556', source: 'php-example');
$answer = $pusher->push([
    'form' => $argv[1] ?? 'com.example.form.invoice.42',
    'change_set' => json_decode($argv[2] ?? '{"amount": ["120.00", "140.00"]}', true),
]);
echo json_encode($answer, JSON_UNESCAPED_SLASHES), "\n";
exit(isset($answer['error']) ? 1 : 0);
