// The rival's form lock: our rules as far as a server that keeps everything in memory would go. Owners, leases, grace and rising tokens;
// nothing is durable, nobody is authorized, no attempt is remembered, and nothing is logged.
import { randomBytes } from 'node:crypto';

const TTL_MS = 90_000, RENEW_MS = 25_000, GRACE_MS = 30_000, SWEEP_MS = 1_000;
const FORM = /^com\.example\.form\.[A-Za-z0-9_:-]{1,64}\.[A-Za-z0-9_:-]{1,64}$/;
const PART = /^[A-Za-z0-9_:-]{1,64}$/;

/** An error that the caller is told by its name. */
export class Refused extends Error {}

export class FormLocks {
  epoch = randomBytes(4).toString('hex');
  #forms = new Map();
  #leased = new Set();
  #tell;

  /** `tell(form, facts, except)`: to all who have the form open, but for one session. */
  constructor(tell) {
    this.#tell = tell;
    setInterval(() => this.#sweep(), SWEEP_MS).unref();
  }

  lock({ form, tab, note = null }, session, user) {
    const state = this.#state(form);
    if (typeof tab !== 'string' || !PART.test(tab)) throw new Refused('invalid_argument');
    const { lease } = state;
    if (lease !== null && !(lease.user.user === user.user && lease.tab === tab)) throw new Refused('form_locked');
    const now = Date.now();
    if (lease === null) {
      state.token += 1;
      state.rev += 1;
      state.lease = { user, tab, session, note, since: now, deadline: now + TTL_MS };
      this.#leased.add(state);
      this.#publish(state, 'edit', {}, session);
    } else {
      Object.assign(lease, { session, deadline: now + TTL_MS });
    }
    return { event: 'lock', form, token: state.token, epoch: this.epoch, rev: state.rev, lease_ms: TTL_MS, renew_ms: RENEW_MS };
  }

  unlock({ form, token, tab }, user) {
    const state = this.#state(form);
    const { lease } = state;
    if (lease === null || state.token !== token || lease.tab !== tab || lease.user.user !== user.user) throw new Refused('not_holder');
    this.#free(state, 'unlock');
    return { event: 'released', form, rev: state.rev };
  }

  renew({ form, token, tab }, session, user) {
    const { lease, token: current } = this.#state(form);
    if (lease === null || current !== token || lease.tab !== tab || lease.user.user !== user.user) throw new Refused('lost');
    Object.assign(lease, { session, deadline: Date.now() + TTL_MS });
    return { event: 'renewed', form, token, lease_ms: TTL_MS, renew_ms: RENEW_MS };
  }

  sessionLost(session) {
    for (const { lease } of this.#leased) {
      if (lease.session === session) Object.assign(lease, { session: null, deadline: Math.min(lease.deadline, Date.now() + GRACE_MS) });
    }
  }

  /** What a subscriber needs to know of a form. */
  snapshot(form) {
    const state = this.#state(form);
    const { lease } = state;
    const now = Date.now();
    return {
      form,
      state: lease === null ? 'free' : lease.session === null ? 'grace' : 'held',
      holder: lease === null ? null : lease.user,
      since_ms: lease === null ? null : now - lease.since,
      expires_in_ms: lease === null ? null : lease.deadline - now,
      note: lease === null ? null : lease.note,
      token: state.token,
      epoch: this.epoch,
      rev: state.rev,
      at: now,
    };
  }

  #state(form) {
    if (typeof form !== 'string' || !FORM.test(form)) throw new Refused('invalid_form');
    let state = this.#forms.get(form);
    if (!state) this.#forms.set(form, state = { form, token: 0, rev: 0, lease: null });
    return state;
  }

  #free(state, cause) {
    state.lease = null;
    state.rev += 1;
    this.#leased.delete(state);
    this.#publish(state, 'released', { cause }, null);
  }

  #sweep() {
    const now = Date.now();
    for (const state of this.#leased) {
      if (state.lease.deadline <= now) this.#free(state, state.lease.session === null ? 'session_lost' : 'expired');
    }
  }

  #publish(state, status, more, except) {
    this.#tell(state.form, { ...this.snapshot(state.form), ...more, status }, except);
  }
}
