// Brings what others have saved into one form: replaces or merges, asks where both have changed the same, and waits for whoever types.
import { Choices } from './conflicts.js';
import { editedElsewhere, labelOf } from './fields.js';
import { asShown, flash, write } from './fill.js';
import { both, chosen, folded, hasBoth, merge } from './merge.js';
import { isOwnSave, isShown } from './own.js';
import { shown } from './shown.js';
import { holdStill } from './still.js';
import { TEXTS, line, plain } from './texts-merge.js';
import { oldValues, replaceContents, valuesFromServer, valuesOf } from './update.js';
import { fieldsByName, kindsIn, valueOf, valuesIn } from './values.js';
import { setVersion, versionOf } from './version.js';

/** @typedef {import('./incoming.js').Incoming} Incoming */
/** @typedef {import('./lock.js').Update} Update */
/** @typedef {import('./merge.js').Choice} Choice */
/** @typedef {import('./merge.js').Outcome} Outcome */
/** @typedef {import('./values.js').Value} Value */
/** @typedef {import('./values.js').Values} Values */

const PENDING = 'data-form-lock-pending';

export class Follower {
  /** What is saved and not in the form so far: asked about, or waiting for a field to be left. @type {Values} */ #pending = Object.create(null);
  /** Of the record behind all that is pending; it is the form's once nothing is. @type {string | number | null} */ #version = null;
  /** Who saved last, for the sentences. @type {string | undefined} */ #who;
  /** @type {Update | null} held back because of typed text */ #held = null;
  /** @type {Outcome[]} */ #conflicts = [];
  /** @type {Choices | null} */ #choices = null;
  /** Whether a choice was made since the last question came up. */
  #answered = false;

  /** @param {Incoming} incoming */
  constructor(incoming) {
    this.incoming = incoming;
    this.form = incoming.form;
    const { signal } = incoming;
    // The field that was left may take what waited for it; what is typed may answer a question, or be one.
    this.form.ownerDocument.addEventListener('focusout', () => this.#isWaiting() && setTimeout(() => this.#settle()), { signal });
    this.form.addEventListener('input', () => this.#isWaiting() && this.#settle(), { signal });
    signal.addEventListener('abort', () => this.#choices?.remove());
  }

  get holds() {
    return this.#held !== null;
  }

  /** @param {Update[]} updates one after the other, in one step */
  async update(updates) {
    /** @type {Update | null} */
    let news = null;
    for (const update of updates) {
      if (this.#isOwn(update)) this.ownSave(update);
      else if (this.incoming.announce(update)) news = news ? folded(news, update) : update;
    }
    if (news) await this.#bring(news);
  }

  /** @param {Update} update */
  #isOwn(update) {
    const { client } = this.incoming.lock;
    return isOwnSave(update, { ids: [client.tab.id, ...client.sessions], kinds: kindsIn(this.form), now: client.clock(), submission: this.incoming.submission });
  }

  /** What this page saved is in the record now; what was typed since is not. @param {Update} update */
  ownSave(update) {
    const { incoming } = this;
    const { submission } = incoming;
    const saved = submission?.values ?? asShown(this.form, incoming.base ? changedTo(update) : {}, incoming.base);
    incoming.base = incoming.base || submission ? { ...incoming.base, ...saved } : null;
    incoming.submission = null;
    for (const name of Object.keys(saved ?? {})) delete this.#pending[name];
    if (update.version !== undefined) this.#version = update.version;
    this.#settle();
    incoming.withDrafts((keeper) => (incoming.dirty ? keeper.keep() : keeper.clear()));
  }

  /** @param {Update} update */
  async #bring(update) {
    const { incoming } = this;
    if (isShown(update, { kinds: kindsIn(this.form), base: incoming.base, version: versionOf(this.form) }) && !this.#isWaiting()) {
      if (update.version !== undefined) setVersion(this.form, update.version, incoming.base);
      return;
    }
    const unsaved = incoming.editing || incoming.dirty;
    if (update.reported === 'deleted' && unsaved) incoming.host.say(TEXTS.deleted(update.actor?.name));
    else if (this.form.getAttribute('update') === 'merge') await this.#merge(update);
    else if (unsaved) this.#hold(update);
    else await this.#replace(update);
  }

  // -- merging

  /** @param {Update} update */
  async #merge(update) {
    const { incoming, form } = this;
    // Without a version that the form can take over, the application would refuse what is saved after it: the page knows it.
    const told = versionOf(form) !== null && update.version === undefined ? null : valuesOf(form, update, { changes: true, base: incoming.base });
    const values = told ?? (await valuesFromServer(form).catch(() => null));
    if (incoming.signal.aborted) return;
    if (!values) {
      // Other rows or fields, or nothing to be had: in place there is no way.
      if (incoming.editing || incoming.dirty) this.#hold(update);
      else await this.#replace(update);
      return;
    }
    const old = oldValues(form, update, incoming.base);
    incoming.base = { ...(incoming.base ? {} : old), ...incoming.base };
    for (const [name, value] of Object.entries(old)) incoming.base[name] ??= value;
    this.take(values, { version: update.version, who: update.actor?.name });
  }

  /**
   * What is saved now, to be merged into the form. Focus, selection and scroll position stay.
   * @param {Values} values @param {{version?: string | number, who?: string}} [facts]
   */
  take(values, { version, who } = {}) {
    const field = this.form.getAttribute('version-field');
    const { [field ?? '']: inPage, ...rest } = values;
    if (field !== null && inPage !== undefined) version = String(inPage);
    if (version !== undefined) this.#version = version;
    this.#who = who;
    Object.assign(this.#pending, rest);
    const before = new Set(this.#conflicts.map(questionOf));
    const followed = this.#settle();
    const asked = this.#conflicts.filter((conflict) => !before.has(questionOf(conflict)));
    const also = line(followed);
    if (asked.length) this.incoming.host.say([this.#question(), also && TEXTS.also(also)].filter(Boolean).join(' '));
    else if (also && !this.#conflicts.length) this.incoming.host.say(TEXTS.saved(also, who), true);
  }

  #question() {
    return TEXTS.conflict(this.#who ?? TEXTS.somebody, this.#conflicts.length);
  }

  #isWaiting() {
    return this.#version !== null || Object.keys(this.#pending).length > 0;
  }

  /**
   * Takes in what can be taken in now. `force`: also into the field that has the focus.
   * @param {{force?: boolean}} [options] @returns {import('./texts-merge.js').Change[]} what has followed, or will when its field is left
   */
  #settle({ force = false } = {}) {
    const { incoming, form } = this;
    if (!this.#isWaiting() && !this.#choices) return [];
    const all = fieldsByName(form);
    const base = (incoming.base ??= Object.create(null));
    const outcomes = merge({ kinds: kindsIn(form), base: /** @type {Values} */ (base), mine: valuesIn(form), theirs: this.#pending });
    /** @type {HTMLElement[]} */
    const touched = [];
    /** @type {import('./texts-merge.js').Change[]} */
    const followed = [];
    /** @type {Values} */
    const pending = Object.create(null);
    const stay = holdStill(form);
    for (const { name, outcome, old, theirs, mine, merged } of outcomes) {
      const fields = all.get(name) ?? [];
      if (outcome === 'follow' && !isHidden(fields)) followed.push({ label: labelOf(form, name), old: shown(fields, old), fresh: shown(fields, theirs) });
      const waits = outcome === 'conflict' || (outcome === 'follow' && !force && fields.some(isUnderHand));
      for (const field of fields) field.toggleAttribute(PENDING, waits && outcome === 'follow');
      if (waits) {
        pending[name] = theirs;
        continue;
      }
      /** @type {Values} */ (base)[name] = outcome === 'same' ? mine : theirs;
      if (outcome !== 'follow') continue;
      write(fields, theirs, { record: true });
      /** @type {Values} */ (base)[name] = valueOf(fields); // as the field writes it: line ends, say
      touched.push(...fields.filter((field) => !isHidden([field])));
      if (merged !== theirs) write(fields, merged); // rows of both
    }
    this.#pending = pending;
    this.#conflicts = outcomes.filter(({ outcome }) => outcome === 'conflict');
    if (this.#version !== null && Object.keys(pending).length === 0) {
      setVersion(form, this.#version, incoming.base);
      this.#version = null;
    }
    this.#showChoices();
    stay();
    if (touched.length) this.#filled(touched);
    return followed;
  }

  /** @param {HTMLElement[]} touched */
  #filled(touched) {
    flash(touched);
    const names = [...new Set(touched.map((field) => /** @type {HTMLInputElement} */ (field).name))];
    this.form.dispatchEvent(new CustomEvent('formlock:filled', { bubbles: true, detail: { lock: this.incoming.lock, names } }));
  }

  // -- questions

  #showChoices() {
    const conflicts = this.#conflicts;
    if (!conflicts.length) {
      if (!this.#choices) return;
      const inside = this.#choices.contains(document.activeElement);
      this.#choices.remove();
      this.#choices = null;
      if (inside) this.incoming.host.banner.focus?.();
      if (this.#answered) this.incoming.host.say(TEXTS.chosen, true);
      else this.incoming.host.say('');
      this.#answered = false;
      return;
    }
    if (!this.#choices) {
      const detail = { lock: this.incoming.lock, conflicts, choose: /** @param {string} name @param {Choice} choice */ (name, choice) => this.choose(new Map([[name, choice]])) };
      if (!this.form.dispatchEvent(new CustomEvent('formlock:conflict', { bubbles: true, cancelable: true, detail }))) return;
      this.#choices = new Choices((choices) => this.choose(choices));
    }
    if (this.#choices.parentElement !== this.incoming.host.banner) this.incoming.host.banner.append(this.#choices);
    const all = fieldsByName(this.form);
    const kinds = kindsIn(this.form);
    this.#choices.show(conflicts.map(({ name, old, theirs, mine }) => {
      const fields = all.get(name) ?? [];
      const kind = kinds[name];
      return {
        name, label: labelOf(this.form, name), who: this.#who,
        both: kind !== undefined && hasBoth(kind) ? shown(fields, both(kind, old, theirs, mine)) : null,
        old: old === undefined ? null : shown(fields, old), theirs: shown(fields, theirs), mine: shown(fields, mine),
      };
    }));
  }

  /** What the person wants, by field name. @param {Map<string, Choice>} choices */
  choose(choices) {
    const all = fieldsByName(this.form);
    const kinds = kindsIn(this.form);
    /** @type {HTMLElement[]} */
    const touched = [];
    for (const conflict of this.#conflicts) {
      const choice = choices.get(conflict.name);
      const fields = all.get(conflict.name);
      const kind = kinds[conflict.name];
      if (!choice || !fields || !kind) continue;
      this.#answered = true;
      const mine = /** @type {Value} */ (valuesIn(this.form)[conflict.name]); // as it is by now
      const value = chosen(kind, { ...conflict, mine }, choice);
      write(fields, conflict.theirs, { record: true });
      write(fields, value);
      if (choice !== 'mine') touched.push(...fields);
      if (this.incoming.base) this.incoming.base[conflict.name] = conflict.theirs;
      delete this.#pending[conflict.name];
    }
    this.#settle();
    if (touched.length) this.#filled(touched);
    if (this.#conflicts.length) this.incoming.host.say(this.#question());
    this.incoming.withDrafts((keeper) => keeper.keep());
  }

  /** Before a submit. @returns {boolean} whether nothing has to be chosen first */
  ready() {
    if (!this.#isWaiting()) return true;
    this.#settle({ force: true });
    if (!this.#conflicts.length) return true;
    this.incoming.host.say(TEXTS.chooseFirst(this.#conflicts.map(({ name }) => labelOf(this.form, name)).join(', ')));
    this.#choices?.focus();
    return false;
  }

  /** Typed text of another time: of a draft, for which `old` was the record. @param {Record<string, {old: Value, mine: Value}>} texts */
  revive(texts) {
    const all = fieldsByName(this.form);
    const now = { ...this.incoming.base, ...this.#pending };
    const { base } = this.incoming;
    for (const [name, { old, mine }] of Object.entries(texts)) {
      const [fields, value] = [all.get(name), now[name]];
      if (!fields || value === undefined || !base) continue;
      write(fields, mine);
      base[name] = old;
      this.#pending[name] = value;
    }
    this.#who = undefined;
    this.#answered = false;
    this.#settle();
    this.incoming.host.say(this.#conflicts.length ? this.#question() : TEXTS.used);
  }

  // -- replacing

  /** Typed text is never thrown away: say it, and bring it in when the person wants it. @param {Update} update */
  #hold(update) {
    this.#held = this.#held ? folded(this.#held, update) : update;
    this.incoming.host.say(TEXTS.held(this.#told(update), Boolean(update.missed)));
    this.incoming.host.refresh();
  }

  async showHeld() {
    const held = this.#held;
    this.#held = null;
    if (held) await this.#replace(held);
  }

  /** The form holds the record: nothing waits any more. */
  forget() {
    this.#held = null;
    this.#pending = Object.create(null);
    this.#version = null;
    this.#answered = false;
    this.#settle();
  }

  /** @param {Update} update */
  async #replace(update) {
    const { form, incoming } = this;
    this.#held = null;
    const inPlace = form.hasAttribute('update') && form.getAttribute('update') !== 'reload';
    if (!inPlace && !editedElsewhere(form)) {
      location.reload();
      return;
    }
    /** @type {HTMLElement[]} */
    let touched;
    /** @type {Values | null} */
    let values = null;
    if (inPlace && typeof update.representation === 'string') {
      touched = replaceContents(form, update.representation);
    } else {
      if (inPlace) values = valuesOf(form, update, { changes: false, base: incoming.base });
      if (!values) {
        const before = JSON.stringify(valuesIn(form));
        values = await valuesFromServer(form).catch(() => null);
        if (incoming.signal.aborted) return;
        const { state } = incoming.lock;
        if (state.grant || state.asking || JSON.stringify(valuesIn(form)) !== before) {
          this.#hold(update); // editing began while the page was fetched
          return;
        }
      }
      if (!values) {
        if (editedElsewhere(form)) this.#hold(update); // only a reload would help, at the cost of another form
        else location.reload();
        return;
      }
      const all = fieldsByName(form);
      touched = Object.entries(values).flatMap(([name, value]) => write(all.get(name) ?? [], value, { record: true }));
    }
    incoming.base = valuesIn(form);
    this.forget();
    if (update.version !== undefined) setVersion(form, update.version, incoming.base);
    incoming.host.refresh();
    this.#filled(touched.filter((field) => !isHidden([field])));
    const what = this.#told(update);
    incoming.host.say(what ? TEXTS.saved(what, update.actor?.name) : TEXTS.newest, true);
  }

  /** One line of what an update tells of changes. @param {Update} update */
  #told(update) {
    const pairs = Object.entries(update.change_set ?? {}).filter(([, pair]) => Array.isArray(pair) && pair.length === 2);
    return line(pairs.map(([name, [old, fresh]]) => ({ label: labelOf(this.form, name), old: plain(old), fresh: plain(fresh) })));
  }

  // -- claims

  /**
   * Shows the contents that the application read behind a claim, hidden fields too. What was typed before stays.
   * @param {Record<string, unknown>} given
   */
  claimed(given) {
    const { form, incoming } = this;
    const values = asShown(form, given, incoming.base);
    if (!values) throw new RangeError('a field can not show what the application answered');
    if (incoming.base && form.getAttribute('update') === 'merge') {
      this.take(values);
      return;
    }
    const all = fieldsByName(form);
    const mine = valuesIn(form);
    const known = incoming.base;
    // Without a base all that people see may have been typed; what is hidden was not.
    const base = known ?? Object.fromEntries([...all].flatMap(([name, fields]) => (isHidden(fields) ? [[name, /** @type {Value} */ (mine[name])]] : [])));
    const outcomes = merge({ kinds: kindsIn(form), base, mine, theirs: values });
    const touched = outcomes.flatMap(({ name, outcome, merged }) => (outcome === 'follow' ? write(all.get(name) ?? [], merged, { record: true }) : []));
    incoming.base = { ...valuesIn(form), ...known };
    for (const { name, outcome, theirs } of outcomes) incoming.base[name] = outcome === 'same' || outcome === 'follow' ? valueOf(all.get(name) ?? []) : theirs;
    this.#version = null;
    if (touched.length) this.#filled(touched.filter((field) => !isHidden([field])));
    const differing = outcomes.filter(({ outcome }) => outcome === 'conflict').map(({ name }) => labelOf(form, name));
    if (differing.length) incoming.host.say(TEXTS.claimed(differing.join(', ')));
  }
}

/** @param {Outcome} conflict what is asked: the same again is no news */
function questionOf({ name, theirs }) {
  return JSON.stringify([name, theirs]);
}

/** Whether somebody may be typing in it, or choosing. @param {HTMLElement} field */
function isUnderHand(field) {
  return field === field.ownerDocument.activeElement && !field.inert && !(/** @type {HTMLInputElement} */ (field).readOnly);
}

/** @param {HTMLElement[]} fields */
function isHidden(fields) {
  return fields.every((field) => field instanceof HTMLInputElement && field.type === 'hidden');
}

/** @param {Update} update @returns {Record<string, unknown>} */
function changedTo(update) {
  return Object.fromEntries(Object.entries(update.change_set ?? {}).map(([name, pair]) => [name, pair?.[1]]));
}
