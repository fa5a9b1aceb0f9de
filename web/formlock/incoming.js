// What comes in for one form, and what the person has that is not saved: the record as it was last known, and the way to the parts of
// the package that merge updates and keep drafts. They are loaded when there is something for them to do.
import { learnt } from './languages.js';
import { arrival } from './shared.js';
import { sameValues, valuesIn } from './values.js';
import { setVersion } from './version.js';

/** @typedef {import('./lock.js').Update} Update */
/** @typedef {import('./values.js').Values} Values */
/** @typedef {import('./follow.js').Follower} Follower */
/** @typedef {import('./drafts.js').DraftKeeper} DraftKeeper */
/**
 * What shows the form to the person.
 * @typedef {object} Host
 * @property {HTMLElement} banner where choices and drafts are put, as its children
 * @property {(notice: string, good?: boolean) => void} say one notice at a time; '' takes it away
 * @property {() => string} tag of the language that is spoken @property {() => any} texts what is said, by name
 * @property {() => void} edit ask for the lock
 * @property {() => void} refresh the form's fields are others now, or there is something to show that was not there before
 */

/** Over how much time the pages of changed records ask for what they are now. */
const SPREAD_MS = 2000;

/**
 * Throws away the drafts that this browser keeps: of one user, say when he logs out on a shared machine, or of everybody.
 * @param {string} [user] @returns {Promise<void>}
 */
export async function forgetDrafts(user) {
  const drafts = await import('./formlock-drafts.js');
  await drafts.forgetDrafts(user);
}

export class Incoming {
  /** The record as it was last known, by field name; null: what the form holds was never the record. @type {Values | null} */ base;
  /** What was last submitted, and when by the page's clock. @type {{values: Values, base: Values | null, at: number, id: string | null} | null} */ submission = null;
  /** @type {Update[]} not looked at yet */ #waiting = [];
  #busy = false;
  /** @type {Follower | null} */ #follower = null;
  /** @type {DraftKeeper | null} */ #drafts = null;
  /** @type {Promise<Follower> | null} */ #loading = null;

  /** @param {HTMLFormElement} form @param {import('./lock.js').FormLock} lock @param {Host} host @param {AbortSignal} signal */
  constructor(form, lock, host, signal) {
    this.form = form;
    this.lock = lock;
    this.host = host;
    this.signal = signal;
    // After a reload browsers put back what was typed before: that is not the saved record. Nor is what a refused save shows again.
    this.base = form.hasAttribute('unsaved') ? null : valuesIn(form, { served: arrival().type !== 'navigate' });
    lock.addEventListener('updated', (event) => this.#updated(/** @type {CustomEvent<Update>} */ (event).detail), { signal });
    lock.addEventListener('bulk', (event) => this.#bulk(/** @type {CustomEvent<Update>} */ (event).detail), { signal });
    lock.addEventListener('saved', (event) => void this.#ownSave(/** @type {CustomEvent<Update>} */ (event).detail), { signal });
    // Whoever edits may come to need both, and a line that breaks then must not keep them away.
    lock.addEventListener('change', () => lock.editing && void this.#prepare(), { signal });
    form.addEventListener('input', () => void this.#prepare(), { signal, once: true });
    if (this.keepsDrafts && mayHaveDrafts()) void this.drafts().catch(() => {});
  }

  /** Whether the fields hold something that is not known to be saved. */
  get dirty() {
    return this.base === null || !sameValues(valuesIn(this.form), this.base);
  }

  /** Whether the form is the person's, or about to be. */
  get editing() {
    const { name, state } = this.lock;
    return this.lock.editing || name === 'stale' || state.grant !== null || state.asking !== null;
  }

  get keepsDrafts() {
    return !this.form.hasAttribute('data-form-lock-no-draft');
  }

  /** Whether something newer waits until the person wants it. */
  get holds() {
    return this.#follower?.holds ?? false;
  }

  /** The person prefers the newest to his own unsaved text. */
  showNewest() {
    void this.#follower?.showHeld();
  }

  /** Editing has ended: what was held back for it may come in now, unless there is unsaved text. @param {boolean} unsaved */
  ended(unsaved) {
    if (!unsaved) this.showNewest();
  }

  /**
   * The page has saved what the fields hold now, or what they held at the last submit (`submitted`): it is the record. `id`: of the
   * update that the backend will report of it, `version`: of the record, for the `version-field`.
   * @param {{id?: string, version?: string | number, submitted?: boolean}} [facts]
   */
  saved({ id, version, submitted } = {}) {
    // The update may have been faster than the answer to the save: then what was submitted is the record already.
    const sent = submitted ? this.submission : { values: valuesIn(this.form), base: this.base };
    if (sent) {
      this.submission = { ...sent, at: this.lock.client.clock(), id: id ?? null };
      this.base = { ...sent.values };
      this.#follower?.forget();
    }
    if (version !== undefined) setVersion(this.form, version, this.base);
    this.withDrafts((keeper) => void keeper.keep());
  }

  /**
   * Before a submit: whether it may go. It may not while somebody else's change of the same field waits for a choice: the save would
   * overwrite it.
   */
  maySubmit() {
    return this.#follower?.ready() ?? true;
  }

  /** It goes. Whether it arrives, nobody knows yet: the draft stays. */
  submitted() {
    this.submission = { values: valuesIn(this.form), base: this.base, at: this.lock.client.clock(), id: null };
    this.withDrafts((keeper) => void keeper.keep());
  }

  /**
   * The contents that the application read behind a claim.
   * @param {Record<string, unknown>} given by field name
   */
  async claimed(given) {
    (await this.follower()).claimed(given);
  }

  /** Goes on here with the unsaved text of another tab: what `moveHere` answered. @param {unknown} draft */
  goOn(draft) {
    this.withDrafts((keeper) => void keeper.goOn(draft));
  }

  /** Shows what is not saved beside what is, to be copied. */
  showChanges() {
    this.withDrafts((keeper) => keeper.showOwn());
  }

  /** @returns {Promise<Follower>} */
  follower() {
    this.#loading ??= Promise.all([import('./formlock-merge.js'), learnt(this.form)]).then(
      ([{ Follower, speak }]) => {
        speak(this.host.texts().merge ?? {});
        return (this.#follower = new Follower(this));
      },
      (error) => {
        this.#loading = null; // the next one may come through
        throw error;
      },
    );
    return this.#loading;
  }

  /** @type {Promise<DraftKeeper> | null} */ #loadingDrafts = null;

  /** @returns {Promise<DraftKeeper>} */
  drafts() {
    if (!this.keepsDrafts) return Promise.reject(new Error('this form keeps no drafts'));
    this.#loadingDrafts ??= Promise.all([import('./formlock-drafts.js'), learnt(this.form)]).then(([{ DraftKeeper, speak }]) => {
      speak(this.host.texts().merge ?? {});
      this.#drafts = new DraftKeeper(this);
      return this.#drafts;
    });
    return this.#loadingDrafts;
  }

  /** @param {(keeper: DraftKeeper) => void} act */
  withDrafts(act) {
    if (this.keepsDrafts) this.drafts().then(act).catch((error) => console.warn('form-lock: nothing is kept in this browser:', error));
  }

  async #prepare() {
    await Promise.allSettled([this.follower(), this.keepsDrafts ? this.drafts() : null]);
  }

  /** Tells the page. @param {Update} update @returns {boolean} whether the rest is left to us */
  announce(update) {
    return this.form.dispatchEvent(new CustomEvent('formlock:updated', { bubbles: true, cancelable: true, detail: { lock: this.lock, update } }));
  }

  /** What comes while others are being brought in is brought in with one step afterwards. @param {Update} update */
  async #updated(update) {
    if (this.form.getAttribute('update') === 'event') {
      this.announce(update);
      return;
    }
    this.#waiting.push(update);
    if (this.#busy) return;
    this.#busy = true;
    try {
      const follower = await this.follower();
      while (this.#waiting.length && !this.signal.aborted) await follower.update(this.#waiting.splice(0));
    } catch (error) {
      console.error('form-lock: an update can not be shown:', error);
      this.#waiting.length = 0;
      // Without the part that could do better: what is typed is never thrown away, and nothing old is shown as if it were new.
      if (!this.dirty && !this.editing) location.reload();
      else this.host.say(this.host.texts().changed);
    } finally {
      this.#busy = false;
    }
  }

  /**
   * Many records were changed at once, and perhaps this one: only its own page knows what it is now. All who have one of them open hear of
   * it in the same moment, and don't ask in the same moment.
   * @param {Update} update
   */
  #bulk({ change_set: _, reported, ...facts }) {
    const update = { ...facts, ...(facts.ids && { reported }), form: this.lock.form, missed: true };
    setTimeout(() => this.signal.aborted || void this.#updated(update), Math.random() * SPREAD_MS);
  }

  /** What this tab saved has arrived at the bridge. @param {Update} update */
  async #ownSave(update) {
    const follower = await this.follower().catch(() => null);
    follower?.ownSave(update);
  }
}

/** Whether an earlier visit may have left something: then the part that looks for it is worth loading (draft-store.js writes it). */
function mayHaveDrafts() {
  try {
    return localStorage.getItem('formlock.drafts') !== null;
  } catch {
    return true;
  }
}
