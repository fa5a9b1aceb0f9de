// What a page's tab remembers beside its id: which forms it was editing or waiting for when it was reloaded.
import { Tab } from './tab.js';

const EDITING = 'formlock.editing';
/** A mark of editing older than this says nothing any more; while editing it is refreshed with every renewal. */
const REMEMBER_MS = 120_000;

/** Give it to a client whose page comes back after a reload (option `tab`); pageClient() has one. */
export class PageTab extends Tab {
  renew() {
    this.write(EDITING, null);
    return super.renew();
  }

  /** @param {string} form @param {string | null} page the page's address, or null: no longer editing @param {number} at wall clock @param {boolean} [wait] it stands in line */
  mark(form, page, at, wait = false) {
    const marks = this.marks();
    if (page === null) delete marks[form];
    else marks[form] = { page, at, ...(wait && { wait }) };
    this.write(EDITING, Object.keys(marks).length ? JSON.stringify(marks) : null);
  }

  /**
   * Whether this tab was editing the form when it was reloaded, or saved and came back to the same page; asked once. Coming here by
   * another way (a list, a bookmark) doesn't count: nobody wants a lock for looking. Nor does another address: frames share this memory.
   * @param {string} form @param {{type: string, referrer: string, page: string, at: number}} arrival
   */
  wasEditing(form, { type, referrer, page, at }) {
    const mark = this.marks()[form];
    if (!mark || mark.page !== page) return false;
    this.mark(form, null, at);
    if (at - mark.at > REMEMBER_MS) return false;
    return type === 'reload' || type === 'back_forward' || referrer === page;
  }

  /** Whether it only stood in line for it; to be asked before `wasEditing`. @param {string} form */
  wasWaiting(form) {
    return this.marks()[form]?.wait === true;
  }

  /** @returns {Record<string, {page: string, at: number, wait?: boolean}>} */
  marks() {
    try {
      return JSON.parse(this.read(EDITING) ?? '{}');
    } catch {
      return {};
    }
  }
}
