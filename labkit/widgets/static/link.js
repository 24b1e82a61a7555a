// The line between one widget model and its views in this page: what Python sent last, and messages back.
import { Column, unpack } from "./frames.js";

/** @typedef {import("./frames.js").Field} Field */
/**
 * What a person has asked for and Python has not answered yet.
 * @typedef {{action: string, details: Record<string, any>, buffers: ArrayBuffer[], key: string, ticket: number}} Wish
 *   `ticket` is 0 while it waits here, until the one of the same `key` is answered
 */

const WAIT = 1000; // ms without an answer after which the view says that it waits

export class Link {
  /**
   * @param {any} model the anywidget model
   * @param {AbortSignal} signal ends when the model does
   */
  constructor(model, signal) {
    this.model = model;
    this.state = /** @type {Record<string, any>} */ ({});
    this.arrays = /** @type {Record<string, Field>} */ ({});
    this.columns = /** @type {Record<string, Column>} */ ({});
    this.age = 0; // counts how often columns began anew
    this.number = -1;
    this.updates = 0;
    this.ticket = 0;
    this.wishes = /** @type {Wish[]} */ ([]); // in the order in which they were asked
    this.choices = /** @type {WeakMap<EventTarget, Wish>} */ (new WeakMap());
    this.gone = ""; // why the kernel can't be reached
    this.broken = ""; // what failed in this page
    this.waiting = false;
    this.listeners = new Set();
    this.timer = 0;

    const snapshot = model.get("frame");
    if (snapshot?.byteLength) this.take(snapshot);
    const receive = (/** @type {any} */ message, /** @type {any[]} */ buffers) => {
      if (message?.kind === "update") this.guard(() => this.take(buffers[0]));
    };
    const retext = () => this.tell();
    model.on("msg:custom", receive);
    model.on("change:text", retext);
    // JupyterLab tells when the kernel goes; elsewhere the next message fails.
    const changed = model.widget_manager?.kernel?.statusChanged;
    const watch = (/** @type {any} */ _, /** @type {string} */ status) => {
      if (["restarting", "autorestarting", "terminating", "dead"].includes(status)) this.lose();
    };
    changed?.connect?.(watch);
    signal.addEventListener("abort", () => {
      changed?.disconnect?.(watch);
      model.off("msg:custom", receive);
      model.off("change:text", retext);
      clearTimeout(this.timer);
    });
    this.send({ kind: "hello", number: this.number });
  }

  /** Take in one packed message. @param {DataView} block */
  take(block) {
    const { header, arrays } = unpack(block);
    if (!header.whole && header.number !== this.number + 1) {
      if (header.number > this.number) this.send({ kind: "hello", number: this.number });
      return;
    }
    this.number = header.number;
    this.updates += 1;
    const before = header.whole ? this.ticket : this.state.answered ?? 0; // of all that there is nothing earlier is waited for
    if (header.whole) {
      this.state = {};
      this.arrays = {};
      this.columns = {};
    }
    Object.assign(this.state, header.state);
    this.state.answered = Math.max(before, this.state.answered ?? 0); // another page's tickets may be lower
    const growing = new Set(header.append);
    if (header.whole || header.anew) this.age += 1;
    for (const [name, field] of Object.entries(arrays)) {
      if (!growing.has(name)) this.arrays[name] = field;
      else {
        if (header.anew || !this.columns[name]) this.columns[name] = new Column();
        this.columns[name].append(field.data);
      }
    }
    this.settle(this.state.answered);
    this.tell();
  }

  /** What is answered is no wish any more; what waited for that is sent. @param {number} answered the newest ticket that is */
  settle(answered) {
    this.wishes = this.wishes.filter(({ ticket }) => !ticket || ticket > answered);
    for (const wish of this.wishes) {
      if (!this.wishes.some(({ ticket, key }) => ticket && key === wish.key)) this.release(wish);
    }
    if (!this.wishes.length) this.rest();
  }

  /**
   * Ask Python to do something; its answer comes as an update.
   * @param {string} action
   * @param {Record<string, any>} [details]
   * @param {ArrayBuffer[]} [buffers]
   */
  do(action, details = {}, buffers = []) {
    if (this.gone) return;
    const wish = { action, details, buffers, key: "", ticket: 0 };
    this.wishes.push(wish);
    this.release(wish);
  }

  /**
   * The same for what changes faster than Python answers, as under a hand that drags: while one message is on its way the
   * next waits, and the newest takes its place.
   * @param {string} action
   * @param {Record<string, any>} details
   * @param {string | number} [of] what it is about, where the action is about several things: each has its own newest
   */
  newest(action, details, of = "") {
    if (this.gone) return;
    const key = `${action} of ${of}`, same = this.wishes.filter((wish) => wish.key === key), waits = same.find(({ ticket }) => !ticket);
    if (waits) {
      waits.details = details;
      return;
    }
    const wish = { action, details, buffers: [], key, ticket: 0 };
    this.wishes.push(wish);
    if (!same.length) this.release(wish);
  }

  /** Send a wish, and before it those that wait longer: Python does all in the order of the hand. @param {Wish} last */
  release(last) {
    for (const wish of this.wishes.slice(0, this.wishes.indexOf(last) + 1)) if (!wish.ticket) this.post(wish);
  }

  /** @param {Wish} wish */
  post(wish) {
    this.ticket += 1;
    wish.ticket = this.ticket;
    this.send({ kind: "do", action: wish.action, ticket: this.ticket, ...wish.details }, wish.buffers);
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      if (this.gone) return;
      this.waiting = true;
      this.tell();
    }, WAIT);
  }

  /** The details of what was asked for with `action` and has no answer yet, oldest first. @param {string} action */
  wished(action) {
    return this.wishes.filter((wish) => wish.action === action).map(({ details }) => details);
  }

  /**
   * The state with what has been asked for in place of what is in force. A next wish goes on from here: a hand is faster
   * than an answer.
   * @param {string} action whose details have the state's names
   */
  wanted(action) {
    return Object.assign({}, this.state, ...this.wished(action));
  }

  /** A person has chosen something in a control. @param {EventTarget} control */
  chose(control) {
    const wish = this.wishes.at(-1);
    if (wish) this.choices.set(control, wish);
  }

  /** Whether what was chosen in a control has no answer yet. @param {EventTarget} control */
  awaits(control) {
    const wish = this.choices.get(control);
    return Boolean(wish && this.wishes.includes(wish));
  }

  rest() {
    clearTimeout(this.timer);
    this.waiting = false;
  }

  /** @param {any} content @param {ArrayBuffer[]} [buffers] */
  send(content, buffers = []) {
    try {
      this.model.send(content, undefined, buffers);
    } catch {
      this.lose();
    }
  }

  /** The kernel is gone: say so, and keep what is shown. */
  lose() {
    this.wishes = [];
    this.rest();
    this.gone = "The kernel that ran this is gone: it was restarted or shut down. "
      + "What you see is where it stood. Run the cell again to go on.";
    this.tell();
  }

  /** Run `work`; what it throws is shown and told to Python, not swallowed. @param {() => void} work */
  guard(work) {
    try {
      work();
    } catch (error) {
      if (this.broken) return;
      this.broken = error instanceof Error ? error.message : String(error);
      console.error(error);
      this.send({ kind: "do", action: "broken", ticket: 0, message: this.broken });
      this.tell();
    }
  }

  tell() {
    for (const listener of this.listeners) listener();
  }

  /** @param {() => void} listener @param {AbortSignal} signal */
  listen(listener, signal) {
    this.listeners.add(listener);
    signal.addEventListener("abort", () => this.listeners.delete(listener));
  }
}
