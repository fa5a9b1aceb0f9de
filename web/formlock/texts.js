// What the banner says. Names come first, no blame, no technical words (docs: how it looks and speaks). One place for other languages later.

/** @typedef {import('./lease.js').State} State */
/**
 * `when` is kept apart from `text`: it changes by itself, and a screen reader shall not repeat the whole each minute.
 * @typedef {{text: string, when?: string, note?: string, person?: string}} Words
 */

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

/** @param {State} state @param {number} now own clock @param {{wall: number, attempts: number}} more @returns {Words} */
export function words(state, now, { wall, attempts }) {
  const holder = state.snapshot?.holder ?? null;
  switch (state.name) {
    case 'connecting':
      if (state.problem === 'denied') return { text: 'You may not see who is editing this.' };
      if (state.grant) return { text: 'One moment: the newest contents are being fetched.' };
      if (attempts > 2) return { text: 'The service that knows who is editing does not answer. Trying again...' };
      return { text: 'Checking whether somebody is editing...' };
    case 'free':
      if (state.problem === 'not_allowed') return { text: 'You may read this, but not edit it.' };
      if (state.grant) return { text: 'One moment: the newest contents are being fetched.' };
      if (state.problem) return { text: 'Editing is not possible right now. Please try again.' };
      return { text: 'Nobody is editing.' };
    case 'mine':
    case 'asked':
      if (state.changed) return { text: 'You are editing again.', when: 'Others may have changed this meanwhile: check before you save.' };
      return { text: 'You are editing.' };
    case 'locked':
    case 'queued': {
      const grace = state.snapshot?.state === 'grace';
      if (state.sameUser && grace) return { text: 'You were editing this in another tab or window.', when: 'Its connection is interrupted; you may edit here in a moment.' };
      if (state.sameUser) return { text: 'You are editing this in another tab.' };
      const person = holder?.name || 'Somebody';
      const note = state.snapshot?.note || undefined;
      if (grace) return { text: `${person} was editing.`, when: 'Their connection is interrupted; the form may be free in a moment.', note, person };
      return { ...since(state, now, wall, person), note, person };
    }
    case 'stale':
      return { text: 'Connection interrupted.', when: 'Your text is safe; saving waits until your lock is confirmed.' };
    case 'offline':
      return { text: 'You are offline.', when: state.grant ? 'Your text is kept on this page.' : undefined };
    case 'lost':
      return lost(state, holder?.name);
  }
}

/** @param {State} state @param {number} now @param {number} wall @param {string} person @returns {Words} */
function since(state, now, wall, person) {
  const ms = state.snapshot?.since_ms;
  if (ms === null || ms === undefined) return { text: `${person} is editing.` };
  const ago = ms + (now - state.snapshotAt);
  if (ago >= HOUR) return { text: `${person} is editing since ${clock(wall - ago, wall)}.` };
  if (ago < MINUTE) return { text: `${person} is editing.`, when: 'Started just now.' };
  return { text: `${person} is editing.`, when: `Started ${Math.floor(ago / MINUTE)} min ago.` };
}

/** @param {State} state @param {string | undefined} holder who has it now @returns {Words} */
function lost(state, holder) {
  const kept = 'Your unsaved changes are kept on this page.';
  const taker = state.lost?.holder?.name ?? holder;
  if (taker) return { text: `${taker} is editing now.`, when: kept, person: taker };
  if (state.lost?.cause === 'session_lost') return { text: 'Your lock ended while the connection was interrupted.', when: kept };
  return { text: 'Your lock has ended.', when: kept };
}

/** @param {number} then @param {number} wall now @returns {string} with its day, if that is another one */
function clock(then, wall) {
  const today = new Date(then).toDateString() === new Date(wall).toDateString();
  return new Intl.DateTimeFormat(undefined, { ...(today ? {} : { day: 'numeric', month: 'short' }), hour: '2-digit', minute: '2-digit' }).format(then);
}

export const BUTTONS = { edit: 'Edit', done: 'Done', again: 'Lock again', show: 'Show the newest' };

export const NOTICES = {
  shut: 'Not saved: the form is not open for you now.',
  unsaved: 'Not saved: your changes are only on this page.',
};
