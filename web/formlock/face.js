// What the banner says and offers when several want the same form: who has it and how active they are, the line, questions, takeovers,
// and how a lock was lost. Loaded when somebody else has the form, or when something happens to what we hold.
import { STYLE, portray } from './portraits.js';
import { Say } from './say.js';
import { sheet } from './style.js';
import { Numbers, TEXTS } from './texts-face.js';

/** @typedef {import('./element.js').Button} Button */
/** @typedef {import('./element.js').View} View */
/** @typedef {typeof import('./texts.js').TEXTS & typeof TEXTS} Texts */
/**
 * What shows the form.
 * @typedef {object} Host
 * @property {HTMLFormElement} form @property {import('./lock.js').FormLock} lock @property {import('./element.js').FormLockElement} banner
 * @property {boolean} unsaved whether something would be lost
 * @property {() => string} tag of the language that is spoken @property {() => any} texts @property {(notice: string, good?: boolean) => void} say @property {() => void} show
 * @property {() => void} edit @property {(begun: Promise<unknown>) => Promise<void>} enter go into the form when that has made it ours
 * @property {() => void} release give it up for those who ask
 * @property {() => void} showMine @property {(draft: unknown) => void} goOn
 */

const KEEP_MS = 5 * 60_000;
/** Names that are told; behind them it is a number. */
const NAMES = 3;

export class Face {
  /** @type {Say | null} */ #say = null;
  /** @type {Numbers | null} */ #numbers = null;
  #busy = '';
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #tick;

  /** @param {Host} host @param {AbortSignal} signal */
  constructor(host, signal) {
    this.host = host;
    signal.addEventListener('abort', () => {
      clearTimeout(this.#tick);
      this.#close();
    });
  }

  /** @returns {Texts} */
  get #texts() {
    return { ...TEXTS, ...this.host.texts() };
  }

  /** @returns {Numbers} */
  get #in() {
    const tag = this.host.tag();
    if (this.#numbers?.tag !== tag) this.#numbers = new Numbers(tag);
    return this.#numbers;
  }

  /** What is said and offered instead of, or beside, what the banner has by itself. @param {number} wall now @param {Button[]} offered @returns {Partial<View>} */
  view(wall, offered) {
    const { lock } = this.host;
    const { state } = lock;
    clearTimeout(this.#tick);
    const { words, seconds } = this.#words(state, lock.client.clock(), wall);
    // Seconds that run down are said each second; nothing else changes so fast.
    if (seconds) this.#tick = setTimeout(() => this.host.show(), 1000);
    queueMicrotask(() => this.#portray(state)); // when the banner has been written
    const buttons = this.#buttons(state);
    if (this.#say && !buttons.some(({ id }) => id === this.#say?.about)) this.#close();
    return { ...words, ...(buttons.length && { buttons: [...buttons, ...offered.filter(({ id }) => id === 'newest')] }) };
  }

  /** @param {import('./lease.js').State} state @param {number} now @param {number} wall @returns {{words: Partial<View>, seconds: boolean}} */
  #words(state, now, wall) {
    const { snapshot, handover, ending } = state;
    const t = this.#texts;
    const since = now - state.snapshotAt;
    switch (state.name) {
      case 'locked':
        return { words: this.#holder(state, now, wall), seconds: state.question !== null };
      case 'queued':
        return { words: { ...this.#place(state), ...this.#behind(state, now, wall) }, seconds: state.question !== null };
      case 'asked': {
        const [first, ...rest] = snapshot?.asks ?? [];
        const who = first?.name || t.somebody;
        const left = snapshot?.answer_in_ms;
        const counted = left !== null && left !== undefined;
        return {
          words: { text: rest.length ? t.askMany(who, rest.length) : t.asks(who), person: who, note: first?.note || undefined, when: counted ? t.goesIn(this.#in.span(left - since)) : undefined },
          seconds: counted,
        };
      }
      case 'mine':
        if (handover) {
          const who = handover.by.name || t.somebody;
          return { words: { text: t.takesOver(who), person: who, note: handover.reason || undefined, when: t.takesIn(this.#in.span(handover.until - now)) }, seconds: true };
        }
        return { words: { ...(ending !== null && { when: t.endsIn(this.#in.span(ending - now)) }), ...this.#viewers(state) }, seconds: ending !== null };
      case 'free':
        return { words: { ...(state.problem === 'turn_passed' && { text: t.turnPassed }), ...this.#viewers(state) }, seconds: false };
      case 'lost':
        return { words: this.#lost(state, wall, now), seconds: false };
      default:
        return { words: {}, seconds: false };
    }
  }

  /** Who has it. @param {import('./lease.js').State} state @param {number} now @param {number} wall @returns {Partial<View>} */
  #holder(state, now, wall) {
    const { snapshot, sameUser } = state;
    const t = this.#texts;
    const grace = snapshot?.state === 'grace' && snapshot.until_ms === undefined; // a long lock needs no page of its holder
    if (sameUser) return grace ? { text: t.wasEditingSelf, when: t.freeSoonSelf } : {};
    const who = snapshot?.holder?.name || t.somebody;
    if (grace) return { text: t.wasEditing(who), when: t.freeSoon, ...this.#viewers(state) };
    const others = (snapshot?.holders?.length ?? 1) - 1;
    const ago = snapshot?.since_ms === null || snapshot?.since_ms === undefined ? null : snapshot.since_ms + now - state.snapshotAt;
    const long = ago !== null && ago >= 3_600_000;
    let text = long ? t.editingSince(who, this.#in.clock(wall - ago, wall)) : t.editing(who);
    if (snapshot?.machine) text = t.machine(who);
    else if (others > 0) text = t.others(who, others);
    const when = ago === null || long ? undefined : ago < 60_000 ? t.startedNow : t.started(this.#in.span(Math.floor(ago / 60_000) * 60_000));
    return { text, when, ...this.#behind(state, now, wall) };
  }

  /** What else is known of whoever has it: how active, what was asked, who else looks on. @param {import('./lease.js').State} state @param {number} now @param {number} wall @returns {Partial<View>} */
  #behind(state, now, wall) {
    const { snapshot } = state;
    if (!snapshot || snapshot.state === 'free' || state.sameUser) return {};
    const t = this.#texts;
    const since = now - state.snapshotAt;
    const who = snapshot.holder?.name || t.somebody;
    const lines = [];
    if (state.name === 'queued') lines.push(snapshot.since_ms === null ? t.editing(who) : t.editingSince(who, this.#in.clock(wall - (snapshot.since_ms ?? 0) - since, wall)));
    if (snapshot.idle_ms !== undefined) lines.push(t.away(this.#in.span(Math.max(60_000, snapshot.idle_ms + since))));
    else if (snapshot.state === 'held' && !snapshot.machine) lines.push(t.activeNow);
    if (state.question !== null) lines.push(t.asked(who));
    if (state.question !== null && typeof snapshot.answer_in_ms === 'number') lines.push(t.answerIn(this.#in.span(snapshot.answer_in_ms - since)));
    if (snapshot.kept_ms !== undefined && snapshot.kept_ms > since) lines.push(t.needsIt(who, this.#in.span(Math.max(60_000, snapshot.kept_ms - since))));
    return { more: lines.join(' '), ...this.#viewers(state) };
  }

  /** @param {import('./lease.js').State} state @returns {Partial<View>} */
  #place({ place, snapshot }) {
    const t = this.#texts;
    return { text: place === 1 || place === null ? t.next : t.place(place), person: snapshot?.holder?.name };
  }

  /** @param {import('./lease.js').State} state */
  #portray(state) {
    const shadow = this.host.banner?.shadowRoot;
    if (!shadow) return;
    const style = sheet(STYLE);
    if (!shadow.adoptedStyleSheets.includes(style)) shadow.adoptedStyleSheets.push(style);
    portray(shadow.querySelector('[part="picture"]:not([hidden])'), personOf(state)?.user);
    for (const [at, place] of Array.from(shadow.querySelectorAll('[part="viewer"]')).entries()) portray(place, othersOf(state)[at]?.user);
  }

  /** Who else has it open. @param {import('./lease.js').State} state @returns {Pick<View, 'viewers'>} */
  #viewers(state) {
    const { snapshot, me } = state;
    const others = othersOf(state);
    if (!others.length) return {};
    const names = others.slice(0, NAMES).map(({ name }) => name);
    const hidden = Math.max(others.length, (snapshot?.viewer_count ?? 0) - 1 - (snapshot?.holder && snapshot.holder.user !== me ? 1 : 0)) - names.length;
    return { viewers: { names, text: this.#texts.alsoHere(this.#in.list.format(hidden > 0 ? [...names, `+${hidden}`] : names)) } };
  }

  /** @param {import('./lease.js').State} state @param {number} wall @param {number} now @returns {Partial<View>} */
  #lost({ lost, me, snapshot }, wall, now) {
    if (!lost) return {};
    const t = this.#texts;
    const when = this.host.unsaved ? t.kept : t.nothingLost;
    if (lost.cause === 'takeover') {
      if (lost.by?.user === me) return { text: t.tookSelf, when, person: undefined };
      const who = lost.by?.name || lost.holder?.name || t.somebody;
      // Since then it may have gone on to another.
      const next = snapshot?.holder && snapshot.token !== lost.token && ![lost.by?.user, me].includes(snapshot.holder.user) ? t.lostTo(snapshot.holder.name) : undefined;
      return { text: t.tookOver(who, this.#in.clock(wall - (now - lost.at), wall)), note: lost.reason || undefined, when, person: who, more: next };
    }
    if (lost.holder || snapshot?.holder) return { when };
    const texts = { session_lost: t.interrupted, expired: t.interrupted, max_hold: t.tooLong, long_over: t.tooLong, idle: t.idle, asked: t.answered };
    return { text: texts[/** @type {keyof typeof texts} */ (lost.cause ?? '')] ?? t.ended, when };
  }

  /** @param {import('./lease.js').State} state @returns {Button[]} */
  #buttons(state) {
    const { lock } = this.host;
    const { snapshot, rights } = state;
    const t = this.#texts;
    /** @param {string} id @param {string} label @param {() => void} act @param {boolean} [quiet] @returns {Button} */
    const button = (id, label, act, quiet = true) => ({ id, label, act, quiet, busy: this.#busy === id });
    /** @param {string} right */
    const has = (right) => !rights || rights.includes(right) || rights.includes('*');
    const mayLock = has(snapshot?.lock_right ?? 'lock');
    const held = snapshot !== null && snapshot.state !== 'free';
    const take = held && mayLock && (snapshot.machine === true || has(snapshot.takeover_right ?? 'takeover'));
    const ask = held && mayLock && !snapshot.machine && snapshot.state === 'held' && state.question === null;
    /** @param {boolean} quiet @returns {Button[]} */
    const wait = (quiet) => (snapshot?.queue === false ? [] : [button('wait', t.wait, () => this.#do('wait', lock.lock({ wait: true })), quiet)]);
    const takeButton = { ...button('take', t.takeOver, () => this.#open('take')), small: true };
    const askButton = { ...button('ask', t.ask, () => this.#open('ask')), small: true };
    switch (state.name) {
      case 'locked':
        if (!mayLock || state.problem === 'denied') return [];
        if (state.sameUser) return [button('move', t.moveHere, () => this.#move(), false)];
        return [
          ...wait(false),
          ...(ask ? [askButton] : []),
          ...(take ? [takeButton] : []),
        ];
      case 'queued':
        return [button('leave', t.leave, () => void lock.leaveQueue(), false), ...(ask ? [askButton] : []), ...(take ? [takeButton] : [])];
      case 'asked':
        return [button('release', t.release, () => this.host.release(), false), button('keep', t.keep, () => this.#do('keep', lock.answer('keep', { keepMs: KEEP_MS })))];
      case 'lost': {
        const show = this.host.unsaved ? [button('show', t.showMine, () => this.host.showMine())] : [];
        if (!held) return [button('again', t.lockAgain, () => this.host.edit(), false), ...show];
        if (snapshot.holder?.user === state.me) return [button('move', t.moveHere, () => this.#move(), false), ...show];
        return [...(ask ? [button('ask', t.askBack, () => this.#open('ask'))] : wait(true)), ...show];
      }
      default:
        return [];
    }
  }

  // -- what the buttons do

  /** @param {'ask' | 'take'} id */
  #open(id) {
    const t = this.#texts;
    const { banner, lock } = this.host;
    this.#close();
    const facts = id === 'ask' ? { title: t.askTitle, more: t.askMore, send: t.send } : { title: t.takeTitle, more: t.takeMore, send: t.takeOver };
    const onSend = (/** @type {string} */ text) => {
      this.#close();
      if (id === 'take') this.#do('take', lock.takeover({ reason: text }));
      else this.#do('ask', lock.ask({ note: text }).then(({ free }) => void (free && this.host.edit())), false);
    };
    this.#say = new Say({ id, ...facts, cancel: t.cancel, onSend, onCancel: () => this.#close() });
    banner.append(this.#say);
    this.#say.focus();
  }

  #close() {
    const say = this.#say;
    this.#say = null;
    if (!say) return;
    const inside = say === document.activeElement;
    say.remove();
    if (inside) this.host.banner.rescueFocus();
  }

  #move() {
    this.#do('move', this.host.lock.moveHere().then(({ draft }) => {
      if (draft) this.host.goOn(draft);
    }));
  }

  /** @param {string} id the button @param {Promise<unknown>} begun @param {boolean} [enter] whether it may make the form ours */
  async #do(id, begun, enter = true) {
    this.host.say('');
    this.#busy = id === 'wait' ? '' : id; // who waits may do something else meanwhile
    this.host.show();
    try {
      await (enter ? this.host.enter(begun) : begun);
    } catch (/** @type {any} */ error) {
      if (!error || !['turn_passed', 'ended', 'AbortError'].includes(error.code ?? error.name)) this.host.say(this.#why(error, id));
    } finally {
      if (this.#busy === id) this.#busy = '';
      this.host.show();
    }
  }

  /** @param {any} error @param {string} id @returns {string} */
  #why(error, id) {
    const t = this.#texts;
    if (error?.code === 'not_allowed') return id === 'take' ? t.mayNotTake : t.readOnly;
    if (error?.code === 'form_locked' && id === 'wait') return t.noLine;
    if (error?.code === 'conflict' || error?.code === 'form_locked' || error?.code === 'lost') return t.changedHands;
    if (error?.code === 'too_many') return t.lineFull;
    return t.failed;
  }
}

/** Of whom the banner speaks. @param {import('./lease.js').State} state */
function personOf({ name, snapshot, handover, lost }) {
  if (name === 'asked') return snapshot?.asks?.[0];
  if (name === 'mine') return handover?.by;
  if (name !== 'lost') return snapshot?.holder;
  if (lost?.cause === 'takeover') return lost.by ?? lost.holder;
  return snapshot && snapshot.token !== lost?.token ? snapshot.holder : lost?.holder;
}

/** Who else has it open. @param {import('./lease.js').State} state */
function othersOf({ snapshot, me }) {
  return (snapshot?.viewers ?? []).filter(({ user }) => user !== me && user !== snapshot?.holder?.user);
}
