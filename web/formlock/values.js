// What a form holds, by field name: as it is now, and as the server sent it. Also what kind of field a name is, for whoever compares values.
//
// Read field by field: `new FormData(form)` would fire the page's own `formdata` listeners.

/**
 * A text; yes or no of a single box; a list of the boxes, options or rows of one name.
 * @typedef {string | boolean | string[]} Value
 */
/** @typedef {Record<string, Value>} Values */
/**
 * `long`: text of several lines. `box`, `boxes`: one or several check boxes of a name. `choice`, `choices`: lists. `rows`: several
 * fields of one name, each with a text of its own. `shown`: an <output>, which nobody edits. `rich`: something editable that is no
 * field; it is only watched. `secret`: a password or a file, which is never filled in, kept or compared.
 * @typedef {'text'|'long'|'number'|'date'|'datetime'|'time'|'box'|'boxes'|'radio'|'choice'|'choices'|'rows'|'hidden'|'shown'|'rich'|'secret'} Kind
 */

const BUTTONS = new Set(['submit', 'button', 'reset', 'image']);
/** @type {Record<string, Kind>} */
const KINDS = {
  password: 'secret', file: 'secret', hidden: 'hidden', number: 'number', range: 'number', date: 'date', 'datetime-local': 'datetime', time: 'time',
  textarea: 'long', 'select-one': 'choice', 'select-multiple': 'choices', output: 'shown', radio: 'radio',
};

/**
 * The fields of a form by name, without buttons and without our own. A hidden field beside others of its name is what an empty box
 * sends instead: no place for a value.
 * @param {HTMLFormElement} form @returns {Map<string, HTMLElement[]>}
 */
export function fieldsByName(form) {
  /** @type {Map<string, HTMLElement[]>} */
  const found = new Map();
  for (const element of Array.from(form.elements)) {
    const field = /** @type {HTMLInputElement} */ (element);
    if (!field.name || field.value === undefined || BUTTONS.has(field.type) || field.tagName === 'BUTTON' || field.tagName === 'OBJECT') continue;
    if (field.hasAttribute('data-form-lock-token')) continue;
    const list = found.get(field.name);
    if (list) list.push(field);
    else found.set(field.name, [field]);
  }
  for (const [name, fields] of found) {
    if (fields.length > 1 && fields.some((field) => typeOf(field) !== 'hidden')) found.set(name, fields.filter((field) => typeOf(field) !== 'hidden'));
  }
  return found;
}

/** @param {HTMLElement} field @returns {string} */
function typeOf(field) {
  return /** @type {HTMLInputElement} */ (field).type ?? '';
}

/** @param {HTMLElement[]} fields of one name @returns {Kind} */
export function kindOf(fields) {
  const [first] = fields;
  const type = first ? typeOf(first) : '';
  if (type === 'checkbox') return fields.length > 1 ? 'boxes' : 'box';
  const kind = KINDS[type] ?? 'text';
  return fields.length > 1 && kind !== 'radio' && kind !== 'secret' ? 'rows' : kind;
}

/** @param {HTMLElement[]} fields of one name @param {{served?: boolean}} [options] @returns {Value} */
export function valueOf(fields, { served = false } = {}) {
  const inputs = /** @type {HTMLInputElement[]} */ (fields);
  const ticked = inputs.filter((field) => (served ? field.defaultChecked : field.checked));
  switch (kindOf(fields)) {
    case 'box':
      return ticked.length > 0;
    case 'boxes':
      return ticked.map((field) => field.value);
    case 'radio':
      return ticked[0]?.value ?? '';
    case 'choices':
      return chosen(fields[0], served);
    case 'rows':
      return fields.map((field) => text(field, served));
    default:
      return fields[0] ? text(fields[0], served) : '';
  }
}

/** @param {HTMLElement} field @param {boolean} served @returns {string} */
function text(field, served) {
  if (field.tagName === 'SELECT') return chosen(field, served)[0] ?? '';
  const { value, defaultValue } = /** @type {HTMLInputElement} */ (field);
  return String((served ? defaultValue : value) ?? value ?? '');
}

/** @param {HTMLElement | undefined} field @param {boolean} served @returns {string[]} */
function chosen(field, served) {
  const select = /** @type {HTMLSelectElement} */ (field);
  const all = Array.from(select.options);
  const found = all.filter((option) => (served ? option.defaultSelected : option.selected));
  // Without a choice of the server's a browser takes the first option, unless the list shows several at once.
  if (served && !select.multiple) return [found.at(-1) ?? all.find((option) => !option.disabled)].flatMap((option) => option?.value ?? []);
  return found.map((option) => option.value);
}

/**
 * All that a form holds. `served`: what the server sent, not what is there now.
 * @param {HTMLFormElement} form @param {{served?: boolean}} [options] @returns {Values}
 */
export function valuesIn(form, options) {
  /** @type {Values} */
  const values = Object.create(null); // a field may be called "__proto__"
  for (const [name, fields] of fieldsByName(form)) values[name] = valueOf(fields, options);
  // What is editable without being a field has no name of a field's.
  for (const [at, rich] of Array.from(form.querySelectorAll('[contenteditable]')).entries()) values[`\u0000${at}`] = rich.innerHTML;
  return values;
}

/** @param {HTMLFormElement} form @returns {Record<string, Kind>} */
export function kindsIn(form) {
  /** @type {Record<string, Kind>} */
  const kinds = Object.create(null);
  for (const [name, fields] of fieldsByName(form)) kinds[name] = kindOf(fields);
  return kinds;
}

/** Whether two records hold the very same, to see whether something was typed. @param {Values} one @param {Values} other @returns {boolean} */
export function sameValues(one, other) {
  const names = Object.keys(one);
  return names.length === Object.keys(other).length && names.every((name) => name in other && sameValue(one[name], other[name]));
}

/** @param {Value | undefined} one @param {Value | undefined} other @returns {boolean} */
export function sameValue(one, other) {
  if (Array.isArray(one) && Array.isArray(other)) return one.length === other.length && one.every((part, at) => part === other[at]);
  return one === other;
}
