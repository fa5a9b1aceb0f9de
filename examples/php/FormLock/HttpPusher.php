<?php
// Acknowledged by HTTP, signed: for those without ZeroMQ. Needs the curl extension, whose time-out counts for a whole request.

declare(strict_types=1);

namespace FormLock;

final class HttpPusher extends AcknowledgedPusher
{
    private ?\CurlHandle $connection = null;
    private int $process = 0;

    /** @param string $name of the key, and its secret: `name` and `http_secret` of what `formlock keys add` has made */
    public function __construct(
        private readonly string $name,
        #[\SensitiveParameter] private readonly string $secret,
        private readonly string $address = 'http://127.0.0.1:5557',
        int $withinMs = 1_000,
        string $source = '',
    ) {
        parent::__construct($withinMs, $source);
    }

    protected function exchange(array $messages, int $withinMs): array
    {
        $until = self::now() + $withinMs;
        $answers = [];
        foreach ($messages as $n => $message) {
            $left = $until - self::now();
            $answer = $left > 0 ? $this->post($message->json, $left) : null;
            if ($answer === null) {
                break;
            }
            $answers[$n] = $answer;
        }
        return $answers;
    }

    /** @return ?array<string, mixed> */
    private function post(string $body, int $withinMs): ?array
    {
        $time = (string) time();
        curl_setopt_array($this->connection(), [
            CURLOPT_POSTFIELDS => $body,
            CURLOPT_TIMEOUT_MS => $withinMs,
            CURLOPT_HTTPHEADER => [
                'Content-Type: application/json',
                // Without it curl asks before it sends more than 1 kB, and waits a second for permission.
                'Expect:',
                "X-Form-Lock-Key: $this->name",
                "X-Form-Lock-Time: $time",
                'X-Form-Lock-Signature: ' . hash_hmac('sha256', "$time\n$body", $this->secret),
            ],
        ]);
        return self::answer(curl_exec($this->connection()));
    }

    private function connection(): \CurlHandle
    {
        // A connection does not survive a fork: two processes would read each other's answers.
        if ($this->connection === null || $this->process !== getmypid()) {
            $this->process = getmypid();
            $this->connection = curl_init(rtrim($this->address, '/') . '/updates');
            curl_setopt_array($this->connection, [CURLOPT_POST => true, CURLOPT_RETURNTRANSFER => true, CURLOPT_NOSIGNAL => true]);
        }
        return $this->connection;
    }
}
