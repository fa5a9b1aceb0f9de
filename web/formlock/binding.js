// Binds one <form> of the page to its FormLock: shows the state, shuts and opens the fields, guards the submit, brings updates in.
import { CallError } from './errors.js';
import { claim } from './claim.js';
import { contents, editedElsewhere, firstField, isPart, labelOf, open, pairOf, shut } from './fields.js';
import { PageTab } from './page-tab.js';
import { arrival } from './shared.js';
import { stylePage } from './style.js';
import { BUTTONS, NOTICES, changed, words } from './texts.js';
import { fill, fillFields, fillingsOf, flash, folded, replaceContents, valuesFromServer } from './update.js';

/** @typedef {import('./element.js').FormLockElement} FormLockElement */
/** @typedef {import('./lock.js').Update} Update */

/** How long good news stays in the banner. */
const NOTICE_MS = 8000;

export class Binding {
  #ending = new AbortController();
  /** @type {import('./lease.js').Name | null} the state last announced */ #announced = null;
  /** Whether the page left the fields to us in this state: it did not cancel the event. */
  #ours = true;
  /** @type {string} what the fields held when they were last known to be the saved record */ #saved = '';
  #notice = '';
  #good = false;
  /** @type {Update | null} held back because of typed text */ #held = null;
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #timer;
  #loaded = false;
  /** Of the times the page was asked for its values. */
  #asked = 0;

  /** @param {HTMLFormElement} form @param {import('./lock.js').FormLock} lock @param {FormLockElement} banner */
  constructor(form, lock, banner) {
    this.form = form;
    this.lock = lock;
    this.banner = banner;
    this.button = this.#findButton();
    const { signal } = this.#ending;
    stylePage(form.ownerDocument);
    const came = arrival();
    // After a reload browsers put back what was typed before: that is not the saved record. Nor is what a refused save shows again.
    this.#saved = form.hasAttribute('unsaved') ? '' : contents(form, { served: came.type !== 'navigate' });
    if (form.hasAttribute('claim-url')) lock.claim = (grant) => this.#claim(grant);
    lock.addEventListener('change', () => this.#changed(), { signal });
    lock.addEventListener('updated', (event) => this.#updated(/** @type {CustomEvent<Update>} */ (event).detail), { signal });
    // In the capture phase of the document: before every listener of the page.
    form.ownerDocument.addEventListener('submit', (event) => this.#submit(event), { signal, capture: true });
    form.ownerDocument.addEventListener('click', (event) => this.#click(event), { signal, capture: true });
    form.ownerDocument.addEventListener('input', (event) => this.#typed(event), { signal });
    form.addEventListener('reset', (event) => !this.lock.editing && event.preventDefault(), { signal, capture: true });
    this.#refresh = setInterval(() => this.#show(), 20_000);
    this.#changed();
    const { tab } = lock.client;
    if (tab instanceof PageTab && tab.wasEditing(lock.form, { ...came, page: lock.client.page() })) lock.lock({ resume: 'reload' }).catch(() => {});
  }

  /** @type {ReturnType<typeof setInterval>} */ #refresh;

  /** The page has changed around it: fields may have come, banner and button may be others. @param {FormLockElement} banner */
  refresh(banner) {
    const button = this.#findButton();
    const same = banner === this.banner && button === this.button;
    this.banner = banner;
    this.button = button;
    this.#hidden();
    this.#fields();
    if (!same) this.#show();
  }

  /** The page's own Edit button: the article's mark-up. @returns {HTMLElement | null} */
  #findButton() {
    return this.form.querySelector('.form-lock');
  }

  end() {
    clearInterval(this.#refresh);
    clearTimeout(this.#timer);
    this.#ending.abort();
    open(this.form);
    for (const field of this.#ourFields()) field.remove();
    this.lock.claim = null;
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
    void this.lock.done();
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

  /** @returns {'button' | 'input' | 'load'} */
  get lockOn() {
    const value = this.form.getAttribute('lock-on');
    return value === 'input' || value === 'load' ? value : 'button';
  }

  #contents() {
    return contents(this.form);
  }

  #changed() {
    const { name } = this.lock;
    this.#hidden();
    if (this.#announced !== name) {
      this.#announced = name;
      if (name === 'lost') this.#say('');
      const ours = this.form.dispatchEvent(new CustomEvent(`formlock:${name}`, { bubbles: true, cancelable: true, detail: { lock: this.lock, token: this.lock.token } }));
      if (this.#announced === name) this.#ours = ours; // else a listener has changed the state in the meantime
      if (!this.#loaded && (name === 'free' || name === 'locked' || name === 'mine')) {
        this.#loaded = true; // once: nobody wants the lock of a page that was opened long ago
        if (name === 'free' && this.lockOn === 'load') queueMicrotask(() => this.edit());
      }
    }
    this.#fields();
    this.#show();
  }

  #fields() {
    if (!this.#ours) return;
    const { name, state } = this.lock;
    const inviting = this.lockOn === 'input' && name === 'free' && state.problem === null;
    if (this.lock.editing || inviting) open(this.form);
    else shut(this.form, () => this.banner.rescueFocus());
  }

  /** Token and receipt travel with the form while it is held, and only then. */
  #hidden() {
    const wanted = this.#proof();
    for (const field of this.#ourFields()) {
      const value = wanted.get(field.name);
      if (value === undefined) field.remove();
      else field.value = value;
      wanted.delete(field.name);
    }
    for (const [name, value] of wanted) {
      const field = Object.assign(this.form.ownerDocument.createElement('input'), { type: 'hidden', name, value });
      field.setAttribute('data-form-lock-token', '');
      this.form.append(field);
    }
  }

  /** What shows the application that the form is held, by field name. @returns {Map<string, string>} */
  #proof() {
    const { token, receipt } = this.lock;
    const proof = new Map();
    if (token !== null) proof.set(this.form.getAttribute('token-field') || 'form_lock_token', String(token));
    if (receipt !== null) proof.set(this.form.getAttribute('receipt-field') || 'form_lock_receipt', receipt);
    return proof;
  }

  /** @returns {NodeListOf<HTMLInputElement>} */
  #ourFields() {
    return this.form.querySelectorAll('input[data-form-lock-token]');
  }

  /**
   * Tells the application of the grant, and shows the contents that it read behind that. What was typed before stays.
   * @type {import('./lock.js').Claim}
   */
  async #claim({ signal }) {
    const values = await claim(this.form, this.#proof(), signal);
    if (signal.aborted || values === null) return;
    const fillings = fillingsOf(this.form, values);
    if (!fillings) throw new RangeError('a field can not show what the application answered');
    const base = this.#saved ? pairsIn(this.#saved) : null;
    const shown = pairsIn(this.#contents());
    const untouched = fillings.filter(([field]) => isHidden(field) || base?.has(JSON.stringify(pairOf(field))));
    const typed = fillings.filter((filling) => !untouched.includes(filling));
    const differing = typed.filter(([field, value]) => !(base ?? shown).has(JSON.stringify(pairOf(field, { value }))));
    const touched = fill(untouched);
    if (typed.length === 0) this.saved();
    else if (base) this.#saved = contents(this.form, { served: true });
    flash(touched);
    if (differing.length) this.#say(`Changed meanwhile: ${differing.map(([field]) => labelOf(this.form, field.getAttribute('name') ?? '')).join(', ')}. Your text is kept.`);
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
      const usable = state.name === 'free';
      if (!usable && !lock.editing && this.button.contains(document.activeElement)) this.banner.rescueFocus();
      /** @type {any} */ (this.button).disabled = !usable;
    }
  }

  /** @returns {import('./element.js').View['button']} */
  #offer() {
    const { name, state } = this.lock;
    const busy = state.asking !== null || (state.grant !== null && !this.lock.editing);
    if (this.lock.editing) return { label: BUTTONS.done, act: () => this.done() };
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
    if (this.lock.editing) return; // kept until the page is left: the token travels with it
    event.preventDefault();
    event.stopImmediatePropagation();
    this.#say(NOTICES.shut);
  }

  /** @param {Event} event */
  #click(event) {
    const target = event.target instanceof Element ? event.target : null;
    if (this.button?.contains(target)) {
      event.preventDefault(); // in the article's mark-up it is a submit button
      if (this.lock.name === 'free') this.edit();
    }
    // A click on its label would still tick a shut box: `inert` stops the box's own clicks only.
    const label = target?.closest('label');
    const box = /** @type {HTMLInputElement | null | undefined} */ (label?.control);
    if (box?.inert && box.form === this.form) event.preventDefault();
  }

  /** @param {Event} event */
  #typed(event) {
    if (isPart(this.form, event.target) && this.lockOn === 'input' && this.lock.name === 'free' && !this.lock.state.asking && !this.lock.state.grant) this.edit();
  }

  /** @param {Update} update */
  #updated(update) {
    const event = new CustomEvent('formlock:updated', { bubbles: true, cancelable: true, detail: { lock: this.lock, update } });
    if (!this.form.dispatchEvent(event) || this.form.getAttribute('update') === 'event') return;
    const { name, state } = this.lock;
    const typing = this.lock.editing || name === 'stale' || state.grant !== null || state.asking !== null;
    if (typing || this.dirty) {
      // Typed text is never thrown away: say it, and bring it in when the person wants it.
      this.#hold(update);
      return;
    }
    this.#bring(update);
  }

  /** @param {Update} update */
  #hold(update) {
    const what = changed(update, (field) => labelOf(this.form, field));
    this.#held = this.#held ? folded(this.#held, update) : update;
    this.#say(`This ${update.missed ? 'may have been' : 'was'} changed elsewhere${what ? `: ${what}` : ''}. Your text is kept.`);
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
    const replace = this.form.getAttribute('update') === 'replace';
    if (!replace && !editedElsewhere(this.form)) {
      location.reload();
      return;
    }
    const what = changed(update, (field) => labelOf(this.form, field));
    /** @type {HTMLElement[] | null} */
    let touched = null;
    const representation = replace ? update.representation : null;
    if (typeof representation === 'string') {
      touched = replaceContents(this.form, representation);
    } else if (representation && typeof representation === 'object') {
      touched = fillFields(this.form, representation);
    }
    if (!touched) {
      const before = this.#contents();
      const turn = (this.#asked += 1);
      const values = await valuesFromServer(this.form).catch(() => null);
      if (turn !== this.#asked) return; // a newer one is on its way
      const { state } = this.lock;
      if (state.grant || state.asking || this.#contents() !== before) {
        this.#hold(update); // editing began while the page was fetched
        return;
      }
      touched = values && fillFields(this.form, values);
      if (!touched) {
        if (editedElsewhere(this.form)) this.#hold(update); // only a reload would help, at the cost of another form
        else location.reload();
        return;
      }
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
  if (!field || !isPart(form, field)) return () => {};
  const top = field.getBoundingClientRect().top;
  return () => {
    const moved = field.getBoundingClientRect().top - top;
    if (moved !== 0) scrollBy({ top: moved, behavior: 'instant' });
  };
}

/** @param {string} saved of `contents` @returns {Set<string>} its parts, each as text */
function pairsIn(saved) {
  return new Set(JSON.parse(saved).map((/** @type {unknown} */ pair) => JSON.stringify(pair)));
}

/** @param {HTMLElement} field */
function isHidden(field) {
  return field instanceof HTMLInputElement && field.type === 'hidden';
}
