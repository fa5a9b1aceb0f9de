// For Stimulus: a controller for a form with the page's own mark-up. Brings no client and no AutobahnJS with it.
import { Controller } from '@hotwired/stimulus';

import { open, shut } from './fields.js';

/** @typedef {import('./client.js').FormLockClient} FormLockClient */
/** @typedef {import('./lock.js').FormLock} FormLock */

/** How many controllers show each form: Turbo shows a page's copy while it fetches the page. @type {WeakMap<FormLock, number>} */
const shown = new WeakMap();

/**
 * On the `<form>`, with `data-form-lock-form-value` its topic. The fields are open while it is ours, and nothing else can be sent.
 *
 * - Actions: `edit`, `wait`, `done`, `takeover`, `ask`.
 * - Targets: `holder` is given the name of whoever has it; `when` is shown in the states that its `data-form-lock-when` names, and, with a
 *   `tabindex`, is where the focus goes when its field is shut; the inputs `token` and `receipt` are what the application is sent.
 * - A button of the form that stays usable while the fields are shut has the attribute `form-lock-ignore`.
 * - The element has the state in `data-form-lock-state`, and dispatches `form-lock:<state>`.
 *
 * `FormLockController.client` has to be set before it is registered.
 * @extends {Controller<HTMLFormElement>}
 */
export class FormLockController extends Controller {
  /** The page's client. @type {FormLockClient | null} */
  static client = null;
  static targets = ['holder', 'when', 'token', 'receipt'];
  static values = { form: String };
  /** @type {FormLock | null} */ lock = null;
  /** @type {string | null} */ #announced = null;
  #changed = () => this.#show();

  connect() {
    const { client } = /** @type {typeof FormLockController} */ (this.constructor);
    if (!client) throw new Error('FormLockController.client is not set');
    this.lock = client.form(/** @type {any} */ (this).formValue);
    this.lock.addEventListener('change', this.#changed);
    shown.set(this.lock, (shown.get(this.lock) ?? 0) + 1);
    this.element.addEventListener('submit', this.#guard, { capture: true });
    this.#announced = null;
    this.#show();
  }

  disconnect() {
    const { lock } = this;
    this.element.removeEventListener('submit', this.#guard, { capture: true });
    if (!lock) return;
    lock.removeEventListener('change', this.#changed);
    shown.set(lock, (shown.get(lock) ?? 1) - 1);
    // An element that is only moved is connected again in the same turn.
    setTimeout(() => {
      if (!shown.get(lock) && !lock.gone) lock.client.forget(lock);
    });
  }

  edit() {
    return this.#quietly(this.lock?.lock());
  }

  wait() {
    return this.#quietly(this.lock?.lock({ wait: true }));
  }

  takeover() {
    return this.#quietly(this.lock?.takeover());
  }

  ask() {
    return this.#quietly(this.lock?.ask());
  }

  done() {
    return this.#quietly(this.lock?.done());
  }

  /** A target that came later is as the others. */
  holderTargetConnected() {
    this.#show();
  }

  whenTargetConnected() {
    this.#show();
  }

  /** @param {Event} event */
  #guard = (event) => {
    this.lock?.client.tick(); // after a sleep this may come before anything else
    if (this.lock?.editing) return;
    event.preventDefault();
    event.stopImmediatePropagation();
  };

  /** A refusal is a state, and is shown as one. @param {Promise<unknown> | undefined} work */
  async #quietly(work) {
    try {
      await work;
    } catch (error) {
      if (/** @type {Error} */ (error).name !== 'CallError') throw error; // by name: the client may be of another bundle, with a class of its own
    }
  }

  #show() {
    const { lock, element } = this;
    if (!lock) return;
    const { name, state } = lock;
    element.dataset.formLockState = name;
    const holder = name === 'locked' || name === 'queued' ? (state.snapshot?.holder?.name ?? '') : '';
    const targets = /** @type {{holderTargets: HTMLElement[], whenTargets: HTMLElement[], tokenTargets: HTMLInputElement[], receiptTargets: HTMLInputElement[]}} */ (/** @type {unknown} */ (this));
    for (const target of targets.holderTargets) if (target.textContent !== holder) target.textContent = holder;
    for (const target of targets.whenTargets) target.hidden = !(target.dataset.formLockWhen ?? '').split(/\s+/).includes(name);
    for (const target of targets.tokenTargets) target.value = lock.editing ? String(lock.token) : '';
    for (const target of targets.receiptTargets) target.value = lock.editing ? (lock.receipt ?? '') : '';
    if (lock.editing) open(element);
    else shut(element, () => targets.whenTargets.find((target) => !target.hidden && target.hasAttribute('tabindex'))?.focus({ preventScroll: true }));
    if (this.#announced === name) return;
    this.#announced = name;
    this.dispatch(name, { prefix: 'form-lock', detail: { lock, token: lock.token } });
  }
}
