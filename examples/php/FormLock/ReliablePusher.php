<?php
// Acknowledged by ZeroMQ: the answer comes after the bridge has written the update down; a worker never waits longer than its time-out.

declare(strict_types=1);

namespace FormLock;

final class ReliablePusher extends AcknowledgedPusher
{
    private ?\ZMQSocket $socket = null;
    private int $process = 0;

    /** @param ?array<string, string> $keys what `formlock keys add` has made, for an address that wants a key */
    public function __construct(
        private readonly string $address = 'tcp://127.0.0.1:5556',
        int $withinMs = 1_000,
        string $source = '',
        #[\SensitiveParameter] private readonly ?array $keys = null,
    ) {
        parent::__construct($withinMs, $source);
    }

    protected function exchange(array $messages, int $withinMs): array
    {
        $until = self::now() + $withinMs;
        $answers = [];
        try {
            $socket = $this->socket();
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
            $this->socket = null;
        }
        return $answers;
    }

    private function socket(): \ZMQSocket
    {
        // A socket does not survive a fork: each process has its own.
        if ($this->socket === null || $this->process !== getmypid()) {
            $this->process = getmypid();
            $socket = new \ZMQSocket(new \ZMQContext(1, false), \ZMQ::SOCKET_DEALER);
            $socket->setSockOpt(\ZMQ::SOCKOPT_LINGER, 0);
            if ($this->keys !== null) {
                $socket->setSockOpt(\ZMQ::SOCKOPT_CURVE_SERVERKEY, $this->keys['server_public_key']);
                $socket->setSockOpt(\ZMQ::SOCKOPT_CURVE_PUBLICKEY, $this->keys['public_key']);
                $socket->setSockOpt(\ZMQ::SOCKOPT_CURVE_SECRETKEY, $this->keys['secret_key']);
            }
            $socket->connect($this->address);
            $this->socket = $socket;
        }
        return $this->socket;
    }
}
