// The entry: `<script type="module" src="/formlock/formlock.js">` registers <form-lock> and binds the page's forms; the rest is for programs.
import { define } from './define.js';

export { bindingOf } from './define.js';
export { CallError } from './errors.js';
export { escape, unescape } from './escape.js';
export { FormLock } from './lock.js';
export { FormLockClient } from './client.js';
export { FormLockElement } from './element.js';
export { useEditor } from './fields.js';
export { forgetDrafts } from './incoming.js';
export { texts } from './languages.js';
export { PageTab } from './page-tab.js';
export { pageClient } from './shared.js';

define();
