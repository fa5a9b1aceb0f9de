<?php
// Best effort, as in the article, and with limits: a save is never held up by a push, and a process ends when it has to.

declare(strict_types=1);

namespace FormLock;

/** What is told to nobody is not kept either; see ReliablePusher for what must arrive. */
final class Pusher
{
    private readonly Socket $socket;

    /**
     * @param int $withinMs how long one push may wait when 1,000 messages wait already
     * @param int $lingerMs how long the process may wait at its end for what is left
     * @param ?array<string, string> $keys what `formlock keys add` has made, for an address that wants a key
     */
    public function __construct(
        string $address = 'tcp://127.0.0.1:5555',
        int $withinMs = 200,
        int $lingerMs = 500,
        #[\SensitiveParameter] ?array $keys = null,
    ) {
        $limits = [\ZMQ::SOCKOPT_SNDTIMEO => $withinMs, \ZMQ::SOCKOPT_LINGER => $lingerMs];
        $this->socket = new Socket(\ZMQ::SOCKET_PUSH, $address, $limits, $keys);
    }

    /**
     * Whether it could be put into the queue; nobody knows whether it arrives.
     *
     * @param array<string, mixed>|object $update
     */
    public function push(array|object $update): bool
    {
        try {
            return $this->socket->open()->send(Message::of($update)->json) !== false;
        } catch (\JsonException | \ZMQException $error) {
            error_log("formlock: not pushed: {$error->getMessage()}");
            return false;
        }
    }
}
