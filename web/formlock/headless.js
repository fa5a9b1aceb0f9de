// The entry for programs and frameworks: what formlock.js has, without the elements. It touches no document.
export { CallError } from './errors.js';
export { escape, unescape } from './escape.js';
export { FormLock } from './lock.js';
export { FormLockClient } from './client.js';
export { PageTab } from './page-tab.js';
