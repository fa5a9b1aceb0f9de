// Lists: who holds what among many records, by one subscription. Loaded when a page has `form-lock-list`, or by a program.
//
// `FormLockList` is the headless part: it subscribes to the prefix of all forms of a type, asks for the locks there are, and keeps both
// true over lost connections. `ListBinding` shows it in a table or any other list of the page.
import { drawings, markOf } from './marks.js';
import { sheet, stylePage } from './style.js';

/** @typedef {import('./lease.js').Snapshot} Snapshot */
/** @typedef {import('./lock.js').Update} Update */

/** Of a mark: in the line of its text, with an icon, in amber for others and in the accent for oneself. */
const STYLE = `
[form-lock-mark] { font-weight: 600; color: var(--form-lock-amber, light-dark(#8a4b00, #f5b95a)); }
[form-lock-mark] :is(svg, img) { inline-size: 1.125em; block-size: 1.125em; margin-inline-end: .375em; vertical-align: -.2em; }
[form-lock-mark] img { border-radius: 50%; object-fit: cover; }
[data-form-lock-state="mine"] [form-lock-mark] { color: var(--form-lock-accent, light-dark(#1d5fbf, #8ab8ff)); }
`;
/** On a mark: whom it names, for two may have the same name. */
const USER = 'data-form-lock-user';
/** Changes reported in a burst are fetched together. */
const GATHER_MS = 150;
/** Rows that a missed change, or one of many records, may have touched are fetched by all pages that have such a list: not all at once. */
const SPREAD_MS = 2000;

/**
 * Fires `change` (`detail: {form, snapshot}`: somebody has got or given back a form), `updated` (`detail`: an Update), `bulk` (the same of
 * many records at once), `listed` (all that is locked has been told), `missed` (some changes may have been missed while the connection was
 * lost), and `denied` (this user may not list these forms).
 */
export class FormLockList extends EventTarget {
  /** What is known of each form that is, or was, locked; with `at`, when that was heard, by the client's clock. @type {Map<string, Snapshot & {at: number}>} */
  forms = new Map();
  /** Whether all that is locked has been told: then what `forms` does not have is free. */
  listed = false;
  #ending = new AbortController();
  /** @type {Set<string>} forms heard of while the list is asked for */ #touched = new Set();
  /** @type {Map<string, {epoch: string, seq: number}>} */ #seen = new Map();
  /** @type {(() => void) | null} */ #unsubscribe = null;
  #joinedBefore = false;

  /** @param {import('./client.js').FormLockClient} client @param {string} [type] of the forms; without it all there are */
  constructor(client, type = '') {
    super();
    this.client = client;
    this.type = type;
    client.addEventListener('connection', () => client.joined && void this.#attach(), { signal: this.#ending.signal });
    if (client.joined) void this.#attach();
  }

  /** Stop listening. */
  end() {
    this.#ending.abort();
    this.#unsubscribe?.();
  }

  async #attach() {
    const { supervisor, uris } = this.client;
    try {
      const unsubscribe = await supervisor.subscribe(uris.formsOf(this.type), (facts) => this.#event(facts), 'prefix');
      if (this.#ending.signal.aborted) {
        unsubscribe();
        return;
      }
      this.#unsubscribe = unsubscribe;
      await this.#list();
      this.listed = true;
      this.dispatchEvent(new Event('listed'));
      if (this.#joinedBefore) this.dispatchEvent(new Event('missed'));
      this.#joinedBefore = true;
    } catch (/** @type {any} */ error) {
      const { code } = error;
      if (code === 'not_allowed' || code === 'wamp.error.not_authorized') this.dispatchEvent(new Event('denied'));
      else if (code !== 'closed' && code !== 'timeout') throw error; // those come again with the next connection
    }
  }

  /** All pages. What an event says meanwhile is newer than what any page of the list says. */
  async #list() {
    const { supervisor, uris, clock } = this.client;
    const listed = new Set();
    this.#touched = new Set();
    /** @type {string | null} */
    let after = null;
    do {
      const { value } = await supervisor.call(uris.procedure('list'), { ...(this.type && { type: this.type }), ...(after && { after }) });
      const page = /** @type {{forms: (Snapshot & {form: string})[], after: string | null}} */ (/** @type {unknown} */ (value));
      for (const snapshot of page.forms) {
        listed.add(snapshot.form);
        if (!this.#touched.has(snapshot.form)) this.#take(snapshot.form, snapshot, true);
      }
      ({ after } = page);
    } while (after !== null);
    for (const [form, known] of this.forms) {
      if (known.state === 'free' || listed.has(form) || this.#touched.has(form)) continue;
      this.forms.set(form, { ...known, state: 'free', holder: null, at: clock() });
      this.#tell(form);
    }
  }

  /** @param {Record<string, any>} facts */
  #event(facts) {
    const { form, status } = facts;
    if (typeof form !== 'string') return;
    if (status === 'updated' || status === 'bulk') {
      const { epoch, seq } = facts;
      const last = this.#seen.get(form);
      if (last && last.epoch === epoch && seq <= last.seq) return;
      this.#seen.set(form, { epoch, seq });
      this.dispatchEvent(new CustomEvent(status, { detail: facts }));
    } else if (typeof facts.rev === 'number') {
      this.#touched.add(form);
      this.#take(form, /** @type {any} */ (facts), false);
    }
  }

  /** @param {string} form @param {Snapshot} snapshot @param {boolean} listed a list says again what is so; an event says what is new */
  #take(form, snapshot, listed) {
    const known = this.forms.get(form);
    if (known && known.epoch === snapshot.epoch && (listed ? snapshot.rev < known.rev : snapshot.rev <= known.rev)) return;
    const { state, holder, since_ms, expires_in_ms, until_ms, note, token, epoch, rev } = snapshot;
    this.forms.set(form, { state, holder, since_ms, expires_in_ms, until_ms, note, token, epoch, rev, at: this.client.clock() });
    if (!known || known.rev !== rev || known.epoch !== epoch || known.state !== state) this.#tell(form);
  }

  /** @param {string} form */
  #tell(form) {
    this.dispatchEvent(new CustomEvent('change', { detail: { form, snapshot: this.forms.get(form) } }));
  }
}

/** Shows a FormLockList in an element of the page: a mark in each `form-lock-item`, and rows fetched anew when they were saved. */
export class ListBinding {
  #ending = new AbortController();
  /** @type {Set<string>} forms whose rows are to be fetched */ #due = new Set();
  /** Whether that are all, those too that have no row so far. */
  #allDue = false;
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #timer;

  /** @param {HTMLElement} element with `form-lock-list` @param {FormLockList} list @param {() => Record<string, any>} [texts] what is said instead of the English */
  constructor(element, list, texts = () => ({})) {
    this.element = element;
    this.list = list;
    this.texts = texts;
    const { signal } = this.#ending;
    stylePage(document); // rows that were saved flash as fields do
    const style = sheet(STYLE);
    if (!document.adoptedStyleSheets.includes(style)) document.adoptedStyleSheets.push(style);
    list.addEventListener('change', (event) => this.#changed(/** @type {CustomEvent} */ (event).detail.form), { signal });
    list.addEventListener('updated', (event) => this.#updated(/** @type {CustomEvent<Update>} */ (event).detail), { signal });
    list.addEventListener('bulk', (event) => this.#bulk(/** @type {CustomEvent<Update>} */ (event).detail), { signal });
    list.addEventListener('missed', () => this.#fetchSoon(null, Math.random() * SPREAD_MS), { signal });
    list.addEventListener('listed', () => this.refresh(), { signal });
    list.addEventListener('denied', () => element.setAttribute('data-form-lock-list', 'denied'), { signal });
    this.refresh();
  }

  end() {
    this.#ending.abort();
    clearTimeout(this.#timer);
  }

  /** Items may have come or gone. */
  refresh() {
    for (const item of this.#items()) this.#mark(item);
  }

  /** @returns {HTMLElement[]} */
  #items() {
    return Array.from(this.element.querySelectorAll('[form-lock-item]'));
  }

  /** @param {string} form */
  #changed(form) {
    for (const item of this.#items()) {
      if (nameOf(item) !== form) continue;
      this.#mark(item);
      item.dispatchEvent(new CustomEvent('formlock:item', { bubbles: true, detail: { form, snapshot: this.list.forms.get(form) } }));
    }
  }

  /** Only what has changed is written. @param {HTMLElement} item */
  #mark(item) {
    const known = this.list.forms.get(nameOf(item));
    const mark = markOf(known, this.list.client.me, this.texts());
    const state = known || this.list.listed ? mark.state : 'connecting';
    if (item.getAttribute('data-form-lock-state') !== state) item.setAttribute('data-form-lock-state', state);
    const place = item.querySelector('[form-lock-mark]');
    if (!(place instanceof HTMLElement)) return;
    const note = (mark.text && known?.note) || '';
    const same = place.textContent === mark.text && (place.getAttribute(USER) ?? '') === mark.user;
    if (same && note === place.title) return;
    place.title = note;
    place.setAttribute(USER, mark.user);
    place.replaceChildren(...drawings(mark), mark.text);
  }

  /** What was changed in a section is the record's row. @param {Update} update */
  #updated(update) {
    const items = this.#items().filter((item) => `${update.form}.`.startsWith(`${nameOf(item)}.`));
    for (const target of items.length ? items : [this.element]) {
      const event = new CustomEvent('formlock:updated', { bubbles: true, cancelable: true, detail: { update } });
      if (!target.dispatchEvent(event)) return;
    }
    this.#fetchSoon(items.length ? items.map(nameOf) : [update.form], GATHER_MS);
  }

  /** Many records were changed at once: those of its `ids`, or nobody knows which. @param {Update} update */
  #bulk(update) {
    const event = new CustomEvent('formlock:updated', { bubbles: true, cancelable: true, detail: { update } });
    if (!this.element.dispatchEvent(event)) return;
    const type = update.form.slice(0, -1); // without its `*`
    this.#fetchSoon(update.ids?.map((id) => type + id) ?? null, Math.random() * SPREAD_MS);
  }

  /** @param {string[] | null} forms null: all @param {number} after milliseconds */
  #fetchSoon(forms, after) {
    if (this.element.getAttribute('update') !== 'rows') return;
    for (const form of forms ?? []) this.#due.add(form);
    this.#allDue ||= forms === null;
    if (this.#timer !== undefined) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      void this.#fetch();
    }, after);
  }

  /** The page as the server gives it now has the rows. It is the application's own page, so its mark-up is taken as it is. */
  async #fetch() {
    const [due, all] = [this.#due, this.#allDue];
    this.#due = new Set();
    this.#allDue = false;
    try {
      const response = await fetch(location.href, { credentials: 'same-origin', cache: 'no-store', headers: { accept: 'text/html' }, signal: this.#ending.signal });
      if (!response.ok) return;
      const fresh = new DOMParser().parseFromString(await response.text(), 'text/html');
      const same = Array.from(fresh.querySelectorAll('[form-lock-list]')).find((other) => other.id === this.element.id && other.getAttribute('form-lock-list') === this.element.getAttribute('form-lock-list'));
      if (!same) return;
      // In the order of the page: a new row stands behind the one before it.
      if (all) for (const item of [...Array.from(same.querySelectorAll('[form-lock-item]')), ...this.#items()]) due.add(nameOf(item));
      for (const form of due) this.#replace(form, same);
    } catch (error) {
      if (!this.#ending.signal.aborted) console.error('form-lock: the list could not be fetched:', error);
    }
  }

  /** @param {string} form @param {Element} fresh the same list, as it is now */
  #replace(form, fresh) {
    const old = this.#items().find((item) => nameOf(item) === form);
    const items = /** @type {HTMLElement[]} */ (Array.from(fresh.querySelectorAll('[form-lock-item]')));
    const found = items.find((item) => nameOf(item) === form);
    if (!found) {
      old?.remove();
      return;
    }
    const item = document.importNode(found, true);
    if (old) {
      if (withoutMark(old) === withoutMark(found)) return;
      const steps = pathTo(old, document.activeElement);
      old.replaceWith(item);
      const again = steps && steps.reduce((/** @type {Element | undefined} */ at, step) => at?.children[step], item);
      if (again instanceof HTMLElement) again.focus({ preventScroll: true }); // who stood there stands there still
    } else {
      const before = items.slice(0, items.indexOf(found)).reverse().map(nameOf);
      const anchor = before.map((name) => this.#items().find((other) => nameOf(other) === name)).find(Boolean);
      const first = this.#items()[0];
      if (anchor) anchor.after(item);
      else if (first) first.before(item);
      else return; // an empty list may look quite different: the next reload shows it
    }
    this.#mark(item);
    item.setAttribute('data-form-lock-flash', '');
    setTimeout(() => item.removeAttribute('data-form-lock-flash'), 2500);
  }
}

/** @param {Element} item @returns {string} */
function nameOf(item) {
  return item.getAttribute('form-lock-item') ?? '';
}

/** The way from an element down to one in it, child by child; null when it is not in there. @param {Element} from @param {Element | null} to @returns {number[] | null} */
function pathTo(from, to) {
  /** @type {number[]} */
  const steps = [];
  for (let at = to; at && at !== from; at = at.parentElement) {
    if (!at.parentElement) return null;
    steps.unshift(Array.from(at.parentElement.children).indexOf(at));
  }
  return to && from.contains(to) ? steps : null;
}

/** What the server wrote of an item, without what we have written into it. @param {Element} item */
function withoutMark(item) {
  const copy = /** @type {Element} */ (item.cloneNode(true));
  for (const mark of Array.from(copy.querySelectorAll('[form-lock-mark]'))) {
    mark.replaceChildren();
    mark.removeAttribute('title');
    mark.removeAttribute(USER);
  }
  return copy.innerHTML;
}
