// Any text as one part of a form's name, and back: the same function as in Python and PHP (tests/contract/escape.json).

const PLAIN = /^[A-Za-z0-9_-]$/;
const MAX = 64;

/**
 * Each UTF-8 byte outside `A-Z a-z 0-9 _ -` becomes `:` and two upper-case hex digits. What comes out empty or longer than 64
 * characters is an error: shortening it would let two records share a lock.
 * @param {string} raw @returns {string}
 */
export function escape(raw) {
  if (!raw.isWellFormed?.() && raw !== new TextDecoder().decode(new TextEncoder().encode(raw))) throw new RangeError('an id is well-formed text');
  let part = '';
  for (const byte of new TextEncoder().encode(raw)) {
    const character = String.fromCharCode(byte);
    part += PLAIN.test(character) ? character : ':' + byte.toString(16).toUpperCase().padStart(2, '0');
  }
  if (part.length < 1 || part.length > MAX) throw new RangeError(`an id has 1 to ${MAX} characters when escaped, this one has ${part.length}`);
  return part;
}

/**
 * The text that `escape` was given.
 * @param {string} part @returns {string}
 */
export function unescape(part) {
  const bytes = [];
  for (let at = 0; at < part.length; at += 1) {
    if (part[at] !== ':') {
      bytes.push(part.charCodeAt(at));
      continue;
    }
    const pair = part.slice(at + 1, at + 3);
    if (!/^[0-9A-F]{2}$/.test(pair)) throw new RangeError(`no two hex digits after the colon at ${at} in "${part}"`);
    bytes.push(parseInt(pair, 16));
    at += 2;
  }
  return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(new Uint8Array(bytes));
}
