// Any text as one part of a form's name, and back: the same function as in Python and PHP (tests/contract/escape.json).

const MAX = 64;

/**
 * Each UTF-8 byte outside `A-Z a-z 0-9 _ -` becomes `:` and two upper-case hex digits. What comes out empty or longer than 64
 * characters is an error: shortening it would let two records share a lock.
 * @param {string} raw @returns {string}
 */
export function escape(raw) {
  if (/\p{Surrogate}/u.test(raw)) throw new RangeError('an id is well-formed text');
  // encodeURIComponent lets seven more characters pass, of one byte each.
  const part = encodeURIComponent(raw).replace(/[.!~*'()]/g, (plain) => `%${plain.charCodeAt(0).toString(16).toUpperCase()}`).replaceAll('%', ':');
  if (!part || part.length > MAX) throw new RangeError(`an id has 1 to ${MAX} characters when escaped, this one has ${part.length}`);
  return part;
}

/**
 * The text that `escape` was given.
 * @param {string} part @returns {string}
 */
export function unescape(part) {
  if (/:(?![0-9A-F]{2})/.test(part)) throw new RangeError(`no two hex digits after a colon in "${part}"`);
  return decodeURIComponent(part.replaceAll('%', '%25').replaceAll(':', '%'));
}
