// What one browser tab remembers across reloads, in sessionStorage: its random id and a guest's name.

const TAB = 'formlock.tab';
const GUEST = 'formlock.guest';

/** 22 characters of the alphabet of ids. @returns {string} */
export function randomId() {
  return btoa(String.fromCharCode(...crypto.getRandomValues(new Uint8Array(18)))).slice(2).replaceAll('+', '-').replaceAll('/', '_');
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
    this.id = this.read(TAB) ?? this.renew();
  }

  /** A fresh id: ours turned out to be a copy of another tab's. @returns {string} */
  renew() {
    this.id = randomId();
    this.write(TAB, this.id);
    return this.id;
  }

  /** @returns {{user: string, name: string}} somebody without a name, the same one as long as the tab lives */
  guest() {
    const number = this.read(GUEST) ?? String(1000 + Math.floor(Math.random() * 9000));
    this.write(GUEST, number);
    return { user: `guest-${number}`, name: `Guest ${number}` };
  }

  /** A page's own tab remembers what it edits (page-tab.js). @param {string} _form @param {string | null} _page @param {number} _at @param {boolean} [_wait] */
  mark(_form, _page, _at, _wait) {}

  /** @param {string} key @returns {string | null} */
  read(key) {
    return this.storage ? this.storage.getItem(key + this.suffix) : (this.#memory.get(key) ?? null);
  }

  /** @param {string} key @param {string | null} value */
  write(key, value) {
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
