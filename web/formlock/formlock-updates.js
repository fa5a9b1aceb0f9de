// What backends report, each once and in order: of the forms that are open, of the records whose sections are, and of many records of their
// types. Loaded after the first subscription.

/** @typedef {import('./lock.js').Update} Update */
/** @typedef {import('./lock.js').FormLock} FormLock */
/** @typedef {{epoch: string, seq: number}} Mark */
/** One page of them; `until`: where the next one goes on, if there is one. @typedef {{epoch: string, seq: number, until?: number, complete: boolean, updates: Update[]}} Missed */

/** Whoever missed more pages than this reads the record again. */
const MOST_PAGES = 20;

/** Of a page's client. */
export class Updates {
  /** @type {WeakMap<FormLock, Feed>} */ #feeds = new WeakMap();
  /** Topics that are no lock's own, with the session in which they were subscribed. @type {Map<string, {feed: Feed, session: number | null, end: () => void}>} */ #others = new Map();

  /** @param {import('./client.js').FormLockClient} client */
  constructor(client) {
    this.client = client;
  }

  /** After every subscription of the form. @param {FormLock} lock */
  joined(lock) {
    void this.#of(lock).joined();
    void this.#listen(bulkOf(this.client, lock.form), 'bulk', (update, topic) => this.#tellAll(topic, update));
    // Applications report the record, whose page the section is a part of.
    if (this.client.uris.isSection(lock.form)) void this.#listen(recordOf(this.client, lock.form), 'updated', (update, topic) => this.#tellSections(topic, update));
  }

  /** @param {FormLock} lock @param {Update} update */
  heard(lock, update) {
    this.#of(lock).heard(update);
  }

  /** @param {FormLock} lock @returns {Feed} */
  #of(lock) {
    let feed = this.#feeds.get(lock);
    if (!feed) {
      this.#feeds.set(lock, (feed = this.#feed(lock.form, lock, (update) => this.#tell(lock, update))));
      lock.addEventListener('change', () => lock.gone && this.#leave(lock.form));
    }
    return feed;
  }

  /** @param {string} topic @param {{last: Mark | null}} at @param {(update: Update) => void} tell */
  #feed(topic, at, tell) {
    const { supervisor, uris } = this.client;
    /** @param {number | null} since */
    const ask = async (since) => /** @type {any} */ ((await supervisor.call(uris.procedure('updates'), { form: topic, ...(since !== null && { since }) })).value);
    return new Feed(topic, at, ask, tell, () => this.client.rightsOn(topic));
  }

  /**
   * Once per topic and session. Whoever may not hear of it has no such news.
   * @param {string} topic @param {'bulk' | 'updated'} status @param {(update: Update, topic: string) => void} tell
   */
  async #listen(topic, status, tell) {
    const { supervisor } = this.client;
    let other = this.#others.get(topic);
    if (!other) this.#others.set(topic, (other = { feed: this.#feed(topic, { last: null }, (update) => tell(update, topic)), session: null, end: () => {} }));
    if (other.session === supervisor.session) return;
    other.session = supervisor.session;
    const { feed } = other;
    try {
      other.end = await supervisor.subscribe(topic, (facts) => facts.status === status && feed.heard(/** @type {any} */ (facts)));
      if (this.#others.get(topic) !== other) other.end();
      else await feed.joined();
    } catch {
      // not allowed, or a connection that ended: the next one asks again
    }
  }

  /** A form is no longer on the page. Whoever has no section of a record open does not look at it. @param {string} form */
  #leave(form) {
    const { uris, locks } = this.client;
    const record = recordOf(this.client, form);
    if (locks.some((lock) => !lock.gone && uris.isSection(lock.form) && recordOf(this.client, lock.form) === record)) return;
    this.#others.get(record)?.end();
    this.#others.delete(record);
  }

  /** @param {string} topic @param {Update} update */
  #tellAll(topic, update) {
    const { uris, locks } = this.client;
    if (this.#isOwn(update)) return;
    for (const lock of locks) {
      if (bulkOf(this.client, lock.form) === topic && (!update.ids || update.ids.includes(uris.nameOf(lock.form).split('.')[1]))) lock.fire('bulk', update);
    }
  }

  /** @param {string} record @param {Update} update */
  #tellSections(record, update) {
    for (const lock of this.client.locks) if (lock.form.startsWith(`${record}.`)) this.#tell(lock, update);
  }

  /** @param {FormLock} lock @param {Update} update */
  #tell(lock, update) {
    lock.fire(this.#isOwn(update) ? 'saved' : 'updated', update);
  }

  /** Whether it was this tab that saved it (U13). @param {Update} update */
  #isOwn({ origin }) {
    const { tab, sessions } = this.client;
    return origin !== undefined && (origin === tab.id || sessions.includes(origin));
  }
}

/** The topic of changes of many records of a form's type. @param {import('./client.js').FormLockClient} client @param {string} form */
function bulkOf({ uris }, form) {
  return `${uris.formsOf(uris.nameOf(form).split('.')[0])}*`;
}

/** The topic of the record that a form is, or is a section of. @param {import('./client.js').FormLockClient} client @param {string} form */
function recordOf({ uris }, form) {
  const [type = '', id] = uris.nameOf(form).split('.');
  return uris.formsOf(type) + id;
}

/** Whether the connection is what failed. Not CallError's own: this part would bring that with it. @param {any} error */
function isLine({ code }) {
  return code === 'closed' || code === 'timeout';
}

/** The updates of one topic. */
export class Feed {
  /** @type {Update[] | null} those that come while the missed ones are asked for */ #early = null;
  /** Whether a connection has ended before the bridge said where it is: a gap of unknown size. */
  #unsure = false;

  /**
   * @param {string} topic
   * @param {{last: Mark | null}} at the last one that we know of
   * @param {(since: number | null) => Promise<Missed>} ask what there is after that number; null: only where the bridge is
   * @param {(update: Update) => void} tell
   * @param {() => string[] | null} rights of this user, for updates that were cut; null: not known
   */
  constructor(topic, at, ask, tell, rights) {
    this.topic = topic;
    this.at = at;
    this.ask = ask;
    this.tell = tell;
    this.rights = rights;
  }

  /** The first time it asks only where the bridge is, later what was missed meanwhile. */
  async joined() {
    if (this.at.last && !this.#unsure) {
      await this.#catchUp();
      return;
    }
    try {
      const { epoch, seq } = await this.ask(null);
      this.at.last ??= { epoch, seq };
      if (this.#unsure) this.tell({ form: this.topic, epoch, seq, missed: true });
      this.#unsure = false;
    } catch (error) {
      if (isLine(error)) this.#unsure = true; // else nobody can say: what comes is taken as it comes
    }
  }

  /** @param {Update} update */
  heard(update) {
    const { epoch, seq, redacted } = update;
    if (epoch === undefined || seq === undefined) {
      this.tell(update);
      return;
    }
    if (this.#early) {
      this.#early.push(update);
      return;
    }
    const first = update.first ?? seq; // several may have been folded into one
    const last = this.at.last;
    if (last?.epoch === epoch && seq <= last.seq) return;
    const rights = this.rights();
    const cut = redacted?.some((right) => !rights || rights.includes(right) || rights.includes('*'));
    if (cut || (last && (last.epoch !== epoch || first > last.seq + 1))) {
      this.at.last ??= { epoch, seq: first - 1 };
      void this.#catchUp(update);
      return;
    }
    this.at.last = { epoch, seq };
    this.tell(update);
  }

  /** Asks for what came after the last one that we know of, until it is there; what comes meanwhile waits for its turn. @param {Update} [next] the one that showed the gap */
  async #catchUp(next) {
    if (this.#early || !this.at.last) return;
    this.#early = next ? [next] : [];
    let lost = false;
    try {
      let page = 1;
      while (await this.#page(this.at.last, page === MOST_PAGES)) page += 1;
    } catch (error) {
      lost = isLine(error); // then the next subscription asks, from the last one that was told on
      const { last } = this.at;
      const first = this.#early.find(({ epoch, seq = 0 }) => epoch !== last.epoch || seq > last.seq);
      if (!lost && first?.epoch !== undefined && first.seq !== undefined) {
        this.at.last = { epoch: first.epoch, seq: first.seq }; // nobody can say: take what came
        this.tell(first);
      }
    }
    const early = this.#early;
    this.#early = null;
    if (!lost) for (const update of early) this.heard(update);
  }

  /** Asks for one page and tells it. @param {Mark} since @param {boolean} last there is no time for more @returns {Promise<boolean>} whether there are more */
  async #page(since, last) {
    const { epoch, seq, until = seq, complete, updates } = await this.ask(since.seq); // a bridge that knows no pages says no `until`
    let missed = epoch !== since.epoch || (!complete && seq > since.seq);
    if (!missed) {
      this.at.last = { epoch, seq: until };
      for (const update of updates) this.tell(update);
      missed = last && until < seq;
    }
    if (missed) {
      this.at.last = { epoch, seq };
      this.tell({ form: this.topic, epoch, seq, missed });
    }
    return !missed && until < seq;
  }
}
