// FormLock: one form. It turns the effects of lease.js into calls, and answers and events into its inputs.
import { CallError } from './connect.js';
import { start, step } from './lease.js';
import { randomId } from './tab.js';

/** @typedef {import('./lease.js').Snapshot} Snapshot */
/** @typedef {import('./lease.js').State} State */
/**
 * What a backend reported, through the bridge.
 * @typedef {object} Update
 * @property {string} form
 * @property {string} [epoch] @property {number} [seq] @property {string} [id]
 * @property {Record<string, [unknown, unknown]>} [change_set]
 * @property {string | number} [version]
 * @property {string} [origin] @property {string} [source] @property {{user: string, name: string}} [actor]
 * @property {Record<string, unknown> | string} [representation]
 * @property {string} [reported] the backend's own word, when that is not `updated`
 * @property {string[]} [redacted] the rights without which something was left out
 * @property {boolean} [missed] made here: some were missed and nobody knows them any more, the form may have changed
 */

/** @typedef {{form: string, user: string, name: string, token: number, at: number, own: boolean}} KeptDraft */

/**
 * Tells the application's database of a grant before it counts, and brings the contents that were read behind that into the form.
 * Rejects when the application refuses.
 * @callback Claim
 * @param {{token: number, receipt: string | null, signal: AbortSignal}} grant @returns {Promise<void>}
 */

/**
 * Fires `change` (the state, or facts of it, changed), `updated` (`detail`: an Update that is not our own), `saved` (`detail`: one that is)
 * and `handover` (`detail`: the event's facts; its holder has a moment to bring the text into safety).
 */
export class FormLock extends EventTarget {
  /** @type {State} */ #state;
  /** @type {(() => void) | null} */ #unsubscribe = null;
  /** @type {{rid: string, resolve(): void, reject(error: Error): void}[]} */ #waiting = [];
  #asking = false;
  /** @type {number | null} the last that we had: its draft may still be handed in for a while */ #lastToken = null;
  #gone = false;
  /** @type {Claim | null} */ #claim = null;
  #leaving = new AbortController();
  /** @type {{epoch: string, seq: number} | null} the last update that we know of */ #last = null;
  /** @type {Update[] | null} those that come while the missed ones are asked for */ #early = null;

  /** @param {import('./client.js').FormLockClient} client @param {string} form its topic */
  constructor(client, form) {
    super();
    this.client = client;
    this.form = form;
    /** Text for the others while we hold the form. */
    this.note = '';
    /** What is not saved yet, for another tab of the same user that is to go on with it; set by the page. @type {(() => unknown) | null} */
    this.unsaved = null;
    this.#state = start(client.clock(), client.identity().user);
  }

  /** All facts; treat them as read only. */
  get state() {
    return this.#state;
  }

  /** What the person is shown. */
  get name() {
    return this.#state.name;
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
    this.#state = { ...this.#state, claims: claim !== null };
  }

  get attached() {
    return this.#state.link;
  }

  /**
   * Ask for the lock. Resolves when it is ours; rejects with a CallError whose code is `form_locked`, `not_allowed`, ...
   * @param {{resume?: 'reload'}} [options] @returns {Promise<void>}
   */
  lock(options = {}) {
    if (this.name === 'mine') return Promise.resolve();
    const rid = this.#state.asking?.rid ?? randomId();
    return new Promise((resolve, reject) => {
      this.#waiting.push({ rid, resolve, reject });
      this.input({ type: 'edit', rid, ...options });
    });
  }

  /** Editing has ended (saved or cancelled): the form is free for the others. */
  done() {
    this.input({ type: 'done', rid: randomId() });
  }

  /**
   * Brings a text into safety at the service; then whoever takes the form over has it. Also for a while after it was lost.
   * @param {unknown} draft any JSON value of at most 32 kB @param {{signal?: AbortSignal}} [options] @returns {Promise<void>}
   */
  async handOver(draft, { signal } = {}) {
    signal?.throwIfAborted();
    const token = this.token ?? this.#lastToken;
    if (token === null) throw new CallError('not_holder', 'There is nothing to hand over');
    await this.#call('hand_over', { form: this.form, token, tab: this.client.tab.id, draft });
  }

  /** The drafts that the service keeps for this user, the newest first. @returns {Promise<KeptDraft[]>} */
  async drafts() {
    const { value } = await this.#call('draft', { form: this.form });
    return /** @type {any} */ (value).drafts;
  }

  /** The contents of one of them. @param {number} token @returns {Promise<unknown>} */
  async draft(token) {
    const { value } = await this.#call('draft', { form: this.form, token });
    return /** @type {any} */ (value).draft;
  }

  /** @param {number} token @returns {Promise<void>} */
  async forgetDraft(token) {
    await this.#call('forget_draft', { form: this.form, token });
  }

  leave() {
    const { grant, asking } = this.#state;
    if (grant || asking) this.#mark();
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
      if (this.#gone) unsubscribe();
      else this.#unsubscribe = unsubscribe;
      this.input({ type: 'connected' });
      void this.#catchUp();
    } catch (error) {
      const { code } = CallError.from(error);
      if (code !== 'closed' && code !== 'timeout') this.input({ type: 'denied', problem: 'denied' });
    }
  }

  /** The form is no longer on the page. */
  detach() {
    this.done(); // also what is only asked for: a grant that comes later is given back
    this.#gone = true;
    this.#unsubscribe?.();
  }

  /** @param {import('./lease.js').Input} input */
  input(input) {
    const before = this.#state;
    const { state, effects } = step(before, input, this.client.clock());
    this.#state = state;
    this.#lastToken = this.token ?? this.#lastToken;
    if (before.grant && !state.grant && !state.left) this.client.tab.mark(this.form, null, Date.now());
    for (const effect of effects) this.#run(effect);
    if (input.type !== 'tick' || before.name !== state.name) this.dispatchEvent(new Event('change'));
    this.#settle();
  }

  /** @param {import('./lease.js').Effect} effect */
  #run(effect) {
    switch (effect.do) {
      case 'status':
        void this.status();
        return;
      case 'renew':
        this.client.renewSoon();
        return;
      case 'lock':
        void this.#lock(effect.rid);
        return;
      case 'claim':
        void this.#claimed(effect.token);
        return;
      case 'unlock':
        void this.#unlock(effect);
    }
  }

  /** @param {number} token */
  async #claimed(token) {
    const { signal } = this.#leaving;
    try {
      await this.#claim?.({ token, receipt: this.receipt, signal });
      this.input({ type: 'claimed', token });
    } catch (error) {
      if (signal.aborted) return;
      console.error('form-lock: the claim failed:', error);
      this.input({ type: 'claim failed', token, rid: randomId() });
    }
  }

  /** Ask the service what is true. Never rejects: what it hears goes into the state. */
  async status() {
    if (this.#asking || !this.#state.link) return;
    this.#asking = true;
    try {
      const { value } = await this.#call('status', { form: this.form });
      this.input({ type: 'snapshot', snapshot: /** @type {any} */ (value) });
    } catch (error) {
      const { code } = CallError.from(error);
      if (code === 'not_allowed' || code === 'wamp.error.not_authorized') this.input({ type: 'denied', problem: 'denied' });
    } finally {
      this.#asking = false;
    }
  }

  /** @param {string} rid */
  async #lock(rid) {
    try {
      const { value, sent } = await this.#call('lock', { form: this.form, tab: this.client.tab.id, note: this.note, rid });
      this.input({ type: 'granted', rid, sent, grant: /** @type {any} */ (value) });
      if (this.token !== null) this.#mark();
    } catch (reason) {
      const error = CallError.from(reason);
      if (error.code === 'closed' || error.code === 'timeout') return; // the same attempt goes on with the next connection
      this.#refuse(rid, error);
      if (error.code === 'form_locked') {
        const { facts } = error;
        this.input({ type: 'refused', rid, snapshot: refusal(facts), sameUser: facts.same_user === true });
        // Our id may be a copy: a duplicated tab inherits sessionStorage. Holding nothing, we can take another without loss.
        if (facts.same_user && this.client.idle) this.client.tab.renew();
      } else if (error.code === 'lost') {
        this.input({ type: 'refused', rid, snapshot: null, sameUser: false });
      } else {
        this.input({ type: 'failed', rid, problem: error.code });
      }
    }
  }

  /** @param {{rid: string, token: number, leaving: boolean}} effect */
  async #unlock({ rid, token, leaving }) {
    const facts = { form: this.form, token, tab: this.client.tab.id, leaving, rid };
    if (leaving) {
      this.client.supervisor.send(this.client.uris.procedure('unlock'), facts);
      return;
    }
    try {
      const { value } = await this.#call('unlock', facts);
      this.input({ type: 'unlocked', rid, rev: /** @type {any} */ (value).rev ?? null });
    } catch (reason) {
      const { code } = CallError.from(reason);
      if (code !== 'closed' && code !== 'timeout') this.input({ type: 'unlocked', rid, rev: null }); // it is not ours any more: as wanted
    }
  }

  /** @param {Record<string, any> | undefined} answer @param {number} token what it is about: not ours any more, perhaps @param {number} sent */
  renewed(answer, token, sent) {
    if (answer?.event === 'renewed') {
      this.input({ type: 'renewed', sent, grant: /** @type {any} */ (answer) });
      if (this.token === token) this.#mark();
    } else if (answer?.event === 'lost') {
      this.input({ type: 'renewal lost', token, holder: answer.holder ?? null });
    } else {
      this.input({ type: 'unanswered' });
    }
  }

  /** @param {Record<string, any>} facts */
  #event(facts) {
    if (this.#gone) return;
    if (facts.status === 'updated') this.#updated(/** @type {any} */ (facts));
    else if (facts.status === 'probe') this.input({ type: 'probe' });
    else if (typeof facts.rev === 'number') {
      this.input({ type: 'event', status: facts.status, cause: facts.cause ?? null, snapshot: /** @type {any} */ (facts) });
      if (facts.status === 'handover') this.dispatchEvent(new CustomEvent('handover', { detail: facts }));
    }
  }

  /** @param {Update} update */
  #updated(update) {
    const { epoch, seq } = update;
    if (epoch !== undefined && seq !== undefined) {
      if (this.#early) {
        this.#early.push(update);
        return;
      }
      const last = this.#last;
      if (last && last.epoch === epoch && seq <= last.seq) return;
      if (last && (last.epoch !== epoch || seq > last.seq + 1)) {
        void this.#catchUp(update); // there was one between
        return;
      }
      this.#last = { epoch, seq };
    }
    this.#tell(update);
  }

  /** @param {Update} update */
  #tell(update) {
    const { tab, sessions } = this.client;
    const own = update.origin !== undefined && (update.origin === tab.id || sessions.includes(update.origin));
    this.dispatchEvent(new CustomEvent(own ? 'saved' : 'updated', { detail: update }));
  }

  /**
   * Asks for the updates that were missed: after every subscription, and when a number was left out. The very first answer says only
   * where we are; what comes meanwhile is then told at once, later it waits for its turn.
   * @param {Update} [next] the one that showed the gap
   */
  async #catchUp(next) {
    if (this.#early) return;
    const since = this.#last;
    if (since) this.#early = next ? [next] : [];
    let lost = false;
    try {
      const { value } = await this.#call('updates', since ? { form: this.form, since: since.seq } : { form: this.form });
      const { epoch, seq, complete, updates } = /** @type {{epoch: string, seq: number, complete: boolean, updates: Update[]}} */ (/** @type {unknown} */ (value));
      if (since || !this.#last) this.#last = { epoch, seq };
      if (since && (epoch !== since.epoch || (!complete && seq > since.seq))) this.#tell({ form: this.form, epoch, seq, missed: true });
      else if (since) for (const update of updates) this.#tell(update);
    } catch (error) {
      const { code } = CallError.from(error);
      lost = code === 'closed' || code === 'timeout'; // then the next subscription asks, from the same number on
      if (!lost && this.#early?.length) this.#last = null; // nobody can say: take what comes
    }
    const early = this.#early ?? [];
    this.#early = null;
    if (!lost) for (const update of early) this.#updated(update);
  }

  /** @param {string} procedure @param {object} facts */
  #call(procedure, facts) {
    return this.client.supervisor.call(this.client.uris.procedure(procedure), facts);
  }

  /** Remember over a reload that this tab is editing. */
  #mark() {
    this.client.tab.mark(this.form, this.client.page(), Date.now());
  }

  #settle() {
    if (!this.#waiting.length) return;
    if (this.name === 'mine') for (const { resolve } of this.#waiting.splice(0)) resolve();
    else if (!this.#state.asking && !this.#state.grant) {
      for (const { reject } of this.#waiting.splice(0)) reject(new CallError('ended', 'Asking for the form has ended'));
    }
  }

  /** @param {string} rid @param {CallError} error */
  #refuse(rid, error) {
    const mine = this.#waiting.filter((waiting) => waiting.rid === rid);
    this.#waiting = this.#waiting.filter((waiting) => waiting.rid !== rid);
    for (const { reject } of mine) reject(error);
  }
}

/** The public state inside a refusal. @param {Record<string, any>} facts @returns {Snapshot | null} */
function refusal(facts) {
  if (typeof facts.rev !== 'number' || typeof facts.epoch !== 'string') return null;
  return {
    state: 'held', holder: facts.holder ?? null, since_ms: facts.since_ms ?? null, expires_in_ms: facts.expires_in_ms ?? null,
    note: facts.note ?? null, token: facts.token ?? null, epoch: facts.epoch, rev: facts.rev,
  };
}
