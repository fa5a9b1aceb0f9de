// Keeps what is typed and not saved, in this browser and, when the form passes to somebody else, at the service; offers it again later.
// It never comes into a form by itself, and only a save that arrived takes it away.
import { DraftStore, fitting } from './draft-store.js';
import { differences, fromService, isThere, joined } from './draft-rules.js';
import { DraftOffer } from './draft-offer.js';
import { labelOf } from './fields.js';
import { equal } from './merge.js';
import { shown } from './shown.js';
import { holdStill } from './still.js';
import { TEXTS } from './texts-merge.js';
import { fieldsByName, kindsIn, sameValues, valuesIn } from './values.js';
import { versionOf } from './version.js';

/** @typedef {import('./incoming.js').Incoming} Incoming */
/** @typedef {import('./draft-store.js').Draft} Draft */
/** @typedef {import('./draft-store.js').Texts} Texts */
/** What may be offered; `token`: it is at the service too, or only there. `name`: of whose it is, if not the person's own. @typedef {{texts: Texts, at: number, version: string | null, submitted: boolean, token: number | null, name: string | null}} Offer */

/** After the last key, and at the latest after the first. */
const PAUSE_MS = 400;
const LATEST_MS = 2000;
/** The service takes 32 kB with all around it. */
const SERVICE_BYTES = 32_000;
/** What browsers are told to keep for themselves is not for us either. */
const PRIVATE = /(?:^|\s)(?:cc-|one-time-code|new-password|current-password)/;

export class DraftKeeper {
  #store = new DraftStore();
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #timer;
  /** @type {number | null} when the first key came that is not kept yet */ #since = null;
  /** @type {Offer | null} */ #offer = null;
  /** @type {DraftOffer | null} */ #panel = null;
  #looked = false;
  /** @type {number | null} the grant whose kept drafts were asked for */ #asked = null;
  /** @type {string | null} the state that was seen last */ #name = null;
  #handing = false;
  /** What the record most likely is where a refused save is shown again: the draft knows it of what was typed before. @type {import('./values.js').Values | null} */ #likely = null;
  /** One thing after the other: a late write must not undo a clearing. @type {Promise<unknown>} */ #queue = Promise.resolve();

  /** @param {Incoming} incoming */
  constructor(incoming) {
    this.incoming = incoming;
    this.form = incoming.form;
    const { lock, signal } = incoming;
    const { ownerDocument: document } = this.form;
    for (const type of ['input', 'change', 'reset']) this.form.addEventListener(type, () => this.#later(), { signal });
    document.addEventListener('visibilitychange', () => document.visibilityState === 'hidden' && this.#soon(), { signal });
    addEventListener('pagehide', () => this.#soon(), { signal });
    lock.addEventListener('change', () => this.#changed(), { signal });
    lock.addEventListener('handover', () => lock.token !== null && void this.#handIn({ always: true }), { signal });
    const unsaved = () => this.forService();
    lock.unsaved ??= unsaved; // a page that has its own way keeps it
    signal.addEventListener('abort', () => {
      this.#soon();
      this.#panel?.remove();
      if (lock.unsaved === unsaved) lock.unsaved = null;
    });
    this.#changed();
    if (incoming.base === null) void this.#guess();
    else if (incoming.dirty) this.#later();
  }

  get #record() {
    return this.incoming.base ?? this.#likely;
  }

  get #user() {
    return this.incoming.lock.client.me;
  }

  #changed() {
    const { lock } = this.incoming;
    const { name, state, token } = lock;
    const before = this.#name;
    this.#name = name;
    if (name === 'lost' && before !== 'lost') void this.#handIn({ always: false });
    if (lock.editing && token !== this.#asked) {
      this.#asked = token;
      void this.#askService();
    }
    // Not before it is known whether this person is typing just that in another tab.
    if (!this.#looked && name !== 'connecting' && name !== 'offline' && !(name === 'locked' && state.sameUser)) {
      this.#looked = true;
      void this.#look();
    }
    this.#panel?.mayUse(this.#usable);
  }

  get #usable() {
    return this.#name === 'free' || this.#name === 'mine' || this.#name === 'asked';
  }

  // -- keeping

  #later() {
    const now = performance.now();
    this.#since ??= now;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.keep(), Math.max(0, Math.min(PAUSE_MS, this.#since + LATEST_MS - now)));
  }

  #soon() {
    if (this.#since !== null) void this.keep();
  }

  /** Keeps what is unsaved now; nothing, when nothing is. */
  keep() {
    clearTimeout(this.#timer);
    this.#since = null;
    const texts = this.unsaved();
    if (!Object.keys(texts).length) return this.incoming.base === null ? this.#queue : this.clear();
    const submitted = this.incoming.submission !== null && this.#isSubmitted(texts);
    return this.#do(() => this.#store.put({ user: this.#user, form: this.incoming.lock.form, slot: 'now', at: Date.now(), version: versionOf(this.form), submitted, texts }));
  }

  /** A refused save is shown again, and what was kept of it before stays until more is typed. */
  async #guess() {
    const { now } = await this.#do(() => this.#store.read(this.#user, this.incoming.lock.form));
    const before = Object.entries(now?.texts ?? {}).map(([name, { old }]) => [name, old]);
    const served = valuesIn(this.form, { served: true });
    this.#likely = { ...served, ...Object.fromEntries(before) };
    // Also what was typed before this was here, or while it was looked up.
    if (!sameValues(valuesIn(this.form), served)) this.#later();
  }

  /** @param {Texts} texts */
  #isSubmitted(texts) {
    const values = this.incoming.submission?.values ?? /** @type {import('./values.js').Values} */ ({});
    const kinds = kindsIn(this.form);
    return Object.entries(texts).every(([name, { mine }]) => values[name] !== undefined && kinds[name] !== undefined && equal(kinds[name], values[name], mine));
  }

  /** What was typed is saved. */
  clear() {
    clearTimeout(this.#timer);
    this.#since = null;
    return this.#do(() => this.#store.remove(this.#user, this.incoming.lock.form, 'now'));
  }

  /** @template T @param {() => Promise<T>} work @returns {Promise<T>} */
  #do(work) {
    const done = this.#queue.then(work);
    this.#queue = done.catch(() => {});
    return done;
  }

  /** What the person has and the record has not, without what is nobody's to keep. @returns {Texts} */
  unsaved() {
    const base = this.#record;
    /** @type {Texts} */
    const texts = {};
    if (!base) return texts;
    const kinds = kindsIn(this.form);
    const mine = valuesIn(this.form);
    for (const [name, fields] of fieldsByName(this.form)) {
      const [kind, old, value] = [kinds[name], base[name], mine[name]];
      if (!kind || kind === 'secret' || kind === 'hidden' || kind === 'shown' || old === undefined || value === undefined) continue;
      if (fields.some((field) => field.closest('[data-form-lock-no-draft], [form-lock-ignore]') || PRIVATE.test(field.getAttribute('autocomplete') ?? ''))) continue;
      if (!equal(kind, value, old)) texts[name] = { old, mine: value };
    }
    return texts;
  }

  /**
   * The form passes to somebody else: the text goes to the service first. `always`: also when there is none, for then nobody has to wait.
   * @param {{always: boolean}} options
   */
  async #handIn({ always }) {
    if (this.#handing) return;
    this.#handing = true;
    try {
      const draft = this.forService();
      void this.keep();
      if (draft || always) await this.incoming.lock.handOver(draft);
    } catch {
      // it is in this browser all the same, and on the page
    } finally {
      this.#handing = false;
    }
  }

  /** What travels: to the service, or to another tab of the same user. Null: nothing is unsaved. */
  forService() {
    const texts = fitting(this.unsaved(), SERVICE_BYTES);
    return Object.keys(texts).length ? { v: 1, version: versionOf(this.form), texts } : null;
  }

  // -- offering

  /** What an earlier visit left. */
  async #look() {
    const { incoming } = this;
    const found = await this.#do(async () => {
      const { now, before } = await this.#store.read(this.#user, incoming.lock.form);
      const facts = { kinds: kindsIn(this.form), base: incoming.base };
      if (!facts.base) return null; // a refused save is shown again: the text is here
      const { base, kinds } = /** @type {{kinds: typeof facts.kinds, base: import('./values.js').Values}} */ (facts);
      const typed = this.unsaved();
      // What the browser has put back, or is being typed already, is here and goes on.
      const left = now && !isThere(differences(now, { kinds, base }), { kinds, mine: valuesIn(this.form) }) ? now : null;
      const draft = left ? joined(before, left) : before;
      if (!draft) {
        if (now && !Object.keys(typed).length) await this.#store.remove(this.#user, incoming.lock.form, 'now'); // the record has it
        return null;
      }
      const open = differences(draft, { kinds, base });
      if (open.length) await this.#store.put({ ...draft, user: this.#user, form: incoming.lock.form, slot: 'before' });
      else await this.#store.remove(this.#user, incoming.lock.form, 'before');
      // Only then: the page may go at any moment, and twice the same is one offer.
      if (left) await this.#store.remove(this.#user, incoming.lock.form, 'now');
      return open.length ? draft : null;
    });
    if (found && !incoming.signal.aborted) this.#show({ ...found, token: null, name: null });
    if (Object.keys(this.unsaved()).length) this.#later();
  }

  /** Goes on here with what another tab had unsaved, as its `forService` gave it. @param {unknown} draft */
  async goOn(draft) {
    const found = fromService(draft);
    if (!found) return;
    (await this.incoming.follower()).revive(found.texts);
    await this.keep();
  }

  /** What the service keeps: of another browser, or of who had the form before when the team shares that. */
  async #askService() {
    const { lock } = this.incoming;
    try {
      const kept = await lock.drafts();
      const next = kept.find(({ token }) => !isDismissed(lock.form, token));
      if (!next) return;
      const draft = fromService(await lock.draft(next.token));
      if (!draft) return;
      if (this.#offer && this.#offer.token === null && next.own && JSON.stringify(this.#offer.texts) === JSON.stringify(draft.texts)) {
        this.#offer.token = next.token; // the same, here and there
        return;
      }
      if (!this.#offer) this.#show({ ...draft, at: next.at, submitted: false, token: next.token, name: next.own ? null : next.name });
    } catch {
      // then it is offered the next time
    }
  }

  /** @param {Offer} offer */
  #show(offer) {
    const { incoming } = this;
    const facts = { kinds: kindsIn(this.form), base: this.#record ?? {} };
    const found = differences(offer, facts);
    if (!found.length || isThere(found, { kinds: facts.kinds, mine: valuesIn(this.form) })) {
      if (!found.length) this.#forget(offer);
      return;
    }
    this.#offer = offer;
    const detail = { lock: incoming.lock, draft: offer, use: () => this.#use(), discard: () => this.#discard() };
    if (!this.form.dispatchEvent(new CustomEvent('formlock:draft', { bubbles: true, cancelable: true, detail }))) return;
    const when = time(offer.at, incoming.host.tag());
    this.#place(new DraftOffer({
      title: offer.name === null ? TEXTS.draft(when) : TEXTS.draftOf(offer.name, when),
      notes: [found.some(({ since }) => since) ? TEXTS.older : '', offer.version !== null && offer.version !== versionOf(this.form) ? TEXTS.against(offer.version) : ''],
      rows: this.#rows(found),
      use: () => this.#use(),
      throwAway: () => this.#discard(),
    }));
  }

  /** The person's own changes beside the record, for copying: after a loss, say. */
  showOwn() {
    const found = differences({ texts: this.unsaved(), submitted: false }, { kinds: kindsIn(this.form), base: this.#record ?? {} });
    if (!found.length || this.#offer) return;
    this.#place(new DraftOffer({ title: TEXTS.own, notes: [TEXTS.lostHere], rows: this.#rows(found), close: () => this.#end() }));
    this.#panel?.focus();
  }

  /** @param {import('./draft-rules.js').Difference[]} found */
  #rows(found) {
    const all = fieldsByName(this.form);
    return found.map(({ name, now, mine, gone, since }) => {
      const fields = all.get(name) ?? [];
      const text = /** @param {import('./values.js').Value} value */ (value) => (gone ? [value].flat().join('\n') : shown(fields, value));
      return { label: labelOf(this.form, name), now: now === null ? null : text(now), mine: text(mine), since };
    });
  }

  /** @param {DraftOffer} panel */
  #place(panel) {
    const stay = holdStill(this.form);
    this.#panel?.remove();
    this.#panel = panel;
    panel.mayUse(this.#usable);
    this.incoming.host.banner.append(panel);
    stay();
  }

  #end() {
    const inside = this.#panel?.contains(document.activeElement);
    const stay = holdStill(this.form);
    this.#panel?.remove();
    this.#panel = null;
    this.#offer = null;
    stay();
    if (inside) this.incoming.host.banner.focus();
  }

  async #use() {
    const offer = this.#offer;
    if (!offer) return;
    this.#end();
    const follower = await this.incoming.follower();
    follower.revive(offer.texts);
    await this.keep(); // it is the present text now
    this.#forget(offer);
    if (this.incoming.lock.name === 'free') this.incoming.host.edit();
  }

  #discard() {
    const offer = this.#offer;
    this.#end();
    if (offer) this.#forget(offer);
  }

  /** @param {Offer} offer */
  #forget({ token, name }) {
    const { lock } = this.incoming;
    if (name === null) void this.#do(() => this.#store.remove(this.#user, lock.form, 'before'));
    if (token === null) return;
    dismiss(lock.form, token); // another's can't be thrown away, and is not offered twice
    if (name === null) lock.forgetDraft(token).catch(() => {});
  }
}

/** Throws away what this browser keeps: of one user, say when he logs out, or of everybody. @param {string} [user] */
export function forgetDrafts(user) {
  return new DraftStore().forget(user);
}

const DISMISSED = 'formlock.dismissed';

/** @param {string} form @param {number} token */
function isDismissed(form, token) {
  return dismissed().includes(`${form} ${token}`);
}

/** @param {string} form @param {number} token */
function dismiss(form, token) {
  try {
    sessionStorage.setItem(DISMISSED, JSON.stringify([`${form} ${token}`, ...dismissed()].slice(0, 50)));
  } catch {
    // then it is offered again
  }
}

/** @returns {string[]} */
function dismissed() {
  try {
    return JSON.parse(sessionStorage.getItem(DISMISSED) ?? '[]');
  } catch {
    return [];
  }
}

/** @param {number} at wall clock @param {string} tag of the language that is spoken @returns {string} with its day, if that is another one */
function time(at, tag) {
  const today = new Date(at).toDateString() === new Date().toDateString();
  return new Intl.DateTimeFormat(tag, { ...(today ? {} : { day: 'numeric', month: 'short' }), hour: '2-digit', minute: '2-digit' }).format(at);
}
