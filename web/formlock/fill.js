// Fills values into the fields of a form, and says beforehand whether a field can show what it shall.
import { asValue } from './merge.js';
import { fieldsByName, kindOf, valueOf } from './values.js';

/** @typedef {import('./values.js').Value} Value */
/** @typedef {import('./values.js').Values} Values */

/**
 * Values as a backend or a page gives them, as the form would hold them. Names that the form does not have are left out; null when
 * one of the others can't be shown: a list may lack the option, and a date field shows nothing for a text of another form, which would
 * then be saved as empty.
 * @param {HTMLFormElement} form @param {Record<string, unknown>} given @param {Values | null} [base] how the record was written before @returns {Values | null}
 */
export function asShown(form, given, base) {
  const all = fieldsByName(form);
  /** @type {Values} */
  const values = Object.create(null);
  for (const [name, raw] of Object.entries(given)) {
    const fields = all.get(name);
    if (!fields || raw === undefined || kindOf(fields) === 'secret') continue;
    const value = converted(fields, raw, [base?.[name], valueOf(fields)]);
    if (value === undefined || !canShow(fields, value)) return null;
    values[name] = value;
  }
  return values;
}

/** @param {HTMLElement[]} fields of one name @param {unknown} raw @param {(Value | undefined)[]} like @returns {Value | undefined} */
function converted(fields, raw, like) {
  const kind = kindOf(fields);
  const value = asValue(kind, raw, like);
  if (kind !== 'box' || value !== undefined) return value;
  const { value: own } = /** @type {HTMLInputElement} */ (fields[0]);
  return Array.isArray(raw) ? raw.map(String).includes(own) : String(raw) === own;
}

/** @param {HTMLElement[]} fields of one name @param {Value} value @returns {boolean} */
function canShow(fields, value) {
  switch (kindOf(fields)) {
    case 'box':
      return true;
    case 'boxes':
    case 'radio':
      return texts(value).every((text) => text === '' || fields.some((field) => /** @type {HTMLInputElement} */ (field).value === text));
    case 'choices':
      return texts(value).every((text) => hasOption(fields[0], text));
    case 'rows':
      return Array.isArray(value) && value.length === fields.length && fields.every((field, at) => canHold(field, value[at] ?? ''));
    default:
      return fields[0] !== undefined && canHold(fields[0], String(value));
  }
}

/** @param {Value} value @returns {string[]} */
function texts(value) {
  return Array.isArray(value) ? value : [String(value)];
}

/** @param {HTMLElement | undefined} field @param {string} text @returns {boolean} */
function hasOption(field, text) {
  return text === '' || (field instanceof HTMLSelectElement && Array.from(field.options).some((option) => option.value === text));
}

/** @param {HTMLElement} field @param {string} text @returns {boolean} */
function canHold(field, text) {
  if (field instanceof HTMLSelectElement) return hasOption(field, text);
  if (!(field instanceof HTMLInputElement)) return true;
  const trial = /** @type {HTMLInputElement} */ (field.cloneNode());
  trial.value = text;
  return trial.value !== '' || text === '';
}

/**
 * Writes one value. `record`: it is what the server has, so that a reset of the form goes back to it.
 * @param {HTMLElement[]} fields of one name @param {Value} value @param {{record?: boolean}} [options] @returns {HTMLElement[]} those whose contents are another now
 */
export function write(fields, value, { record = false } = {}) {
  const kind = kindOf(fields);
  if (kind === 'secret') return [];
  return fields.flatMap((field, at) => {
    if (kind === 'box') return tick(field, value === true, record) ? [field] : [];
    if (kind === 'boxes' || kind === 'radio') return tick(field, texts(value).includes(/** @type {HTMLInputElement} */ (field).value), record) ? [field] : [];
    if (kind === 'rows') return setText(field, texts(value)[at] ?? '', record) ? [field] : [];
    if (field instanceof HTMLSelectElement) return choose(field, texts(value), record) ? [field] : [];
    return setText(field, texts(value)[0] ?? '', record) ? [field] : [];
  });
}

/** @param {HTMLElement} field @param {boolean} wanted @param {boolean} record @returns {boolean} whether it changed */
function tick(field, wanted, record) {
  const box = /** @type {HTMLInputElement} */ (field);
  const changed = box.checked !== wanted;
  if (record) box.defaultChecked = wanted;
  box.checked = wanted;
  return changed;
}

/** @param {HTMLSelectElement} select @param {string[]} wanted @param {boolean} record @returns {boolean} */
function choose(select, wanted, record) {
  let changed = false;
  for (const option of Array.from(select.options)) {
    const chosen = wanted.includes(option.value);
    changed ||= option.selected !== chosen;
    if (record) option.defaultSelected = chosen;
    option.selected = chosen;
  }
  return changed;
}

/** @param {HTMLElement} element @param {string} text @param {boolean} record @returns {boolean} */
function setText(element, text, record) {
  if (element instanceof HTMLSelectElement) return choose(element, [text], record);
  const field = /** @type {HTMLInputElement} */ (element);
  const changed = field.value !== text;
  if (record && field.defaultValue !== undefined && field.defaultValue !== text) field.defaultValue = text;
  if (changed) field.value = text;
  return changed;
}

/** Shows once what has changed. @param {HTMLElement[]} fields */
export function flash(fields) {
  for (const field of fields) {
    field.setAttribute('data-form-lock-flash', '');
    const end = () => field.removeAttribute('data-form-lock-flash');
    field.addEventListener('animationend', end, { once: true });
    setTimeout(end, 2500); // with reduced motion nothing ends
  }
}
