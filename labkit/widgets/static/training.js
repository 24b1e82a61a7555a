// The view of a network that trains: its curves, its controls, what its probes see.
import { Chart } from "./chart.js";
import { h, icon, keyboard, say, view } from "./lab.js";
import { History, settingsText } from "./history.js";
import { lowerBound } from "./curves.js";
import { number, short, whole } from "./numbers.js";
import { details } from "./probes.js";
import { forkForm, rateControl, runChips, stopMenu } from "./controls.js";
import { timeline } from "./timeline.js";

const STATUS = /** @type {Record<string, string>} */ ({
  ready: "Ready", playing: "Playing", paused: "Paused", finished: "Finished", failed: "Stopped by an error",
});

export default view("training", (stage) => {
  const { link, root, signal } = stage;
  const history = new History();
  let log = false, weight = 0.9, cursor = /** @type {number | null} */ (null), frames = 0, updates = -1;

  const active = () => {
    const run = link.state.runs?.find((/** @type {any} */ one) => one.id === link.state.active);
    return run && { ...run, now: live(run.id) };
  };
  const live = (/** @type {number} */ id) => link.state.live?.[id] ?? { position: 0, following: true, step: 0, rate: 0 };

  // ---- controls on top
  const title = h("h3", { class: "lk-title" });
  const status = h("span", { class: "lk-status" });
  const pace = h("span", { class: "lk-pace" });
  const logBox = h("input", { type: "checkbox" });
  const smooth = h("input", { type: "range", min: 0, max: 0.99, step: 0.01, value: weight, class: "lk-slider", "aria-label": "Smoothing of the training loss" });
  const smoothText = h("output", { class: "lk-value" });
  const rate = rateControl(stage);
  const stop = stopMenu(stage);
  const clock = timeline(stage, { openFork: () => form.toggle() });
  const form = forkForm(stage, clock.fork);
  const chips = runChips(stage);
  const panel = details(stage);

  logBox.addEventListener("change", () => { log = logBox.checked; stage.draw(); }, { signal });
  smooth.addEventListener("input", () => { weight = Number(smooth.value); stage.draw(); }, { signal });

  // ---- the picture
  const tip = h("div", { class: "lk-tip", hidden: true });
  const read = (/** @type {number | null} */ step) => { cursor = step; stage.draw(); };
  const choose = (/** @type {number} */ step) => link.do("seek", { step: step >= live(link.state.active).step ? null : step });
  const charts = {
    loss: new Chart({ title: "Loss", axis: false, className: "lk-chart-loss", read, choose, signal }),
    accuracy: new Chart({ title: "Accuracy", axis: true, className: "lk-chart-accuracy", read, choose, signal }),
  };
  const empty = h("div", { class: "lk-empty" }, h("div", {}, h("p", {}, "Press Play to train."),
    h("p", { class: "lk-note" }, "Space plays and pauses, the arrow keys step, ? lists the keys.")));
  const picture = h("div", { class: "lk-picture" }, charts.loss.element, charts.accuracy.element, empty, tip);
  const failure = h("div", { class: "lk-failure", role: "alert", hidden: true });
  const why = h("p", {});
  const undo = h("button", { class: "lk-button", "data-action": "last-good", "data-needs-kernel": true,
    onclick: () => link.do("rewind", { step: active().last_good }) }, icon("rewind"), "Rewind to the last good step");
  failure.append(why, undo);

  const keys = keyboard(root, {
    " ": ["Play or pause", () => { if (!link.gone) clock.toggle(); }],
    ArrowLeft: ["One step back", () => link.do("back")],
    ArrowRight: ["One step on", () => link.do("step")],
    Home: ["First step", () => link.do("seek", { step: 0 })],
    End: ["Newest step (live)", () => link.do("seek", { step: null })],
    r: ["Rewind here", () => link.do("rewind")],
    f: ["Fork here", () => form.toggle()],
    l: ["Log scale of the loss", () => { logBox.checked = log = !log; stage.draw(); }],
    Escape: ["Close what is open", () => { form.close(); stop.close(); }],
  });
  const help = h("button", { class: "lk-button lk-round", title: "Keys (?)", "aria-label": "Keys", onclick: () => { keys.hidden = !keys.hidden; } }, "?");

  // Reading with the keyboard: a focused chart moves its cursor; the view's own arrows step elsewhere.
  for (const chart of Object.values(charts)) {
    chart.stage.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
      const move = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10 }[event.key];
      const steps = history.column(link.state.active, "step");
      if (!move || !steps) return;
      const at = cursor === null ? steps.length - (move < 0 ? 0 : 1) : lowerBound(steps.data, steps.length, cursor);
      const jump = move * Math.max(1, Math.round(steps.length / 200));
      read(steps.data[Math.min(steps.length - 1, Math.max(0, at + jump))]);
      event.preventDefault();
      event.stopPropagation();
    }, { signal });
  }

  root.append(h("div", { class: "lk-card" },
    h("header", { class: "lk-head" }, title, h("div", { class: "lk-sub" }, status, pace)),
    h("div", { class: "lk-controls" }, rate.element,
      h("label", { class: "lk-field lk-smooth" }, h("span", {}, "Smoothing"), smooth, smoothText),
      h("label", { class: "lk-field lk-check" }, logBox, h("span", {}, "Log scale")), stop.element, help),
    keys, chips.element, failure,
    h("div", { class: "lk-body" }, picture, panel.element),
    form.element, clock.element));
  const shownState = /** @type {any} */ ({ frames: 0, shown: 0, status: "ready", draw_ms: 0 });
  /** @type {any} */ (root).labkit = shownState;

  // ---- drawing
  // Room for the labels at the lines' ends. It only grows, so that the picture does not shake as numbers change.
  const ruler = document.createElement("canvas").getContext("2d");
  let room = 0, roomFor = "";
  const labelRoom = (/** @type {import("./chart.js").Curve[]} */ curves, /** @type {string} */ key, /** @type {any} */ theme) => {
    if (!ruler) return 100;
    ruler.font = `12px ${theme.font}`;
    if (roomFor !== key) room = 0;
    roomFor = key;
    for (const { label } of curves) room = Math.max(room, label ? Math.ceil(ruler.measureText(label).width) + 12 : 0);
    return room;
  };
  const drawCharts = () => {
    const theme = stage.theme(), runs = link.state.runs ?? [], now = live(link.state.active);
    const last = Math.max(1, ...runs.map((/** @type {any} */ run) => live(run.id).step));
    const width = charts.loss.stage.clientWidth, brief = width < 520;
    const marks = runs.filter((/** @type {any} */ run) => run.forked_at != null)
      .map((/** @type {any} */ run) => ({ step: run.forked_at, label: `${run.name} forks` }))
      .concat(history.rateChanges(link.state.active, last / 20).map(({ step, rate: lr }) => ({ step, label: `rate ${short(lr)}` })));
    const common = { domain: /** @type {[number, number]} */ ([0, last]), shown: now.following ? null : now.position, marks };
    const look = { accent: theme.accent, grey: theme.grey, brief };
    const loss = history.curves("loss", runs, link.state.active, look);
    const accuracy = history.curves("accuracy", runs, link.state.active, look);
    const plain = accuracy.length === 0;
    const right = labelRoom([...loss, ...accuracy], `${brief} ${runs.length}`, theme);
    charts.accuracy.element.hidden = plain;
    charts.loss.axis = plain;
    charts.loss.draw({ ...common, right, curves: loss, log, limits: null }, theme);
    if (!plain) charts.accuracy.draw({ ...common, right, marks: marks.map((mark) => ({ ...mark, label: "" })), curves: accuracy, log: false, limits: accuracyLimits(accuracy) }, theme);
    say(charts.loss.title, log ? "Loss, log scale" : "Loss");
    empty.hidden = runs.some((/** @type {any} */ run) => live(run.id).step > 0);
  };

  const drawTip = () => {
    const runs = /** @type {any[]} */ (link.state.runs ?? []);
    const at = cursor ?? -1;
    const found = cursor === null ? [] : runs.flatMap((run) => {
      const reading = history.reading(run, at);
      return reading ? [{ run, reading, mine: run.id === link.state.active, off: Math.abs(reading.step - at) }] : [];
    });
    // The crosshair stands on a recorded step: the active run's, or of another run where that one goes further.
    const nearest = Math.min(...found.map(({ off }) => off));
    const main = found.find(({ mine, off }) => mine && off <= nearest + 2) ?? found.find(({ off }) => off === nearest);
    tip.hidden = !main;
    if (!main) {
      for (const chart of Object.values(charts)) if (chart.cursor) chart.point(null);
      return;
    }
    const theme = stage.theme(), step = main.reading.step;
    const here = found.filter(({ reading }) => Math.abs(reading.step - step) <= Math.max(2, 0.01 * step));
    const colour = (/** @type {boolean} */ mine) => (mine ? theme.accent : theme.grey);
    for (const [name, chart] of Object.entries(charts)) {
      const points = here.flatMap(({ reading, mine }) => reading.rows.filter((row) => row.panel === name)
        .map((row) => /** @type {[number, string]} */ ([row.value, colour(mine)])));
      chart.point({ step, points });
    }
    tip.replaceChildren(h("b", {}, `Step ${whole(step)}`), h("span", { class: "lk-soft" }, ` epoch ${number(history.epoch(main.run, step))}`));
    for (const { run, reading, mine } of here) {
      if (runs.length > 1) tip.append(h("div", { class: "lk-tip-run", style: `color:${colour(mine)}` }, `${run.name} · ${settingsText(run.settings)}`));
      tip.append(...reading.rows.map((row) => h("div", { class: "lk-tip-row" },
        h("i", { class: row.dashed ? "lk-dash" : "lk-solid", style: `border-color:${colour(mine)}` }), h("span", {}, row.word), h("b", {}, number(row.value)))));
    }
    const x = charts.loss.x(step), room = picture.clientWidth, wide = tip.offsetWidth;
    tip.style.left = `${Math.max(0, Math.min(room - wide, x + 14 + wide < room ? x + 14 : x - 14 - wide))}px`;
    if (document.activeElement?.classList.contains("lk-plot")) stage.announce(tip.innerText.replaceAll("\n", " "));
  };

  const drawHead = (/** @type {any} */ run) => {
    const now = live(run.id), evals = history.column(run.id, "eval_step");
    const at = now.position, k = evals ? lowerBound(evals.data, evals.length, at + 0.5) - 1 : -1;
    const accuracy = history.column(run.id, "test_accuracy") ?? history.column(run.id, "train_accuracy");
    const loss = history.column(run.id, "test_loss") ?? history.column(run.id, "loss");
    const kind = history.column(run.id, "test_accuracy") || history.column(run.id, "test_loss") ? "Test" : "Training";
    const measured = evals && k >= 0 ? evals.data[k] : at;
    const after = `after ${whole(measured)} step${measured === 1 ? "" : "s"}`;
    if (now.step === 0) say(title, "A network that has not learned yet");
    else if (accuracy && k >= 0) say(title, `${kind} accuracy ${number(accuracy.data[k])} ${after}`);
    else if (loss && k >= 0) say(title, `${kind} loss ${number(loss.data[Math.min(k, loss.length - 1)])} ${after}`);
    const state = link.state.busy ?? (now.following || run.status === "playing" ? STATUS[run.status] : "Looking back");
    say(status, link.gone ? "No kernel" : link.waiting ? "Waiting" : state);
    root.dataset.status = status.dataset.status = link.gone ? "gone" : link.state.busy ? "busy" : run.status;
    if (link.gone) {
      say(pace, "");
      return;
    }
    const speed = now.rate ? `${number(now.rate)} steps/s · ${number(now.rate / run.steps_per_epoch)} epochs/s · ${number(now.rate * (run.settings.batch_size ?? 1))} samples/s`
      : run.status === "finished" ? run.reason : "";
    say(pace, run.status === "playing" && !now.following ? `Looking back at step ${whole(at)} while it trains · ${speed}` : speed);
  };

  return () => {
    const run = active();
    if (!run) return;
    const began = performance.now(), now = live(run.id);
    history.refresh(link.columns, link.age, weight);
    say(smoothText, weight ? short(weight) : "off");
    drawHead(run);
    drawCharts();
    drawTip();
    panel.draw();
    chips.draw();
    rate.draw(run);
    stop.draw(run);
    form.draw(run, now);
    failure.hidden = run.status !== "failed";
    say(why, run.reason ?? "");
    undo.hidden = run.last_good == null;
    if (run.last_good != null) undo.lastChild.textContent = `Rewind to the last good step (${whole(run.last_good)})`;
    clock.draw({ status: link.gone ? "paused" : run.status, position: now.position, last: now.step, epoch: (at) => history.epoch(run, at), following: now.following,
      speed: run.speed, busy: Boolean(link.state.busy) });
    for (const [name, chart] of Object.entries(charts)) chart.stage.setAttribute("aria-label", `${name} over the training steps. ${link.model.get("text") ?? ""} Arrow keys read the values.`);
    if (link.updates !== updates) frames += 1;
    updates = link.updates;
    Object.assign(shownState, { frames, shown: now.position, status: run.status, step: now.step, following: now.following, runs: link.state.runs.length,
      updates, draw_ms: performance.now() - began });
  };
});

/** 0 to 1, or from where the curves are once they are all high. @param {import("./chart.js").Curve[]} curves @returns {[number, number]} */
function accuracyLimits(curves) {
  let low = 1;
  for (const { y, count } of curves) for (let i = 0; i < count; i += 1) if (y[i] < low) low = y[i];
  return [low > 0.8 ? 0.8 : low > 0.5 ? 0.5 : 0, 1];
}
