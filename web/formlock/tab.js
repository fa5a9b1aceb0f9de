// What one browser tab remembers across reloads, in sessionStorage: its random id, a guest's name, and which forms it was editing.

const TAB = 'formlock.tab';
const GUEST = 'formlock.guest';
const EDITING = 'formlock.editing';
/** A mark of editing older than this says nothing any more; while editing it is refreshed with every renewal. */
const REMEMBER_MS = 120_000;

/** 22 characters of the alphabet of ids. @returns {string} */
export function randomId() {
  const bytes = crypto.getRandomValues(new Uint8Array(22));
  return Array.from(bytes, (byte) => 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-'[byte % 64]).join('');
}

/** sessionStorage, or a stand-in where a browser refuses it. */
export class Tab {
  #memory = new Map();

  /**
   * @param {Storage | null} [storage]
   * @param {string} [user] Frames of one page share its sessionStorage: two users side by side must not be one tab, for one of them
   * would never be told of what the other one saved. Nor is whoever logs in after somebody else.
   */
  constructor(storage = sessionStorageOrNull(), user = '') {
    this.storage = storage;
    this.suffix = user && `.${user}`;
    /** @type {string} */
    this.id = this.#read(TAB) ?? this.renew();
  }

  /** A fresh id: ours turned out to be a copy of another tab's. @returns {string} */
  renew() {
    this.id = randomId();
    this.#write(TAB, this.id);
    this.#write(EDITING, null);
    return this.id;
  }

  /** @returns {{user: string, name: string}} somebody without a name, the same one as long as the tab lives */
  guest() {
    const number = this.#read(GUEST) ?? String(1000 + Math.floor(Math.random() * 9000));
    this.#write(GUEST, number);
    return { user: `guest-${number}`, name: `Guest ${number}` };
  }

  /** @param {string} form @param {string | null} page the page's address, or null: no longer editing @param {number} at wall clock @param {boolean} [wait] it stands in line */
  mark(form, page, at, wait = false) {
    const marks = this.#marks();
    if (page === null) delete marks[form];
    else marks[form] = { page, at, ...(wait && { wait }) };
    this.#write(EDITING, Object.keys(marks).length ? JSON.stringify(marks) : null);
  }

  /**
   * Whether this tab was editing the form when it was reloaded, or saved and came back to the same page; asked once. Coming here by
   * another way (a list, a bookmark) doesn't count: nobody wants a lock for looking. Nor does another address: frames share this memory.
   * @param {string} form @param {{type: string, referrer: string, page: string, at: number}} arrival
   */
  wasEditing(form, { type, referrer, page, at }) {
    const mark = this.#marks()[form];
    if (!mark || mark.page !== page) return false;
    this.mark(form, null, at);
    if (at - mark.at > REMEMBER_MS) return false;
    return type === 'reload' || type === 'back_forward' || referrer === page;
  }

  /** Whether it only stood in line for it; to be asked before `wasEditing`. @param {string} form */
  wasWaiting(form) {
    return this.#marks()[form]?.wait === true;
  }

  /** @returns {Record<string, {page: string, at: number, wait?: boolean}>} */
  #marks() {
    try {
      return JSON.parse(this.#read(EDITING) ?? '{}');
    } catch {
      return {};
    }
  }

  /** @param {string} key @returns {string | null} */
  #read(key) {
    return this.storage ? this.storage.getItem(key + this.suffix) : (this.#memory.get(key) ?? null);
  }

  /** @param {string} key @param {string | null} value */
  #write(key, value) {
    try {
      if (!this.storage) this.#memory.set(key, value);
      else if (value === null) this.storage.removeItem(key + this.suffix);
      else this.storage.setItem(key + this.suffix, value);
    } catch {
      // full or forbidden: then a reload looks like a new tab
    }
  }
}

function sessionStorageOrNull() {
  try {
    return globalThis.sessionStorage ?? null;
  } catch {
    return null;
  }
}
