// Binds one <form> of the page to its FormLock: shows the state, shuts and opens the fields, guards the submit, brings updates in.
import { CallError } from './connect.js';
import { contents, firstField, labelOf, open, shut } from './fields.js';
import { arrival } from './shared.js';
import { stylePage } from './style.js';
import { BUTTONS, NOTICES, changed, words } from './texts.js';
import { fillFields, flash, replaceContents, valuesFromServer } from './update.js';

/** @typedef {import('./element.js').FormLockElement} FormLockElement */
/** @typedef {import('./lock.js').Update} Update */

/** How long good news stays in the banner. */
const NOTICE_MS = 8000;

export class Binding {
  #ending = new AbortController();
  /** @type {import('./lease.js').Name | null} the state last announced */ #announced = null;
  /** @type {string} what the fields held when they were last known to be the saved record */ #saved = '';
  #notice = '';
  #good = false;
  /** @type {Update | null} held back because of typed text */ #held = null;
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #timer;
  #loaded = false;

  /**
   * @param {HTMLFormElement} form @param {import('./lock.js').FormLock} lock @param {FormLockElement} banner
   * @param {{button?: HTMLElement | null}} [options] `button`: the page's own Edit button (the article's mark-up)
   */
  constructor(form, lock, banner, { button = null } = {}) {
    this.form = form;
    this.lock = lock;
    this.banner = banner;
    this.button = button;
    const { signal } = this.#ending;
    stylePage(form.ownerDocument);
    this.#saved = this.#contents();
    lock.addEventListener('change', () => this.#changed(), { signal });
    lock.addEventListener('updated', (event) => this.#updated(/** @type {CustomEvent<Update>} */ (event).detail), { signal });
    // In the capture phase of the document: before every listener of the page.
    form.ownerDocument.addEventListener('submit', (event) => this.#submit(event), { signal, capture: true });
    form.ownerDocument.addEventListener('click', (event) => this.#click(event), { signal, capture: true });
    form.addEventListener('input', () => this.#typed(), { signal });
    form.addEventListener('reset', (event) => this.lock.name !== 'mine' && event.preventDefault(), { signal, capture: true });
    button?.addEventListener('click', (event) => {
      event.preventDefault(); // in the article's mark-up it is a submit button
      if (lock.name === 'free') this.edit();
    }, { signal });
    this.#refresh = setInterval(() => this.#show(), 20_000);
    this.#changed();
    if (lock.client.tab.wasEditing(lock.form, arrival())) lock.lock({ resume: 'reload' }).catch(() => {});
  }

  /** @type {ReturnType<typeof setInterval>} */ #refresh;

  end() {
    clearInterval(this.#refresh);
    clearTimeout(this.#timer);
    this.#ending.abort();
    open(this.form);
    this.#token(null);
  }

  /** Ask for the lock, as the Edit button does. */
  edit() {
    this.#say('');
    this.lock.lock().then(() => {
      // From the banner's button the way leads into the form; from anywhere else the focus stays where it is.
      if (this.banner.pressed || this.button?.contains(document.activeElement)) firstField(this.form)?.focus({ preventScroll: true });
    }, (error) => {
      if (!(error instanceof CallError)) throw error;
    });
  }

  /** Editing has ended. */
  done() {
    const unsaved = this.dirty;
    this.lock.done();
    this.#say(unsaved ? NOTICES.unsaved : '');
    const held = this.#held;
    if (held && !unsaved) this.#bring(held);
  }

  /** The page has saved what the fields hold now: it is the record. */
  saved() {
    this.#saved = this.#contents();
    this.#held = null;
  }

  /** Whether the fields hold something that is not known to be saved. */
  get dirty() {
    return this.#contents() !== this.#saved;
  }

  get tokenField() {
    return this.form.getAttribute('token-field') || 'form_lock_token';
  }

  /** @returns {'button' | 'input' | 'load'} */
  get lockOn() {
    const value = this.form.getAttribute('lock-on');
    return value === 'input' || value === 'load' ? value : 'button';
  }

  #contents() {
    return contents(this.form, this.tokenField);
  }

  #changed() {
    const { name } = this.lock;
    this.#token(this.lock.token);
    if (this.#announced !== name) {
      this.#announced = name;
      if (name === 'lost') this.#say('');
      const go = this.form.dispatchEvent(new CustomEvent(`formlock:${name}`, { bubbles: true, cancelable: true, detail: { lock: this.lock, token: this.lock.token } }));
      if (go) this.#fields();
      if (name === 'free' && this.lockOn === 'load' && !this.#loaded) {
        this.#loaded = true;
        queueMicrotask(() => this.edit());
      }
    } else {
      this.#fields();
    }
    this.#show();
  }

  #fields() {
    const { name, state } = this.lock;
    const inviting = this.lockOn === 'input' && name === 'free' && state.problem === null;
    if (name === 'mine' || inviting) open(this.form);
    else shut(this.form, () => this.banner.rescueFocus());
  }

  /** The token travels with the form while it is held, and only then. @param {number | null} token */
  #token(token) {
    /** @type {HTMLInputElement | null} */
    let field = this.form.querySelector('input[data-form-lock-token]');
    if (token === null) {
      field?.remove();
      return;
    }
    if (!field) {
      field = this.form.ownerDocument.createElement('input');
      field.type = 'hidden';
      field.setAttribute('data-form-lock-token', '');
      this.form.append(field);
    }
    field.name = this.tokenField;
    field.value = String(token);
  }

  #show() {
    const { lock } = this;
    const { client, state } = lock;
    const said = words(state, client.clock(), { wall: Date.now(), attempts: client.attempts });
    const notice = this.#notice;
    const stay = holdStill(this.form);
    this.banner.show({ state: state.name, ...said, notice: notice || undefined, saved: this.#good && state.name === 'free' && notice !== '', button: this.#offer() });
    stay();
    if (this.button) {
      /** @type {any} */ (this.button).disabled = state.name !== 'free' || state.asking !== null;
    }
  }

  /** @returns {import('./element.js').View['button']} */
  #offer() {
    const { name, state } = this.lock;
    const busy = state.asking !== null;
    if (name === 'mine') return { label: BUTTONS.done, act: () => this.done() };
    if (name === 'lost' && state.snapshot?.state === 'free') return { label: BUTTONS.again, act: () => this.edit(), busy };
    if (this.#held && (name === 'free' || name === 'locked') && !busy) return { label: BUTTONS.show, act: () => this.#takeHeld(), quiet: true };
    if (name === 'free' && this.lockOn !== 'input' && !this.button) return { label: BUTTONS.edit, act: () => this.edit(), busy };
    return null;
  }

  /** @param {string} notice @param {boolean} [good] */
  #say(notice, good = false) {
    clearTimeout(this.#timer);
    this.#notice = notice;
    this.#good = good;
    if (good) this.#timer = setTimeout(() => this.#say(''), NOTICE_MS);
    this.#show();
  }

  /** @param {Event} event */
  #submit(event) {
    if (event.target !== this.form) return;
    if (this.lock.name === 'mine') return; // kept until the page is left: the token travels with it
    event.preventDefault();
    event.stopImmediatePropagation();
    this.#say(NOTICES.shut);
  }

  /** A click on its label would still tick a shut box: `inert` stops the box's own clicks only. @param {Event} event */
  #click(event) {
    const label = event.target instanceof Element ? event.target.closest('label') : null;
    const box = /** @type {HTMLInputElement | null | undefined} */ (label?.control);
    if (box?.inert && box.form === this.form) event.preventDefault();
  }

  #typed() {
    if (this.lockOn === 'input' && this.lock.name === 'free' && !this.lock.state.asking) this.edit();
  }

  /** @param {Update} update */
  #updated(update) {
    const event = new CustomEvent('formlock:updated', { bubbles: true, cancelable: true, detail: { lock: this.lock, update } });
    if (!this.form.dispatchEvent(event) || this.form.getAttribute('update') === 'event') return;
    const { name, state } = this.lock;
    const typing = name === 'mine' || name === 'stale' || state.grant !== null || state.asking !== null;
    if (typing || this.dirty) {
      // Typed text is never thrown away: say it, and bring it in when the person wants it.
      this.#held = update;
      const what = changed(update, (field) => labelOf(this.form, field));
      this.#say(`This was changed elsewhere${what ? `: ${what}` : ''}. Your text is kept.`);
      return;
    }
    this.#bring(update);
  }

  /** The person prefers the newest to his own unsaved text. */
  #takeHeld() {
    const held = this.#held;
    this.#held = null;
    if (held) this.#bring(held);
  }

  /** @param {Update} update */
  async #bring(update) {
    this.#held = null;
    if (this.form.getAttribute('update') !== 'replace') {
      location.reload();
      return;
    }
    const what = changed(update, (field) => labelOf(this.form, field));
    /** @type {HTMLElement[]} */
    let touched;
    const { representation } = update;
    if (typeof representation === 'string') {
      touched = replaceContents(this.form, representation);
    } else if (representation && typeof representation === 'object') {
      touched = fillFields(this.form, representation);
    } else {
      const values = await valuesFromServer(this.form).catch(() => null);
      const { state } = this.lock;
      if (state.grant || state.asking || this.dirty) {
        this.#held = update; // editing began while the page was fetched
        return;
      }
      if (!values) {
        location.reload();
        return;
      }
      touched = fillFields(this.form, values);
    }
    this.saved();
    this.#fields();
    flash(touched);
    this.#say(what ? `Changed: ${what}` : 'The newest contents are shown.', true);
  }
}

/**
 * Nothing moves under a typing hand: when the banner above grows or shrinks, the page is scrolled by as much.
 * @param {HTMLFormElement} form @returns {() => void} to be called when the banner has been written
 */
function holdStill(form) {
  const field = form.ownerDocument.activeElement;
  if (!field || !form.contains(field)) return () => {};
  const top = field.getBoundingClientRect().top;
  return () => {
    const moved = field.getBoundingClientRect().top - top;
    if (moved !== 0) scrollBy({ top: moved, behavior: 'instant' });
  };
}
