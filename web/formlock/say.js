// <form-lock-say>: one line to somebody else, e.g. why one asks or takes over. Part of the banner; the page below stays as it is.
import { make, panelSheet } from './style-merge.js';

/** Sends nothing by itself: `send` gets the text, `cancel` that there is none. */
export class Say extends HTMLElement {
  #input = /** @type {HTMLInputElement} */ (make('input', { class: 'line', id: 'line', maxlength: '200', autocomplete: 'off', 'aria-describedby': 'more', dir: 'auto' }));

  /** @param {{id: string, title: string, more: string, send: string, cancel: string, onSend: (text: string) => void, onCancel: () => void}} facts `id`: what it is about */
  constructor({ id, title, more, send, cancel, onSend, onCancel }) {
    super();
    this.about = id;
    const shadow = this.attachShadow({ mode: 'open' });
    shadow.adoptedStyleSheets = [panelSheet()];
    const submit = () => onSend(this.#input.value.trim());
    // No form: it would be one inside the page's own.
    const group = make('div', { role: 'group', 'aria-labelledby': 'title' },
      make('label', { class: 'plain', for: 'line', id: 'title' }, title), this.#input, make('p', { class: 'small', id: 'more' }, more),
      make('div', { class: 'buttons' }, this.#button(send, submit, 'main'), this.#button(cancel, onCancel)));
    shadow.append(group);
    shadow.addEventListener('keydown', (event) => {
      const { key, isComposing } = /** @type {KeyboardEvent} */ (event);
      if (isComposing) return;
      if (key === 'Escape') onCancel();
      else if (key === 'Enter' && shadow.activeElement === this.#input) submit();
      else return;
      event.preventDefault();
      event.stopPropagation();
    });
  }

  focus() {
    this.#input.focus();
  }

  /** @param {string} label @param {() => void} act @param {string} [kind] */
  #button(label, act, kind = '') {
    const button = make('button', { type: 'button', class: kind, part: 'button' }, label);
    button.addEventListener('click', act);
    return button;
  }
}

/** Registers the element. */
export function defineSay() {
  if (!customElements.get('form-lock-say')) customElements.define('form-lock-say', Say);
}
