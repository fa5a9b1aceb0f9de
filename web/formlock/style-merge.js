// The style sheet of what is shown about choices and drafts. Constructed, so that `default-src 'self'` allows it.

const PANEL = `
:host {
  --_amber: var(--form-lock-amber, light-dark(#8a4b00, #f5b95a));
  --_accent: var(--form-lock-accent, light-dark(#1d5fbf, #8ab8ff));
  --_line: color-mix(in srgb, currentColor 22%, transparent);
  display: block; box-sizing: border-box; color-scheme: light dark;
  font: var(--form-lock-font, 400 1rem/1.4 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif);
  margin-block-start: .5rem; padding: .75rem .875rem;
  border: 1px solid color-mix(in srgb, var(--_amber) 35%, transparent);
  border-inline-start: 4px solid var(--_amber);
  border-radius: var(--form-lock-radius, 8px);
  background: light-dark(#fff, #15191f); color: light-dark(#1c2430, #e7ebf0);
}
:host([hidden]) { display: none; }
h2, p, dl { margin: 0; font-size: 1rem; }
h2 { font-weight: 600; }
h2, p, legend, dd, .plain, .who, .value { unicode-bidi: plaintext; text-align: -webkit-match-parent; text-align: match-parent; }
p { margin-block-start: .25rem; }
.small { color: light-dark(#4b5563, #b6bfca); font-size: .875rem; }
fieldset { margin: 0; padding: 0; border: 0; min-inline-size: 0; }
fieldset + fieldset { margin-block-start: .75rem; padding-block-start: .75rem; border-block-start: 1px solid var(--_line); }
legend { float: inline-start; inline-size: 100%; padding: 0; font-weight: 600; } /* else it stands in the line */
legend + * { clear: both; }
.was { margin-block-end: .25rem; }
label, dl > div { display: grid; grid-template-columns: 1.25rem minmax(5rem, 8rem) 1fr; gap: .5rem; align-items: start; padding: .5rem; border-radius: 6px; }
dl > div { grid-template-columns: minmax(5rem, 8rem) 1fr; padding-inline: 0; }
label { min-block-size: 1.75rem; cursor: pointer; align-items: center; }
label:hover { background: color-mix(in srgb, currentColor 6%, transparent); }
label:has(input:checked) { background: color-mix(in srgb, var(--_accent) 12%, transparent); }
input.line { inline-size: 100%; box-sizing: border-box; min-block-size: 2.75rem; padding-inline: .75rem; font: inherit; color: inherit; background: light-dark(#fff, #0f1317); border: 1px solid light-dark(#6b7280, #8b95a1); border-radius: 6px; }
label.plain { display: block; padding: 0 0 .375rem; min-block-size: 0; font-weight: 600; background: none; }
input[type=radio] { inline-size: 1.125rem; block-size: 1.125rem; margin: 0; accent-color: var(--_accent); }
input:focus-visible, button:focus-visible { outline: 3px solid var(--_accent); outline-offset: 2px; }
.who, dt { font-weight: 600; overflow-wrap: anywhere; }
.value { max-block-size: 12rem; overflow: auto; white-space: pre-wrap; overflow-wrap: anywhere; }
.value.none { color: light-dark(#4b5563, #b6bfca); font-style: italic; }
dd { margin: 0; min-inline-size: 0; }
dd + dd { grid-column: 2; }
dd > .tag { display: block; color: light-dark(#4b5563, #b6bfca); font-size: .8125rem; }
.since { color: var(--_amber); font-weight: 600; }
.buttons { display: flex; flex-wrap: wrap; gap: .5rem; margin-block-start: .75rem; }
button {
  min-block-size: 2.75rem; padding-inline: 1rem; border: 1px solid var(--_accent); border-radius: 6px;
  background: transparent; color: var(--_accent); font: inherit; font-weight: 600; cursor: pointer;
}
button.main { background: var(--_accent); color: light-dark(#fff, #15191f); }
button[hidden] { display: none; }
@media (max-width: 30rem) {
  label { grid-template-columns: 1.25rem 1fr; }
  .value { grid-column: 2; }
  dl > div { grid-template-columns: 1fr; gap: .125rem; }
  dd + dd { grid-column: 1; }
}
@media (forced-colors: active) { label:has(input:checked) { outline: 2px solid Highlight; } }
`;

/** In the page: a field that will change when it is left, and one panel at a time. */
const PAGE = `
[data-form-lock-pending] { outline: 2px dashed light-dark(#1a6b34, #79d795); outline-offset: 2px; }
form-lock:has(> form-lock-choices) > :is(form-lock-draft, form-lock-say), form-lock:has(> form-lock-say) > form-lock-draft { display: none; }
`;

/** @type {CSSStyleSheet | null} */
let panel = null;

/** @returns {CSSStyleSheet} */
export function panelSheet() {
  if (panel) return panel;
  panel = made(PANEL);
  document.adoptedStyleSheets = [...document.adoptedStyleSheets, made(PAGE)];
  return panel;
}

/** @param {string} text @returns {CSSStyleSheet} */
function made(text) {
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(text);
  return sheet;
}

/** An element with text or others in it: texts of others never become mark-up. @param {string} tag @param {Record<string, string>} attributes @param {(Node | string)[]} children */
export function make(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/** A value, of which nothing is shown as such. @param {string} text @param {string} nothing */
export function valueElement(text, nothing) {
  return make('span', text.trim() ? { class: 'value', dir: 'auto', part: 'value' } : { class: 'value none', part: 'value' }, text.trim() ? text : nothing);
}
