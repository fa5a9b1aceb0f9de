<?php
// One ZeroMQ socket of this process, with its limits and its keys.

declare(strict_types=1);

namespace FormLock;

final class Socket
{
    private ?\ZMQSocket $socket = null;
    private int $process = 0;
    private static int $owner = 0;
    private static int $threads = 0;

    /**
     * @param int $type \ZMQ::SOCKET_...
     * @param array<int, int> $options by \ZMQ::SOCKOPT_...
     * @param ?array<string, string> $keys what `formlock keys add` has made, for an address that wants a key
     */
    public function __construct(
        private readonly int $type,
        private readonly string $address,
        private readonly array $options,
        #[\SensitiveParameter] private readonly ?array $keys,
    ) {
    }

    /** Connected when it is first asked for. */
    public function open(): \ZMQSocket
    {
        // A socket does not survive a fork: each process has its own.
        if ($this->socket === null || $this->process !== getmypid()) {
            $this->process = getmypid();
            $socket = new \ZMQSocket(self::context(), $this->type);
            foreach ($this->options as $name => $value) {
                $socket->setSockOpt($name, $value);
            }
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

    /** With it goes what its LINGER does not keep. The next `open` connects anew. */
    public function close(): void
    {
        $this->socket = null;
    }

    /**
     * A persistent one: PHP ends the others before their sockets when a script ends, and that never comes back. A worker keeps it, so that
     * what is left is sent after the request. The extension finds it by its number of threads; a forked process takes the next number,
     * because it can't use its parent's.
     */
    private static function context(): \ZMQContext
    {
        if (self::$owner !== getmypid()) {
            self::$owner = getmypid();
            self::$threads++;
        }
        return new \ZMQContext(self::$threads, true);
    }
}
