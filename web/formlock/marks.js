// Who is editing a form, as lists and badges say it: a drawing, a picture if the page has one, and a sentence.
import { icon } from './icons.js';
import { portrait } from './portraits.js';
import { TEXTS } from './texts-list.js';

/** @typedef {import('./lease.js').Snapshot} Snapshot */
/** `state`: `free`, `held`, `grace` or `mine`. @typedef {{state: string, text: string, user: string}} Mark */

/**
 * A lock for a longer time has no page that could have gone away: its holder is editing as any other.
 * @param {Pick<Snapshot, 'state' | 'holder' | 'until_ms'> | undefined} known @param {string | null} me @param {Record<string, any>} [words] instead of the English
 * @returns {Mark}
 */
export function markOf(known, me, words) {
  const holder = known && known.state !== 'free' ? known.holder : null;
  if (!known || !holder) return { state: known?.state ?? 'free', text: '', user: '' };
  const t = { ...TEXTS, ...words };
  const { user, name } = holder;
  if (user === me) return { state: 'mine', text: t.youEdit, user };
  const state = known.state === 'grace' && known.until_ms !== undefined ? 'held' : known.state;
  return { state, text: state === 'grace' ? t.edited(name) : t.edits(name), user };
}

/** What stands before the sentence. @param {Mark} mark @returns {Element[]} */
export function drawings({ state, text, user }) {
  if (!text) return [];
  const picture = portrait(user);
  return [icon(state === 'mine' ? 'mine' : 'locked'), ...(picture ? [picture] : [])];
}
