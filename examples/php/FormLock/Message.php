<?php
// One update as the bridge takes it: JSON of version 1, with a name by which it counts once however often it is sent.

declare(strict_types=1);

namespace FormLock;

final class Message
{
    private function __construct(
        public readonly string $id,
        public readonly string $form,
        public readonly string $json,
    ) {
    }

    /**
     * Keys of docs/how-to/push-from-php.md; what has no id gets one.
     *
     * @param array<string, mixed>|object $update
     * @throws \JsonException for what JSON can't say: an endless number, a text that is no UTF-8
     */
    public static function of(array|object $update, string $source = ''): self
    {
        $update = ['v' => 1] + (array) $update;
        if (($update['id'] ?? '') === '') {
            $update['id'] = bin2hex(random_bytes(8));
        }
        if (($update['source'] ?? '') === '' && $source !== '') {
            $update['source'] = $source;
        }
        // 1.0 stays a number with a fraction: what was read as one is written as one.
        $flags = JSON_THROW_ON_ERROR | JSON_UNESCAPED_SLASHES | JSON_UNESCAPED_UNICODE | JSON_PRESERVE_ZERO_FRACTION;
        $form = $update['form'] ?? $update['channel'] ?? '';
        return new self((string) $update['id'], is_string($form) ? $form : '', json_encode($update, $flags));
    }
}
