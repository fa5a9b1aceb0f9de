// Brings a change that a backend reported into the form: from values by field name, from a fragment, or from the page itself.

import { isBox, textOf, ticks } from './fields.js';

/**
 * Values by field name. Returns the fields whose contents are another now; null, and nothing is filled in, when one of them can't be shown.
 * @param {HTMLFormElement} form @param {Record<string, unknown>} values @returns {HTMLElement[] | null}
 */
export function fillFields(form, values) {
  const fillings = fillingsOf(form, values);
  return fillings && fill(fillings);
}

/** @param {[HTMLElement, unknown][]} fillings @returns {HTMLElement[]} those whose contents are another now */
export function fill(fillings) {
  return fillings.flatMap(([field, value]) => (setValue(field, value) ? [field] : []));
}

/** Which field takes which of the values; null when one of them can't be shown. @param {HTMLFormElement} form @param {Record<string, unknown>} values @returns {[HTMLElement, unknown][] | null} */
export function fillingsOf(form, values) {
  /** @type {[HTMLElement, unknown][]} */
  const fillings = [];
  for (const [name, value] of Object.entries(values)) {
    const found = Array.from(form.elements).filter((field) => /** @type {HTMLInputElement} */ (field).name === name);
    // A hidden field beside others of its name is what an empty box sends instead: not a place for a value.
    const places = found.length > 1 ? found.filter((field) => /** @type {HTMLInputElement} */ (field).type !== 'hidden') : found;
    let row = 0;
    for (const field of places) {
      // Text fields of one name are rows: each has its own of the values.
      const one = Array.isArray(value) && !takesList(field) ? value[row++] : value;
      if (one === undefined || !(field instanceof HTMLElement)) continue;
      if (!canShow(field, one)) return null;
      fillings.push([field, one]);
    }
  }
  return fillings;
}

/** A list may lack the option, and a date field shows nothing for a text of another form: that would be saved as empty. @param {HTMLElement} field @param {unknown} value @returns {boolean} */
function canShow(field, value) {
  const texts = (Array.isArray(value) ? value : [value ?? '']).map(String);
  if (field instanceof HTMLSelectElement) return texts.every((text) => text === '' || Array.from(field.options).some((option) => option.value === text));
  if (!(field instanceof HTMLInputElement) || takesList(field) || field.type === 'file') return true;
  const trial = /** @type {HTMLInputElement} */ (field.cloneNode());
  trial.value = texts[0] ?? '';
  return trial.value !== '' || !texts[0];
}

/** @param {Element} field whether its value is one of a list, or several @returns {boolean} */
function takesList(field) {
  return field instanceof HTMLSelectElement || isBox(field);
}

/**
 * Two updates that wait, as one: what the first one told is not forgotten.
 * @param {import('./lock.js').Update} first @param {import('./lock.js').Update} then @returns {import('./lock.js').Update}
 */
export function folded(first, then) {
  const [old, fresh] = [first.representation, then.representation];
  // Values join; a fragment is the whole form; anything else is left to the page itself.
  const representation = typeof fresh === 'string' ? fresh : old && fresh && typeof old === 'object' ? { ...old, ...fresh } : undefined;
  return { ...then, change_set: undefined, representation };
}

/** @param {HTMLElement} field @param {unknown} value @returns {boolean} whether it changed */
function setValue(field, value) {
  const text = textOf(value);
  if (isBox(field)) {
    const wanted = ticks(field, value);
    if (field.checked === wanted) return false;
    field.checked = field.defaultChecked = wanted;
    return true;
  }
  if (field instanceof HTMLInputElement && (field.type === 'file' || field.type === 'password')) return false;
  if (field instanceof HTMLSelectElement) {
    const wanted = new Set((Array.isArray(value) ? value : [text]).map(String));
    let changed = false;
    for (const option of Array.from(field.options)) {
      changed ||= option.selected !== wanted.has(option.value);
      option.selected = option.defaultSelected = wanted.has(option.value);
    }
    return changed;
  }
  if (field instanceof HTMLInputElement || field instanceof HTMLTextAreaElement) {
    if (field.value === text) return false;
    field.defaultValue = text;
    field.value = text;
    return true;
  }
  if (field instanceof HTMLOutputElement && field.value !== text) {
    field.value = text;
    return true;
  }
  return false;
}

const BANNED = 'script, style, iframe, frame, object, embed, applet, link, meta, base, template, noscript, portal, math, svg';
const ADDRESSES = new Set(['href', 'src', 'action', 'xlink:href', 'poster', 'data', 'background', 'cite', 'ping']);

/**
 * A fragment without anything that runs, loads or leads elsewhere by script. Parsed in a document of its own, where nothing runs.
 * @param {string} html @returns {Document}
 */
export function parseSafely(html) {
  const parsed = new DOMParser().parseFromString(html, 'text/html');
  for (const element of Array.from(parsed.querySelectorAll(BANNED))) element.remove();
  for (const element of Array.from(parsed.querySelectorAll('*'))) {
    for (const { name, value } of Array.from(element.attributes)) {
      const runs = name.startsWith('on') || name === 'srcdoc' || name === 'style' || name === 'srcset' || name === 'formaction' || name === 'form';
      // Browsers ignore control characters and blanks in a scheme: look at it as they do.
      // eslint-disable-next-line no-control-regex
      const scheme = /^([a-z][a-z0-9+.-]*):/i.exec(value.replace(/[\u0000-\u0020\u007f-\u009f]/g, ''))?.[1]?.toLowerCase();
      const leads = ADDRESSES.has(name) && scheme !== undefined && !['http', 'https', 'mailto', 'tel'].includes(scheme);
      if (runs || leads) element.removeAttribute(name);
    }
  }
  return parsed;
}

/** The same form in another document. @param {Document} parsed @param {HTMLFormElement} form @returns {HTMLFormElement | null} */
export function sameForm(parsed, form) {
  // By attribute: in a form with a field named "id", `form.id` is that field.
  const same = /** @param {string} name @param {Element} other */ (name, other) => form.getAttribute(name) && other.getAttribute(name) === form.getAttribute(name);
  return Array.from(parsed.querySelectorAll('form')).find((other) => same('form-lock', other) || same('id', other)) ?? null;
}

/**
 * The contents of a fragment instead of the form's own. Our banner and the token's field stay.
 * @param {HTMLFormElement} form @param {string} html the form itself or only its contents @returns {HTMLElement[]} what is new
 */
export function replaceContents(form, html) {
  const parsed = parseSafely(html);
  const from = sameForm(parsed, form) ?? parsed.querySelector('form') ?? parsed.body;
  for (const element of Array.from(from.querySelectorAll('form, form-lock'))) element.remove();
  const old = textsOf(form);
  const focused = form.contains(document.activeElement) ? /** @type {any} */ (document.activeElement).name : '';
  const ours = Array.from(form.querySelectorAll('form-lock, [data-form-lock-token]'));
  form.replaceChildren(...ours);
  form.append(...Array.from(from.childNodes, (node) => document.importNode(node, true)));
  const again = focused ? form.elements.namedItem(focused) : null;
  if (again instanceof HTMLElement) again.focus({ preventScroll: true }); // who was reading there goes on there
  return Array.from(form.elements).filter((field) => field instanceof HTMLElement && old.get(/** @type {any} */ (field).name) !== /** @type {any} */ (field).value).map((field) => /** @type {HTMLElement} */ (field));
}

/** @param {HTMLFormElement} form @returns {Map<string, string>} */
function textsOf(form) {
  return new Map(Array.from(form.elements, (field) => [/** @type {any} */ (field).name, /** @type {any} */ (field).value]));
}

/**
 * The values of the same form on the page as the server gives it now. Null when the page can't be read or has no such form any more.
 * @param {HTMLFormElement} form @returns {Promise<Record<string, unknown> | null>}
 */
export async function valuesFromServer(form) {
  const response = await fetch(location.href, { credentials: 'same-origin', cache: 'no-store', headers: { accept: 'text/html' } });
  if (!response.ok || new URL(response.url).origin !== location.origin) return null;
  const other = sameForm(parseSafely(await response.text()), form);
  return other && namesOf(other) === namesOf(form) ? valuesOf(other) : null; // other rows or fields: values alone can't show that
}

/** What a form holds, by field name. @param {HTMLFormElement} form @param {{hidden?: boolean}} [options] @returns {Record<string, unknown>} */
export function valuesOf(form, { hidden = false } = {}) {
  /** @type {Record<string, any>} */
  const values = {};
  for (const field of Array.from(form.elements)) {
    const input = /** @type {HTMLInputElement} */ (field);
    if (!input.name) continue;
    if (input.type === 'checkbox' || input.type === 'radio') {
      const list = /** @type {string[]} */ (values[input.name] ??= []);
      if (input.checked) list.push(input.value);
    } else if (field instanceof HTMLSelectElement || input.type === 'select-multiple' || input.type === 'select-one') {
      values[input.name] = Array.from(/** @type {HTMLSelectElement} */ (field).selectedOptions, (option) => option.value);
    } else if (hidden || input.type !== 'hidden') {
      values[input.name] = input.name in values ? [values[input.name], input.value].flat() : input.value;
    }
  }
  return values;
}

/** @param {HTMLFormElement} form @returns {string} */
function namesOf(form) {
  const fields = Array.from(form.elements, (field) => /** @type {HTMLInputElement} */ (field));
  return fields.flatMap(({ name, type }) => (name && type !== 'hidden' ? [name] : [])).join('\n');
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
