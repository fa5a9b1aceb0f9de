// For React: a form's state in a component. Brings no client and no AutobahnJS with it, whoever renders gives the client.
import { createContext, useCallback, useContext, useState, useSyncExternalStore } from 'react';

/** @typedef {import('./client.js').FormLockClient} FormLockClient */
/** @typedef {import('./lock.js').FormLock} FormLock */
/** @typedef {import('./lease.js').State} State */

/** The page's client, for all components below: `<FormLockContext value={client}>`. */
export const FormLockContext = createContext(/** @type {FormLockClient | null} */ (null));

/** How many components show each form: the last one to go ends it. @type {WeakMap<FormLock, number>} */
const shown = new WeakMap();

/**
 * `name` is what the person is shown, `editing` whether the fields may be open (`mine`, `asked`), `holder` the name of whoever else has it.
 * What the person does is called on `lock`: `lock.lock()`, `lock.done()`, `lock.takeover()`, ... See docs/reference/headless.md.
 * @typedef {object} FormLockView
 * @property {FormLock} lock
 * @property {Readonly<State>} state
 * @property {State['name']} name
 * @property {boolean} editing
 * @property {string | null} holder
 */

/**
 * The lock of one form. The component is rendered again at each change; when the last component with this form goes, what is held is
 * given back.
 * @param {string} form its topic
 * @param {{client?: FormLockClient}} [options] default: the one of FormLockContext
 * @returns {FormLockView}
 */
export function useFormLock(form, options) {
  const inContext = useContext(FormLockContext);
  const client = options?.client ?? inContext;
  if (!client) throw new Error('useFormLock needs a client: from FormLockContext, or as an option');
  const [, renderAgain] = useState(0);
  const lock = client.form(form); // the same object each time, until it is forgotten
  const subscribe = useCallback(
    (/** @type {() => void} */ changed) => {
      if (lock.gone) renderAgain((times) => times + 1); // it was hidden, and is shown again
      lock.addEventListener('change', changed);
      shown.set(lock, (shown.get(lock) ?? 0) + 1);
      return () => {
        lock.removeEventListener('change', changed);
        shown.set(lock, (shown.get(lock) ?? 1) - 1);
        // StrictMode and a change of place take a component away and bring it back in the same turn.
        setTimeout(() => {
          if (!shown.get(lock) && !lock.gone) client.forget(lock);
        });
      };
    },
    [client, lock],
  );
  const state = useSyncExternalStore(subscribe, () => lock.state, () => lock.state);
  const { name, snapshot } = state;
  return { lock, state, name, editing: lock.editing, holder: (name === 'locked' || name === 'queued' ? snapshot?.holder?.name : null) ?? null };
}
