// <form-lock-badge for="com.example.form.invoice.42">: who is editing one form, wherever a page names it. Badges of one type share a subscription.
import { icon } from './icons.js';
import { sheet } from './style.js';
import { TEXTS } from './texts-list.js';

const STYLE = `
:host { display: inline-flex; align-items: center; gap: .375em; font-weight: 600; color: var(--form-lock-amber, light-dark(#8a4b00, #f5b95a)); }
:host([hidden]), :host([state="free"]) { display: none; }
:host([state="mine"]) { color: var(--form-lock-accent, light-dark(#1d5fbf, #8ab8ff)); }
svg { inline-size: 1.125em; block-size: 1.125em; }
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
    const t = { ...TEXTS, ...page.texts(this) };
    const known = list.forms.get(form);
    const holder = known && known.state !== 'free' ? known.holder : null;
    const mine = holder?.user === list.client.me;
    const state = !holder ? 'free' : mine ? 'mine' : String(known?.state);
    const text = !holder ? '' : mine ? t.youEdit : known?.state === 'grace' ? t.edited(holder.name) : t.edits(holder.name);
    if (this.getAttribute('state') !== state) {
      this.setAttribute('state', state);
      this.#icon.replaceChildren(...(holder ? [icon(mine ? 'mine' : 'locked')] : []));
    }
    if (this.#text.textContent !== text) this.#text.textContent = text;
  }
}

/** Registers the element, once. @param {Page} given */
export function defineBadge(given) {
  page ??= given;
  if (!customElements.get('form-lock-badge')) customElements.define('form-lock-badge', FormLockBadge);
}
