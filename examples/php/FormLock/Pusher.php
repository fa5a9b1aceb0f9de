<?php
// Best effort, as in the article, and with limits: a save is never held up by a push, and a process ends when it has to.

declare(strict_types=1);

namespace FormLock;

/** What is told to nobody is not kept either; see ReliablePusher for what must arrive. */
final class Pusher
{
    private ?\ZMQSocket $socket = null;
    private int $process = 0;

    /**
     * @param int $withinMs how long one push may wait when 1,000 messages wait already
     * @param int $lingerMs how long the process may wait at its end for what is left
     * @param ?array<string, string> $keys what `formlock keys add` has made, for an address that wants a key
     */
    public function __construct(
        private readonly string $address = 'tcp://127.0.0.1:5555',
        private readonly int $withinMs = 200,
        private readonly int $lingerMs = 500,
        #[\SensitiveParameter] private readonly ?array $keys = null,
    ) {
    }

    /**
     * Whether it could be put into the queue; nobody knows whether it arrives.
     *
     * @param array<string, mixed>|object $update
     */
    public function push(array|object $update): bool
    {
        try {
            return $this->socket()->send(Message::of($update)->json) !== false;
        } catch (\JsonException | \ZMQException $error) {
            error_log("formlock: not pushed: {$error->getMessage()}");
            return false;
        }
    }

    private function socket(): \ZMQSocket
    {
        // A socket does not survive a fork: each process has its own.
        if ($this->socket === null || $this->process !== getmypid()) {
            $this->process = getmypid();
            // Not persistent: a worker's next request begins with an empty queue, not with this one's remains.
            $socket = new \ZMQSocket(new \ZMQContext(1, false), \ZMQ::SOCKET_PUSH);
            $socket->setSockOpt(\ZMQ::SOCKOPT_SNDTIMEO, $this->withinMs);
            $socket->setSockOpt(\ZMQ::SOCKOPT_LINGER, $this->lingerMs);
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
