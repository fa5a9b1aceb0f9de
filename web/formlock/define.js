// Registers <form-lock> and binds every form that asks for it, those too that come into the page later.
import { Binding } from './binding.js';
import { FormLockElement, START } from './element.js';
import { speaks, spoken, textsOf } from './languages.js';
import { pageClient } from './shared.js';

/** @type {Map<HTMLFormElement, Binding>} */
const bindings = new Map();
/** @typedef {import('./formlock-list.js').FormLockList} FormLockList */
/** @typedef {import('./formlock-list.js').ListBinding} ListBinding */
/** @type {Map<HTMLElement, ListBinding>} */
const listBindings = new Map();
/** @type {Map<string, FormLockList>} one per type, however many lists show it */
const lists = new Map();
/** @type {WeakSet<FormLockElement>} banners that the page doesn't have by itself */
const made = new WeakSet();
/** @type {WeakSet<HTMLFormElement>} forms with a bad name: said once, not at every change of the page */
const reported = new WeakSet();

/** The binding of a form, e.g. to call `done()` or `saved()` from the page's own script. @param {HTMLFormElement} form */
export function bindingOf(form) {
  return bindings.get(form) ?? null;
}

/**
 * The forms of a page, each with its topic: `<form form-lock="...">`, and the article's mark-up, where the id is the topic.
 * A page without any never connects.
 * @returns {Generator<[HTMLFormElement, string]>}
 */
function* formsOfPage() {
  for (const form of Array.from(document.forms)) {
    const named = form.getAttribute('form-lock');
    // Once bound it stays so: what replaces the form's contents may come without the button.
    if (named === null && !bindings.has(form) && !form.querySelector('.form-lock')) continue;
    const topic = named ?? form.getAttribute('id');
    if (pageClient().uris.isForm(topic)) {
      yield [form, topic];
    } else if (named !== null && !reported.has(form)) {
      reported.add(form);
      console.error(`form-lock: "${named}" is not the name of a form`);
    }
  }
}

/** The banner that names the form, or stands in it, or before it; else one of ours just above it. @param {HTMLFormElement} form @param {string} topic */
function bannerOf(form, topic) {
  const before = bindings.get(form)?.banner;
  const taken = new Set(Array.from(bindings.values(), ({ banner }) => banner));
  for (const banner of Array.from(document.querySelectorAll('form-lock'))) {
    if (!(banner instanceof FormLockElement) || made.has(banner) || (taken.has(banner) && banner !== before)) continue;
    const named = banner.getAttribute('for');
    if (named !== null ? named === topic || named === form.getAttribute('id') : form.contains(banner) || banner.nextElementSibling === form) return banner;
  }
  if (before?.isConnected && made.has(before)) return before;
  const banner = new FormLockElement();
  made.add(banner);
  banner.setAttribute('for', topic);
  form.before(banner);
  return banner;
}

/** @param {FormLockElement} banner that shows no form any more */
function drop(banner) {
  if (made.has(banner)) banner.remove();
  else banner.show(START);
}

/** What the page has now, whatever happened to it: forms that came, went or got another name, fields and banners too. */
function scan() {
  const wanted = new Map(formsOfPage());
  // A form that takes the place of another one of its name, as after a mistake that the server found, goes on with its lock.
  const staying = new Set(wanted.values());
  for (const [form, binding] of bindings) {
    const { lock, banner } = binding;
    if (wanted.get(form) === lock.form) continue;
    bindings.delete(form);
    binding.end();
    drop(banner);
    if (!staying.has(lock.form)) lock.client.forget(lock);
  }
  for (const [form, topic] of wanted) {
    const binding = bindings.get(form);
    const banner = bannerOf(form, topic);
    if (!binding) {
      bindings.set(form, new Binding(form, pageClient().form(topic), banner));
    } else {
      const before = binding.banner;
      binding.refresh(banner);
      if (before !== banner) drop(before);
    }
  }
}

/** Lists of locks: their part of the package is loaded when there is one. */
async function scanLists() {
  for (const [element, binding] of listBindings) {
    if (element.isConnected && element.hasAttribute('form-lock-list')) continue;
    listBindings.delete(element);
    binding.end();
  }
  /** @type {NodeListOf<HTMLElement>} */
  const found = document.querySelectorAll('[form-lock-list]');
  const badges = document.querySelector('form-lock-badge');
  if (!found.length && !badges) return;
  const { FormLockList, ListBinding } = await import('./formlock-list.js');
  const listOf = (/** @type {string} */ type) => {
    const list = lists.get(type) ?? new FormLockList(pageClient(), type);
    lists.set(type, list);
    return list;
  };
  if (badges) (await import('./formlock-badge.js')).defineBadge({ client: pageClient(), listOf, texts: textsOf, speaks, spoken });
  for (const element of Array.from(found)) {
    const type = element.getAttribute('form-lock-list');
    if (type === null || !element.isConnected) continue;
    const binding = listBindings.get(element);
    if (binding) {
      binding.refresh();
      continue;
    }
    speaks(element);
    listBindings.set(element, new ListBinding(element, listOf(type), () => textsOf(element)));
  }
}

/** The last three are our own marks: what morphs a page takes them away or, of `required-lock`, brings them back. */
const WATCHED = ['form-lock', 'form-lock-list', 'form-lock-item', 'id', 'for', 'data-form-lock', 'data-form-lock-shut', 'inert'];

/** Registers the element and starts looking. Safe to call twice. */
export function define() {
  if (customElements.get('form-lock')) return;
  customElements.define('form-lock', FormLockElement);
  scan();
  void scanLists();
  spoken.addEventListener('change', () => {
    for (const binding of listBindings.values()) binding.refresh();
  });
  let due = false;
  new MutationObserver(() => {
    if (due) return;
    due = true;
    queueMicrotask(() => {
      due = false;
      scan();
      void scanLists();
    });
  }).observe(document.documentElement, { childList: true, subtree: true, attributes: true, attributeFilter: WATCHED });
}
