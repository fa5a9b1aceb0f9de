// Connections to one server, and the three kinds of work they do. Each answer and each event is checked: what is counted as work was right.

const OPENING_AT_ONCE = 20;

export class Crew {
  #form;
  #callers = [];
  #subscribers = [];
  #awaited = null;
  #updates = { seq: 0, target: 0, first: null, last: null, reached: null };
  #fail;

  /** `form`: what its subscribers have open, and the beginning of the names of the forms that its callers lock. */
  constructor(form) {
    this.#form = form;
    /** Rejected by the first thing that goes wrong at any time. */
    this.broken = new Promise((_resolve, reject) => { this.#fail = reject; });
    this.broken.catch(() => {});
  }

  /** Connects, subscribes, and waits until each subscriber has been greeted: from then on it must miss nothing. */
  async open(Dialect, url, { callers, subscribers }) {
    const connect = async (user) => {
      const connection = new Dialect(url, user);
      connection.onFailure = this.#fail;
      await connection.opened;
      return connection;
    };
    for (let number = 0; number < callers; number++) this.#callers.push(await connect(`caller-${number}`));
    for (let from = 0; from < subscribers; from += OPENING_AT_ONCE) {
      const numbers = Array.from({ length: Math.min(OPENING_AT_ONCE, subscribers - from) }, (_, index) => from + index);
      await Promise.all(numbers.map(async (number) => {
        const connection = await connect(`subscriber-${number}`);
        const subscriber = { connection, rev: null };
        const greeted = new Promise((resolve) => { subscriber.greeted = resolve; });
        connection.onEvent = (facts) => this.#told(subscriber, facts);
        this.#subscribers.push(subscriber);
        await Promise.all([connection.subscribe(this.#form), greeted]);
      }));
    }
  }

  /** Pairs of lock and unlock, `together` calls in flight all the time, each lane on a form of its own. Answers the calls made. */
  async pairs(count, together) {
    const started = performance.now();
    let left = count, calls = 0;
    const lane = async (number) => {
      const caller = this.#callers[number % this.#callers.length];
      const form = `${this.#form}-${number}`, tab = `tab-${number}`;
      let last = 0;
      while (left-- > 0) {
        const got = await caller.call('lock', { form, tab });
        expect(got.event === 'lock' && got.form === form && got.token > last, 'lock was answered', got);
        last = got.token;
        const freed = await caller.call('unlock', { form, token: got.token, tab });
        expect(freed.event === 'released' && freed.form === form && freed.rev === got.rev + 1, 'unlock was answered', freed);
        calls += 2;
      }
    };
    await Promise.all(Array.from({ length: together }, (_, number) => lane(number)));
    return { operations: calls, seconds: (performance.now() - started) / 1000 };
  }

  /** Pairs of lock and unlock of the subscribed form, one call after another, each when all have been told of the one before. */
  async events(count) {
    const started = performance.now(), lastMs = [], form = this.#form, tab = 'tab';
    const [caller] = this.#callers;
    for (let number = 0; number < count; number++) {
      const got = await this.#telling('edit', () => caller.call('lock', { form, tab }), lastMs);
      await this.#telling('released', () => caller.call('unlock', { form, token: got.token, tab }), lastMs);
    }
    const operations = lastMs.length * this.#subscribers.length;
    return { operations, seconds: (performance.now() - started) / 1000, last_ms: lastMs };
  }

  /** Waits until the one subscriber has been told of so many more updates. Their rate counts from the first to the last. */
  async updates(count) {
    const updates = this.#updates;
    const before = updates.target;
    updates.target += count;
    if (updates.seq < updates.target) await new Promise((resolve) => { updates.reached = resolve; });
    const seconds = (updates.last - updates.first) / 1000;
    updates.first = null;
    return { operations: updates.target - before, seconds };
  }

  /** The end: nothing may have come that was not waited for. */
  close() {
    expect(this.#updates.seq === this.#updates.target, `of ${this.#updates.target} updates came`, this.#updates.seq);
    for (const connection of [...this.#callers, ...this.#subscribers.map((subscriber) => subscriber.connection)]) connection.close();
  }

  // -- what the server tells

  #told(subscriber, facts) {
    expect(facts.form === this.#form, 'an event of another form', facts);
    switch (facts.status) {
      case 'subscribed':
        expect(subscriber.rev === null, 'a second greeting', facts);
        subscriber.rev = facts.rev;
        return subscriber.greeted();
      case 'viewers':
        return undefined; // who else has the form open; once a second at most, and nobody waits for it
      case 'updated':
        return this.#updated(facts);
      default:
        return this.#changed(subscriber, facts);
    }
  }

  #changed(subscriber, facts) {
    const awaited = this.#awaited;
    expect(awaited?.status === facts.status && facts.rev === subscriber.rev + 1, 'an event that is doubled or out of order', facts);
    subscriber.rev = facts.rev;
    if (--awaited.missing === 0) awaited.all(performance.now());
  }

  /** A call of which every subscriber is told; the time from its sending to the last of them goes into `lastMs`. */
  async #telling(status, call, lastMs) {
    const told = new Promise((resolve) => { this.#awaited = { status, missing: this.#subscribers.length, all: resolve }; });
    const started = performance.now();
    const [answer, last] = await Promise.all([call(), told]);
    this.#awaited = null;
    lastMs.push(last - started);
    return answer;
  }

  #updated(facts) {
    const updates = this.#updates;
    // One event may stand for several (`first` to `seq`).
    expect((facts.first ?? facts.seq) === updates.seq + 1, `after update ${updates.seq} came`, facts);
    updates.last = performance.now();
    // The pusher may be faster than the command to wait for it.
    updates.first ??= updates.last;
    updates.seq = facts.seq;
    if (updates.seq === updates.target && updates.reached) {
      updates.reached();
      updates.reached = null;
    }
  }
}

function expect(right, what, got) {
  if (!right) throw new Error(`${what}: ${JSON.stringify(got)}`);
}
