// Makes a fragment that came with an update safe to stand in the page: by a list of what is allowed, and by what the form has already.
//
// A list of what is forbidden is never complete: each framework of a page gives meaning to attributes of its own (`hx-on`, `x-data`,
// `data-action`), and browsers learn new ones. So an element or attribute that is not on the lists passes only if the form has it: an
// element by its name, an attribute by its name and its value. Parsed in a document of its own, where nothing runs.

const ELEMENTS = new Set(
  ('a abbr article aside b bdi bdo blockquote br button caption cite code col colgroup data datalist dd del details dfn div dl dt em '
    + 'fieldset figcaption figure footer h1 h2 h3 h4 h5 h6 header hr i img input ins kbd label legend li main mark menu meter ol optgroup '
    + 'option output p pre progress q s samp section select small span strong sub summary sup table tbody td textarea tfoot th thead time '
    + 'tr u ul var wbr').split(' '),
);
/** Go with all that is in them, whatever the form has. */
const NEVER = new Set('script style iframe frame frameset object embed applet link meta base template noscript portal svg math form form-lock title'.split(' '));
const ATTRIBUTES = new Set(
  ('abbr accept alt autocapitalize autocomplete checked class cols colspan contenteditable datetime dir disabled enterkeyhint for headers '
    + 'height hidden high href id inputmode label lang list low max maxlength min minlength multiple name open optimum pattern placeholder '
    + 'readonly required role rows rowspan scope selected size span spellcheck src start step title translate type value width wrap').split(' '),
);
/** Run, lead elsewhere or take the focus, whatever the form has. `form` would move a field into another form. */
const FORBIDDEN = /^(?:on|hx-on|data-hx-on|x-|v-|@|:|style$|srcdoc$|srcset$|form|action$|autofocus$|nonce$|is$|ping$|target$|background$|data-form-lock)/;
const LEADS = new Set(['http:', 'https:', 'mailto:', 'tel:']);

/**
 * The fragment's body.
 * @param {string} html @param {HTMLFormElement} form whose contents it shall be @returns {HTMLElement}
 */
export function sanitised(html, form) {
  const { body } = new DOMParser().parseFromString(html, 'text/html');
  const own = found(form);
  const wanted = sameForm(body, form) ?? body.querySelector('form');
  if (wanted) body.replaceChildren(...Array.from(wanted.childNodes));
  for (const element of Array.from(body.querySelectorAll('*'))) clean(element, own);
  for (const node of comments(body)) node.remove();
  return body;
}

/** @param {Element} element @param {{elements: Set<string>, attributes: Set<string>}} own */
function clean(element, own) {
  const name = element.localName;
  if (NEVER.has(name) || element.namespaceURI !== 'http://www.w3.org/1999/xhtml') {
    element.remove();
  } else if (!ELEMENTS.has(name) && !own.elements.has(name)) {
    element.replaceWith(...Array.from(element.childNodes)); // its words may matter
  } else {
    for (const { name: attribute, value } of Array.from(element.attributes)) {
      const allowed = ATTRIBUTES.has(attribute) || attribute.startsWith('aria-') || own.attributes.has(pair(attribute, value));
      if (FORBIDDEN.test(attribute) || !allowed || !leadsWell(attribute, value)) element.removeAttribute(attribute);
    }
  }
}

/** What a form is made of now. @param {HTMLFormElement} form */
function found(form) {
  /** @type {Set<string>} */
  const elements = new Set();
  /** @type {Set<string>} */
  const attributes = new Set();
  for (const element of Array.from(form.querySelectorAll('*'))) {
    elements.add(element.localName);
    for (const { name, value } of Array.from(element.attributes)) attributes.add(pair(name, value));
  }
  return { elements, attributes };
}

/** @param {string} name @param {string} value */
function pair(name, value) {
  return `${name}=${value}`;
}

/** Pictures come from the page's own host: another one would learn who looks at the form. @param {string} attribute @param {string} value @returns {boolean} */
function leadsWell(attribute, value) {
  if (attribute !== 'href' && attribute !== 'src') return true;
  try {
    // As a browser reads it, with control characters and blanks in a scheme ignored.
    const url = new URL(value, document.baseURI);
    return attribute === 'src' ? url.origin === location.origin : LEADS.has(url.protocol);
  } catch {
    return false;
  }
}

/** @param {HTMLElement} body @returns {Comment[]} */
function comments(body) {
  const walker = document.createTreeWalker(body, NodeFilter.SHOW_COMMENT);
  /** @type {Comment[]} */
  const all = [];
  while (walker.nextNode()) all.push(/** @type {Comment} */ (walker.currentNode));
  return all;
}

/** The same form in another document. @param {ParentNode} where @param {HTMLFormElement} form @returns {HTMLFormElement | null} */
export function sameForm(where, form) {
  // By attribute: in a form with a field named "id", `form.id` is that field.
  const same = /** @param {string} name @param {Element} other */ (name, other) => form.getAttribute(name) && other.getAttribute(name) === form.getAttribute(name);
  return Array.from(where.querySelectorAll('form')).find((other) => same('form-lock', other) || same('id', other)) ?? null;
}
