// Registers <form-lock> and binds every form that asks for it, those too that come into the page later.
import { Binding } from './binding.js';
import { FormLockElement } from './element.js';
import { pageClient } from './shared.js';

/** @type {Map<HTMLFormElement, Binding>} */
const bindings = new Map();

/** The binding of a form, e.g. to call `done()` or `saved()` from the page's own script. @param {HTMLFormElement} form */
export function bindingOf(form) {
  return bindings.get(form) ?? null;
}

/** The forms of a page, each with its topic: `<form form-lock="...">`, and the article's mark-up, where the id is the topic. */
function* formsOfPage() {
  const { uris } = pageClient();
  for (const form of Array.from(document.forms)) {
    const topic = form.getAttribute('form-lock');
    /** @type {HTMLElement | null} */
    const button = form.querySelector('.form-lock');
    if (topic !== null) {
      if (uris.isForm(topic)) yield { form, topic, button };
      else if (!bindings.has(form)) console.error(`form-lock: "${topic}" is not the name of a form`);
    } else if (button && uris.isForm(form.getAttribute('id'))) {
      yield { form, topic: /** @type {string} */ (form.getAttribute('id')), button };
    }
  }
}

/** The banner that names the form, or stands in it, or before it; else a new one just above it. @param {HTMLFormElement} form @param {string} topic */
function bannerOf(form, topic) {
  for (const banner of Array.from(document.querySelectorAll('form-lock'))) {
    if (!(banner instanceof FormLockElement)) continue;
    const named = banner.getAttribute('for');
    if (named !== null ? named === topic || (form.id !== '' && named === form.id) : form.contains(banner) || banner.nextElementSibling === form) return banner;
  }
  const banner = new FormLockElement();
  banner.setAttribute('for', topic);
  form.before(banner);
  return banner;
}

function scan() {
  for (const [form, binding] of bindings) {
    if (form.isConnected) continue;
    binding.end();
    binding.lock.client.forget(binding.lock);
    bindings.delete(form);
  }
  for (const { form, topic, button } of formsOfPage()) {
    if (!bindings.has(form)) bindings.set(form, new Binding(form, pageClient().form(topic), bannerOf(form, topic), { button }));
  }
}

/** Registers the element and starts looking. Safe to call twice. */
export function define() {
  if (customElements.get('form-lock')) return;
  customElements.define('form-lock', FormLockElement);
  scan();
  let due = false;
  new MutationObserver(() => {
    if (due) return;
    due = true;
    queueMicrotask(() => {
      due = false;
      scan();
    });
  }).observe(document.documentElement, { childList: true, subtree: true });
}
