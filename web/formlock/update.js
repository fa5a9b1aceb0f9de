// Brings a change that a backend reported into the form: from values by field name, from a fragment, or from the page itself.

/**
 * Values by field name. Returns the fields whose contents are another now.
 * @param {HTMLFormElement} form @param {Record<string, unknown>} values @returns {HTMLElement[]}
 */
export function fillFields(form, values) {
  /** @type {HTMLElement[]} */
  const touched = [];
  for (const [name, value] of Object.entries(values)) {
    const found = Array.from(form.elements).filter((field) => /** @type {HTMLInputElement} */ (field).name === name);
    for (const field of found) if (field instanceof HTMLElement && setValue(field, value)) touched.push(field);
  }
  return touched;
}

/** @param {HTMLElement} field @param {unknown} value @returns {boolean} whether it changed */
function setValue(field, value) {
  const text = value === null || value === undefined ? '' : String(value);
  if (field instanceof HTMLInputElement && (field.type === 'checkbox' || field.type === 'radio')) {
    const wanted = Array.isArray(value) ? value.map(String).includes(field.value) : typeof value === 'boolean' ? value : text === field.value;
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
      const runs = name.startsWith('on') || name === 'srcdoc' || name === 'style' || name === 'srcset' || name === 'formaction';
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
  const topic = form.getAttribute('form-lock');
  for (const other of Array.from(parsed.querySelectorAll('form'))) {
    if ((topic && other.getAttribute('form-lock') === topic) || (form.id && other.id === form.id)) return other;
  }
  return null;
}

/**
 * The contents of a fragment instead of the form's own. Our banner and the token's field stay.
 * @param {HTMLFormElement} form @param {string} html the form itself or only its contents @returns {HTMLElement[]} what is new
 */
export function replaceContents(form, html) {
  const parsed = parseSafely(html);
  const from = sameForm(parsed, form) ?? parsed.querySelector('form') ?? parsed.body;
  for (const element of Array.from(from.querySelectorAll('form, form-lock'))) element.remove();
  const old = valuesOf(form);
  const ours = Array.from(form.querySelectorAll('form-lock, [data-form-lock-token]'));
  form.replaceChildren(...ours);
  form.append(...Array.from(from.childNodes, (node) => document.importNode(node, true)));
  return Array.from(form.elements).filter((field) => field instanceof HTMLElement && old.get(/** @type {any} */ (field).name) !== /** @type {any} */ (field).value).map((field) => /** @type {HTMLElement} */ (field));
}

/** @param {HTMLFormElement} form @returns {Map<string, string>} */
function valuesOf(form) {
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
  if (!other) return null;
  /** @type {Record<string, unknown>} */
  const values = {};
  for (const field of Array.from(other.elements)) {
    const input = /** @type {HTMLInputElement} */ (field);
    if (!input.name) continue;
    if (input.type === 'checkbox' || input.type === 'radio') {
      const list = /** @type {string[]} */ (values[input.name] ??= []);
      if (input.checked) list.push(input.value);
    } else if (field instanceof HTMLSelectElement || input.type === 'select-multiple' || input.type === 'select-one') {
      values[input.name] = Array.from(/** @type {HTMLSelectElement} */ (field).selectedOptions, (option) => option.value);
    } else if (input.type !== 'hidden') {
      values[input.name] = input.value;
    }
  }
  return values;
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
