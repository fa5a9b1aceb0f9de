// Whether an update is this page's own save: somebody else's conflict it must never look like. Pure.
import { asValue, equal } from './merge.js';

/** @typedef {import('./values.js').Kind} Kind */
/** @typedef {import('./values.js').Values} Values */
/** @typedef {import('./lock.js').Update} Update */

/** What was submitted longer ago is not what comes in now: backends report within seconds. */
const REMEMBER_MS = 60_000;

/**
 * Known by the tab or session it came from; by its id, when the application answered with that; else by its contents: the very fields that
 * were changed here, with the very values.
 * @param {Update} update
 * @param {{ids: string[], kinds: Record<string, Kind>, now: number,
 *   submission: {values: Values, base: Values | null, at: number, id: string | null} | null}} facts
 */
export function isOwnSave(update, { ids, kinds, now, submission }) {
  if (update.origin !== undefined && ids.includes(update.origin)) return true;
  if (!submission || now - submission.at > REMEMBER_MS) return false;
  if (update.id !== undefined && submission.id === update.id) return true;
  const { values, base } = submission;
  if (!base || !update.change_set || update.redacted?.length || update.origin !== undefined) return false; // another tab says that it was it
  const sent = new Set(Object.keys(values).filter((name) => known(kinds, name) && base[name] !== undefined && !equal(kinds[name], values[name], base[name])));
  const told = Object.entries(update.change_set).filter(([name]) => known(kinds, name));
  return sent.size > 0 && sent.size === told.length && told.every(([name, pair]) => sent.has(name) && means(kinds[name], pair?.[1], values[name]));
}

/** @param {Record<string, Kind>} kinds @param {string} name */
function known(kinds, name) {
  return Object.hasOwn(kinds, name) && kinds[name] !== 'hidden' && kinds[name] !== 'secret';
}

/** @param {Kind} kind @param {unknown} raw @param {import('./values.js').Value} value */
function means(kind, raw, value) {
  const told = asValue(kind, raw, [value]);
  return told !== undefined && equal(kind, told, value);
}

/**
 * Whether the form shows already what an update tells: the page was made, or the claim answered, after it.
 * @param {Update} update @param {{kinds: Record<string, Kind>, base: Values | null, version: string | null}} facts `version` of the form's `version-field`
 */
export function isShown(update, { kinds, base, version }) {
  if (update.missed || update.redacted?.length || !base) return false;
  if (version !== null && update.version !== undefined && String(update.version) === version) return true;
  const told = Object.entries(update.change_set ?? {});
  if (!told.length || (update.representation !== undefined && update.representation !== null)) return false;
  return told.every(([name, pair]) => {
    const [kind, value] = [kinds[name], base[name]];
    return Object.hasOwn(kinds, name) && value !== undefined && Array.isArray(pair) && means(kind, pair[1], value);
  });
}
