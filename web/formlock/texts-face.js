// What is said of the line, of questions, takeovers and losses, in English, and the rules of numbers and times that all languages share.

export const TEXTS = {
  /** @param {string} who @param {string} when */
  editingSince: (who, when) => `${who} is editing since ${stop(when)}`,
  startedNow: 'Started just now.',
  /** @param {string} minutes */
  started: (minutes) => `Started ${minutes} ago.`,
  /** @param {number} count @param {string} who */
  others: (who, count) => (count === 1 ? `${who} and one other are editing.` : `${who} and ${count} others are editing.`),
  /** @param {string} who */
  machine: (who) => `${who} is working on this automatically.`,
  activeNow: 'Active now.',
  /** @param {string} time */
  away: (time) => `Away for ${stop(time)}`,
  /** @param {string} who @param {string} time */
  needsIt: (who, time) => `${who} needs it for ${time} more.`,
  /** @param {string} who */
  alsoHere: (who) => `Also here: ${who}`,
  /** @param {string} who */
  wasEditing: (who) => `${who} was editing.`,
  freeSoon: 'Their connection is interrupted; the form may be free in a moment.',
  wasEditingSelf: 'You were editing this in another tab or window.',
  freeSoonSelf: 'Its connection is interrupted; you may edit here in a moment.',

  next: 'You are next in line.',
  /** @param {number} place */
  place: (place) => `You are ${ordinal(place)} in line.`,
  turnPassed: 'It was your turn, but nobody was here. You can wait again.',
  /** @param {string} time */
  answerIn: (time) => `If nobody answers, it is free in ${stop(time)}`,
  /** @param {string} who */
  asked: (who) => `You have asked ${stop(who)}`,

  /** @param {string} who */
  asks: (who) => `${who} would like to edit.`,
  /** @param {string} who @param {number} count */
  askMany: (who, count) => (count === 1 ? `${who} and one other would like to edit.` : `${who} and ${count} others would like to edit.`),
  /** @param {string} time */
  goesIn: (time) => `If you say nothing, it is theirs in ${stop(time)}`,
  /** @param {string} who */
  takesOver: (who) => `${who} is taking over.`,
  /** @param {string} time */
  takesIn: (time) => `In ${stop(time)} Your text is being kept safe.`,
  /** @param {string} time */
  endsIn: (time) => `Your lock ends in ${time}: save before that.`,

  /** @param {string} who @param {string} when */
  tookOver: (who, when) => `${who} took over ${/^\d+:/.test(when) ? 'at' : 'on'} ${stop(when)}`,
  tookSelf: 'You went on in another tab.',
  interrupted: 'Your lock ended while the connection was interrupted.',
  tooLong: 'Your lock ended because the longest time allowed was over.',
  idle: 'Your lock ended because nothing was typed for a while.',
  answered: 'The form was given to somebody who asked for it.',
  nothingLost: 'You had no unsaved changes.',

  wait: 'Wait for my turn',
  leave: 'Leave the line',
  ask: 'Ask to release',
  askBack: 'Ask for it back',
  takeOver: 'Take over',
  moveHere: 'Move here',
  release: 'Release now',
  keep: 'Keep 5 min more',
  showMine: 'Show my changes',
  askTitle: 'What do you need it for?',
  takeTitle: 'Why are you taking over?',
  takeMore: 'The reason is shown to whoever is editing now. Their unsaved text is kept for them.',
  askMore: 'This is shown to whoever is editing now. You may leave it empty.',
  send: 'Ask',
  cancel: 'Cancel',

  failed: 'That did not work. Please try again.',
  mayNotTake: 'You may not take this over.',
  changedHands: 'Somebody else is editing by now.',
  noLine: 'Nobody can wait in line for this. Ask, or try again later.',
  lineFull: 'Too many are waiting already. Please try again later.',
};

/** Of a language, made once each. */
export class Numbers {
  /** @param {string} tag */
  constructor(tag) {
    this.tag = tag;
    this.list = new Intl.ListFormat(tag, { style: 'long', type: 'conjunction' });
  }

  /** A span of time as people say it, on one line: seconds below a minute, then whole minutes, then hours. @param {number} ms */
  span(ms) {
    const [unit, size] = ms < 60_000 ? ['second', 1000] : ms < 3_600_000 ? ['minute', 60_000] : ['hour', 3_600_000];
    // Hours are written out, but not in Polish: there the word would have to change with what stands before it.
    const whole = unit === 'hour' && !/^pl/i.test(this.tag);
    return new Intl.NumberFormat(this.tag, { style: 'unit', unit: String(unit), unitDisplay: whole ? 'long' : 'short' }).format(Math.max(0, Math.round(ms / Number(size)))).replace(' ', '\u00a0');
  }

  /** A time of day, with its day if that is another one. @param {number} then @param {number} wall now */
  clock(then, wall) {
    const today = new Date(then).toDateString() === new Date(wall).toDateString();
    return new Intl.DateTimeFormat(this.tag, { ...(today ? {} : { day: 'numeric', month: 'short' }), hour: '2-digit', minute: '2-digit' }).format(then);
  }
}

/** The end of a sentence: a time or a name may end with a full stop of its own, as in 10:02 a.m. @param {string} what */
function stop(what) {
  return what.endsWith('.') ? what : `${what}.`;
}

const ORDINALS = new Intl.PluralRules('en', { type: 'ordinal' });
const ENDINGS = { zero: 'th', one: 'st', two: 'nd', few: 'rd', many: 'th', other: 'th' };

/** @param {number} number @returns {string} 2nd */
function ordinal(number) {
  return `${number}${ENDINGS[ORDINALS.select(number)]}`;
}
