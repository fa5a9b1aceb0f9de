<?php
// One edit is one event: all that one transaction has done to a form becomes one update, first old value to last new one.

declare(strict_types=1);

namespace FormLock\Doctrine;

final class Fold
{
    public const CREATED = 'ENTITY_CREATED';
    public const UPDATED = 'ENTITY_UPDATED';
    public const DELETED = 'ENTITY_DELETED';
    // The bridge's limit for one update.
    private const MAX_REDACTED = 64;

    /**
     * @param list<array<string, mixed>> $updates in the order in which they were made
     * @return list<array<string, mixed>> each form once
     */
    public static function byForm(array $updates): array
    {
        $folded = [];
        foreach ($updates as $update) {
            $before = $folded[$update['channel']] ?? null;
            $folded[$update['channel']] = $before === null ? $update : self::two($before, $update);
        }
        $told = fn (array $update) => $update['status'] !== self::UPDATED || $update['change_set'] !== [];
        // Made and deleted in one transaction, it has never been there.
        $left = array_filter($folded, fn (array $update) => !isset($update['never']) && $told($update));
        $own = ['part' => true, 'hidden' => true];
        $said = fn (array $update) => array_filter(array_diff_key($update, $own), fn (mixed $value) => $value !== null);
        return array_map($said, array_values($left));
    }

    /**
     * @param array<string, mixed> $first
     * @param array<string, mixed> $second
     * @return array<string, mixed>
     */
    private static function two(array $first, array $second): array
    {
        if ($second['status'] === self::DELETED) {
            return $first['status'] === self::CREATED || isset($first['never']) ? ['never' => true] + $second : $second;
        }
        if ($first['status'] === self::DELETED) {
            // Deleted and made anew under the same name: nobody knows what the old one had.
            return isset($first['never']) ? $second : ['status' => self::UPDATED] + $second;
        }
        $redact = ($first['redact'] ?? []) + ($second['redact'] ?? []);
        $both = ['status' => $first['status'], 'part' => $first['part'] && $second['part']];
        if (isset($first['hidden']) || count($redact) > self::MAX_REDACTED || array_diff_assoc($second['redact'] ?? [], $redact)) {
            // Too many fields for one update, or one with two rights: then nothing may be told of any field.
            return $both + ['hidden' => true, 'change_set' => null, 'representation' => null, 'redact' => null] + $second + $first;
        }
        $both['change_set'] = self::changes($first['change_set'], $second['change_set']);
        if ($first['part'] || $second['part']) {
            // Made when its own record was written, perhaps before a part was.
            $both['representation'] = null;
        }
        if ($redact) {
            $both['redact'] = $redact;
        }
        // The later one knows more of everything else.
        return $both + $second + $first;
    }

    /**
     * @param array<string, array{mixed, mixed}> $changes
     * @param array<string, array{mixed, mixed}> $more
     * @return array<string, array{mixed, mixed}>
     */
    private static function changes(array $changes, array $more): array
    {
        foreach ($more as $field => [$old, $new]) {
            $changes[$field] = [array_key_exists($field, $changes) ? $changes[$field][0] : $old, $new];
        }
        return array_filter($changes, fn (array $change) => $change[0] !== $change[1]);
    }
}
