// Where this browser keeps drafts: IndexedDB, one entry for each user and form. Nothing here is an error for the page: a private window,
// a full disk or a database that another tab blocks only mean that nothing is kept.

/** @typedef {import('./values.js').Value} Value */
/** What the record had, and what the person had instead. @typedef {Record<string, {old: Value, mine: Value}>} Texts */
/**
 * `slot`: `now` is what is being typed, `before` is what an earlier visit left and nobody has decided about. `version`: of the record it
 * was made on. `submitted`: it was sent, and nobody said so far that it arrived.
 * @typedef {{user: string, form: string, slot: 'now' | 'before', at: number, version: string | null, submitted: boolean, texts: Texts}} Draft
 */
/** `at` by the wall clock, `bytes` as JSON. @typedef {{key: IDBValidKey, at: number, bytes: number}} Entry */

const NAME = 'formlock';
const STORE = 'drafts';
/** In localStorage: there is something to look for, so that a page without drafts need not load any of this. */
const HINT = 'formlock.drafts';
/** An answer that takes longer is none: another tab may block the database for as long as it lives. */
const LIMIT_MS = 3000;

/** For each browser profile and origin, all users and forms together. A draft older than a month is nobody's present work. */
export const BOUNDS = { drafts: 60, bytes: 4_000_000, days: 30 };
/** Of one draft. */
export const DRAFT_BYTES = 200_000;

/** @param {unknown} value @returns {number} as JSON in UTF-8 */
export function bytesOf(value) {
  return new TextEncoder().encode(JSON.stringify(value)).length;
}

/**
 * The texts that go into so many bytes, small ones first: one enormous field must not cost all others.
 * @param {Texts} texts @param {number} bytes @returns {Texts}
 */
export function fitting(texts, bytes) {
  let left = bytes - 2;
  const names = new Set();
  const sizes = Object.entries(texts).map(([name, text]) => ({ name, size: bytesOf({ [name]: text }) }));
  for (const { name, size } of sizes.sort((one, other) => one.size - other.size)) {
    if (size > left) break;
    left -= size;
    names.add(name);
  }
  return Object.fromEntries(Object.entries(texts).filter(([name]) => names.has(name))); // in the order of the form
}

/** Which entries have to go, the oldest first. @param {Entry[]} entries @param {number} now @param {typeof BOUNDS} [bounds] @returns {IDBValidKey[]} */
export function surplus(entries, now, { drafts, bytes, days } = BOUNDS) {
  let [left, room] = [drafts, bytes];
  return [...entries].sort((one, other) => other.at - one.at).flatMap((entry) => {
    left -= 1;
    room -= entry.bytes;
    return left < 0 || room < 0 || now - entry.at > days * 86_400_000 ? [entry.key] : [];
  });
}

export class DraftStore {
  /** @type {Promise<IDBDatabase> | null} */ #opening = null;

  /** @param {string} user @param {string} form @returns {Promise<{now: Draft | null, before: Draft | null}>} */
  async read(user, form) {
    const found = await this.#run('readonly', (store) => [store.get([user, form, 'now']), store.get([user, form, 'before'])]);
    return { now: found?.[0] ?? null, before: found?.[1] ?? null };
  }

  /** Keeps a draft, and throws away what is too old or too much. @param {Draft} draft @returns {Promise<boolean>} whether it is kept */
  async put(draft) {
    const kept = { ...draft, texts: fitting(draft.texts, DRAFT_BYTES) };
    const done = await this.#run('readwrite', (store) => [store.put(kept), store.getAll()]);
    if (!done) return false;
    hint(true);
    const entries = /** @type {Draft[]} */ (done[1]).map((entry) => ({ key: [entry.user, entry.form, entry.slot], at: entry.at, bytes: bytesOf(entry) }));
    const old = surplus(entries, Date.now());
    if (old.length) await this.#run('readwrite', (store) => old.map((key) => store.delete(key)));
    return true;
  }

  /** @param {string} user @param {string} form @param {'now' | 'before'} slot */
  async remove(user, form, slot) {
    const done = await this.#run('readwrite', (store) => [store.delete([user, form, slot]), store.count()]);
    if (done?.[1] === 0) hint(false);
  }

  /** Everything of a user, or of everybody. @param {string} [user] */
  async forget(user) {
    await this.#run('readwrite', (store) => [user === undefined ? store.clear() : store.delete(IDBKeyRange.bound([user], [user, []]))]);
  }

  /** @param {IDBTransactionMode} mode @param {(store: IDBObjectStore) => IDBRequest[]} ask @returns {Promise<any[] | null>} null: nothing can be kept here */
  async #run(mode, ask) {
    try {
      const database = await within(this.#open());
      const transaction = database.transaction(STORE, mode);
      const requests = ask(transaction.objectStore(STORE));
      transaction.commit?.(); // by itself it would wait for the answers, and the page may be gone by then
      await within(new Promise((resolve, reject) => {
        transaction.oncomplete = () => resolve(null);
        transaction.onerror = transaction.onabort = () => reject(transaction.error ?? new Error('aborted'));
      }));
      return requests.map((request) => request.result);
    } catch {
      this.#opening = null; // the next attempt opens it anew
      return null;
    }
  }

  #open() {
    this.#opening ??= new Promise((resolve, reject) => {
      const opening = indexedDB.open(NAME, 1);
      opening.onupgradeneeded = () => opening.result.createObjectStore(STORE, { keyPath: ['user', 'form', 'slot'] });
      opening.onerror = () => reject(opening.error);
      opening.onsuccess = () => {
        const database = opening.result;
        // A later version of the package, in another tab, must not wait for this one.
        database.onversionchange = () => {
          database.close();
          this.#opening = null;
        };
        database.onclose = () => (this.#opening = null);
        resolve(database);
      };
    });
    return this.#opening;
  }
}

/** @param {boolean} some */
function hint(some) {
  try {
    if (some) localStorage.setItem(HINT, '1');
    else localStorage.removeItem(HINT);
  } catch {
    // then every page looks
  }
}

/** @template T @param {Promise<T>} promise @returns {Promise<T>} */
function within(promise) {
  return Promise.race([promise, new Promise((_, reject) => setTimeout(() => reject(new Error('no answer')), LIMIT_MS))]);
}
