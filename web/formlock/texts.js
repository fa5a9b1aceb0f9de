// What the banner says, in English. Names come first, no blame, no technical words (docs: how it looks and speaks). What is said of the line,
// of questions and of takeovers is in texts-face.js; other languages are in texts/ and loaded by languages.js.

/** @typedef {import('./lease.js').State} State */
/** @typedef {typeof TEXTS} Texts */
/**
 * `when` is kept apart from `text`: it changes by itself, and a screen reader shall not repeat the whole each minute.
 * @typedef {{text: string, when?: string, note?: string, person?: string}} Words
 */

export const TEXTS = {
  checking: 'Checking whether somebody is editing...',
  hidden: 'You may not see who is editing this.',
  fetching: 'One moment: the newest contents are being fetched.',
  noAnswer: 'The service that knows who is editing does not answer. Trying again...',
  free: 'Nobody is editing.',
  readOnly: 'You may read this, but not edit it.',
  notNow: 'Editing is not possible right now. Please try again; if that does not help, reload the page.',
  mine: 'You are editing.',
  again: 'You are editing again.',
  checkFirst: 'Others may have changed this meanwhile: check before you save.',
  otherTab: 'You are editing this in another tab.',
  somebody: 'Somebody',
  /** @param {string} who */
  editing: (who) => `${who} is editing.`,
  stale: 'Connection interrupted.',
  staleMore: 'Your text is safe; saving waits until your lock is confirmed.',
  signedOut: 'Your login has ended.',
  offline: 'You are offline.',
  offlineMore: 'Your text is kept on this page.',
  /** @param {string} who */
  lostTo: (who) => `${who} is editing now.`,
  ended: 'Your lock has ended.',
  kept: 'Your unsaved changes are kept on this page.',
  edit: 'Edit',
  done: 'Done',
  lockAgain: 'Lock again',
  showNewest: 'Show the newest',
  shut: 'Not saved: the form is not open for you now.',
  unsaved: 'Not saved: your changes are only on this page.',
  changed: 'This was changed elsewhere. Your text is kept.',
};

/** Whether this user may have the form at all, as far as that is known. @param {State} state */
export function mayLock({ rights, snapshot }) {
  return !rights || rights.includes('*') || rights.includes(snapshot?.lock_right ?? 'lock');
}

/** What is said before the part that knows more is loaded, and where that has nothing to add. @param {State} state @param {number} attempts @param {Texts} texts @returns {Words} */
export function words(state, attempts, texts) {
  const { problem, grant, snapshot } = state;
  const holder = snapshot?.holder?.name;
  switch (state.name) {
    case 'connecting':
    case 'free':
      if (problem === 'denied') return { text: texts.hidden };
      if (problem === 'not_allowed' || (state.name === 'free' && !mayLock(state))) return { text: texts.readOnly };
      if (grant) return { text: texts.fetching };
      if (state.name === 'free') return { text: problem ? texts.notNow : texts.free };
      return { text: attempts > 2 ? texts.noAnswer : texts.checking };
    case 'mine':
    case 'asked':
      return state.changed ? { text: texts.again, when: texts.checkFirst } : { text: texts.mine };
    case 'locked':
    case 'queued': {
      if (state.sameUser) return { text: texts.otherTab };
      const person = holder || texts.somebody;
      return { text: texts.editing(person), note: snapshot?.note || undefined, person };
    }
    case 'stale':
      // Final, unlike a line that is away: nothing comes back by itself.
      return problem === 'denied' ? { text: texts.signedOut, when: texts.kept } : { text: texts.stale, when: texts.staleMore };
    case 'offline':
      return { text: texts.offline, when: grant ? texts.offlineMore : undefined };
    case 'lost': {
      // Who has it now may be another than who had it next; our own grant in the snapshot means that it is older than the loss.
      const news = snapshot && snapshot.token !== state.lost?.token ? snapshot : null;
      const taker = news ? news.state !== 'free' && holder : state.lost?.holder?.name;
      return taker ? { text: texts.lostTo(taker), when: texts.kept, person: taker } : { text: texts.ended, when: texts.kept };
    }
  }
}
