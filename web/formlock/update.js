// What the record is after an update that a backend reported: from the update itself, or from the page as the server gives it now.
import { asShown } from './fill.js';
import { sameForm, sanitised } from './sanitise.js';
import { fieldsByName, kindOf, valuesIn } from './values.js';

/** @typedef {import('./values.js').Values} Values */
/** @typedef {import('./lock.js').Update} Update */

/**
 * The values that an update itself tells, as the form would hold them; null when it does not tell enough. `changes`: whether the
 * change set will do. It will not when it has a name that the form does not have: a form that shows `customer` may be told of
 * `customer_id`, and would go on showing the old one.
 * @param {HTMLFormElement} form @param {Update} update @param {{changes: boolean, base: Values | null}} options @returns {Values | null}
 */
export function valuesOf(form, update, { changes, base }) {
  const { representation, change_set: changeSet } = update;
  if (update.missed || update.redacted?.length) return null; // what was left out may be on this page
  if (typeof representation === 'string') return fromFragment(form, representation);
  const told = representation && typeof representation === 'object' ? representation : null;
  if (!changes || !changeSet) return told && asShown(form, told, base);
  const known = fieldsByName(form);
  if (!told && !Object.keys(changeSet).every((name) => known.has(name))) return null;
  return asShown(form, { ...news(changeSet), ...told }, base);
}

/** The new values of a change set. @param {Record<string, unknown>} changeSet @returns {Record<string, unknown>} */
function news(changeSet) {
  return Object.fromEntries(Object.entries(changeSet).flatMap(([name, pair]) => (Array.isArray(pair) && pair.length === 2 ? [[name, pair[1]]] : [])));
}

/** What a change set says was there before, as the form would hold it. @param {HTMLFormElement} form @param {Update} update @param {Values | null} base @returns {Values} */
export function oldValues(form, { change_set: changeSet = {} }, base) {
  const old = Object.fromEntries(Object.entries(changeSet).flatMap(([name, pair]) => (Array.isArray(pair) && pair.length === 2 ? [[name, pair[0]]] : [])));
  return asShown(form, old, base) ?? {};
}

/** The values in an HTML fragment with the same fields; null: it has others. @param {HTMLFormElement} form @param {string} html @returns {Values | null} */
function fromFragment(form, html) {
  const holder = document.implementation.createHTMLDocument('').createElement('form');
  holder.append(...Array.from(sanitised(html, form).childNodes));
  return namesOf(holder) === namesOf(form) ? visible(holder, form.getAttribute('version-field')) : null;
}

/**
 * The values of the same form on the page as the server gives it now; its hidden `version-field` is one of them. Null when the page
 * can't be read, has no such form any more, or has it with other rows or fields: values alone can't show that.
 * @param {HTMLFormElement} form @returns {Promise<Values | null>}
 */
export async function valuesFromServer(form) {
  const response = await fetch(location.href, { credentials: 'same-origin', cache: 'no-store', headers: { accept: 'text/html' } });
  if (!response.ok || new URL(response.url).origin !== location.origin) return null;
  const other = sameForm(new DOMParser().parseFromString(await response.text(), 'text/html'), form);
  return other && namesOf(other) === namesOf(form) ? visible(other, form.getAttribute('version-field')) : null;
}

/** What people see of a form's values: hidden ones are the page's own (a token against forged requests, ...). @param {HTMLFormElement} form @param {string | null} [also] a hidden one all the same @returns {Values} */
function visible(form, also) {
  const values = valuesIn(form);
  for (const [name, fields] of fieldsByName(form)) {
    const kind = kindOf(fields);
    if (kind === 'secret' || (kind === 'hidden' && name !== also)) delete values[name];
  }
  return values;
}

/** @param {HTMLFormElement} form @returns {string} */
function namesOf(form) {
  return [...fieldsByName(form)].flatMap(([name, fields]) => (kindOf(fields) === 'hidden' ? [] : fields.map(() => name))).join('\n');
}

/**
 * The contents of a fragment instead of the form's own. Our banner and the token's field stay.
 * @param {HTMLFormElement} form @param {string} html the form itself or only its contents @returns {HTMLElement[]} what is new
 */
export function replaceContents(form, html) {
  const fresh = sanitised(html, form);
  const old = valuesIn(form);
  const focused = form.contains(document.activeElement) ? /** @type {any} */ (document.activeElement).name : '';
  const ours = Array.from(form.querySelectorAll('form-lock, [data-form-lock-token]'));
  form.replaceChildren(...ours);
  form.append(...Array.from(fresh.childNodes, (node) => document.importNode(node, true)));
  const again = focused ? form.elements.namedItem(focused) : null;
  if (again instanceof HTMLElement) again.focus({ preventScroll: true }); // who was reading there goes on there
  const now = valuesIn(form);
  return [...fieldsByName(form)].flatMap(([name, fields]) => (JSON.stringify(old[name]) === JSON.stringify(now[name]) ? [] : fields));
}
