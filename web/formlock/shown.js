// A field's value as people read it on the page: an option by its text, a box by its label.
import { TEXTS } from './texts-merge.js';
import { kindOf } from './values.js';

/** @param {HTMLElement[]} fields of one name @param {import('./values.js').Value | undefined} value @returns {string} */
export function shown(fields, value) {
  if (value === undefined) return '';
  switch (kindOf(fields)) {
    case 'box':
      return value ? TEXTS.yes : TEXTS.no;
    case 'boxes':
    case 'radio':
      return [value].flat().map((part) => boxText(fields, String(part))).join(', ');
    case 'choice':
    case 'choices':
      return [value].flat().map((part) => optionText(fields[0], String(part))).join(', ');
    case 'rows':
      return [value].flat().map((row, at) => optionText(fields[at], String(row))).join('\n');
    default:
      return String(value);
  }
}

/** @param {HTMLElement[]} fields @param {string} value */
function boxText(fields, value) {
  const box = /** @type {HTMLInputElement | undefined} */ (fields.find((field) => /** @type {HTMLInputElement} */ (field).value === value));
  return box?.labels?.[0]?.textContent?.trim() || value;
}

/** @param {HTMLElement | undefined} field @param {string} value */
function optionText(field, value) {
  if (!(field instanceof HTMLSelectElement)) return value;
  return Array.from(field.options).find((option) => option.value === value)?.text ?? value;
}
