// Which language a form speaks: that of the page around it, with the page's own words before ours. Languages are loaded when needed.
import { TEXTS } from './texts.js';

/** Sentences by their names in texts.js, texts-face.js and texts-list.js; `merge`: those of texts-merge.js. @typedef {Record<string, any>} Words */

/** @type {Record<string, () => Promise<{default: Words}>>} */
const LANGUAGES = {
  de: () => import('./formlock-de.js'),
  es: () => import('./formlock-es.js'),
  fr: () => import('./formlock-fr.js'),
  pl: () => import('./formlock-pl.js'),
};
/** @type {Map<string, Words>} by language */
const loaded = new Map();
/** @type {Map<string, Promise<void>>} by language */
const loading = new Map();
/** @type {Map<string, Words>} the page's own, by language; '' for all */
const own = new Map();
/** Tells that there are other words now. */
export const spoken = new EventTarget();

/** The tag that the page gives its language, e.g. `de-CH`. @param {Element} element @returns {string} */
export function languageOf(element) {
  return element.closest('[lang]')?.getAttribute('lang') || 'en';
}

/** The tag of what is said there: where the page's language is not ours and the page has no words of its own, it is English. @param {Element} element @returns {string} */
export function tagOf(element) {
  const tag = languageOf(element);
  const language = primary(tag);
  return language === 'en' || language in LANGUAGES || own.has(language) || own.has('') ? tag : 'en';
}

/** What is said there, as far as it is loaded. @param {Element} element @returns {import('./texts.js').Texts & Words} */
export function textsOf(element) {
  const language = primary(languageOf(element));
  return { ...TEXTS, ...loaded.get(language), ...own.get(''), ...own.get(language) };
}

/** Whether that language has been loaded, or can't be: English is always there. @param {Element} element */
export function speaks(element) {
  const language = primary(languageOf(element));
  const load = LANGUAGES[language];
  if (!load || loaded.has(language)) return true;
  if (!loading.has(language)) {
    loading.set(language, load().catch(() => ({ default: {} })).then(({ default: words }) => {
      loaded.set(language, words);
      spoken.dispatchEvent(new Event('change'));
    }));
  }
  return false;
}

/** As `speaks`, when it is so. @param {Element} element @returns {Promise<void>} */
export async function learnt(element) {
  if (!speaks(element)) await loading.get(primary(languageOf(element)));
}

/**
 * The page's own words instead of ours, by their names; those of merging and drafts under `merge`.
 * @param {Words} words @param {string} [language] for that language only
 */
export function texts(words, language = '') {
  own.set(language, { ...own.get(language), ...words });
  spoken.dispatchEvent(new Event('change'));
}

/** @param {string} tag */
function primary(tag) {
  return tag.toLowerCase().split('-', 1)[0] ?? '';
}
