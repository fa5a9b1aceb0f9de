// <form-lock-badge for="com.example.form.invoice.42">: who is editing one form, wherever a page names it. Badges of one type share a subscription.
import { drawings, markOf } from './marks.js';
import { sheet } from './style.js';

const STYLE = `
:host { display: inline-flex; align-items: center; gap: .375em; font-weight: 600; color: var(--form-lock-amber, light-dark(#8a4b00, #f5b95a)); }
:host([hidden]), :host([state="free"]) { display: none; }
:host([state="mine"]) { color: var(--form-lock-accent, light-dark(#1d5fbf, #8ab8ff)); }
[part="icon"] { display: inline-flex; flex: none; gap: .375em; }
svg, img { inline-size: 1.125em; block-size: 1.125em; }
img { border-radius: 50%; object-fit: cover; }
[part="text"] { overflow-wrap: anywhere; }
`;

/** @typedef {import('./formlock-list.js').FormLockList} FormLockList */
/**
 * What badges work with.
 * @typedef {{client: import('./client.js').FormLockClient, listOf: (type: string) => FormLockList, texts: (element: Element) => Record<string, any>,
 *   speaks: (element: Element) => boolean, spoken: EventTarget}} Page
 */
/** @type {Page | null} */
let page = null;

export class FormLockBadge extends HTMLElement {
  static observedAttributes = ['for'];
  #ending = new AbortController();
  #text = document.createElement('span');
  #icon = document.createElement('span');
  #user = '';

  constructor() {
    super();
    const shadow = this.attachShadow({ mode: 'open' });
    shadow.adoptedStyleSheets = [sheet(STYLE)];
    this.#icon.setAttribute('part', 'icon');
    this.#text.setAttribute('part', 'text');
    shadow.append(this.#icon, this.#text);
  }

  connectedCallback() {
    this.#listen();
  }

  disconnectedCallback() {
    this.#ending.abort();
  }

  attributeChangedCallback() {
    if (this.isConnected) this.#listen();
  }

  #listen() {
    this.#ending.abort();
    this.#ending = new AbortController();
    const form = this.getAttribute('for') ?? '';
    if (!page || !page.client.uris.isForm(form)) {
      this.setAttribute('state', 'free');
      return;
    }
    const { client, listOf, spoken } = page;
    const list = listOf(client.uris.nameOf(form).split('.')[0] ?? '');
    const { signal } = this.#ending;
    list.addEventListener('change', (event) => /** @type {CustomEvent} */ (event).detail.form === form && this.#show(list, form), { signal });
    spoken.addEventListener('change', () => this.#show(list, form), { signal });
    this.#show(list, form);
  }

  /** @param {FormLockList} list @param {string} form */
  #show(list, form) {
    if (!page?.speaks(this)) return;
    const mark = markOf(list.forms.get(form), list.client.me, page.texts(this));
    if (this.getAttribute('state') !== mark.state) this.setAttribute('state', mark.state);
    if (this.#text.textContent === mark.text && this.#user === mark.user) return;
    this.#user = mark.user;
    this.#icon.replaceChildren(...drawings(mark));
    this.#text.textContent = mark.text;
  }
}

/** Registers the element, once. @param {Page} given */
export function defineBadge(given) {
  page ??= given;
  if (!customElements.get('form-lock-badge')) customElements.define('form-lock-badge', FormLockBadge);
}
