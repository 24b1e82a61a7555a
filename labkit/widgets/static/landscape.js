// The view of a loss landscape: the map with the path on it, what the plane holds, the loss and the sharpness over the steps.
import { Chart } from "./chart.js";
import { forkForm, rateControl, runChips } from "./controls.js";
import { atOrBefore } from "./curves.js";
import { History } from "./history.js";
import { h, icon, keyboard, put, say, view } from "./lab.js";
import { LossMap } from "./lossmap.js";
import { number, short, whole } from "./numbers.js";
import { timeline } from "./timeline.js";

const STATUS_WORDS = /** @type {Record<string, string>} */ ({
  ready: "Ready", playing: "Playing", paused: "Paused", finished: "Finished", failed: "Stopped by an error",
});
const PLANES = /** @type {Record<string, string>} */ ({ pca: "Plane of the path (PCA)", filter: "By chance, filter-normalised", random: "By chance, not normalised" });
const AXES = /** @type {Record<string, [string, string]>} */ ({
  pca: ["main direction of the movement", "second direction"],
  filter: ["direction 1, in filter norms", "direction 2, in filter norms"],
  random: ["direction 1, in lengths of the weights", "direction 2"],
});

export default view("landscape", (stage) => {
  const { link, root, signal } = stage;
  const history = new History(), limits = new Limits();
  let frames = 0, updates = -1;
  const live = (/** @type {number} */ id) => link.state.live?.[id] ?? { position: 0, following: true, step: 0, rate: 0 };
  const active = () => {
    const run = link.state.runs?.find((/** @type {any} */ one) => one.id === link.state.active);
    return run && { ...run, now: live(run.id) };
  };
  const seek = (/** @type {number} */ step) => link.do("seek", { step: step >= live(link.state.active).step ? null : step });

  // ---- controls on top
  const title = h("h3", { class: "lk-title" }), status = h("span", { class: "lk-status" }), pace = h("span", { class: "lk-pace" });
  const rate = rateControl(stage);
  const planes = h("select", { class: "lk-select", "aria-label": "Plane", "data-needs-kernel": true },
    ...Object.entries(PLANES).map(([value, word]) => h("option", { value }, word)));
  planes.addEventListener("change", () => link.do("directions", { name: planes.value }), { signal });
  const span = h("input", { type: "range", min: -1, max: 1, step: 0.05, value: 0, class: "lk-slider", "aria-label": "How far to look, on a log scale", "data-needs-kernel": true });
  const spanText = h("output", { class: "lk-value" });
  const wide = () => Number((10 ** Number(span.value)).toPrecision(2));
  span.addEventListener("input", () => say(spanText, `${short(wide())}×`), { signal });
  span.addEventListener("change", () => link.do("span", { value: wide() }), { signal });
  const refit = h("button", { class: "lk-button", "data-needs-kernel": true, onclick: () => link.do(planes.value === "pca" ? "refit" : "another") });
  const clock = timeline(stage, { openFork: () => form.toggle() });
  const form = forkForm(stage, clock.fork);
  const chips = runChips(stage);

  // ---- the picture
  const map = new LossMap({ seek, announce: stage.announce, dirty: stage.draw, signal });
  const measuring = h("p", { class: "ls-measuring" });
  const failure = h("div", { class: "lk-failure", role: "alert", hidden: true });
  const why = h("p", {});
  const undo = h("button", { class: "lk-button", "data-action": "last-good", "data-needs-kernel": true,
    onclick: () => link.do("rewind", { step: active().last_good }) }, icon("rewind"), "Rewind to the last good step");
  failure.append(why, undo);

  // ---- details on the right
  const fact = (/** @type {string} */ word) => {
    const value = h("dd", {});
    return { value, element: h("div", {}, h("dt", {}, word), value) };
  };
  const held = fact("Movement that the plane holds"), sharp = fact("Sharpness"), limit = fact("Limit of the rate");
  const bar = h("i", {}), verdict = h("p", { class: "lk-note" });
  held.element.append(h("span", { class: "ls-bar", "aria-hidden": "true" }, bar));
  let cursor = /** @type {number | null} */ (null);
  const read = (/** @type {number | null} */ step) => { cursor = step; stage.draw(); };
  const charts = {
    loss: new Chart({ title: "Loss", axis: false, className: "ls-chart", read, choose: seek, signal }),
    sharp: new Chart({ title: "Sharpness", axis: true, className: "ls-chart", read, choose: seek, signal }),
  };
  const panel = h("div", { class: "ls-details" }, h("dl", { class: "ls-facts" }, held.element, sharp.element, limit.element), verdict,
    charts.loss.element, charts.sharp.element);

  const keys = keyboard(root, {
    " ": ["Play or pause", () => { if (!link.gone) clock.toggle(); }],
    ArrowLeft: ["One step back", () => link.do("back")],
    ArrowRight: ["One step on", () => link.do("step")],
    Home: ["First step", () => link.do("seek", { step: 0 })],
    End: ["Newest step (live)", () => link.do("seek", { step: null })],
    r: ["Rewind here", () => link.do("rewind")],
    f: ["Fork here", () => form.toggle()],
    p: ["Fit the plane again, or take another by chance", () => refit.click()],
    Escape: ["Close what is open", () => form.close()],
  });
  keys.append(h("div", {}, h("kbd", {}, "Arrows"), h("span", {}, "With the map focused: read the loss, place by place")));
  const help = h("button", { class: "lk-button lk-round", title: "Keys (?)", "aria-label": "Keys", onclick: () => { keys.hidden = !keys.hidden; } }, "?");

  root.append(h("div", { class: "lk-card" },
    h("header", { class: "lk-head" }, title, h("div", { class: "lk-sub" }, status, pace)),
    h("div", { class: "lk-controls" }, rate.element, h("label", { class: "lk-field" }, h("span", {}, "Plane"), planes),
      h("label", { class: "lk-field" }, h("span", {}, "Reach"), span, spanText), refit, help),
    keys, chips.element, failure,
    h("div", { class: "lk-body ls-body" }, h("div", { class: "ls-picture" }, map.element, measuring), panel),
    form.element, clock.element));
  const shownState = /** @type {any} */ ({ frames: 0, shown: 0, status: "ready", path: 0 });
  /** @type {any} */ (root).labkit = shownState;

  // ---- drawing
  const drawMap = (/** @type {any} */ run) => {
    const { losses, a, b } = link.arrays;
    const runs = link.state.runs.map((/** @type {any} */ one) => ({
      name: one.name, main: one.id === run.id,
      steps: history.column(one.id, "path_step"), a: history.column(one.id, "path_a"), b: history.column(one.id, "path_b"),
    }));
    map.draw({ losses, a, b, axes: AXES[link.state.kind] ?? AXES.pca, runs, shown: run.now.following ? null : run.now.position }, stage.theme());
    map.stage.setAttribute("aria-label", `Map of the loss on a plane through the weights. ${link.model.get("text") ?? ""} Arrow keys read it.`);
    const waits = link.state.directions === "pca" && link.state.kind === "filter" ? "A plane by chance, until there is a path to fit one to. " : "";
    const many = `Mean loss of ${whole(link.state.examples)} examples, in evaluation mode; through the weights at step ${whole(link.state.centre_step ?? 0)}.`;
    say(measuring, link.state.measuring ? "Measuring the plane…" : losses ? waits + many : "");
  };

  const drawFacts = (/** @type {any} */ run) => {
    const share = link.state.share, steps = history.column(run.id, "sharp_step"), values = history.column(run.id, "sharp");
    say(held.value, share == null ? "–" : `${number(100 * share)} %`);
    bar.style.transform = `scaleX(${share ?? 0})`;
    const k = steps ? atOrBefore(steps.data, steps.length, run.now.position) : -1;
    const value = k >= 0 ? /** @type {any} */ (values).data[k] : NaN, top = limits.at(history, run, link.state.limit_times_rate);
    say(sharp.value, k < 0 ? "being measured" : `${Number.isFinite(value) ? number(value) : "not finite"}, at step ${whole(/** @type {any} */ (steps).data[k])}`);
    say(limit.value, top === null ? `none for ${run.settings.optimizer}` : number(top));
    verdict.dataset.above = String(top !== null && value > top);
    say(verdict, k < 0 || Number.isNaN(value) ? "" : top === null ? "The limit 2 / rate holds for gradient descent and momentum."
      : value > top ? "Above the limit: full-batch steps overshoot along the sharpest direction."
        : "Below the limit: full-batch steps shrink along the sharpest direction.");
  };

  const drawCharts = (/** @type {any} */ run) => {
    const theme = stage.theme(), runs = link.state.runs ?? [];
    const last = Math.max(1, ...runs.map((/** @type {any} */ one) => live(one.id).step));
    const common = { domain: /** @type {[number, number]} */ ([0, last]), shown: run.now.following ? null : run.now.position, marks: [], right: runs.length > 1 ? 104 : 92, limits: null };
    const loss = history.curves("loss", runs, run.id, { accent: theme.accent, grey: theme.grey, brief: true });
    charts.loss.draw({ ...common, curves: loss, log: true }, theme);
    const steps = history.column(run.id, "sharp_step"), values = history.column(run.id, "sharp"), rows = history.column(run.id, "step");
    const curves = /** @type {any[]} */ ([]);
    const top = limits.curve(history, run, link.state.limit_times_rate, link.age);
    if (top && rows) curves.push({ x: rows.data, y: top, count: rows.length, colour: theme.grey, width: 1.5, dashed: true, label: `limit ${number(top[rows.length - 1])}` });
    if (steps && values) {
      const newest = values.data[values.length - 1];
      curves.push({ x: steps.data, y: values.data, count: steps.length, colour: theme.accent, width: 2, label: Number.isFinite(newest) ? number(newest) : "not finite" });
    }
    charts.sharp.draw({ ...common, curves, log: true }, theme);
    const at = cursor === null ? null : Math.max(0, Math.min(last, cursor));
    const here = (/** @type {any} */ x, /** @type {any} */ y) => {
      const k = at === null || !x ? -1 : atOrBefore(x.data, x.length, at);
      return k < 0 ? null : { step: x.data[k], value: y.data[k] };
    };
    const one = here(rows, history.column(run.id, "loss")), two = here(steps, values);
    charts.loss.point(one && { step: one.step, points: [[one.value, theme.accent]] });
    charts.sharp.point(two && { step: two.step, points: [[two.value, theme.accent]] });
    say(charts.loss.title, one ? `Loss of the batch ${number(one.value)} at step ${whole(one.step)}` : "Loss, log scale");
    say(charts.sharp.title, two ? `Sharpness ${number(two.value)} at step ${whole(two.step)}` : "Sharpness, log scale");
    for (const [name, chart] of Object.entries(charts)) chart.stage.setAttribute("aria-label", `${name === "loss" ? "Loss" : "Sharpness"} over the training steps.`);
  };

  const drawHead = (/** @type {any} */ run) => {
    const { now } = run, loss = history.column(run.id, "loss"), rows = history.column(run.id, "step");
    const k = rows ? atOrBefore(rows.data, rows.length, now.position) : -1, smooth = history.smoothed(run.id);
    say(title, k < 0 || !loss ? "Where the weights begin" : `Loss ${number(smooth ? smooth[k] : loss.data[k])} after ${whole(now.position)} step${now.position === 1 ? "" : "s"}`);
    const words = link.state.busy ?? (now.following || run.status === "playing" ? STATUS_WORDS[run.status] : "Looking back");
    say(status, link.gone ? "No kernel" : link.waiting ? "Waiting" : words);
    root.dataset.status = status.dataset.status = link.gone ? "gone" : link.state.busy ? "busy" : run.status;
    say(pace, link.gone || !now.rate ? "" : `${number(now.rate)} steps/s`);
  };

  return () => {
    const run = active();
    if (!run) return;
    history.refresh(link.columns, link.age, 0.9);
    drawHead(run);
    drawMap(run);
    drawFacts(run);
    drawCharts(run);
    chips.draw();
    rate.draw(run);
    form.draw(run, run.now);
    put(link, planes, link.state.directions);
    if (!span.matches(":active")) put(link, span, String(Math.log10(link.state.span)));
    say(spanText, `${short(wide())}×`);
    say(refit, planes.value === "pca" ? "Fit again" : "Another plane");
    refit.title = planes.value === "pca" ? "Fit the plane to the path as it is now (p)" : "Another plane, drawn by chance (p)";
    failure.hidden = run.status !== "failed";
    say(why, run.reason ?? "");
    undo.hidden = run.last_good == null;
    clock.draw({ status: link.gone ? "paused" : run.status, position: run.now.position, last: run.now.step, epoch: (at) => history.epoch(run, at),
      following: run.now.following, speed: run.speed, busy: Boolean(link.state.busy) });
    if (link.updates !== updates) frames += 1;
    updates = link.updates;
    Object.assign(shownState, { frames, updates, shown: run.now.position, status: run.status, step: run.now.step, following: run.now.following,
      runs: link.state.runs.length, kind: link.state.kind, measuring: Boolean(link.state.measuring), share: link.state.share,
      path: history.column(run.id, "path_step")?.length ?? 0, sharp: history.column(run.id, "sharp")?.length ?? 0 });
  };
});

/** The largest stable sharpness at each step: what is stable at rate 1, divided by the step's rate. */
class Limits {
  constructor() {
    this.key = "";
    this.done = 0;
    this.values = new Float64Array(1024);
  }

  /** @param {History} history @param {any} run @param {number | null} factor @param {number} age @returns {Float64Array | null} */
  curve(history, run, factor, age) {
    const rates = history.column(run.id, "lr");
    if (factor == null || !rates) return null;
    const key = `${run.id} ${factor} ${age}`;
    if (key !== this.key) this.done = 0;
    this.key = key;
    if (rates.length > this.values.length) {
      const larger = new Float64Array(2 * rates.length);
      larger.set(this.values);
      this.values = larger;
    }
    for (; this.done < rates.length; this.done += 1) this.values[this.done] = factor / rates.data[this.done];
    return this.values;
  }

  /** At the step shown. @param {History} history @param {any} run @param {number | null} factor @returns {number | null} */
  at(history, run, factor) {
    if (factor == null) return null;
    const steps = history.column(run.id, "step"), rates = history.column(run.id, "lr");
    const k = run.now.following || !steps ? -1 : atOrBefore(steps.data, steps.length, run.now.position);
    return factor / (k >= 0 && rates ? rates.data[k] : run.settings.lr);
  }
}
