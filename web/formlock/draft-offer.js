// <form-lock-draft>: unsaved text of another time beside what is there now. It can be used, copied or thrown away; nothing happens by itself.
import { make, panelSheet, valueElement } from './style-merge.js';
import { TEXTS } from './texts-merge.js';

/** `now`: null when the form has no such field any more. `since`: it was changed since by somebody else. @typedef {{label: string, now: string | null, mine: string, since: boolean}} Row */

export class DraftOffer extends HTMLElement {
  /** @type {HTMLElement | null} */ #use = null;
  /** @type {HTMLElement} */ #said = make('p', { class: 'small', role: 'status' });

  /**
   * @param {{title: string, notes: string[], rows: Row[], use?: () => void, throwAway?: () => void, close?: () => void}} facts
   */
  constructor({ title, notes, rows, use, throwAway, close }) {
    super();
    const shadow = this.attachShadow({ mode: 'open' });
    shadow.adoptedStyleSheets = [panelSheet()];
    const group = make('section', { 'aria-labelledby': 'title' }, make('h2', { id: 'title', tabindex: '-1' }, title));
    for (const note of notes) if (note) group.append(make('p', { class: 'small' }, note));
    const list = make('dl', {});
    for (const row of rows) list.append(difference(row));
    const buttons = make('div', { class: 'buttons' });
    if (use) {
      this.#use = button(TEXTS.use, use, 'main');
      buttons.append(this.#use);
    }
    buttons.append(button(TEXTS.copy, () => void this.#copy(rows)));
    if (throwAway) buttons.append(button(TEXTS.throwAway, throwAway));
    if (close) buttons.append(button(TEXTS.close, close));
    group.append(list, buttons, this.#said);
    shadow.append(group);
  }

  focus() {
    const title = /** @type {HTMLElement | null} */ (this.shadowRoot?.querySelector('h2') ?? null);
    title?.focus();
  }

  /** Only whoever may edit has a use for it now; copying is always possible. @param {boolean} may */
  mayUse(may) {
    if (this.#use) this.#use.hidden = !may;
  }

  /** @param {Row[]} rows */
  async #copy(rows) {
    const text = rows.map(({ label, mine }) => (mine.includes('\n') ? `${label}:\n${mine}` : `${label}: ${mine}`)).join('\n');
    try {
      await navigator.clipboard.writeText(text);
      this.#said.textContent = TEXTS.copied;
    } catch {
      this.#said.textContent = TEXTS.notCopied;
    }
  }
}

/** @param {Row} row @returns {HTMLElement} */
function difference({ label, now, mine, since }) {
  const row = make('div', {}, make('dt', {}, label));
  if (now !== null) {
    const tag = make('span', { class: 'tag' }, TEXTS.now);
    if (since) tag.append(', ', make('span', { class: 'since' }, TEXTS.changedSince));
    row.append(make('dd', {}, tag, valueElement(now, TEXTS.empty)));
  }
  row.append(make('dd', {}, make('span', { class: 'tag' }, TEXTS.draftValue), valueElement(mine, TEXTS.empty)));
  return row;
}

/** @param {string} label @param {() => void} act @param {string} [kind] */
function button(label, act, kind = '') {
  const element = make('button', { type: 'button', class: kind, part: 'button' }, label);
  element.addEventListener('click', act);
  return element;
}

/** Registers the element. */
export function defineDraftOffer() {
  if (!customElements.get('form-lock-draft')) customElements.define('form-lock-draft', DraftOffer);
}
