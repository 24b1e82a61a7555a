// The runs' histories as curves and readings. Knows no DOM.
import { Smoother, atOrBefore, nearest } from "./curves.js";
import { number, short, whole } from "./numbers.js";

/** @typedef {import("./frames.js").Column} Column */
/** @typedef {import("./chart.js").Curve} Curve */
/**
 * @typedef {object} Run as Python describes it
 * @property {number} id
 * @property {string} name
 * @property {Record<string, any>} settings
 * @property {string} status
 * @property {number | null} forked_at
 */

/** Keeps the smoothed losses of each run between frames. */
export class History {
  constructor() {
    this.smoothers = /** @type {Map<string, Smoother>} */ (new Map());
    this.changes = /** @type {Map<number, {done: number, found: {step: number, rate: number}[]}>} */ (new Map());
    this.key = "";
  }

  /**
   * @param {Record<string, Column>} columns
   * @param {number} age changes when columns began anew
   * @param {number} weight of the smoothing, 0 to below 1
   */
  refresh(columns, age, weight) {
    this.columns = columns;
    if (this.key !== `${age} ${weight}`) {
      this.smoothers.clear();
      this.changes.clear();
    }
    this.key = `${age} ${weight}`;
    this.weight = weight;
  }

  /** @param {number} id @param {string} name @returns {Column | null} */
  column(id, name) {
    const column = this.columns?.[`${id}.${name}`];
    return column?.length ? column : null;
  }

  /**
   * Where the learning rate changed while a run trained, the last of those that lie within `gap` steps of each other.
   * @param {number} id
   * @param {number} gap
   * @returns {{step: number, rate: number}[]}
   */
  rateChanges(id, gap) {
    const steps = this.column(id, "step"), rates = this.column(id, "lr");
    if (!steps || !rates) return [];
    const known = this.changes.get(id) ?? { done: 1, found: /** @type {{step: number, rate: number}[]} */ ([]) };
    this.changes.set(id, known);
    for (; known.done < rates.length; known.done += 1) {
      const rate = rates.data[known.done];
      if (rate !== rates.data[known.done - 1]) known.found.push({ step: steps.data[known.done - 1], rate });
    }
    return known.found.filter(({ step }, i, all) => i === all.length - 1 || all[i + 1].step - step > gap);
  }

  /** Epochs done after `at` steps. @param {any} run @param {number} at @returns {number} */
  epoch(run, at) {
    if (at === run.now?.step) return run.now.epoch;
    const steps = this.column(run.id, "step"), epochs = this.column(run.id, "epoch");
    const i = steps && epochs ? atOrBefore(steps.data, steps.length, at) : -1;
    return i >= 0 ? /** @type {any} */ (epochs).data[i] : at / run.steps_per_epoch;
  }

  /** @param {number} id @returns {Float32Array | null} */
  smoothed(id) {
    const loss = this.column(id, "loss");
    if (!loss) return null;
    let smoother = this.smoothers.get(String(id));
    if (!smoother) this.smoothers.set(String(id), (smoother = new Smoother(this.weight)));
    return smoother.extend(loss.data, loss.length);
  }

  /**
   * The curves of one panel: "loss" or "accuracy".
   * @param {"loss" | "accuracy"} what
   * @param {Run[]} runs
   * @param {number} active
   * @param {{accent: string, grey: string, brief: boolean}} look
   * @returns {Curve[]}
   */
  curves(what, runs, active, { accent, grey, brief }) {
    const out = /** @type {Curve[]} */ ([]);
    const others = runs.filter((run) => run.id !== active);
    for (const run of [...others, ...runs.filter((r) => r.id === active)]) {
      const mine = run.id === active, colour = mine ? accent : grey;
      const called = runs.length > 1 ? `${run.name} ` : "";
      const add = (/** @type {Column | null} */ x, /** @type {any} */ y, /** @type {any} */ more, /** @type {string} */ word) => {
        if (!x || !y) return;
        const count = Math.min(x.length, y.length ?? x.length);
        const last = lastOf(y.data ?? y, count);
        const label = word && `${called}${word} ${number(last)}`;
        out.push({ x: x.data, y: y.data ?? y, count, colour, label, ...more });
      };
      const train = brief ? "train" : "training";
      if (what === "loss") {
        const step = this.column(run.id, "step");
        if (mine && this.weight) add(step, this.column(run.id, "loss"), { width: 1, alpha: 0.28, faint: true }, "");
        add(step, this.smoothed(run.id), { width: mine ? 2 : 1.5 }, mine || !brief ? train : "");
      } else {
        add(this.column(run.id, "eval_step"), this.column(run.id, "train_accuracy"), { width: mine ? 2 : 1.5 }, mine || !brief ? train : "");
      }
      add(this.column(run.id, "eval_step"), this.column(run.id, `test_${what}`), { width: mine ? 2 : 1.5, dashed: true }, "test");
    }
    return out;
  }

  /**
   * Everything known of a run at a step, in words.
   * @param {Run} run
   * @param {number} at
   * @returns {{step: number, rows: {word: string, value: number, dashed: boolean, panel: "loss" | "accuracy"}[]} | null}
   */
  reading(run, at) {
    const steps = this.column(run.id, "step"), evals = this.column(run.id, "eval_step");
    const i = steps ? nearest(steps.data, steps.length, at) : -1;
    const rows = /** @type {any[]} */ ([]);
    const put = (/** @type {string} */ word, /** @type {number | undefined} */ value, /** @type {"loss" | "accuracy"} */ panel, dashed = false) => {
      if (value !== undefined) rows.push({ word, value, panel, dashed });
    };
    if (steps && i >= 0) {
      put("loss of the batch", this.column(run.id, "loss")?.data[i], "loss");
      if (this.weight) put("smoothed", this.smoothed(run.id)?.[i], "loss");
    }
    const step = steps && i >= 0 ? steps.data[i] : at;
    const k = evals ? atOrBefore(evals.data, evals.length, step) : -1;
    if (k >= 0) {
      put("test loss", this.column(run.id, "test_loss")?.data[k], "loss", true);
      put("training accuracy", this.column(run.id, "train_accuracy")?.data[k], "accuracy");
      put("test accuracy", this.column(run.id, "test_accuracy")?.data[k], "accuracy", true);
    }
    return rows.length ? { step, rows } : null;
  }
}

/** The last finite value. @param {ArrayLike<number>} values @param {number} count */
export function lastOf(values, count) {
  for (let i = count - 1; i >= 0; i -= 1) if (Number.isFinite(values[i])) return values[i];
  return NaN;
}

/** A run's settings in few words. @param {Record<string, any>} settings */
export function settingsText(settings) {
  const parts = [];
  if (settings.optimizer != null) parts.push(String(settings.optimizer));
  if (settings.lr != null) parts.push(`rate ${short(settings.lr)}`);
  if (settings.batch_size != null) parts.push(`batch ${whole(settings.batch_size)}`);
  if (settings.seed != null) parts.push(`seed ${settings.seed}`);
  return parts.join(" · ");
}
