// Every name on the wire: procedures, topics and errors.

export const DEFAULT_PREFIX = 'com.example';
const PART = '[A-Za-z0-9_:-]{1,64}';

/** The names under one prefix. */
export class Uris {
  /** @param {string} [prefix] */
  constructor(prefix = DEFAULT_PREFIX) {
    this.prefix = prefix;
    this.topic = new RegExp(`^${prefix.replaceAll('.', '\\.')}\\.form\\.${PART}\\.${PART}(\\.${PART})?$`);
  }

  /** @param {string} name `lock` -> `com.example.formlock.lock` */
  procedure(name) {
    return `${this.prefix}.formlock.${name}`;
  }

  /** The prefix of all forms of a type, or of all there are. @param {string} type */
  formsOf(type) {
    return `${this.prefix}.form.${type && `${type}.`}`;
  }

  /** A form's own name, without the prefix: `invoice.42`. @param {string} form */
  nameOf(form) {
    return form.slice(this.formsOf('').length);
  }

  /** Whether a form is a section of a record. @param {string} form */
  isSection(form) {
    return this.topic.exec(form)?.[1] !== undefined;
  }

  /** Whether a text names a form, or a section of one. @param {string | null | undefined} text @returns {text is string} */
  isForm(text) {
    return typeof text === 'string' && text.length <= 200 && this.topic.test(text);
  }
}

/** `com.example.formlock.error.form_locked` -> `form_locked`; other errors stay whole. @param {string} uri */
export function errorName(uri) {
  const mark = '.formlock.error.';
  const at = uri.indexOf(mark);
  return at < 0 ? uri : uri.slice(at + mark.length);
}
