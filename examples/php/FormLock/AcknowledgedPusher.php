<?php
// What every acknowledged way has in common: names, order, trying again, and one time-out for all. See ReliablePusher, HttpPusher.

declare(strict_types=1);

namespace FormLock;

/**
 * An answer is what the bridge has said: `{id, form, seq, epoch}` (and `duplicate: true`) when the update is kept, or
 * `{id, error, message, retry}` when it is refused. Without an answer in time the error is `no_answer`: the update may be
 * kept or not, and can be sent again with the same id. Nothing is thrown: the save that is told of is done.
 */
abstract class AcknowledgedPusher
{
    // Twice as long each time: a bridge that is slow need not be asked the more.
    private const FIRST_TRY_MS = 250;
    private const PAUSE_MS = 50;
    // The bridge's queue for one connection.
    private const MAX_AT_ONCE = 200;
    // The bridge's limit. Of more than a MiB ZeroMQ would end the connection, and nobody would say why.
    private const MAX_BYTES = 65_536;

    /** @param int $withinMs of one push, or of one `pushAll` however much it has, with all that is tried again */
    public function __construct(protected readonly int $withinMs, private readonly string $source)
    {
    }

    /**
     * Keys of docs/how-to/push-from-php.md.
     *
     * @param array<string, mixed>|object $update
     * @return array<string, mixed> the answer
     */
    public function push(array|object $update): array
    {
        return $this->pushAll([$update])[0];
    }

    /**
     * Many at once; those of one form arrive in their order.
     *
     * @param list<array<string, mixed>|object> $updates
     * @return list<array<string, mixed>> an answer for each, in the same order
     */
    public function pushAll(array $updates): array
    {
        $until = self::now() + $this->withinMs;
        $answers = $waiting = [];
        foreach ($updates as $n => $update) {
            try {
                $message = Message::of($update, $this->source);
                if (strlen($message->json) > self::MAX_BYTES) {
                    $answers[$n] = self::refusal($message->id, 'too_large', 'A message has at most ' . self::MAX_BYTES . ' bytes.', false);
                } else {
                    $answers[$n] = self::refusal($message->id, 'no_answer', "There was no answer within $this->withinMs ms.", true);
                    $waiting[$n] = $message;
                }
            } catch (\JsonException $error) {
                $answers[$n] = self::refusal(null, 'not_json', $error->getMessage(), false);
            }
        }
        $tryMs = self::FIRST_TRY_MS;
        $atOnce = self::MAX_AT_ONCE;
        while ($waiting && ($left = $until - self::now()) > 0) {
            $round = self::firstOfEachForm($waiting, $atOnce);
            foreach ($this->exchange($round, min($left, $tryMs)) as $n => $answer) {
                $answers[$n] = $answer;
                if (!($answer['retry'] ?? false)) {
                    unset($waiting[$n]);
                }
            }
            if (array_intersect_key($round, $waiting)) {
                // One by one from here: an answer without a name can only be about the one message there is.
                $atOnce = 1;
                $tryMs *= 2;
                usleep(1000 * max(0, min(self::PAUSE_MS, $until - self::now())));
            }
        }
        return $answers;
    }

    /**
     * Send these, and wait no longer for their answers.
     *
     * @param array<int, Message> $messages
     * @return array<int, array<string, mixed>> the answers there were, by the messages' own keys
     */
    abstract protected function exchange(array $messages, int $withinMs): array;

    /** @return ?array<string, mixed> null for what is no answer of the bridge: a proxy's page, say */
    protected static function answer(string|bool $said): ?array
    {
        $answer = is_string($said) ? json_decode($said, true) : null;
        return is_array($answer) && (isset($answer['seq']) || isset($answer['error'])) ? $answer : null;
    }

    /** Milliseconds that no clock's correction changes. */
    protected static function now(): int
    {
        return intdiv(hrtime(true), 1_000_000);
    }

    /** @return array<string, mixed> */
    protected static function refusal(?string $id, string $error, string $message, bool $retry): array
    {
        return ['id' => $id, 'error' => $error, 'message' => $message, 'retry' => $retry];
    }

    /**
     * A form's second update leaves when its first has been answered: sent again, it would come after it.
     *
     * @param array<int, Message> $waiting
     * @return array<int, Message>
     */
    private static function firstOfEachForm(array $waiting, int $most): array
    {
        $found = $forms = $ids = [];
        foreach ($waiting as $n => $message) {
            $first = !isset($forms[$message->form]);
            $forms[$message->form] = true;
            // Answers are told apart by their ids.
            if ($first && !isset($ids[$message->id])) {
                $ids[$message->id] = true;
                $found[$n] = $message;
                if (count($found) === $most) {
                    break;
                }
            }
        }
        return $found;
    }
}
