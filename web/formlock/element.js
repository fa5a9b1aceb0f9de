// <form-lock>: the banner of one form. It shows what a Binding tells it and reports its button; it decides nothing.
import { icon } from './icons.js';
import { BANNER, sheet } from './style.js';

/**
 * @typedef {object} View
 * @property {import('./lease.js').Name} state
 * @property {string} text
 * @property {string} [when] @property {string} [note] @property {string} [person]
 * @property {string} [notice] one line about what just happened
 * @property {boolean} [saved] the notice is good news
 * @property {{label: string, act: () => void, busy?: boolean, quiet?: boolean} | null} button
 */

/** What a banner says of which nothing is known yet. @type {View} */
export const START = { state: 'connecting', text: 'Checking whether somebody is editing...', button: null };

/**
 * `for`: the id or the topic of its form; without it the form around it, or the next one. Attribute `state` is there for style sheets.
 * Parts: banner, icon, picture, text, note, button.
 */
export class FormLockElement extends HTMLElement {
  #parts = build();
  /** @type {View | null} */ #view = null;

  constructor() {
    super();
    const shadow = this.attachShadow({ mode: 'open' }); // open: accessibility checkers and page tests must be able to look inside
    shadow.adoptedStyleSheets = [sheet(BANNER)];
    shadow.append(this.#parts.banner, document.createElement('slot')); // choices and drafts, when there are any
    this.#parts.button.addEventListener('click', (event) => {
      event.preventDefault();
      const button = this.#view?.button;
      // The second half of a double click on what was "Edit" a moment ago isn't meant for "Done".
      if (button && !button.busy && event.detail < 2) button.act();
    });
    this.show(START);
  }

  /** Whether the button has the focus. */
  get pressed() {
    return this.ownerDocument.activeElement === this;
  }

  focus() {
    this.rescueFocus();
  }

  /** Where the focus goes when its field is shut. */
  rescueFocus() {
    this.#parts.banner.focus({ preventScroll: true });
  }

  /** Only what has changed is written: a screen reader repeats what is written again. @param {View} view */
  show(view) {
    const before = this.#view;
    const { banner, icon: drawing, picture, what, when, note, notice, button } = this.#parts;
    if (!before || before.state !== view.state || before.saved !== view.saved) {
      if (this.isConnected || before) this.setAttribute('state', view.state);
      this.toggleAttribute('saved', Boolean(view.saved));
      drawing.replaceChildren(icon(view.saved ? 'saved' : view.state));
      banner.setAttribute('aria-live', view.state === 'lost' ? 'assertive' : 'polite');
    }
    write(what, view.text);
    write(when, view.when ?? '');
    write(note, view.note ? `“${view.note}”` : '');
    write(notice, view.notice ?? '');
    write(picture, view.person ? initials(view.person) : '');
    button.hidden = !view.button;
    if (view.button && button.textContent !== view.button.label) button.textContent = view.button.label;
    button.classList.toggle('quiet', Boolean(view.button?.quiet));
    button.setAttribute('aria-busy', String(Boolean(view.button?.busy)));
    if (before?.button && !view.button && this.pressed) this.rescueFocus();
    this.#view = view;
  }

  connectedCallback() {
    if (this.#view) this.setAttribute('state', this.#view.state);
  }
}

/** @param {HTMLElement} element @param {string} text names and notes of others: text only, ever */
function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
  element.hidden = text === '';
}

/** @param {string} name @returns {string} */
function initials(name) {
  const words = name.trim().split(/\s+/);
  const ends = words.length > 1 ? [words[0], words[words.length - 1]] : words;
  return ends.map((word) => Array.from(word ?? '')[0] ?? '').join('').toLocaleUpperCase();
}

function build() {
  /** @param {string} tag @param {Record<string, string>} attributes @param {(Node | string)[]} children */
  const make = (tag, attributes, ...children) => {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    element.append(...children);
    return element;
  };
  const drawing = make('span', { part: 'icon' });
  const picture = make('span', { part: 'picture', 'aria-hidden': 'true' });
  const what = make('span', { class: 'what' });
  // Times change by themselves: they are not announced.
  const when = make('span', { class: 'when', 'aria-live': 'off' });
  const note = make('span', { part: 'note', dir: 'auto' });
  const notice = make('span', { part: 'note' });
  const button = make('button', { part: 'button', type: 'button' });
  const text = make('div', { part: 'text' }, what, ' ', when, note, notice);
  const banner = make('div', { part: 'banner', role: 'status', 'aria-live': 'polite', tabindex: '-1' }, drawing, picture, text, button);
  return { banner, icon: drawing, picture, what, when, note, notice, button };
}
