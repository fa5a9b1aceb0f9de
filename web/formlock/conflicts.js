// <form-lock-choices>: for each field that two people have changed, what it was, what each of them has, and which of it shall be saved.
// Radio buttons in a fieldset: nothing happens until the button below is pressed, so that arrow keys may walk over them.
import { make, panelSheet, valueElement } from './style-merge.js';
import { TEXTS } from './texts-merge.js';

/** @typedef {import('./merge.js').Choice} Choice */
/** Texts as the form shows them; `both`: what that choice makes of the two, null where it is none. @typedef {{name: string, label: string, who: string | undefined, old: string | null, theirs: string, mine: string, both: string | null}} Question */

export class Choices extends HTMLElement {
  /** @type {Map<string, {element: HTMLElement, says: string}>} */ #shown = new Map();
  /** @type {HTMLElement} */ #list;

  /** @param {(choices: Map<string, Choice>) => void} choose */
  constructor(choose) {
    super();
    const shadow = this.attachShadow({ mode: 'open' });
    shadow.adoptedStyleSheets = [panelSheet()];
    this.#list = make('div', { role: 'group', 'aria-label': TEXTS.conflicts });
    const button = make('button', { type: 'button', class: 'main', part: 'button' }, TEXTS.apply);
    button.addEventListener('click', () => {
      const choices = this.#choices();
      if (choices.size) choose(choices);
      this.#firstOpen()?.focus();
    });
    shadow.append(this.#list, make('div', { class: 'buttons' }, button));
  }

  focus() {
    this.#firstOpen()?.focus();
  }

  /** Fields that are asked about already stay as they are, with what is chosen: somebody may be among them. @param {Question[]} questions */
  show(questions) {
    const wanted = new Set(questions.map(({ name }) => name));
    for (const [name, { element }] of this.#shown) {
      if (wanted.has(name)) continue;
      element.remove();
      this.#shown.delete(name);
    }
    for (const question of questions) {
      const says = JSON.stringify([question.old, question.theirs, question.who]);
      const before = this.#shown.get(question.name);
      if (before?.says === says) {
        for (const choice of /** @type {const} */ (['mine', 'both'])) {
          const value = before.element.querySelector(`[data-${choice}] .value`);
          value?.replaceWith(valueElement(question[choice] ?? '', TEXTS.empty)); // the person goes on typing
        }
        continue;
      }
      const element = fieldset(question);
      if (before) before.element.replaceWith(element);
      else this.#list.append(element);
      this.#shown.set(question.name, { element, says });
    }
  }

  /** @returns {Map<string, Choice>} */
  #choices() {
    const chosen = [...this.#shown].flatMap(([name, { element }]) => {
      const input = /** @type {HTMLInputElement | null} */ (element.querySelector('input:checked'));
      return input ? [/** @type {[string, Choice]} */ ([name, input.value])] : [];
    });
    return new Map(chosen);
  }

  /** @returns {HTMLElement | null} of the first field without a choice */
  #firstOpen() {
    const open = [...this.#shown.values()].find(({ element }) => !element.querySelector('input:checked'));
    return open?.element.querySelector('input') ?? null;
  }
}

/** @param {Question} question @returns {HTMLElement} */
function fieldset({ name, label, who, both, old, theirs, mine }) {
  const group = make('fieldset', { 'data-field': name }, make('legend', {}, label));
  if (old !== null) group.append(make('p', { class: 'small was' }, TEXTS.was(old.trim() || TEXTS.empty)));
  group.append(option(name, 'theirs', who ?? TEXTS.theirs, theirs), option(name, 'mine', TEXTS.mine, mine));
  if (both !== null) group.append(option(name, 'both', TEXTS.both, both));
  return group;
}

/** @param {string} name @param {Choice} choice @param {string} label @param {string} value */
function option(name, choice, label, value) {
  const input = make('input', { type: 'radio', name, value: choice });
  return make('label', { [`data-${choice}`]: '' }, input, make('span', { class: 'who' }, label), valueElement(value, TEXTS.empty));
}

/** Registers the element. */
export function defineChoices() {
  if (!customElements.get('form-lock-choices')) customElements.define('form-lock-choices', Choices);
}
