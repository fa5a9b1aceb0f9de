// Shuts and opens the fields of a form: they keep their values, their place in the form's data, and stay readable.
//
// Not `fieldset.disabled`: it drops the fields from the form's data and throws the focus to the body. Text fields become read-only
// (a caret, a selection and a screen reader still work in them), everything else `inert`. Only what was changed here is changed back.

const TEXTUAL = new Set(['text', 'search', 'url', 'tel', 'email', 'password', 'number', 'date', 'month', 'week', 'time', 'datetime-local']);
const MARK = 'data-form-lock-shut';

/** @param {Element} element @returns {element is HTMLInputElement | HTMLTextAreaElement} */
function takesText(element) {
  return element instanceof HTMLTextAreaElement || (element instanceof HTMLInputElement && TEXTUAL.has(element.type));
}

/** Whether something is part of a form, be it by its `form` attribute. @param {HTMLFormElement} form @param {EventTarget | null} what */
export function isPart(form, what) {
  return what instanceof Element && (form.contains(what) || /** @type {any} */ (what).form === form);
}

/**
 * The fields of a form that locking is about.
 * @param {HTMLFormElement} form @returns {HTMLElement[]}
 */
function fieldsOf(form) {
  const own = Array.from(form.elements).filter((element) => element instanceof HTMLElement && !(element instanceof HTMLFieldSetElement));
  const rich = Array.from(form.querySelectorAll('[contenteditable]'));
  return /** @type {HTMLElement[]} */ ([...own, ...rich]).filter(
    (field) => !(field instanceof HTMLInputElement && field.type === 'hidden') && !field.matches('.form-lock, form-lock, [form-lock-ignore]'),
  );
}

/** @param {HTMLFormElement} form @param {() => void} rescue called before the focused field becomes unreachable */
export function shut(form, rescue) {
  form.setAttribute('data-form-lock', 'shut');
  for (const field of fieldsOf(form)) {
    if (field.hasAttribute(MARK)) continue;
    if (takesText(field)) {
      if (field.readOnly) continue;
      field.readOnly = true;
    } else {
      if (field.inert) continue;
      if (field.contains(document.activeElement)) rescue();
      field.inert = true;
    }
    field.setAttribute(MARK, '');
  }
}

/** @param {HTMLFormElement} form */
export function open(form) {
  form.setAttribute('data-form-lock', 'open');
  for (const field of fieldsOf(form)) {
    if (!field.hasAttribute(MARK)) continue;
    field.removeAttribute(MARK);
    if (takesText(field)) field.readOnly = false;
    else field.inert = false;
  }
}

/** The first field a person would type into. @param {HTMLFormElement} form @returns {HTMLElement | undefined} */
export function firstField(form) {
  return fieldsOf(form).find((field) => !(field instanceof HTMLButtonElement) && !field.inert && field.checkVisibility?.() !== false);
}

/**
 * All that would be submitted, but for our own fields, to see whether something was typed.
 * @param {HTMLFormElement} form @param {{served?: boolean}} [options] `served`: what the server sent, not what is there now
 */
export function contents(form, { served = false } = {}) {
  // Read field by field: `new FormData(form)` would fire the page's own `formdata` listeners.
  const fields = Array.from(form.elements).filter((field) => /** @type {HTMLInputElement} */ (field).name && holdsValue(field) && !field.hasAttribute('data-form-lock-token'));
  const pairs = fields.map((field) => pairOf(/** @type {HTMLElement} */ (field), { served }));
  for (const rich of Array.from(form.querySelectorAll('[contenteditable]'))) pairs.push(['', rich.innerHTML]);
  return JSON.stringify(pairs);
}

/** @param {Element} field @returns {field is HTMLInputElement | HTMLTextAreaElement | HTMLSelectElement} */
function holdsValue(field) {
  return field instanceof HTMLInputElement || field instanceof HTMLTextAreaElement || field instanceof HTMLSelectElement;
}

/**
 * What one field adds to `contents`: now, as it was served, or if `value` were filled in.
 * @param {HTMLElement} field @param {{served?: boolean, value?: unknown}} [options] @returns {[string, ...unknown[]]}
 */
export function pairOf(field, { served = false, value } = {}) {
  if (!holdsValue(field)) return ['', field.textContent];
  const fresh = value !== undefined;
  if (isBox(field)) return [field.name, field.value, fresh ? ticks(field, value) : served ? field.defaultChecked : field.checked];
  if (field instanceof HTMLSelectElement) return [field.name, ...(fresh ? options(field, value) : chosen(field, served))];
  return [field.name, fresh ? textOf(value) : served ? field.defaultValue : field.value];
}

/** @param {Element} field @returns {field is HTMLInputElement} */
export function isBox(field) {
  return field instanceof HTMLInputElement && (field.type === 'checkbox' || field.type === 'radio');
}

/** Whether a value ticks this box: one of a list, yes or no, or the box's own value. @param {HTMLInputElement} box @param {unknown} value @returns {boolean} */
export function ticks(box, value) {
  if (Array.isArray(value)) return value.map(String).includes(box.value);
  return typeof value === 'boolean' ? value : textOf(value) === box.value;
}

/** @param {unknown} value @returns {string} */
export function textOf(value) {
  return value === null || value === undefined ? '' : String(value);
}

/** @param {HTMLSelectElement} select @param {unknown} value @returns {string[]} the options that a value chooses, in their order */
function options(select, value) {
  const wanted = new Set((Array.isArray(value) ? value : [textOf(value)]).map(String));
  return Array.from(select.options).flatMap((option) => (wanted.has(option.value) ? [option.value] : []));
}

/** @param {HTMLSelectElement} select @param {boolean} served @returns {string[]} */
function chosen(select, served) {
  const all = Array.from(select.options);
  const found = all.filter((option) => (served ? option.defaultSelected : option.selected));
  if (served && !select.multiple) return [found.at(-1) ?? all.find((option) => !option.disabled)].flatMap((option) => option?.value ?? []);
  return found.map((option) => option.value);
}

/** Whether a reload would throw away what was typed outside the form, or another form is open for it. @param {HTMLFormElement} form @returns {boolean} */
export function editedElsewhere(form) {
  return Array.from(form.ownerDocument.querySelectorAll('input, textarea, form[data-form-lock="open"]')).some(
    (other) => other !== form && !isPart(form, other) && (takesText(other) ? other.value !== other.defaultValue : other instanceof HTMLFormElement),
  );
}

/** What people call a field: its label, else its name. @param {HTMLFormElement} form @param {string} name @returns {string} */
export function labelOf(form, name) {
  const field = form.elements.namedItem(name);
  const labels = field instanceof HTMLElement && 'labels' in field ? /** @type {NodeListOf<HTMLLabelElement> | null} */ (field.labels) : null;
  // Without the field itself: a select around which it stands would be read with all its options.
  const text = Array.from(labels?.[0]?.childNodes ?? [], (node) => (node.contains(/** @type {Node} */ (field)) ? '' : node.textContent)).join('');
  return text.trim().replace(/[:*\s]+$/, '') || name;
}
