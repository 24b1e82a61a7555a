// The line between one widget model and its views in this page: what Python sent last, and messages back.
import { Column, unpack } from "./frames.js";

/** @typedef {import("./frames.js").Field} Field */

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
    if (header.whole) {
      this.state = { answered: this.ticket }; // all that there is: nothing earlier is waited for
      this.arrays = {};
      this.columns = {};
    }
    Object.assign(this.state, header.state);
    const growing = new Set(header.append);
    if (header.whole || header.anew) this.age += 1;
    for (const [name, field] of Object.entries(arrays)) {
      if (!growing.has(name)) this.arrays[name] = field;
      else {
        if (header.anew || !this.columns[name]) this.columns[name] = new Column();
        this.columns[name].append(field.data);
      }
    }
    if (this.state.answered === this.ticket) this.rest();
    this.tell();
  }

  /**
   * Ask Python to do something; its answer comes as an update.
   * @param {string} action
   * @param {Record<string, any>} [details]
   * @param {ArrayBuffer[]} [buffers]
   */
  do(action, details = {}, buffers = []) {
    this.ticket += 1;
    this.send({ kind: "do", action, ticket: this.ticket, ...details }, buffers);
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      if (this.gone) return;
      this.waiting = true;
      this.tell();
    }, WAIT);
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
