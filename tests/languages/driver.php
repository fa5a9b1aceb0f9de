<?php
// Does in PHP what the suite says (suite.py): one JSON command a line, one answer a line. php driver.php EXAMPLES

require $argv[1] . '/FormLock/autoload.php';
require $argv[1] . '/form_id.php';

$open = new stdClass();
$do = [
    'open' => function (object $said) use ($open): bool {
        $keys = isset($said->keys) ? (array) $said->keys : null;
        $open->pusher = match ($said->way) {
            'best_effort' => new FormLock\Pusher($said->address, $said->within_ms, $said->linger_ms, $keys),
            'acknowledged' => new FormLock\ReliablePusher($said->address, $said->within_ms, $said->source, $keys),
            'http' => new FormLock\HttpPusher($keys['name'], $keys['http_secret'], $said->address, $said->within_ms, $said->source),
        };
        return true;
    },
    'push' => fn (object $said): mixed => $open->pusher->push($said->update),
    'push_all' => fn (object $said): array => $open->pusher->pushAll($said->updates),
    'until' => function (object $said) use ($open): int {
        for ($tries = 1; isset($open->pusher->push($said->update)['error']); $tries++) {
        }
        return $tries;
    },
    'flood' => function (object $said) use ($open): int {
        for ($sent = 0; $sent < $said->most && $open->pusher->push($said->update); $sent++) {
        }
        return $sent;
    },
    'encode' => fn (object $said): string => FormLock\Message::of(json_decode($said->raw))->json,
    'escape' => fn (object $said): string => FormLock\escape($said->raw),
    'nan' => fn (): mixed => $open->pusher->push(['form' => 'com.example.form.invoice.42', 'change_set' => ['a' => [NAN, 1]]]),
];
while (($line = fgets(STDIN)) !== false) {
    $said = json_decode($line);
    $began = hrtime(true);
    try {
        $answer = ['answer' => $do[$said->do]($said)];
    } catch (Throwable $error) {
        $answer = ['raised' => $error::class];
    }
    echo json_encode($answer + ['ms' => (hrtime(true) - $began) / 1e6]), "\n";
    flush();
}
