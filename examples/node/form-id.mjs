// Any record's id as one part of a form's topic; the same function as in Python and PHP (tests/contract/escape.json).

import { Buffer } from 'node:buffer';

const MAX_PART_LENGTH = 64;

/**
 * UTF-8 bytes outside A-Z a-z 0-9 _ - become a colon and two upper-case hex digits: a percent sign is not allowed in a topic.
 *
 * @param {string} raw
 * @throws {RangeError} when nothing is left, more than 64 characters (shortened, two records could share a lock), or half a character
 */
export function escape(raw) {
  if (!raw.isWellFormed()) throw new RangeError('an id has no half characters');
  let part = '';
  for (const byte of Buffer.from(raw, 'utf8')) {
    const character = String.fromCharCode(byte);
    part += /[A-Za-z0-9_-]/.test(character) ? character : `:${byte.toString(16).toUpperCase().padStart(2, '0')}`;
  }
  if (part.length < 1 || part.length > MAX_PART_LENGTH) {
    throw new RangeError(`an id has 1 to ${MAX_PART_LENGTH} characters when escaped, this one has ${part.length}`);
  }
  return part;
}

/** The topic of a record's form: topic('invoice', 42) is com.example.form.invoice.42. */
export function topic(type, id, prefix = 'com.example') {
  return `${prefix}.form.${escape(type)}.${escape(String(id))}`;
}
