// Three-way merge of a record: what it was (base), what the person has (mine), what is saved now (theirs). Pure: it knows no page.
//
//    theirs = mine            same        nothing to do, both did the same
//    mine   = base            follow      not touched here: it becomes theirs
//    theirs = base            mine        only touched here: it stays
//    all three differ         conflict    the person chooses: theirs, mine, or both where that makes sense
//
// After a choice, as after each of the others, the base of that field is theirs: the same change is never asked about again.
import { sameValue } from './values.js';

/** @typedef {import('./values.js').Kind} Kind */
/** @typedef {import('./values.js').Value} Value */
/** @typedef {import('./values.js').Values} Values */
/** @typedef {import('./lock.js').Update} Update */
/**
 * What becomes of one field. `old` is undefined when nobody knows it. `merged`: what it holds then, for `follow` it is theirs.
 * @typedef {{name: string, outcome: 'same'|'follow'|'mine'|'conflict', old: Value | undefined, theirs: Value, mine: Value, merged: Value}} Outcome
 */
/** @typedef {'theirs' | 'mine' | 'both'} Choice */

/**
 * One outcome for each name in `theirs` that the form has (`kinds`). Other names are none of the form's business, and fields that are
 * not in `theirs` are left alone.
 * @param {{kinds: Record<string, Kind>, base: Readonly<Values>, mine: Readonly<Values>, theirs: Readonly<Values>}} record @returns {Outcome[]}
 */
export function merge({ kinds, base, mine, theirs }) {
  /** @type {Outcome[]} */
  const outcomes = [];
  for (const [name, theirValue] of Object.entries(theirs)) {
    const kind = Object.hasOwn(kinds, name) ? kinds[name] : undefined;
    const myValue = mine[name];
    if (!kind || kind === 'secret' || kind === 'rich' || myValue === undefined) continue;
    outcomes.push({ name, ...outcomeOf(kind, base[name], myValue, theirValue) });
  }
  return outcomes;
}

/** @param {Kind} kind @param {Value | undefined} old @param {Value} mine @param {Value} theirs @returns {Omit<Outcome, 'name'>} */
function outcomeOf(kind, old, mine, theirs) {
  const facts = { old, mine, theirs };
  if (equal(kind, mine, theirs)) return { ...facts, outcome: 'same', merged: mine };
  if (kind === 'shown' || (old !== undefined && equal(kind, mine, old))) return { ...facts, outcome: 'follow', merged: theirs };
  if (old !== undefined && equal(kind, theirs, old)) return { ...facts, outcome: 'mine', merged: mine };
  const rows = kind === 'rows' && rowByRow(old, mine, theirs);
  if (rows) return { ...facts, outcome: 'follow', merged: rows };
  return { ...facts, outcome: 'conflict', merged: mine };
}

/**
 * Rows that were changed here and others that were changed there, as one list. Null when the same row was changed twice, and when rows
 * may have been moved, added or taken out: then the second of then is another than the second of now, and only a person can tell.
 * @param {Value | undefined} old @param {Value} mine @param {Value} theirs @returns {string[] | null}
 */
function rowByRow(old, mine, theirs) {
  if (!Array.isArray(old) || !Array.isArray(mine) || !Array.isArray(theirs)) return null;
  if (old.length !== mine.length || old.length !== theirs.length) return null;
  const known = new Set(old);
  if ([mine, theirs].some((list) => list.some((row, at) => row !== old[at] && row !== '' && known.has(row)))) return null;
  if (old.some((row, at) => row !== mine[at] && row !== theirs[at] && mine[at] !== theirs[at])) return null;
  return old.map((row, at) => (mine[at] === row ? theirs[at] : mine[at]) ?? '');
}

/** Whether two values of a field mean the same. @param {Kind} kind @param {Value} one @param {Value} other @returns {boolean} */
export function equal(kind, one, other) {
  if (sameValue(one, other)) return true;
  if (Array.isArray(one) && Array.isArray(other)) {
    // The order of boxes and options is the page's, not the person's.
    return (kind === 'boxes' || kind === 'choices') && sameValue([...one].sort(), [...other].sort());
  }
  if (typeof one !== 'string' || typeof other !== 'string') return false;
  if (kind === 'number') return sameNumber(one, other);
  if (kind === 'time' || kind === 'datetime') return withoutSeconds(one) === withoutSeconds(other);
  // The page's line ends are what the browser makes of them.
  return one.replace(/\r\n?/g, '\n') === other.replace(/\r\n?/g, '\n');
}

/** Browsers write "10:00" where a backend writes "10:00:00". @param {string} time */
function withoutSeconds(time) {
  return time.replace(/(\d\d:\d\d):00(?:\.0+)?$/, '$1');
}

/** @param {string} one @param {string} other @returns {boolean} */
function sameNumber(one, other) {
  const digits = /^\s*[-+]?(?:\d+\.?\d*|\.\d+)\s*$/;
  if (!digits.test(one) || !digits.test(other)) return false;
  return plainNumber(one) === plainNumber(other);
}

/** As text: a long number would lose its last digits as a number. @param {string} text @returns {string} */
function plainNumber(text) {
  const [, sign, whole, part] = /^([-+]?)0*(\d*)(?:\.(\d*?)0*)?$/.exec(text.trim()) ?? ['', '', text, ''];
  const size = `${whole || '0'}${part ? `.${part}` : ''}`;
  return sign === '-' && size !== '0' ? `-${size}` : size;
}

/**
 * What a backend reported, as the field of the form would hold it: 140 as "140", true as a ticked box. `like`: what the field held or
 * holds; a number that says the same as one of these texts is that text, for "140.00" is how this page writes 140. Undefined when no
 * field of this kind can hold it.
 * @param {Kind} kind @param {unknown} value @param {(Value | undefined)[]} [like] @returns {Value | undefined}
 */
export function asValue(kind, value, like = []) {
  switch (kind) {
    case 'box':
      if (typeof value === 'boolean') return value;
      if (value === null || value === 0 || value === 1) return value === 1;
      return undefined; // its own value, or one of a list: only the page knows, see fill.js
    case 'boxes':
    case 'choices':
      if (Array.isArray(value)) return value.every(isPlain) ? value.map(String) : undefined;
      return value === null ? [] : isPlain(value) ? [String(value)] : undefined;
    case 'rows':
      if (!Array.isArray(value) || !value.every((row) => row === null || isPlain(row))) return undefined;
      return value.map((row, at) => asText('text', row, like.map((rows) => (Array.isArray(rows) ? rows[at] : undefined))));
    default:
      if (Array.isArray(value)) return value.length === 1 ? asValue(kind, value[0], like) : value.length === 0 ? '' : undefined; // a page may answer every value as a list
      return value === null || isPlain(value) ? asText(kind, value, like) : undefined;
  }
}

/** @param {unknown} value @returns {value is string | number | boolean} */
function isPlain(value) {
  return typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean';
}

/** @param {Kind} kind @param {unknown} value @param {(Value | undefined)[]} like @returns {string} */
function asText(kind, value, like) {
  if (value === null || value === undefined) return '';
  const text = String(value);
  // A number is a number in any field: "0042" is another text than "42", but 42 is what it stands for.
  if (typeof value === 'number') return like.find((other) => typeof other === 'string' && sameNumber(text, other))?.toString() ?? decimals(text, like[0]);
  if (kind === 'date') return /^(\d{4}-\d\d-\d\d)[T ]00:00(?::00(?:\.0+)?)?(?:Z|[+-]00:?00)?$/.exec(text)?.[1] ?? text;
  if (kind === 'datetime') return text.replace(/^(\d{4}-\d\d-\d\d) /, '$1T');
  return text;
}

/** With as many decimals as the page writes: 140 beside "120.00" is "140.00". @param {string} number @param {Value | undefined} like @returns {string} */
function decimals(number, like) {
  const wanted = typeof like === 'string' ? (/^[-+]?\d+\.(\d+)$/.exec(like)?.[1]?.length ?? 0) : 0;
  const [, whole, part = ''] = /^(-?\d+)(?:\.(\d+))?$/.exec(number) ?? [];
  return whole === undefined || part.length >= wanted ? number : `${whole}.${part.padEnd(wanted, '0')}`;
}

/** Whether "both" is a choice: texts and lists can be put together, an amount can not. @param {Kind} kind @returns {boolean} */
export function hasBoth(kind) {
  return kind === 'long' || kind === 'boxes' || kind === 'choices';
}

/**
 * Theirs and mine together: of lists what either has added and neither has taken away, of texts the lines that both still have, once,
 * and of each place where they part first theirs, then mine.
 * @param {Kind} kind @param {Value | undefined} old @param {Value} theirs @param {Value} mine @returns {Value}
 */
export function both(kind, old, theirs, mine) {
  if (Array.isArray(theirs) && Array.isArray(mine)) {
    const before = new Set(Array.isArray(old) ? old : []);
    const [their, my] = [new Set(theirs), new Set(mine)];
    return [...new Set([...theirs, ...mine])].filter((part) => (before.has(part) ? their.has(part) && my.has(part) : true));
  }
  if (kind !== 'long' || typeof theirs !== 'string' || typeof mine !== 'string') return mine;
  const [one, other] = [theirs, mine].map((text) => text.replace(/\r\n?/g, '\n'));
  if (one === undefined || other === undefined || other.includes(one)) return mine;
  if (one.includes(other)) return one;
  const [a, b] = [one.split('\n'), other.split('\n')];
  let head = 0;
  while (head < a.length && head < b.length && a[head] === b[head]) head += 1;
  let tail = 0;
  while (tail < a.length - head && tail < b.length - head && a[a.length - 1 - tail] === b[b.length - 1 - tail]) tail += 1;
  return [...a.slice(0, a.length - tail), ...b.slice(head)].join('\n');
}

/** What the person chose, as the field's new contents. @param {Kind} kind @param {Outcome} conflict @param {Choice} choice @returns {Value} */
export function chosen(kind, { old, theirs, mine }, choice) {
  if (choice === 'theirs') return theirs;
  return choice === 'both' ? both(kind, old, theirs, mine) : mine;
}

/**
 * Two updates as one: first old, last new. What one of them does not say, nobody knows any more; the page itself is asked then.
 * @param {Update} first @param {Update} then @returns {Update}
 */
export function folded(first, then) {
  const { representation: old, change_set: changes, ...before } = first;
  const { representation: fresh, change_set: more, ...now } = then;
  const missed = before.missed || now.missed;
  // Values join; a fragment is the whole form; anything else is left to the page itself.
  const representation = typeof fresh === 'string' ? fresh : old && fresh && typeof old === 'object' ? { ...old, ...fresh } : undefined;
  const changeSet = changes && more && !missed ? foldedChanges(changes, more) : undefined;
  return {
    ...now,
    ...(missed ? { missed } : {}),
    ...(before.redacted || now.redacted ? { redacted: [...new Set([...(before.redacted ?? []), ...(now.redacted ?? [])])].sort() } : {}),
    ...(representation === undefined ? {} : { representation }),
    ...(changeSet ? { change_set: changeSet } : {}),
    ...(samePerson(before.actor, now.actor) ? {} : { actor: undefined }),
  };
}

/** @param {Record<string, [unknown, unknown]>} first @param {Record<string, [unknown, unknown]>} then @returns {Record<string, [unknown, unknown]>} */
function foldedChanges(first, then) {
  const all = { ...first };
  for (const [name, [old, fresh]] of Object.entries(then)) all[name] = [Object.hasOwn(first, name) ? first[name]?.[0] : old, fresh];
  return all;
}

/** @param {{user?: string} | undefined} one @param {{user?: string} | undefined} other */
function samePerson(one, other) {
  return one?.user === other?.user;
}
