// Texts of the page that travel to others: one line, as long as the service takes. A longer or a broken one would be refused, and the person
// with it.

/** @param {string} text of a page's attribute @param {number} most characters @returns {string} */
export function plainLine(text, most) {
  const line = text.toWellFormed().replace(/[\s\p{Cc}\u00ad\u180e\u200b\u202a-\u202e\u2060-\u2069]+/gu, ' ').trim();
  return Array.from(line).slice(0, most).join('');
}
