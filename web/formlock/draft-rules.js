// What of a draft is still worth offering, when the form is opened another time. Pure.
import { equal } from './merge.js';

/** @typedef {import('./values.js').Kind} Kind */
/** @typedef {import('./values.js').Value} Value */
/** @typedef {import('./values.js').Values} Values */
/** @typedef {import('./draft-store.js').Draft} Draft */
/** @typedef {import('./draft-store.js').Texts} Texts */
/** `gone`: the form has no such field any more. `since`: the record is another there than what the draft was made on. @typedef {{name: string, now: Value | null, mine: Value, gone: boolean, since: boolean}} Difference */

/**
 * What differs from the record. A draft that was sent counts as saved as soon as one of its fields is found in the record: a form is
 * saved whole.
 * @param {{texts: Texts, submitted: boolean}} draft @param {{kinds: Record<string, Kind>, base: Values}} facts @returns {Difference[]}
 */
export function differences({ texts, submitted }, { kinds, base }) {
  /** @type {Difference[]} */
  const found = [];
  for (const [name, { old, mine }] of Object.entries(texts)) {
    const [kind, now] = [Object.hasOwn(kinds, name) ? kinds[name] : undefined, base[name]];
    if (!kind || now === undefined) {
      found.push({ name, now: null, mine, gone: true, since: false });
    } else if (!equal(kind, mine, now)) {
      found.push({ name, now, mine, gone: false, since: !equal(kind, old, now) });
    } else if (submitted) {
      return [];
    }
  }
  return found;
}

/** Whether all of it stands in the form already: the browser put it back. @param {Difference[]} found @param {{kinds: Record<string, Kind>, mine: Values}} facts */
export function isThere(found, { kinds, mine }) {
  return found.every(({ name, mine: text, gone }) => {
    const [kind, value] = [kinds[name], mine[name]];
    return !gone && kind !== undefined && value !== undefined && equal(kind, text, value);
  });
}

/** Two drafts of one form as one: what is newer wins field by field, nothing is dropped. @param {Draft | null} older @param {Draft} newer @returns {Draft} */
export function joined(older, newer) {
  return { ...newer, slot: 'before', submitted: newer.submitted && (older?.submitted ?? true), texts: { ...older?.texts, ...newer.texts } };
}

/**
 * A draft as the service keeps it, if it is one: whatever wrote it, it comes from outside.
 * @param {unknown} value @returns {{version: string | null, texts: Texts} | null}
 */
export function fromService(value) {
  const { v, version = null, texts } = /** @type {Record<string, any>} */ (value && typeof value === 'object' ? value : {});
  if (v !== 1 || !texts || typeof texts !== 'object' || Array.isArray(texts)) return null;
  const good = Object.entries(texts).filter(([, text]) => isValue(text?.old) && isValue(text?.mine)).map(([name, { old, mine }]) => /** @type {const} */ ([name, { old, mine }]));
  return good.length ? { version: version === null ? null : String(version), texts: Object.fromEntries(good) } : null;
}

/** @param {unknown} value @returns {value is Value} */
function isValue(value) {
  return typeof value === 'string' || typeof value === 'boolean' || (Array.isArray(value) && value.every((part) => typeof part === 'string'));
}
