// Shuts and opens the fields of a form: they keep their values, their place in the form's data, and stay readable.
//
// Not `fieldset.disabled`: it drops the fields from the form's data and throws the focus to the body. Text fields become read-only
// (a caret, a selection and a screen reader still work in them), everything else `inert`. Only what was changed here is changed back.

const TEXTUAL = new Set(['text', 'search', 'url', 'tel', 'email', 'password', 'number', 'date', 'month', 'week', 'time', 'datetime-local']);
const MARK = 'data-form-lock-shut';

/** An editor that knows by itself how to be shut: its text stays readable, and what it shows is kept. @typedef {{shut(): void, open(): void}} Editor */

/** @type {WeakMap<Element, Editor>} */
const editors = new WeakMap();

/**
 * Gives a rich editor its own way of being shut and opened, instead of `inert`.
 * @param {HTMLElement} element of the editor, within its form, or with `data-form-lock-editor` if nothing in it is editable now @param {Editor} editor
 */
export function useEditor(element, editor) {
  for (const part of [element, ...Array.from(element.querySelectorAll(`[${MARK}]`))]) {
    if (part.hasAttribute(MARK)) reopen(/** @type {HTMLElement} */ (part)); // from before it was known
  }
  editors.set(element, editor);
  element.setAttribute('data-form-lock-editor', '');
  if (element.closest('form')?.getAttribute('data-form-lock') !== 'shut') return;
  editor.shut();
  element.setAttribute(MARK, '');
}

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
  const rich = Array.from(form.querySelectorAll('[contenteditable], [data-form-lock-editor]'));
  return /** @type {HTMLElement[]} */ ([...own, ...rich]).filter(
    (field) => !(field instanceof HTMLInputElement && field.type === 'hidden') && !field.matches('.form-lock, form-lock, [form-lock-ignore], [data-form-lock-editor] *'),
  );
}

/** Written only when it is another: whoever watches it (define.js) would go round and round. @param {HTMLFormElement} form @param {'shut' | 'open'} how */
function mark(form, how) {
  if (form.getAttribute('data-form-lock') !== how) form.setAttribute('data-form-lock', how);
}

/** @param {HTMLFormElement} form @param {() => void} rescue called before the focused field becomes unreachable */
export function shut(form, rescue) {
  mark(form, 'shut');
  for (const field of fieldsOf(form)) {
    if (field.hasAttribute(MARK)) continue;
    const editor = editors.get(field);
    if (editor) {
      if (field.contains(document.activeElement)) rescue();
      editor.shut();
    } else if (takesText(field)) {
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
  mark(form, 'open');
  for (const field of fieldsOf(form)) {
    if (field.hasAttribute(MARK)) reopen(field);
  }
}

/** @param {HTMLElement} field that was shut here */
function reopen(field) {
  field.removeAttribute(MARK);
  const editor = editors.get(field);
  if (editor) editor.open();
  else if (takesText(field)) field.readOnly = false;
  else field.inert = false;
}

/** The first field a person would type into. @param {HTMLFormElement} form @returns {HTMLElement | undefined} */
export function firstField(form) {
  return fieldsOf(form).find((field) => !(field instanceof HTMLButtonElement) && !field.inert && field.checkVisibility?.() !== false);
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
