// What lists and badges say, in English.

export const TEXTS = {
  youEdit: 'You are editing',
  /** @param {string} who */
  edits: (who) => `${who} is editing`,
  /** @param {string} who */
  edited: (who) => `${who} was editing`,
};
