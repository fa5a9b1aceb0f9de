<?php
// Acknowledged by ZeroMQ: the answer comes after the bridge has written the update down; a worker never waits longer than its time-out.

declare(strict_types=1);

namespace FormLock;

final class ReliablePusher extends AcknowledgedPusher
{
    private readonly Socket $socket;

    /** @param ?array<string, string> $keys what `formlock keys add` has made, for an address that wants a key */
    public function __construct(
        string $address = 'tcp://127.0.0.1:5556',
        int $withinMs = 1_000,
        string $source = '',
        #[\SensitiveParameter] ?array $keys = null,
    ) {
        parent::__construct($withinMs, $source);
        $this->socket = new Socket(\ZMQ::SOCKET_DEALER, $address, [\ZMQ::SOCKOPT_LINGER => 0], $keys);
    }

    protected function exchange(array $messages, int $withinMs): array
    {
        $until = self::now() + $withinMs;
        $answers = [];
        try {
            $socket = $this->socket->open();
            foreach ($messages as $message) {
                $socket->send($message->json, \ZMQ::MODE_DONTWAIT);
            }
            $numbers = array_flip(array_map(fn (Message $message) => $message->id, $messages));
            while (count($answers) < count($messages)) {
                $socket->setSockOpt(\ZMQ::SOCKOPT_RCVTIMEO, max(0, $until - self::now()));
                $answer = self::answer($socket->recv());
                if ($answer === null) {
                    break;
                }
                // A message that could not be read has no name. Of several it is not known which: they are sent again one by one.
                $n = isset($answer['id']) ? $numbers[$answer['id']] ?? null : (count($messages) === 1 ? array_key_first($messages) : null);
                if ($n === null) {
                    break;
                }
                $answers[$n] = $answer;
            }
        } catch (\ZMQException $error) {
            error_log("formlock: {$error->getMessage()}");
        }
        if (count($answers) < count($messages)) {
            // With the socket goes what it has not sent, and every late answer.
            $socket = null;
            $this->socket->close();
        }
        return $answers;
    }
}
