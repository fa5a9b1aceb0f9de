<?php
// Pushes one update from PHP, as the article does: php push.php com.example.form.invoice.42 '{"amount": ["120.00", "140.00"]}'

$changeSet = json_decode($argv[2] ?? '{"amount": ["120.00", "140.00"]}', true);
$payloadAsJSON = json_encode([
    'status' => 'ENTITY_UPDATED',
    'form' => $argv[1] ?? 'com.example.form.invoice.42',
    'change_set' => $changeSet,
    'representation' => array_map(fn (array $oldAndNew) => $oldAndNew[1], $changeSet),
]);

$context = new ZMQContext();
$socket = $context->getSocket(ZMQ::SOCKET_PUSH, 'websocket_pusher');
$socket->connect(getenv('FORMLOCK_PUSH') ?: 'tcp://127.0.0.1:5555');
$socket->send($payloadAsJSON);
