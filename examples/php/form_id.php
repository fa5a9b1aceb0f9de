<?php
// Any record's id as one part of a form's topic; the same function as in Python and JavaScript (tests/contract/escape.json).

namespace FormLock;

const MAX_PART_LENGTH = 64;

/**
 * UTF-8 bytes outside A-Z a-z 0-9 _ - become a colon and two upper-case hex digits: a percent sign is not allowed in a topic.
 *
 * @throws \InvalidArgumentException when nothing is left, or more than 64 characters: shortened, two records could share a lock
 */
function escape(string $raw): string
{
    $part = preg_replace_callback('/[^A-Za-z0-9_-]/', fn (array $byte) => sprintf(':%02X', ord($byte[0])), $raw);
    $length = strlen($part);
    if ($length < 1 || $length > MAX_PART_LENGTH) {
        throw new \InvalidArgumentException("an id has 1 to 64 characters when escaped, this one has $length");
    }
    return $part;
}

/** The topic of a record's form: topic('invoice', 42) is com.example.form.invoice.42. */
function topic(string $type, string|int $id, string $prefix = 'com.example'): string
{
    return "$prefix.form." . escape($type) . '.' . escape((string) $id);
}
