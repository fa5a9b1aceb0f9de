<?php
// One edit is one event: all that one transaction has done to a form becomes one update, first old value to last new one.

declare(strict_types=1);

namespace FormLock\Doctrine;

final class Fold
{
    public const CREATED = 'ENTITY_CREATED';
    public const UPDATED = 'ENTITY_UPDATED';
    public const DELETED = 'ENTITY_DELETED';

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
        $told = fn (array $update) => $update['status'] !== self::UPDATED || $update['change_set'];
        // Made and deleted in one transaction, it has never been there.
        return array_values(array_filter($folded, fn (array $update) => !isset($update['never']) && $told($update)));
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
        $changeSet = $first['change_set'];
        foreach ($second['change_set'] as $field => [$old, $new]) {
            $changeSet[$field] = [array_key_exists($field, $changeSet) ? $changeSet[$field][0] : $old, $new];
        }
        $changeSet = array_filter($changeSet, fn (array $change) => $change[0] !== $change[1]);
        // The later one knows more of everything else.
        return ['status' => $first['status'], 'change_set' => $changeSet] + $second + $first;
    }
}
