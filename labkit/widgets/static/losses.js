// How well it does: both losses and accuracies as numbers, and the losses over the epochs.
import { Chart } from "./chart.js";
import { nearest } from "./curves.js";
import { h, say } from "./lab.js";
import { number, whole } from "./numbers.js";

/** @typedef {import("./lab.js").Stage} Stage */

/** A column of steps as epochs, continued as it grows. */
class Epochs {
  constructor() {
    this.data = new Float64Array(256);
    this.length = 0;
    this.key = "";
  }

  /** @param {{data: Float64Array, length: number}} steps @param {number} perEpoch @param {string} key changes when the column began anew */
  follow(steps, perEpoch, key) {
    if (key !== this.key || steps.length < this.length) this.length = 0;
    this.key = key;
    if (steps.length > this.data.length) {
      const larger = new Float64Array(2 * steps.length);
      larger.set(this.data);
      this.data = larger;
    }
    for (; this.length < steps.length; this.length += 1) this.data[this.length] = steps.data[this.length] / perEpoch;
    return this;
  }
}

/** @param {Stage} stage */
export function losses(stage) {
  const { link, signal } = stage;
  let cursor = /** @type {number | null} */ (null), drawn = "", drawnIn = /** @type {any} */ (null);
  const epochs = /** @type {Map<number, Epochs>} */ (new Map());
  const active = () => link.state.runs.find((/** @type {any} */ run) => run.id === link.state.active);
  const chart = new Chart({
    title: "Loss", axis: false, className: "pg-loss-chart", signal,
    read: (epoch) => { cursor = epoch; stage.draw(); },
    choose: (epoch) => {
      const step = Math.round(epoch * active().steps_per_epoch);
      link.do("seek", { step: step >= link.state.live[link.state.active].step ? null : step });
    },
  });
  const table = h("table", { class: "pg-losses" }), when = h("td", {});
  const to = h("span", {}), foot = h("div", { class: "pg-loss-foot", "aria-hidden": "true" }, h("span", {}, "0"), h("span", {}, "loss by epoch"), to);
  const element = h("section", { class: "pg-how", "aria-label": "Losses" }, table, chart.element, foot);
  let built = "";

  const drawTable = (/** @type {any[]} */ runs) => {
    const several = runs.length > 1, kinds = JSON.stringify([runs.map(({ id, name, kind }) => [id, name, kind]), link.state.active]);
    if (built !== kinds) {
      built = kinds;
      const cell = (/** @type {any} */ run, /** @type {string} */ key) => h("td", { "data-run": run.id, "data-value": key, class: run.id === link.state.active ? "pg-mine" : "" });
      const named = (/** @type {string} */ line, /** @type {string} */ words) => h("th", { scope: "row" }, h("i", { class: line }), words);
      const values = runs.some(({ kind }) => kind !== "regression") ? ["loss", "accuracy"] : ["loss"];
      const parts = /** @type {[string, string, string][]} */ ([["test", "Test", "lk-dash"], ["train", "Training", "lk-solid"]]);
      // One run: losses and accuracies side by side. Two runs: A and B side by side.
      const heads = several ? runs.map(({ name }) => name) : values.map((value) => value[0].toUpperCase() + value.slice(1));
      const rows = several ? values.flatMap((value) => parts.map(([part, words, line]) => h("tr", {}, named(line, `${words} ${value}`), ...runs.map((run) => cell(run, `${part}_${value}`)))))
        : parts.map(([part, words, line]) => h("tr", {}, named(line, words), ...values.map((value) => cell(runs[0], `${part}_${value}`))));
      table.replaceChildren(h("thead", {}, h("tr", {}, when, ...heads.map((head) => h("th", { scope: "col" }, head)))), h("tbody", {}, ...rows));
    }
  };

  /** The recorded evaluation of a run that one points at, -1 for none. @param {any} run */
  const pointed = (run) => {
    const steps = link.columns[`${run.id}.eval_step`];
    return cursor === null || !steps ? -1 : nearest(steps.data, steps.length, cursor * run.steps_per_epoch);
  };

  /** The numbers now, or where one points in the chart. @param {any[]} runs */
  const drawNumbers = (runs) => {
    const run = active(), at = pointed(run);
    for (const cell of table.querySelectorAll("td[data-value]")) {
      const of = runs.find(({ id }) => String(id) === cell.dataset.run), i = pointed(of), { value: name } = cell.dataset;
      const value = i < 0 ? link.state.live[of.id]?.[name] : link.columns[`${of.id}.${name}`]?.data[i];
      say(cell, value == null ? "–" : number(value));
    }
    if (at < 0) {
      say(when, "");
      if (chart.cursor) chart.point(null);
      return;
    }
    const epoch = link.columns[`${run.id}.eval_step`].data[at] / run.steps_per_epoch, { accent } = stage.theme();
    const points = ["train", "test"].flatMap((part) => {
      const value = link.columns[`${run.id}.${part}_loss`]?.data[at];
      return value === undefined ? [] : [/** @type {[number, string]} */ ([value, accent])];
    });
    say(when, `Epoch ${Number.isInteger(epoch) ? whole(epoch) : number(epoch)}`);
    chart.point({ step: epoch, points });
  };

  const drawChart = () => {
    const { runs, live } = link.state, theme = stage.theme(), { accent, grey } = theme;
    const curves = /** @type {import("./chart.js").Curve[]} */ ([]);
    let last = 1;
    for (const run of [...runs].sort((/** @type {any} */ a) => (a.id === link.state.active ? 1 : -1))) {
      const steps = link.columns[`${run.id}.eval_step`], mine = run.id === link.state.active;
      last = Math.max(last, (live[run.id]?.step ?? 0) / run.steps_per_epoch);
      if (!steps?.length) continue;
      let known = epochs.get(run.id);
      if (!known) epochs.set(run.id, (known = new Epochs()));
      const x = known.follow(steps, run.steps_per_epoch, `${link.age} ${run.steps_per_epoch}`).data;
      for (const part of ["train", "test"]) {
        const y = link.columns[`${run.id}.${part}_loss`];
        if (y?.length) curves.push({ x, y: y.data, count: Math.min(steps.length, y.length), colour: mine ? accent : grey, width: mine ? 2 : 1.5, dashed: part === "test" });
      }
    }
    const now = live[link.state.active], spe = active().steps_per_epoch;
    const marks = runs.filter((/** @type {any} */ run) => run.forked_at).map((/** @type {any} */ run) => ({ step: run.forked_at / run.steps_per_epoch, label: `${run.name} forks` }));
    chart.draw({ curves, domain: [0, last], log: false, limits: null, shown: now.following ? null : now.position / spe, marks, right: 8 }, theme);
    say(to, Number.isInteger(last) ? whole(last) : number(last));
  };

  return {
    element,
    draw() {
      const { runs, live, active: id } = link.state, theme = stage.theme();
      drawTable(runs);
      const lengths = runs.map((/** @type {any} */ run) => [run.id, run.name, run.steps_per_epoch, run.forked_at, link.columns[`${run.id}.eval_step`]?.length, live[run.id]?.step]);
      const key = JSON.stringify([lengths, id, link.age, live[id].following || live[id].position]);
      if (key !== drawn || theme !== drawnIn) drawChart();
      [drawn, drawnIn] = [key, theme];
      drawNumbers(runs);
      chart.stage.setAttribute("aria-label", "Losses over the epochs. Arrow keys read the values, a click shows that epoch.");
    },
    /** Move the reading with a key: by `way` recorded epochs. @param {number} way */
    read(way) {
      const run = active(), steps = link.columns[`${run.id}.eval_step`];
      if (!steps?.length) return;
      const i = cursor === null ? steps.length - (way < 0 ? 0 : 1) : pointed(run);
      cursor = steps.data[Math.min(steps.length - 1, Math.max(0, i + way * Math.max(1, Math.round(steps.length / 200))))] / run.steps_per_epoch;
      stage.draw();
    },
    stage: chart.stage,
  };
}
