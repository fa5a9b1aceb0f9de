// A small WAMP router with the lock service inside, for tests: it speaks the protocol as docs/reference/wamp.md says, and can be told to misbehave.
import { createServer } from 'node:http';

import { WebSocketServer } from 'ws';

const ERROR = 'com.example.formlock.error.';
const LEASE = { lease_ms: 90_000, renew_ms: 25_000 };

export class FakeRouter {
  /** Every call that came, in order: {procedure, facts, session}. */
  calls = [];
  /** Every topic that was subscribed, in order. */
  subscribed = [];
  /** Every HELLO. */
  hellos = [];
  /** Answers given before any other: (procedure, facts) => 'silent' | {error, args, kwargs} | undefined. */
  hook = () => undefined;
  /** When set, each HELLO is answered by ABORT with this reason; 'silent': not at all. */
  abort = null;
  lease = { ...LEASE };
  /** When set, HELLO has to bring one of these as its ticket. */
  tickets = null;
  /** What WELCOME says of the caller. */
  extra = {};
  /** How long the old holder's page has before a takeover, in milliseconds. */
  handoverMs = 0;
  /** Of `list`. */
  pageSize = 100;
  /** Of `updates`. */
  updatesPage = Infinity;
  /** What the bridge remembers of each form. */
  journal = { epoch: 'b1', updates: [] };
  #sessions = new Map();
  #forms = new Map();
  #nextSession = 1;
  #waiting = [];

  constructor({ serve = null } = {}) {
    this.http = createServer(serve ?? ((_request, response) => response.writeHead(404).end()));
    this.sockets = new WebSocketServer({ server: this.http, handleProtocols: () => 'wamp.2.json' });
    this.sockets.on('connection', (socket) => this.#connected(socket));
  }

  async listen(port = 0) {
    await new Promise((resolve) => this.http.listen(port, '127.0.0.1', resolve));
    this.port = this.http.address().port;
    this.url = `ws://127.0.0.1:${this.port}/ws`;
    return this;
  }

  async close() {
    this.drop();
    await new Promise((resolve) => this.http.close(resolve));
  }

  /** Every connection breaks, without a word. */
  drop() {
    for (const socket of this.sockets.clients) socket.terminate();
  }

  /** Resolves with the next call of that procedure that has not been waited for. */
  async called(procedure, after = 0) {
    for (;;) {
      const found = this.calls.slice(after).find((call) => call.procedure.endsWith(procedure));
      if (found) return found;
      await new Promise((resolve) => this.#waiting.push(resolve));
    }
  }

  get sessions() {
    return [...this.#sessions.values()];
  }

  form(topic) {
    let form = this.#forms.get(topic);
    if (!form) this.#forms.set(topic, (form = { topic, owner: null, session: null, token: 0, rev: 0, epoch: 'e1', at: 0, waiters: [], asks: [], kept: 0, unclaimed: false, handover: null, drafts: [], numbers: 0 }));
    return form;
  }

  snapshot(form) {
    return {
      form: form.topic, state: form.owner ? 'held' : 'free', holder: form.owner && { user: form.owner.user, name: form.owner.name },
      since_ms: form.owner ? Date.now() - form.at : null, expires_in_ms: form.owner ? this.lease.lease_ms : null, note: null,
      token: form.token || null, epoch: form.epoch, rev: form.rev,
      ...(form.waiters.length && { waiters: form.waiters.map(({ number, user, name }) => ({ number, user, name })) }),
      ...(form.asks.length && { asks: form.asks, answer_in_ms: 60_000 }),
      ...(form.handover && { handover: { user: form.handover.user, name: form.handover.name, reason: form.handover.reason, in_ms: this.handoverMs } }),
    };
  }

  /** An event to the subscribers of a form. */
  publish(topic, facts, { only = null, but = null } = {}) {
    for (const session of this.#sessions.values()) {
      const subscription = session.subscriptions.get(topic) ?? [...session.prefixes].find(([prefix]) => topic.startsWith(prefix))?.[1];
      if (subscription === undefined || (only && session !== only) || session === but) continue;
      session.send([36, subscription, 1, {}, [], { form: topic, at: Date.now(), ...facts }]);
    }
  }

  /** A backend reports a change; `lost`: nobody is told. */
  update(topic, facts = {}, { lost = false } = {}) {
    const { epoch, updates } = this.journal;
    const update = { form: topic, status: 'updated', epoch, seq: updates.length + 1, ...facts };
    updates.push(update);
    const told = { ...update };
    delete told.full; // what only those hear of who ask for it and have the right
    if (!lost) this.publish(topic, told);
  }

  event(form, status, facts = {}) {
    return { ...this.snapshot(form), status, ...facts };
  }

  /** A change that everybody is told. */
  tell(form, status, facts = {}, how = {}) {
    form.rev += 1;
    this.publish(form.topic, this.event(form, status, facts), how);
  }

  /** The form is free, and whose turn it is in the line has it. */
  free(form, cause, but = null) {
    form.owner = form.session = null;
    form.asks = [];
    this.tell(form, 'released', { cause }, { but });
    const next = form.waiters.shift();
    if (!next) return;
    this.#give(form, next, next.session);
    form.unclaimed = true;
    this.publish(form.topic, this.event(form, 'granted', { number: next.number }), { only: next.session });
  }

  /** @returns {object} */
  #give(form, { user, name, tab }, session) {
    form.owner = { user, name, tab };
    form.token += 1;
    form.at = Date.now();
    form.session = session;
    form.asks = [];
    this.tell(form, 'edit', {}, { but: session });
    return { event: 'lock', ...this.#grant(form) };
  }

  #takeOver(form, by, reason) {
    form.owner = null;
    form.handover = null;
    this.tell(form, 'takeover', { by: { user: by.user, name: by.name }, reason });
    return this.#give(form, by, by.session);
  }

  #connected(socket) {
    const session = { id: this.#nextSession++, socket, subscriptions: new Map(), prefixes: new Map(), user: null, name: null, send: (message) => socket.send(JSON.stringify(message)) };
    socket.on('message', (data) => this.#message(session, JSON.parse(String(data))));
    socket.on('close', () => {
      this.#sessions.delete(session.id);
      for (const form of this.#forms.values()) if (form.session === session) form.session = null;
    });
  }

  #welcome(session, { user, name }) {
    Object.assign(session, { user, name });
    this.#sessions.set(session.id, session);
    session.send([2, session.id, { roles: { broker: {}, dealer: {} }, authid: user, authextra: { user, name, ...this.extra } }]);
  }

  #message(session, [type, ...rest]) {
    if (type === 1) {
      this.hellos.push(rest);
      if (this.abort === 'silent') return;
      if (this.abort) {
        session.send([3, {}, this.abort]);
        return;
      }
      session.hello = rest[1];
      if (this.tickets) session.send([4, 'ticket', {}]);
      else this.#welcome(session, rest[1].authextra);
    } else if (type === 5) {
      const claims = this.tickets[rest[0]];
      if (claims) this.#welcome(session, claims);
      else session.send([3, {}, 'wamp.error.authentication_failed']);
    } else if (type === 6) {
      session.send([6, {}, 'wamp.close.goodbye_and_out']);
    } else if (type === 32) {
      const [request, options, topic] = rest;
      this.subscribed.push(topic);
      const id = session.subscriptions.get(topic) ?? 1000 + this.subscribed.length; // of one topic it is the same
      if (options.match === 'prefix') {
        session.prefixes.set(topic, id);
        session.send([33, request, id]);
        return;
      }
      session.subscriptions.set(topic, id);
      session.send([33, request, id]);
      if (topic.endsWith('.*')) return;
      const form = this.form(topic);
      this.publish(topic, this.event(form, 'subscribed'), { only: session });
      if (form.owner) this.publish(topic, this.event(form, 'locked'), { only: session });
    } else if (type === 34) {
      const [request, id] = rest;
      for (const kind of [session.subscriptions, session.prefixes]) for (const [topic, known] of kind) if (known === id) kind.delete(topic);
      session.send([35, request]);
    } else if (type === 48) {
      const [request, , procedure, , facts] = rest;
      this.calls.push({ procedure, facts, session });
      for (const wake of this.#waiting.splice(0)) wake();
      const answer = this.hook(procedure, facts, session) ?? this.#answer(procedure, facts, session);
      if (answer === 'silent') return;
      if (typeof answer.then === 'function') {
        answer.then((later) => session.send([50, request, {}, [later]]));
        return;
      }
      if (answer.error) session.send([8, 48, request, {}, answer.error, answer.args ?? [], answer.kwargs ?? {}]);
      else session.send([50, request, {}, [answer]]);
    }
  }

  #grant(form) {
    return { form: form.topic, token: form.token, epoch: form.epoch, rev: form.rev, ...this.lease };
  }

  #answer(procedure, facts, session) {
    const method = procedure.split('.').pop();
    if (method === 'renew') {
      return {
        locks: facts.locks.map(({ form: topic, token }) => {
          const form = this.form(topic);
          if (form.owner?.tab !== facts.tab || form.token !== token) return { form: topic, event: 'lost', holder: form.owner && { user: form.owner.user, name: form.owner.name } };
          form.session = session;
          form.unclaimed = false;
          return { event: 'renewed', ...this.#grant(form) };
        }),
      };
    }
    if (method === 'updates') {
      const { epoch, updates } = this.journal;
      const { since = updates.length } = facts;
      if (facts.form.endsWith('.*')) return { form: facts.form, epoch, seq: 0, complete: true, updates: [] };
      const kept = since > updates.length ? [] : updates.slice(since).filter((update) => !update.forgotten).map(({ full, ...update }) => ({ ...update, ...full }));
      const page = kept.slice(0, this.updatesPage);
      return {
        form: facts.form, epoch, seq: updates.length, ...(page.length < kept.length && { until: page.at(-1).seq }),
        complete: since <= updates.length && kept.length === updates.length - since, updates: page,
      };
    }
    if (method === 'list') {
      const held = [...this.#forms.values()].filter(({ owner, topic }) => owner && topic.split('.')[3] === facts.type);
      const later = held.map(({ topic }) => topic).sort().filter((topic) => !facts.after || topic > facts.after);
      const page = later.slice(0, this.pageSize);
      return { forms: page.map((topic) => this.snapshot(this.form(topic))), after: later.length > page.length ? page.at(-1) : null, epoch: 'e1' };
    }
    const form = this.form(facts.form);
    if (method === 'status') return this.snapshot(form);
    if (method === 'lock') {
      const same = form.owner && form.owner.user === session.user && form.owner.tab === facts.tab;
      const free = !form.owner || (same && (form.session === null || form.session === session));
      if (!free && facts.wait) {
        let waiter = form.waiters.find(({ user, tab }) => user === session.user && tab === facts.tab);
        if (!waiter) {
          form.waiters.push((waiter = { number: (form.numbers += 1), user: session.user, name: session.name, tab: facts.tab }));
          this.tell(form, 'queued', { number: waiter.number });
        }
        waiter.session = session;
        return { event: 'queued', form: form.topic, number: waiter.number, position: form.waiters.indexOf(waiter) + 1, epoch: form.epoch, rev: form.rev };
      }
      if (!free) {
        return { error: `${ERROR}form_locked`, args: ['Form was locked'], kwargs: { ...this.snapshot(form), status: 'locked', same_user: form.owner.user === session.user } };
      }
      if (!same) {
        const back = form.left?.tab === facts.tab && form.left.token === form.token;
        form.owner = { user: session.user, name: session.name, tab: facts.tab };
        form.token += back ? 0 : 1;
        form.rev += 1;
        form.at = Date.now();
        form.session = session;
        this.publish(form.topic, this.event(form, 'edit'), { but: session });
      }
      form.session = session;
      return { event: 'lock', ...this.#grant(form) };
    }
    if (method === 'unlock') {
      if (form.owner?.tab === facts.tab && form.token === facts.token) {
        form.left = facts.leaving ? { tab: facts.tab, token: form.token } : null;
        this.free(form, facts.leaving ? 'left' : 'unlock');
      }
      return { event: 'released', form: form.topic, rev: form.rev };
    }
    const me = { user: session.user, name: session.name, tab: facts.tab, session };
    const holds = form.owner?.user === session.user && form.owner.tab === facts.tab && form.token === facts.token;
    if (method === 'leave_queue') {
      const waiter = form.waiters.find(({ user, tab }) => user === session.user && tab === facts.tab);
      if (waiter) {
        form.waiters = form.waiters.filter((other) => other !== waiter);
        this.tell(form, 'left_queue', { number: waiter.number, cause: 'left' });
      }
      return { event: 'released', form: form.topic, rev: form.rev };
    }
    if (method === 'ask') {
      if (!form.owner || form.session === null) {
        if (form.owner) this.free(form, 'asked');
        return { event: 'released', form: form.topic, rev: form.rev };
      }
      const number = (form.numbers += 1);
      form.asks.push({ number, user: session.user, name: session.name, note: facts.note });
      this.tell(form, 'asked', { number, by: { user: session.user, name: session.name }, note: facts.note });
      return { event: 'asked', form: form.topic, number, answer_in_ms: 60_000, rev: form.rev };
    }
    if (method === 'answer') {
      if (!holds) return { error: `${ERROR}lost` };
      form.asks = [];
      this.tell(form, 'answered', { released: facts.answer === 'release', keep_ms: facts.keep_ms });
      if (facts.answer === 'keep') return { event: 'lock', ...this.#grant(form) };
      this.free(form, 'asked');
      return { event: 'released', form: form.topic, rev: form.rev };
    }
    if (method === 'takeover') {
      if (!form.owner || form.token !== facts.expected_token) return { error: `${ERROR}conflict`, args: ['The form has changed hands meanwhile'], kwargs: { form: form.topic, token: form.token } };
      if (!this.handoverMs || form.owner.user === session.user) return this.#takeOver(form, me, facts.reason);
      return new Promise((resolve) => {
        form.handover = { ...me, reason: facts.reason, moved: () => resolve(this.#takeOver(form, me, facts.reason)) };
        this.tell(form, 'handover', { by: { user: me.user, name: me.name }, reason: facts.reason });
      });
    }
    if (method === 'hand_over') {
      if (!holds && !form.drafts.some(({ token }) => token === facts.token)) return { error: `${ERROR}lost` };
      form.drafts.unshift({ form: form.topic, user: session.user, name: session.name, token: facts.token, at: Date.now(), own: true, draft: facts.draft });
      const moved = form.handover !== null;
      form.handover?.moved();
      return { event: 'handed_over', form: form.topic, rev: form.rev, moved };
    }
    if (method === 'draft') {
      const own = form.drafts.filter(({ user }) => user === session.user);
      const shown = own.find(({ token }) => [undefined, token].includes(facts.token));
      return { form: form.topic, drafts: own.map(({ draft: _draft, ...known }) => known), token: shown?.token ?? null, draft: shown?.draft ?? null };
    }
    if (method === 'forget_draft') {
      const before = form.drafts.length;
      form.drafts = form.drafts.filter(({ user, token }) => user !== session.user || ![undefined, token].includes(facts.token));
      return { form: form.topic, forgotten: before - form.drafts.length };
    }
    return { error: 'wamp.error.no_such_procedure' };
  }
}
