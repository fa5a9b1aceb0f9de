// What is said about changes of others, choices and drafts, in English. Another language takes the place of entries by `speak`.

/** @typedef {{label: string, old: string, fresh: string}} Change old and fresh as the form shows them */

export const TEXTS = {
  empty: '(empty)',
  yes: 'yes',
  no: 'no',
  somebody: 'Somebody',
  /** @param {string} what @param {string} [who] */
  saved: (what, who) => (who ? `Saved by ${who}: ${what}` : `Changed: ${what}`),
  newest: 'The newest contents are shown.',
  /** @param {string} what @param {boolean} maybe */
  held: (what, maybe) => `This ${maybe ? 'may have been' : 'was'} changed elsewhere${what ? `: ${what}` : ''}. Your text is kept.`,
  /** @param {string} labels */
  claimed: (labels) => `Changed meanwhile: ${labels}. Your text is kept.`,
  /** @param {string | undefined} who */
  deleted: (who) => (who ? `${who} has deleted this. Your text is kept.` : 'This has been deleted. Your text is kept.'),
  behind: 'This was changed elsewhere and can not be shown here now. Your text is kept.',
  /** @param {string} shown @param {number} rest */
  more: (shown, rest) => `${shown} and ${rest} more`,

  /** @param {string} who @param {number} count */
  conflict: (who, count) => `${who} changed ${count === 1 ? 'a field' : `${count} fields`} you changed too. Choose below.`,
  /** @param {string} what */
  also: (what) => `Also changed: ${what}`,
  conflicts: 'Changed by both of you',
  /** @param {string} old */
  was: (old) => `Was: ${old}`,
  theirs: 'Theirs',
  mine: 'Yours',
  both: 'Both',
  apply: 'Use what I chose',
  /** @param {string} labels */
  chooseFirst: (labels) => `Not saved: choose first for ${labels}.`,
  chosen: 'Your next save has what you chose.',

  /** @param {string} when */
  draft: (when) => `Unsaved changes from ${when}`,
  /** @param {string} who @param {string} when */
  draftOf: (who, when) => `Unsaved changes of ${who} from ${when}`,
  own: 'Your unsaved changes',
  lostHere: 'They are only in this browser until you save them.',
  older: 'The record was saved by somebody since. Fields marked below differ from what you started with.',
  changedSince: 'changed since',
  /** @param {string} version */
  against: (version) => `Made on version ${version}.`,
  now: 'Now',
  draftValue: 'Draft',
  use: 'Use',
  copy: 'Copy',
  copied: 'Copied.',
  notCopied: 'The browser did not allow copying. Select the text and copy it yourself.',
  throwAway: 'Throw away',
  close: 'Close',
  used: 'Your changes are in the form. They are not saved yet.',
};

/** Another language, or a page's own words. @param {Partial<typeof TEXTS>} texts */
export function speak(texts) {
  Object.assign(TEXTS, texts);
}

/** One line about what was changed. @param {Change[]} changes @returns {string} */
export function line(changes) {
  const shown = changes.slice(0, 2).map(({ label, old, fresh }) => `${label} ${short(old)} → ${short(fresh)}`).join(', ');
  return changes.length > 2 ? TEXTS.more(shown, changes.length - 2) : shown;
}

/** @param {string} text @returns {string} */
function short(text) {
  const flat = text.replace(/\s+/g, ' ').trim() || TEXTS.empty;
  return flat.length > 40 ? `${flat.slice(0, 39)}…` : flat;
}

/** Anything a backend may report, as text. @param {unknown} value @returns {string} */
export function plain(value) {
  if (value === null || value === undefined || value === '') return '';
  if (typeof value === 'boolean') return value ? TEXTS.yes : TEXTS.no;
  if (Array.isArray(value)) return value.map(plain).join(', ');
  return typeof value === 'object' ? JSON.stringify(value) : String(value);
}
