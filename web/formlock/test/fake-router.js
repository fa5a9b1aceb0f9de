// A small WAMP router with the lock service inside, for tests: it speaks the protocol as docs/reference/wamp.md says, and can be told to misbehave.
import { createServer } from 'node:http';

import { WebSocketServer } from 'ws';

const ERROR = 'com.example.formlock.error.';
const LEASE = { lease_ms: 90_000, renew_ms: 25_000 };

export class FakeRouter {
  /** Every call that came, in order: {procedure, facts, session}. */
  calls = [];
  /** Every HELLO. */
  hellos = [];
  /** Answers given before any other: (procedure, facts) => 'silent' | {error, args, kwargs} | undefined. */
  hook = () => undefined;
  /** When set, each HELLO is answered by ABORT with this reason. */
  abort = null;
  lease = { ...LEASE };
  /** Of `list`. */
  pageSize = 100;
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
    if (!form) this.#forms.set(topic, (form = { topic, owner: null, session: null, token: 0, rev: 0, epoch: 'e1', at: 0 }));
    return form;
  }

  snapshot(form) {
    return {
      form: form.topic, state: form.owner ? 'held' : 'free', holder: form.owner && { user: form.owner.user, name: form.owner.name },
      since_ms: form.owner ? Date.now() - form.at : null, expires_in_ms: form.owner ? this.lease.lease_ms : null, note: null,
      token: form.token || null, epoch: form.epoch, rev: form.rev,
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
    if (!lost) this.publish(topic, update);
  }

  event(form, status, facts = {}) {
    return { ...this.snapshot(form), status, ...facts };
  }

  free(form, cause, but = null) {
    form.owner = form.session = null;
    form.rev += 1;
    this.publish(form.topic, this.event(form, 'released', { cause }), { but });
  }

  #connected(socket) {
    const session = { id: this.#nextSession++, socket, subscriptions: new Map(), prefixes: new Map(), user: null, name: null, send: (message) => socket.send(JSON.stringify(message)) };
    socket.on('message', (data) => this.#message(session, JSON.parse(String(data))));
    socket.on('close', () => {
      this.#sessions.delete(session.id);
      for (const form of this.#forms.values()) if (form.session === session) form.session = null;
    });
  }

  #message(session, [type, ...rest]) {
    if (type === 1) {
      this.hellos.push(rest);
      if (this.abort) {
        session.send([3, {}, this.abort]);
        return;
      }
      Object.assign(session, rest[1].authextra);
      this.#sessions.set(session.id, session);
      session.send([2, session.id, { roles: { broker: {}, dealer: {} } }]);
    } else if (type === 6) {
      session.send([6, {}, 'wamp.close.goodbye_and_out']);
    } else if (type === 32) {
      const [request, options, topic] = rest;
      const id = 1000 + session.subscriptions.size + session.prefixes.size;
      if (options.match === 'prefix') {
        session.prefixes.set(topic, id);
        session.send([33, request, id]);
        return;
      }
      session.subscriptions.set(topic, id);
      session.send([33, request, id]);
      const form = this.form(topic);
      this.publish(topic, this.event(form, 'subscribed'), { only: session });
      if (form.owner) this.publish(topic, this.event(form, 'locked'), { only: session });
    } else if (type === 48) {
      const [request, , procedure, , facts] = rest;
      this.calls.push({ procedure, facts, session });
      for (const wake of this.#waiting.splice(0)) wake();
      const answer = this.hook(procedure, facts, session) ?? this.#answer(procedure, facts, session);
      if (answer === 'silent') return;
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
          return { event: 'renewed', ...this.#grant(form) };
        }),
      };
    }
    if (method === 'updates') {
      const { epoch, updates } = this.journal;
      const { since = updates.length } = facts;
      const kept = since > updates.length ? [] : updates.slice(since).filter((update) => !update.forgotten);
      return { form: facts.form, epoch, seq: updates.length, complete: since <= updates.length && kept.length === updates.length - since, updates: kept };
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
      if (form.owner && !(same && (form.session === null || form.session === session))) {
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
    return { error: 'wamp.error.no_such_procedure' };
  }
}
