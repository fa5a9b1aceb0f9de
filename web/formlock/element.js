// <form-lock>: the banner of one form. It shows what a Binding tells it and reports its buttons; it decides nothing.
import { icon } from './icons.js';
import { BANNER, sheet } from './style.js';

/** `id`: the same button goes on as the same, whatever it says; `small`: it stands in the text, as a link would. @typedef {{id: string, label: string, act: () => void, busy?: boolean, quiet?: boolean, small?: boolean}} Button */
/**
 * @typedef {object} View
 * @property {import('./lease.js').Name} state
 * @property {string} text
 * @property {string} [when] @property {string} [note] @property {string} [person]
 * @property {string} [more] what changes by itself and is not announced
 * @property {string} [notice] one line about what just happened
 * @property {boolean} [saved] the notice is good news
 * @property {{names: string[], text: string}} [viewers] others who have it open, shown as pictures
 * @property {Button[]} [buttons]
 */

/** What a banner says of which nothing is known yet. @type {View} */
export const START = { state: 'connecting', text: '' };

/**
 * `for`: the id or the topic of its form; without it the form around it, or the next one. Attribute `state` is there for style sheets.
 * Parts: banner, icon, picture, text, note, viewers, buttons, button.
 */
export class FormLockElement extends HTMLElement {
  #parts = build();
  /** @type {View | null} */ #view = null;
  /** @type {Map<string, {button: HTMLElement, says: Button}>} */ #buttons = new Map();

  constructor() {
    super();
    const shadow = this.attachShadow({ mode: 'open' }); // open: accessibility checkers and page tests must be able to look inside
    shadow.adoptedStyleSheets = [sheet(BANNER)];
    shadow.append(this.#parts.banner, document.createElement('slot')); // choices, drafts and questions, when there are any
    this.show(START);
  }

  /** Whether one of its buttons, or what stands in it, has the focus. */
  get pressed() {
    return this.contains(this.ownerDocument.activeElement); // what has it inside the shadow root counts as this
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
    const { banner, icon: drawing, picture, what, when, note, more, notice, viewers } = this.#parts;
    if (!before || before.state !== view.state || before.saved !== view.saved) {
      if (this.isConnected || before) this.setAttribute('state', view.state);
      this.toggleAttribute('saved', Boolean(view.saved));
      drawing.replaceChildren(icon(view.saved ? 'saved' : view.state));
      // A loss may interrupt what is being read out; nothing else may.
      banner.setAttribute('aria-live', view.state === 'lost' ? 'assertive' : 'polite');
    }
    write(what, view.text);
    write(when, view.when ?? '');
    write(note, view.note ? `“${view.note}”` : '');
    write(more, view.more ?? '');
    write(notice, view.notice ?? '');
    write(picture, view.person ? initials(view.person) : '');
    if (view.person) picture.style.setProperty('--_turn', String(turn(view.person)));
    const seen = (view.viewers?.names ?? []).map(initials);
    viewers.setAttribute('aria-label', view.viewers?.text ?? '');
    viewers.title = view.viewers?.text ?? '';
    if (viewers.dataset.seen !== seen.join()) {
      viewers.dataset.seen = seen.join();
      viewers.replaceChildren(...seen.map((letters) => make('span', { part: 'viewer' }, letters)));
    }
    viewers.hidden = !seen.length;
    this.#offer(view.buttons ?? []);
    this.#view = view;
  }

  /** @param {Button[]} wanted */
  #offer(wanted) {
    const { buttons, links } = this.#parts;
    const ids = new Set(wanted.map(({ id }) => id));
    const focused = this.shadowRoot?.activeElement;
    for (const [id, { button }] of this.#buttons) {
      if (ids.has(id)) continue;
      if (button === focused) this.rescueFocus();
      button.remove();
      this.#buttons.delete(id);
    }
    for (const says of wanted) {
      let known = this.#buttons.get(says.id);
      if (!known) this.#buttons.set(says.id, (known = { button: this.#button(says.id), says }));
      known.says = says;
      const { button } = known;
      write(button, says.label);
      button.classList.toggle('quiet', Boolean(says.quiet));
      button.setAttribute('aria-busy', String(Boolean(says.busy)));
      button.classList.toggle('small', Boolean(says.small));
    }
    for (const [place, small] of /** @type {[HTMLElement, boolean][]} */ ([[buttons, false], [links, true]])) {
      const here = wanted.filter((says) => Boolean(says.small) === small).flatMap(({ id }) => this.#buttons.get(id)?.button ?? []);
      for (const [at, button] of here.entries()) if (place.children[at] !== button) place.insertBefore(button, place.children[at] ?? null);
      place.hidden = !here.length;
    }
  }

  /** @param {string} id */
  #button(id) {
    const button = make('button', { part: 'button', type: 'button' });
    button.addEventListener('click', (event) => {
      event.preventDefault();
      const says = this.#buttons.get(id)?.says;
      // The second half of a double click on what was another button a moment ago isn't meant for this one.
      if (says && !says.busy && event.detail < 2) says.act();
    });
    return button;
  }

  static observedAttributes = ['state'];

  /** What morphs a page takes it away, for the server's page has it not. @param {string} _name @param {string | null} _before @param {string | null} value */
  attributeChangedCallback(_name, _before, value) {
    if (value === null && this.#view && this.isConnected) this.setAttribute('state', this.#view.state);
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

/** The same person has the same colour everywhere. @param {string} name @returns {number} degrees on the colour wheel */
function turn(name) {
  return Array.from(name).reduce((sum, letter) => (sum * 31 + (letter.codePointAt(0) ?? 0)) % 360, 7);
}

/** @param {string} tag @param {Record<string, string>} attributes @param {(Node | string)[]} children */
function make(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

function build() {
  // What is announced is what is said, not what goes on by itself: times, pictures and buttons are quiet.
  const quiet = { 'aria-live': 'off' };
  const drawing = make('span', { part: 'icon' });
  const picture = make('span', { part: 'picture', 'aria-hidden': 'true' });
  const what = make('span', { class: 'what' });
  const when = make('span', { class: 'when', ...quiet });
  const note = make('span', { part: 'note', dir: 'auto' });
  const more = make('span', { class: 'more', ...quiet });
  const notice = make('span', { part: 'note', class: 'notice', dir: 'auto' });
  const viewers = make('span', { part: 'viewers', role: 'img', ...quiet });
  const links = make('span', { class: 'links', ...quiet });
  const buttons = make('div', { part: 'buttons', ...quiet });
  const line = make('div', { class: 'line' }, more, ' ', links);
  const text = make('div', { part: 'text' }, what, ' ', when, line, note, notice);
  const banner = make('div', { part: 'banner', role: 'status', 'aria-live': 'polite', 'aria-atomic': 'false', tabindex: '-1' }, drawing, picture, text, viewers, buttons);
  return { banner, icon: drawing, picture, what, when, note, more, notice, viewers, buttons, links };
}
