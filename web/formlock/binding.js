// Binds one <form> of the page to its FormLock: shows the state, shuts and opens the fields, guards the submit, brings updates in.
import { firstField, isPart, open, shut } from './fields.js';
import { Incoming } from './incoming.js';
import { PageTab } from './page-tab.js';
import { speaks, spoken, tagOf, textsOf } from './languages.js';
import { plainLine } from './plain-line.js';
import { arrival } from './shared.js';
import { holdStill } from './still.js';
import { stylePage } from './style.js';
import { mayLock, words } from './texts.js';

/** @typedef {import('./element.js').FormLockElement} FormLockElement */

/** How long good news stays in the banner. */
const NOTICE_MS = 8000;
/** Whoever has done nothing on the page for so long is told to the others as away. */
const AWAY_MS = 60_000;

export class Binding {
  #ending = new AbortController();
  /** @type {import('./lease.js').Name | null} the state last announced */ #announced = null;
  /** Whether the page left the fields to us in this state: it did not cancel the event. */
  #ours = true;
  #notice = '';
  #good = false;
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #timer;
  #loaded = false;
  /** @type {import('./face.js').Face | null} what is said and offered when several want the form */ #face = null;
  /** @type {Promise<void> | null} */ #facing = null;
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #away;

  /** @param {HTMLFormElement} form @param {import('./lock.js').FormLock} lock @param {FormLockElement} banner */
  constructor(form, lock, banner) {
    this.form = form;
    this.lock = lock;
    this.banner = banner;
    this.button = this.#findButton();
    const { signal } = this.#ending;
    stylePage(form.ownerDocument);
    this.#note();
    /** What others save, and what is not saved here: the record and the way to it. */
    this.incoming = new Incoming(form, lock, this.#host(), signal);
    if (form.hasAttribute('claim-url')) lock.claim = (grant) => this.#claim(grant);
    lock.addEventListener('change', () => this.#changed(), { signal });
    // In the capture phase of the document: before every listener of the page.
    form.ownerDocument.addEventListener('submit', (event) => this.#submit(event), { signal, capture: true });
    form.ownerDocument.addEventListener('click', (event) => this.#click(event), { signal, capture: true });
    form.ownerDocument.addEventListener('input', (event) => this.#typed(event), { signal });
    for (const type of ['input', 'keydown', 'pointerdown']) form.ownerDocument.addEventListener(type, () => this.#acts(), { signal, capture: true, passive: true });
    spoken.addEventListener('change', () => this.#show(), { signal });
    form.addEventListener('reset', (event) => !this.lock.editing && event.preventDefault(), { signal, capture: true });
    this.#refresh = setInterval(() => this.#show(), 20_000);
    this.#changed();
    const { tab } = lock.client;
    if (tab instanceof PageTab && tab.wasEditing(lock.form, { ...arrival(), page: lock.client.page() })) lock.lock({ resume: 'reload' }).catch(() => {});
  }

  /** @type {ReturnType<typeof setInterval>} */ #refresh;

  /** The page has changed around it: fields may have come, banner and button may be others. @param {FormLockElement} banner */
  refresh(banner) {
    const button = this.#findButton();
    const same = banner === this.banner && button === this.button;
    this.banner = banner;
    this.button = button;
    this.#note();
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
    clearTimeout(this.#away);
    this.#ending.abort();
    open(this.form);
    if (this.form.hasAttribute('required-lock')) this.form.inert = true;
    for (const field of this.#ourFields()) field.remove();
    this.lock.claim = null;
  }

  /** Ask for the lock, as the Edit button does. */
  edit() {
    this.#say('');
    this.#note();
    this.#enter(this.lock.lock()).catch((error) => {
      if (error?.name !== 'CallError') throw error; // not `instanceof`: the part that acts has a class of its own
    });
  }

  /** What the page wants the others to be told. */
  #note() {
    const note = this.form.getAttribute('lock-note');
    if (note !== null) this.lock.setNote(plainLine(note, 200));
  }

  /** From the banner's button the way leads into the form; from anywhere else the focus stays where it is. @param {Promise<unknown>} begun */
  async #enter(begun) {
    await begun;
    if (this.lock.editing && (this.banner.pressed || this.button?.contains(document.activeElement))) firstField(this.form)?.focus({ preventScroll: true });
  }

  /** Editing has ended. @param {{answer?: boolean}} [options] `answer`: for those who ask */
  done(options) {
    const unsaved = this.dirty;
    void this.lock.done(options);
    this.#say(unsaved ? this.#texts.unsaved : '');
    this.incoming.ended(unsaved);
  }

  /**
   * The page has saved what the fields hold now: it is the record. With `submitted` it is what they held at the last submit.
   * @param {{id?: string, version?: string | number, submitted?: boolean}} [facts] the update's id and the record's version, if the application answered with them
   */
  saved(facts) {
    this.incoming.saved(facts);
  }

  /** Whether the fields hold something that is not known to be saved. */
  get dirty() {
    return this.incoming.dirty;
  }

  /** What is said here, in the language of the page around the form. */
  get #texts() {
    return textsOf(this.form);
  }

  /** @returns {import('./incoming.js').Host & import('./face.js').Host} */
  #host() {
    const binding = this;
    const { form, lock } = this;
    return {
      form,
      lock,
      get banner() {
        return binding.banner;
      },
      get unsaved() {
        return binding.dirty;
      },
      texts: () => this.#texts,
      tag: () => tagOf(this.form),
      show: () => this.#show(),
      enter: (begun) => this.#enter(begun),
      release: () => this.done({ answer: true }),
      showMine: () => this.incoming.showChanges(),
      goOn: (draft) => this.incoming.goOn(draft),
      say: (notice, good) => this.#say(notice, good),
      edit: () => this.edit(),
      refresh: () => {
        this.#fields();
        this.#show();
      },
    };
  }

  /** @returns {'button' | 'input' | 'load'} */
  get lockOn() {
    const value = this.form.getAttribute('lock-on');
    return value === 'input' || value === 'load' ? value : 'button';
  }

  #changed() {
    const { name, state } = this.lock;
    if (!this.lock.editing) this.lock.busy = null;
    // Whoever edits is not kept waiting for it in the moment when somebody asks.
    if (['locked', 'queued', 'lost', 'asked'].includes(name) || state.handover || state.snapshot?.viewers?.some(({ user }) => user !== state.me)) void this.#loadFace();
    this.#hidden();
    if (this.#announced !== name) {
      this.#announced = name;
      if (name === 'lost') this.#say('');
      const ours = this.form.dispatchEvent(new CustomEvent(`formlock:${name}`, { bubbles: true, cancelable: true, detail: { lock: this.lock, token: this.lock.token } }));
      if (this.#announced === name) this.#ours = ours; // else a listener has changed the state in the meantime
      if (!this.#loaded && (name === 'free' || name === 'locked' || name === 'mine')) {
        this.#loaded = true; // once: nobody wants the lock of a page that was opened long ago
        if (name === 'free' && this.lockOn === 'load' && mayLock(state)) queueMicrotask(() => this.edit());
      }
    }
    this.#fields();
    this.#show();
  }

  #fields() {
    if (!this.#ours) return;
    const { name, state } = this.lock;
    const inviting = this.lockOn === 'input' && name === 'free' && state.problem === null && mayLock(state);
    if (this.lock.editing || inviting) open(this.form);
    else shut(this.form, () => this.banner.rescueFocus());
    // A form that the server has shut, in case no script runs: from here on it is ours to shut.
    if (this.form.inert && this.form.hasAttribute('required-lock')) this.form.inert = false;
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
    const { claim } = await import('./formlock-merge.js');
    const values = await claim(this.form, this.#proof(), signal);
    if (!signal.aborted && values !== null) await this.incoming.claimed(values);
  }

  #show() {
    const { client, state } = this.lock;
    const stay = holdStill(this.form);
    const notice = this.#notice;
    const tag = tagOf(this.form);
    if (this.banner.lang !== tag) this.banner.lang = tag;
    if (speaks(this.form)) {
      const buttons = this.#offer();
      this.banner.show({
        state: state.name, ...words(state, client.attempts, this.#texts), buttons, ...this.#face?.view(Date.now(), buttons),
        notice: notice || undefined, saved: this.#good && state.name === 'free' && notice !== '',
      });
    } else this.banner.show({ state: state.name, text: '' });
    stay();
    if (this.button) {
      const usable = state.name === 'free' && mayLock(state);
      if (!usable && !this.lock.editing && this.button.contains(document.activeElement)) this.banner.rescueFocus();
      /** @type {any} */ (this.button).disabled = !usable;
    }
  }

  /** @returns {Promise<void>} */
  #loadFace() {
    return (this.#facing ??= import('./formlock-face.js').then(
      ({ Face }) => {
        if (this.#ending.signal.aborted) return;
        this.#face = new Face(this.#host(), this.#ending.signal);
        this.#show();
      },
      () => {
        this.#facing = null; // what is said without it is true too
      },
    ));
  }

  /** The person does something: the others see that, and when it ends. */
  #acts() {
    this.lock.client.tick(); // after a sleep this may come before anything else: the fields shut before the key is written
    if (!this.lock.editing) return;
    clearTimeout(this.#away);
    this.lock.active(true);
    this.#away = setTimeout(() => this.lock.editing && this.lock.active(false), AWAY_MS);
  }

  /** @returns {import('./element.js').Button[]} */
  #offer() {
    const { name, state } = this.lock;
    const texts = this.#texts;
    const busy = state.asking !== null || (state.grant !== null && !this.lock.editing);
    if (this.lock.editing) return [{ id: 'done', label: texts.done, act: () => this.done() }];
    if (name === 'lost' && state.snapshot?.state === 'free') return [{ id: 'again', label: texts.lockAgain, act: () => this.edit(), busy }];
    if (this.incoming.holds && (name === 'free' || name === 'locked') && !busy) return [{ id: 'newest', label: texts.showNewest, act: () => this.incoming.showNewest(), quiet: true }];
    if (!mayLock(state)) return [];
    // Where typing asks for it, the fields stay shut after an attempt that failed.
    const again = state.problem !== null && state.problem !== 'denied' && state.problem !== 'not_allowed';
    if (name === 'free' && (this.lockOn !== 'input' || again) && !this.button) return [{ id: 'edit', label: texts.edit, act: () => this.edit(), busy }];
    return [];
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
    this.lock.client.tick(); // a script may submit right after a sleep
    const mine = this.lock.editing;
    if (mine && this.incoming.maySubmit()) {
      this.incoming.submitted();
      return; // kept until the page is left: the token travels with it
    }
    event.preventDefault();
    event.stopImmediatePropagation();
    if (!mine) this.#say(this.#texts.shut);
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
}
