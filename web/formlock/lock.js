// FormLock: one form. It turns the effects of lease.js into calls, and answers and events into its inputs.
import { CallError } from './errors.js';
import { holds, start, step } from './lease.js';
import { randomId } from './tab.js';

/** @typedef {import('./lease.js').Snapshot} Snapshot */
/** @typedef {import('./lease.js').State} State */
/**
 * What a backend reported, through the bridge.
 * @typedef {object} Update
 * @property {string} form
 * @property {string} [epoch] @property {number} [seq] @property {string} [id]
 * @property {number} [first] the first that it stands for, where several were folded into one
 * @property {Record<string, [unknown, unknown]>} [change_set]
 * @property {string | number} [version]
 * @property {string} [origin] @property {string} [source] @property {{user: string, name: string}} [actor]
 * @property {Record<string, unknown> | string} [representation]
 * @property {string} [reported] the backend's own word, when that is not `updated`
 * @property {string[]} [redacted] rights that show more of it
 * @property {number} [count] of a bulk change: how many records @property {string[]} [ids] and which, if that is known
 * @property {boolean} [missed] made here: some were missed and nobody knows them any more, the form may have changed
 */

/** @typedef {{form: string, user: string, name: string, token: number, at: number, own: boolean}} KeptDraft */

/**
 * Tells the application's database of a grant before it counts, and brings the contents that were read behind that into the form.
 * Rejects when the application refuses.
 * @callback Claim
 * @param {{token: number, receipt: string | null, signal: AbortSignal}} grant @returns {Promise<void>}
 */
/** @typedef {import('./formlock-acts.js').Patience} Patience */
/** @typedef {import('./formlock-acts.js').DraftFacts} DraftFacts */

/** The half that acts, once it is loaded. @type {typeof import('./formlock-acts.js') | null} */
let acting = null;

/** How often it could not be loaded. */
let failures = 0;

/** Loads it: with the first form, while the connection is made. @returns {Promise<typeof import('./formlock-acts.js')>} */
export async function acts() {
  for (const pauseMs of [500, 1000, 2000, 4000, 0]) {
    try {
      // A browser may remember of an address that nothing could be loaded from it.
      const part = await (failures ? import(new URL(`./formlock-acts.js?${failures}`, import.meta.url).href) : import('./formlock-acts.js'));
      return (acting ??= part);
    } catch {
      failures += 1;
      await new Promise((resolve) => setTimeout(resolve, pauseMs));
    }
  }
  throw new CallError('closed');
}

/**
 * Fires `change` (the state, or facts of it, changed), `updated` (`detail`: an Update that is not our own), `saved` (one that is), `bulk`
 * (`detail`: an Update of many records, this one among them as far as is known), and each lock event of the service by its name (`asked`,
 * `handover`, `viewers`, ...; `detail`: its facts).
 */
export class FormLock extends EventTarget {
  /** @type {Readonly<State>} */ #state;
  /** @type {(() => void) | null} */ #unsubscribe = null;
  /** @type {Promise<void> | null} the last unlock's call */ #parting = null;
  #asking = false;
  /** The last update that we know of. @type {import('./formlock-updates.js').Mark | null} */
  last = null;
  /** Whether it was forgotten by its client. */
  gone = false;
  /** @type {Claim | null} */ #claim = null;
  /** Of what is asked for. @type {'exclusive' | 'shared' | undefined} */
  mode;
  #leaving = new AbortController();

  /** @param {import('./client.js').FormLockClient} client @param {string} form its topic */
  constructor(client, form) {
    super();
    this.client = client;
    this.form = form;
    /** Text for the others while we hold the form. */
    this.note = '';
    /** Whether the user does something, as the page tells; null: nobody tells. @type {boolean | null} */
    this.busy = null;
    /** What is not saved yet, for another tab of the same user that is to go on with it; set by the page. @type {(() => unknown) | null} */
    this.unsaved = null;
    this.#state = start(client.clock(), client.me, client.uris.isSection(form));
    acts().catch(() => {}); // who needs it tries again
  }

  /** All facts, frozen. */
  get state() {
    return this.#state;
  }

  /** What the person is shown. */
  get name() {
    return this.#state.name;
  }

  /** Whether it is ours and proven: `mine`, or `asked`. */
  get editing() {
    return holds(this.#state.name);
  }

  /** The token while it is held, proven or not. @returns {number | null} */
  get token() {
    return this.#state.grant?.token ?? null;
  }

  /** The newest signed statement of the lease, for the application's backend. @returns {string | null} */
  get receipt() {
    return this.#state.grant?.receipt ?? null;
  }

  /** How the application claims a grant; null: it does not. @param {Claim | null} claim */
  set claim(claim) {
    this.#claim = claim;
    this.#state = Object.freeze({ ...this.#state, claims: claim !== null });
  }

  get attached() {
    return this.#state.link;
  }

  // -- what a person wants

  /**
   * Ask for the lock. Resolves when it is ours; rejects with a CallError whose code is `form_locked`, `not_allowed`, `turn_passed`, ...,
   * or with the signal's reason, and then it is no longer asked for. With `wait` it stands in line when somebody else has it.
   * @param {{wait?: boolean, note?: string, mode?: 'exclusive' | 'shared', resume?: 'reload'} & Patience} [options] @returns {Promise<void>}
   */
  async lock({ wait = false, note, mode, resume, signal } = {}) {
    signal?.throwIfAborted();
    if (this.editing) return;
    if (note !== undefined) this.note = note;
    this.mode = mode;
    const rid = this.#state.asking?.rid ?? randomId();
    this.input({ type: 'edit', rid, wait, resume });
    await (await acts()).until(this, rid, signal);
  }

  /**
   * Take it from its holder. As `lock`; also rejects with `conflict` when it has changed hands meanwhile.
   * @param {{reason?: string, note?: string} & Patience} [options]
   */
  async takeover(options) {
    return (await acts()).takeover(this, options);
  }

  /**
   * Go on here with what the same user edits in another tab. A tab of this browser is asked for its unsaved text first, for 1 s; the
   * answer's `draft` is that text, as the other page's `unsaved` gave it, or null.
   * @param {Patience} [options]
   */
  async moveHere(options) {
    return (await acts()).moveHere(this, options);
  }

  /**
   * Editing, asking or standing in line has ended (saved or cancelled): the form is free for the others. Never rejects.
   * @param {{answer?: boolean}} [options] `answer`: it is given up for those who ask
   * @returns {Promise<boolean>} whether the service knows; else it is told with the next connection
   */
  async done({ answer = false } = {}) {
    this.#parting = null;
    this.input({ type: 'done', rid: randomId(), answer });
    await this.#parting;
    return this.#state.releasing === null;
  }

  unlock() {
    return this.done();
  }

  leaveQueue() {
    return this.done();
  }

  /** Ask the holder for it. `free`: nobody was there to answer; else the time that the holder has. @param {{note?: string} & Patience} [options] */
  async ask(options) {
    return (await acts()).ask(this, options);
  }

  /** What the holder says to all who ask. `keep`: a new question runs out no sooner than in `keepMs`. @param {'release' | 'keep'} what @param {{keepMs?: number} & Patience} [options] */
  async answer(what, options) {
    return (await acts()).answer(this, what, options);
  }

  /** Bring unsaved text (JSON, at most 32 kB) into safety: before somebody takes over, or up to 10 minutes after the loss. `moved`: the form is another's now. @param {unknown} draft @param {Patience} [options] */
  async handOver(draft, options) {
    return (await acts()).handOver(this, draft, options);
  }

  /** The drafts of this form that we may see, the newest first. @param {Patience} [options] */
  async drafts(options) {
    return (await acts()).drafts(this, options);
  }

  /** The contents of a draft: of that token, else of the newest own; null: there is none. @param {number} [token] @param {Patience} [options] */
  async draft(token, options) {
    return (await acts()).draft(this, token, options);
  }

  /** Throw our own drafts away, or that of the token; tells how many there were. @param {number} [token] @param {Patience} [options] */
  async forgetDraft(token, options) {
    return (await acts()).forgetDraft(this, token, options);
  }

  /** Text for the others, from the next grant on. @param {string} note */
  setNote(note) {
    this.note = note;
  }

  /** The page has seen the user do something, or nothing for a while: the others are told. @param {boolean} busy */
  active(busy) {
    if (busy === this.busy) return;
    this.busy = busy;
    if (this.token !== null && this.attached) this.client.renewSoon();
  }

  /** The states from now on, the present one first; a slow reader gets the newest. Ends with the signal, or when the form is forgotten. @param {Patience} [options] */
  async *states(options) {
    yield* (await acts()).states(this, options);
  }

  // -- what the client tells

  leave() {
    const { grant, asking } = this.#state;
    if (grant || asking) this.mark();
    this.#leaving.abort();
    this.#leaving = new AbortController();
    this.input({ type: 'left', rid: randomId() });
  }

  comeBack() {
    this.input({ type: 'came back', rid: randomId() });
  }

  /** Joined: subscribe. The service answers a new subscriber with the form's state. */
  async attach() {
    try {
      const unsubscribe = await this.client.supervisor.subscribe(this.form, (facts) => this.#event(facts));
      if (this.gone) unsubscribe();
      else this.#unsubscribe = unsubscribe;
      this.input({ type: 'connected', me: this.client.me, rights: this.client.rightsOn(this.form) });
      void this.client.updates().then((updates) => updates?.joined(this));
    } catch (error) {
      if (!CallError.isLine(error)) this.input({ type: 'denied', problem: 'denied' });
    }
  }

  /** The form is no longer on the page. */
  detach() {
    void this.done(); // also what is only asked for: a grant that comes later is given back
    this.gone = true;
    this.#unsubscribe?.();
    this.dispatchEvent(new Event('change'));
  }

  /** @param {import('./lease.js').Input} input */
  input(input) {
    const before = this.#state;
    const { state, effects } = step(before, input, this.client.clock(), acting?.contest);
    this.#state = Object.freeze(state);
    const held = state.grant !== null;
    if (before.grant && !held && !state.left) this.client.tab.mark(this.form, null, Date.now());
    if (held !== (before.grant !== null) || (state.sameUser && !before.sameUser)) void this.client.others().then((others) => others?.tell(this));
    for (const effect of effects) this.#run(effect);
    // What begins nothing is no news: who asks at each `change` would go round and round.
    if (!['tick', 'edit'].includes(input.type) || effects.length || before.name !== state.name) this.dispatchEvent(new Event('change'));
  }

  /** @param {import('./lease.js').Effect} effect */
  #run(effect) {
    const { signal } = this.#leaving;
    switch (effect.do) {
      case 'status':
        void this.status();
        return;
      case 'renew':
        this.client.renewSoon();
        return;
      case 'lock':
        this.#act(({ request }) => request(this, effect));
        return;
      case 'leave queue':
        this.client.supervisor.send(this.client.uris.procedure('leave_queue'), { form: this.form, tab: this.client.tab.id });
        return;
      case 'claim':
        this.#act(({ claim }) => claim(this, effect.token, this.#claim, signal));
        return;
      case 'unlock':
        this.#parting = this.#unlock(effect);
    }
  }

  /** What only the acting half can do. Without it (it could not be loaded now) asking ends. @param {(part: typeof import('./formlock-acts.js')) => unknown} act */
  #act(act) {
    if (acting) act(acting);
    else acts().then(act, () => this.done());
  }

  /** Ask the service what is true. Never rejects: what it hears goes into the state. */
  async status() {
    if (this.#asking || !this.#state.link) return;
    this.#asking = true;
    try {
      const { value } = await this.call('status', {});
      this.input({ type: 'snapshot', snapshot: /** @type {any} */ (value) });
    } catch (error) {
      const { code } = CallError.from(error);
      if (code === 'not_allowed' || code === 'wamp.error.not_authorized') this.input({ type: 'denied', problem: 'denied' });
    } finally {
      this.#asking = false;
    }
  }

  /** @param {{rid: string, token: number, leaving: boolean, answer: boolean}} effect */
  async #unlock({ rid, token, leaving, answer }) {
    const facts = { token, tab: this.client.tab.id };
    if (leaving) {
      this.client.supervisor.send(this.client.uris.procedure('unlock'), { form: this.form, ...facts, leaving, rid });
      return;
    }
    try {
      const { value } = await this.call(answer ? 'answer' : 'unlock', { ...facts, ...(answer ? { answer: 'release' } : { leaving, rid }) });
      this.input({ type: 'unlocked', rid, rev: value.rev ?? null });
    } catch (reason) {
      if (!CallError.isLine(reason)) this.input({ type: 'unlocked', rid, rev: null }); // it is not ours any more: as wanted
    }
  }

  /** @param {Record<string, any>} facts */
  #event(facts) {
    const { status } = facts;
    if (this.gone) return;
    if (status === 'updated') {
      // Without the part that keeps them in order nobody knows what it was: look again.
      void this.client.updates().then((updates) => (updates ? updates.heard(this, /** @type {any} */ (facts)) : this.fire(status, { form: this.form, missed: true })));
    }
    else if (status === 'probe') this.input({ type: 'probe' });
    else if (typeof facts.rev === 'number') {
      this.input(/** @type {any} */ ({ ...facts, type: 'event', snapshot: facts }));
      this.fire(status, facts);
    }
  }

  /** @param {string} type @param {unknown} detail */
  fire(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }

  /** One of the service's procedures, about this form. @param {string} procedure @param {object} facts @param {{limitMs?: number, signal?: AbortSignal}} [how] @returns {Promise<{value: Record<string, any>, sent: number}>} */
  call(procedure, facts, how) {
    return this.client.supervisor.call(this.client.uris.procedure(procedure), { form: this.form, ...facts }, how);
  }

  /** Remember over a reload that this tab is editing, or waits. */
  mark() {
    this.client.tab.mark(this.form, this.client.page(), Date.now(), this.#state.asking?.wait);
  }
}
