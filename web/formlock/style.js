// The two style sheets: the banner's, and the one for shut fields in the page. Constructed, so that `default-src 'self'` allows them.

/** Inside the banner's shadow root. Colours are said once, as pairs for light and dark; all pairs have a contrast of 4.5:1 or more. */
export const BANNER = `
:host {
  --_neutral: var(--form-lock-neutral, light-dark(#4b5563, #b6bfca));
  --_accent: var(--form-lock-accent, light-dark(#1d5fbf, #8ab8ff));
  --_amber: var(--form-lock-amber, light-dark(#8a4b00, #f5b95a));
  --_red: var(--form-lock-red, light-dark(#b3261e, #ff9a91));
  --_green: var(--form-lock-green, light-dark(#1a6b34, #79d795));
  --_tone: var(--_neutral);
  display: block;
  color-scheme: light dark;
  font: var(--form-lock-font, 400 1rem/1.4 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif);
  margin-block-end: var(--form-lock-gap, 1rem);
}
:host([hidden]) { display: none; }
:host([state="mine"]), :host([state="asked"]) { --_tone: var(--_accent); }
:host([state="locked"]), :host([state="queued"]), :host([state="stale"]), :host([state="offline"]) { --_tone: var(--_amber); }
:host([state="lost"]) { --_tone: var(--_red); }
:host([saved]) { --_tone: var(--_green); }
[part="banner"] {
  box-sizing: border-box;
  display: flex;
  flex-wrap: wrap;
  align-items: center;
  gap: .5rem .75rem;
  min-block-size: var(--form-lock-height, 4rem);
  padding-block: .5rem;
  padding-inline: .875rem .5rem;
  border: 1px solid color-mix(in srgb, var(--_tone) 35%, transparent);
  border-inline-start: 4px solid var(--_tone);
  border-radius: var(--form-lock-radius, 8px);
  background: color-mix(in srgb, var(--_tone) 8%, light-dark(#fff, #15191f));
  color: light-dark(#1c2430, #e7ebf0);
  transition: background-color .3s, border-color .3s;
}
[part="banner"]:focus-visible { outline: 3px solid var(--_tone); outline-offset: 2px; }
[part="icon"] { flex: none; inline-size: 1.375rem; block-size: 1.375rem; color: var(--_tone); }
[part="icon"] svg { display: block; inline-size: 100%; block-size: 100%; }
[part="picture"], [part="viewer"] {
  flex: none; display: grid; place-items: center; inline-size: 2.125rem; block-size: 2.125rem; border-radius: 50%;
  background: oklch(45% .1 calc(var(--_turn, 250) * 1deg)); color: #fff; font-size: .8125rem; font-weight: 600; letter-spacing: .02em;
}
[part="viewers"] { display: flex; flex: none; }
[part="viewer"] { inline-size: 1.75rem; block-size: 1.75rem; font-size: .6875rem; background: #4b5563; border: 2px solid light-dark(#fff, #15191f); }
[part="viewer"] + [part="viewer"] { margin-inline-start: -.5rem; }
[hidden] { display: none !important; }
[part="text"] { flex: 1 1 16rem; min-inline-size: 0; overflow-wrap: anywhere; }
/* Sentences of one direction in a page of the other: read in their own, and on the page's side. */
[part="text"], .line, [part="note"] { unicode-bidi: plaintext; text-align: -webkit-match-parent; text-align: match-parent; }
.what { color: var(--_tone); font-weight: 600; }
[part="note"] { display: block; font-size: .9375rem; }
[part="note"]:not([hidden]) + [part="note"] { margin-block-start: .125rem; }
.line { font-size: .875rem; }
.links { display: inline-flex; flex-wrap: wrap; gap: 0 .625rem; }
[part="button"].small {
  position: relative; min-block-size: 1.5rem; min-inline-size: 0; padding: 0; border: 0; background: none; color: var(--_tone);
  font-size: .875rem; text-decoration: underline; text-underline-offset: .15em;
}
[part="buttons"] { display: flex; flex-wrap: wrap; gap: .5rem; margin-inline-start: auto; }
[part="button"] {
  flex: none; font: inherit; font-weight: 600; min-block-size: 2.75rem; min-inline-size: 5.5rem; padding: 0 1.125rem; cursor: pointer;
  color: light-dark(#fff, #10141a); background: var(--_accent); border: 1px solid transparent;
  border-radius: calc(var(--form-lock-radius, 8px) - 2px);
}
:host([state="mine"]) [part="button"], [part="button"].quiet:not(.small) {
  color: var(--_tone); background: transparent; border-color: color-mix(in srgb, var(--_tone) 60%, transparent);
}
[part="button"]:hover { filter: brightness(1.08); }
[part="button"]:focus-visible { outline: 3px solid var(--_accent); outline-offset: 2px; }
[part="button"][aria-busy="true"] { cursor: progress; }
/* A finger meets more than the eye sees: the line stays as high as it is. */
[part="button"].small::after { content: ""; position: absolute; inset: -.75rem -.25rem -.5rem; }
/* What is written inside for browsers without scripts has had its time. */
::slotted(:not(form-lock-say, form-lock-choices, form-lock-draft)) { display: none !important; }
/* Narrow: what it says above, who else is here and what can be done below, and as high from the start as it becomes. */
@media (max-width: 30rem) {
  [part="banner"] {
    display: grid; grid-template: "icon text text" auto "picture text text" auto ". . ." 1fr "viewers viewers buttons" auto / auto auto 1fr;
    gap: .25rem .625rem; align-items: start; min-block-size: var(--form-lock-height, 8.75rem);
  }
  [part="icon"] { grid-area: icon; justify-self: center; }
  [part="picture"] { grid-area: picture; }
  [part="text"] { grid-area: text; }
  [part="viewers"] { grid-area: viewers; align-self: center; }
  [part="buttons"] { grid-area: buttons; justify-content: end; margin: 0; }
  [part="button"]:not(.small) { padding-inline: .875rem; min-inline-size: 4.5rem; }
}
@media (prefers-reduced-motion: reduce) { [part="banner"] { transition: none; } }
@media (forced-colors: active) { [part="banner"] { border-inline-start-width: 6px; } }
`;

/** In the page: shut fields look like text and stay readable; changed ones flash once. */
export const PAGE = `
:is(input:not([type=checkbox],[type=radio],[type=range],[type=color],[type=file],[type=submit],[type=button],[type=reset],[type=image]), textarea, select)[data-form-lock-shut] {
  background: transparent; border-color: transparent; border-block-end-color: color-mix(in srgb, currentColor 25%, transparent);
  border-end-start-radius: 0; border-end-end-radius: 0;
  box-shadow: none; opacity: 1; resize: none; cursor: text;
}
select[data-form-lock-shut] { appearance: none; cursor: default; }
:is(button, [type=submit], [type=button], [type=reset])[data-form-lock-shut] {
  background: transparent; color: inherit; border: 1px dashed color-mix(in srgb, currentColor 45%, transparent); box-shadow: none; cursor: not-allowed;
}
@keyframes form-lock-flash { from { background-color: color-mix(in srgb, light-dark(#2e9e57, #3fbf6f) 38%, transparent); } }
[data-form-lock-flash] { animation: form-lock-flash 1.6s ease-out 1; }
@media (prefers-reduced-motion: reduce) { [data-form-lock-flash] { animation: none; outline: 2px solid light-dark(#1a6b34, #79d795); } }
`;

/** @type {Map<string, CSSStyleSheet>} */
const made = new Map();

/** @param {string} text @returns {CSSStyleSheet} */
export function sheet(text) {
  let found = made.get(text);
  if (!found) {
    found = new CSSStyleSheet();
    found.replaceSync(text);
    made.set(text, found);
  }
  return found;
}

/** Once per document. @param {Document} document */
export function stylePage(document) {
  const page = sheet(PAGE);
  if (!document.adoptedStyleSheets.includes(page)) document.adoptedStyleSheets = [...document.adoptedStyleSheets, page];
}
