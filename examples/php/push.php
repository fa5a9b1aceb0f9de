<?php
// Pushes one update from PHP, as the article does: php push.php com.example.form.invoice.42 '{"amount": ["120.00", "140.00"]}'

$payloadAsJSON = json_encode([
    'status' => 'ENTITY_UPDATED',
    'form' => $argv[1] ?? 'com.example.form.invoice.42',
    'change_set' => json_decode($argv[2] ?? '{"amount": ["120.00", "140.00"]}', true),
]);

$context = new ZMQContext();
$socket = $context->getSocket(ZMQ::SOCKET_PUSH, 'websocket_pusher');
$socket->connect(getenv('FORMLOCK_PUSH') ?: 'tcp://127.0.0.1:5555');
$socket->send($payloadAsJSON);
