// The view of what flows through a network's layers while it trains: activations forward, gradients back, updates.
import { flowHeadline, flowRange, flowZeros, percent } from "./flowlayout.js";
import { flowColour, flowPlaces, paintFlow } from "./flowpaint.js";
import { h, icon, keepSharp, keyboard, say, view } from "./lab.js";
import { History } from "./history.js";
import { rateControl } from "./controls.js";
import { number, whole } from "./numbers.js";
import { timeline } from "./timeline.js";

const FLOW_STATUS = /** @type {Record<string, string>} */ ({
  ready: "Ready", playing: "Playing", paused: "Paused", finished: "Finished", failed: "Stopped by an error",
});
const FLOW_ROWS = /** @type {[string, string, (value: number) => string][]} */ ([
  ["activation_rms", "Output, root mean square", number],
  ["activation_std", "Output, standard deviation", number],
  ["zeros", "Outputs that are 0", percent],
  ["gradient_rms", "Gradient of the output", number],
  ["weight_gradient_rms", "Gradient of the weights", number],
  ["update_ratio", "Update over weights", number],
  ["dead", "Dead units", percent],
  ["saturated", "Saturated outputs", percent],
]);

export default view("flow", (stage) => {
  const { link, root, signal } = stage;
  const history = new History();
  let chosen = /** @type {number | null} */ (null), frames = 0, updates = -1, seen = "";
  let ranges = /** @type {{activations: [number, number] | null, gradients: [number, number] | null, updates: [number, number]}} */ ({ activations: null, gradients: null, updates: [-5, -1] });

  const run = () => {
    const found = link.state.runs?.[0];
    return found && { ...found, now: link.state.live?.[found.id] };
  };
  const layers = () => /** @type {{name: string, kind: string}[]} */ (link.state.layers ?? []);
  const field = (/** @type {string} */ name) => link.arrays[`flow.${name}`];

  // ---- the page
  const title = h("h3", { class: "lk-title" }), status = h("span", { class: "lk-status" }), pace = h("span", { class: "lk-pace" });
  const rate = rateControl(stage);
  const clock = timeline(stage, { openFork: () => {} });
  clock.fork.hidden = true;
  const canvas = h("canvas", { "aria-hidden": "true" }), over = h("canvas", { "aria-hidden": "true" });
  const plot = h("div", { class: "lk-plot fl-plot", tabindex: 0, role: "img", "data-layers": true }, canvas, over);
  const bar = h("span", { class: "fl-scale", "aria-hidden": "true" }, ...Array.from({ length: 12 }, () => h("i", {})));
  const legend = h("div", { class: "fl-legend" },
    h("span", { class: "fl-key" }, "share of values 0", bar, "half or more"),
    h("span", { class: "fl-key" }, h("i", { class: "fl-line" }), "root mean square"),
    h("span", { class: "fl-key" }, h("i", { class: "fl-line fl-dashed" }), "of the weights’ gradient"),
    h("span", { class: "fl-key", "data-key": "dead" }, h("i", { class: "fl-dead" }), "dead: 0 for the whole batch"),
    h("span", { class: "fl-key", "data-key": "saturated" }, h("i", { class: "fl-saturated" }), "saturated: where the curve is flat"),
    h("span", { class: "fl-key", "data-key": "usual" }, h("i", { class: "fl-line fl-dotted" }), "usual update, 10⁻³"),
    h("span", { class: "fl-key", "data-key": "unmoved" }, h("span", { "aria-hidden": "true" }, "×"), "update of exactly 0"));
  const which = h("h4", {}), kind = h("p", { class: "lk-note" });
  const rows = FLOW_ROWS.map(([key, words]) => ({ key, value: h("td", {}), words }));
  const lines = rows.map(({ words, value }) => h("tr", {}, h("th", { scope: "row" }, words), value));
  const note = h("p", { class: "lk-note" }, "Gradients are of the batch’s mean loss. Point at a layer, or use the arrow keys.");
  const panel = h("div", { class: "lk-details fl-details", role: "group", "aria-label": "A layer’s numbers" }, which, kind, h("table", { class: "fl-table" }, ...lines), note);
  const findings = h("ul", { class: "fl-findings", hidden: true });
  const failure = h("div", { class: "lk-failure", role: "alert", hidden: true });
  const why = h("p", {});
  const undo = h("button", { class: "lk-button", "data-action": "last-good", "data-needs-kernel": true, onclick: () => link.do("rewind", { step: run().last_good }) }, icon("rewind"), "Rewind to the last good step");
  failure.append(why, undo);
  const keys = keyboard(root, {
    " ": ["Play or pause", () => { if (!link.gone) clock.toggle(); }],
    ArrowLeft: ["One step back", () => link.do("back")],
    ArrowRight: ["One step on", () => link.do("step")],
    Home: ["First step", () => link.do("seek", { step: 0 })],
    End: ["Newest step (live)", () => link.do("seek", { step: null })],
    r: ["Rewind here", () => link.do("rewind")],
    Escape: ["Let go of the layer", () => choose(null)],
  });
  const help = h("button", { class: "lk-button lk-round", title: "Keys (?)", "aria-label": "Keys", onclick: () => { keys.hidden = !keys.hidden; } }, "?");
  root.append(h("div", { class: "lk-card" },
    h("header", { class: "lk-head" }, title, h("div", { class: "lk-sub" }, status, pace)),
    h("div", { class: "lk-controls" }, rate.element, help), keys, failure, findings,
    h("div", { class: "lk-body" }, h("div", { class: "lk-picture fl-picture" }, plot, legend), panel), clock.element));

  // ---- reading a layer
  const choose = (/** @type {number | null} */ layer) => {
    chosen = layer;
    stage.draw();
  };
  const under = (/** @type {PointerEvent} */ event) => flowPlaces(plot.clientWidth, layers().length).at(event.clientX - plot.getBoundingClientRect().left);
  plot.addEventListener("pointermove", (/** @type {PointerEvent} */ event) => choose(under(event)), { signal });
  plot.addEventListener("pointerdown", (/** @type {PointerEvent} */ event) => choose(under(event)), { signal });
  plot.addEventListener("pointerleave", (/** @type {PointerEvent} */ event) => { if (event.pointerType !== "touch") choose(null); }, { signal });
  plot.addEventListener("blur", () => choose(null), { signal });
  plot.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
    const move = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10 }[event.key];
    if (!move) return;
    choose(Math.min(layers().length - 1, Math.max(0, (chosen ?? (move > 0 ? -1 : layers().length)) + move)));
    event.preventDefault();
    event.stopPropagation();
  }, { signal });
  keepSharp(canvas, () => stage.draw(), signal);
  keepSharp(over, () => stage.draw(), signal);

  // ---- drawing
  const widen = () => {
    const key = `${link.age} ${layers().length}`;
    if (key !== seen) ranges = { activations: null, gradients: null, updates: [-5, -1] };
    seen = key;
    const { lowest } = link.state;
    ranges.activations = flowRange(field("activations"), lowest, [field("activation_rms").data], ranges.activations);
    ranges.gradients = flowRange(field("gradients"), lowest, [field("gradient_rms").data, field("weight_gradient_rms").data], ranges.gradients);
    for (const ratio of field("update_ratio").data) {
      if (!(ratio > 0 && Number.isFinite(ratio))) continue;
      ranges.updates = [Math.min(ranges.updates[0], Math.max(-12, Math.floor(Math.log10(ratio)))), Math.max(ranges.updates[1], Math.ceil(Math.log10(ratio)))];
    }
  };

  const drawPicture = () => {
    const pen = canvas.getContext("2d"), theme = stage.theme(), names = layers().map(({ name }) => name);
    const some = (/** @type {string} */ name) => field(name).data.some(Number.isFinite);
    const shares = some("dead") || some("saturated");
    const heights = { activations: 148, gradients: 168, shares: shares ? 60 : 0, updates: 84 };
    const lowest = link.state.lowest;
    let top = 26;
    const panels = /** @type {import("./flowpaint.js").FlowPanel[]} */ ([]);
    const add = (/** @type {any} */ made) => {
      panels.push({ lowest, lines: [], range: [0, 1], ...made, top });
      top += made.height + 40;
    };
    add({ kind: "strip", title: "Size of the outputs", height: heights.activations, range: ranges.activations, histogram: field("activations"),
      lines: [{ values: field("activation_rms").data, dashed: false }] });
    add({ kind: "strip", title: "Size of the gradients", height: heights.gradients, range: ranges.gradients, histogram: field("gradients"),
      lines: [{ values: field("gradient_rms").data, dashed: false }, { values: field("weight_gradient_rms").data, dashed: true }] });
    if (shares) add({ kind: "shares", title: some("dead") ? (some("saturated") ? "Dead and saturated" : "Dead units") : "Saturated outputs", height: heights.shares,
      lines: [{ values: field("dead").data, dashed: false }, { values: field("saturated").data, dashed: true }] });
    add({ kind: "updates", title: some("update_ratio") ? "Update over weights" : "Update over weights: after the first step", height: heights.updates, range: ranges.updates,
      lines: [{ values: field("update_ratio").data, dashed: false }] });
    const height = top + 2;
    plot.style.height = `${height}px`;
    for (const key of ["dead", "saturated"]) legend.querySelector(`[data-key=${key}]`).hidden = !some(key);
    legend.querySelector("[data-key=unmoved]").hidden = !field("update_ratio").data.some((/** @type {number} */ ratio) => ratio === 0);
    [...bar.children].forEach((cell, i) => { cell.style.background = flowColour((0.5 * (i + 0.5)) / 12, theme.dark); });
    if (pen && canvas.clientWidth) paintFlow(pen, { width: canvas.clientWidth, height }, panels, names, theme);
    drawChosen(height);
  };

  const drawChosen = (/** @type {number} */ height) => {
    const pen = over.getContext("2d"), theme = stage.theme();
    if (!pen || !over.clientWidth) return;
    pen.clearRect(0, 0, over.clientWidth, over.clientHeight);
    if (chosen === null) return;
    const columns = flowPlaces(over.clientWidth, layers().length), wide = Math.max(4, columns.width);
    pen.strokeStyle = theme.accent;
    pen.lineWidth = 2;
    pen.strokeRect(columns.middle(chosen) - wide / 2, 20, wide, height - 56);
  };

  const drawPanel = () => {
    const all = layers(), at = Math.min(chosen ?? 0, all.length - 1), layer = all[at];
    say(which, `${at + 1}. ${layer.name}`);
    say(kind, `${layer.kind} · layer ${at + 1} of ${all.length}${chosen === null && all.length > 1 ? " (the first)" : ""}`);
    rows.forEach(({ key, value }, i) => {
      const reading = key === "zeros" ? flowZeros(field("activations"), at) : field(key).data[at];
      const words = FLOW_ROWS[i][2];
      lines[i].hidden = (key === "dead" || key === "saturated") && !Number.isFinite(reading);
      say(value, Number.isFinite(reading) ? words(reading) : "–");
    });
    if (document.activeElement === plot && chosen !== null) {
      stage.announce(`${layer.name}: ${rows.filter((_, i) => !lines[i].hidden).map(({ words, value }) => `${words} ${value.textContent}`).join(", ")}`);
    }
  };

  const drawFindings = (/** @type {any} */ now) => {
    const found = /** @type {{text: string, advice: string}[] | null} */ (link.state.findings ?? null);
    findings.hidden = !found || !now.following;
    if (!found) return;
    const key = JSON.stringify(found);
    if (findings.dataset.of === key) return;
    findings.dataset.of = key;
    findings.dataset.ill = found.length ? "yes" : "no";
    findings.replaceChildren(...(found.length
      ? found.map(({ text, advice }) => h("li", {}, h("b", {}, text), h("span", {}, ` What usually helps: ${advice}`)))
      : [h("li", {}, "Nothing suspicious in these numbers.")]));
  };

  const drawHead = (/** @type {any} */ active, /** @type {any} */ now) => {
    say(title, flowHeadline(field("gradient_rms").data));
    const state = link.state.busy ?? (now.following || active.status === "playing" ? FLOW_STATUS[active.status] : "Looking back");
    say(status, link.gone ? "No kernel" : link.waiting ? "Waiting" : state);
    root.dataset.status = status.dataset.status = link.gone ? "gone" : link.state.busy ? "busy" : active.status;
    const shown = link.state.frame_step, loss = history.reading(active, shown)?.rows.find(({ word }) => word === "loss of the batch")?.value;
    const words = [shown === now.position ? "" : `layers at step ${whole(shown)}`, loss === undefined ? "" : `loss ${number(loss)}`, now.rate ? `${number(now.rate)} steps/s` : ""];
    say(pace, link.gone ? "" : words.filter(Boolean).join(" · "));
  };

  const shownState = /** @type {any} */ ({ frames: 0, shown: 0, status: "ready", layer: null, draw_ms: 0 });
  /** @type {any} */ (root).labkit = shownState;

  return () => {
    const active = run();
    if (!active || !field("activations")) return;
    const began = performance.now(), now = active.now;
    history.refresh(link.columns, link.age, 0);
    widen();
    drawHead(active, now);
    drawFindings(now);
    drawPicture();
    drawPanel();
    rate.draw(active);
    failure.hidden = active.status !== "failed";
    say(why, active.reason ?? "");
    undo.hidden = active.last_good == null;
    clock.draw({ status: link.gone ? "paused" : active.status, position: now.position, last: now.step, epoch: (at) => history.epoch(active, at), following: now.following,
      speed: active.speed, busy: Boolean(link.state.busy) });
    plot.setAttribute("aria-label", `Layers from the input to the output. ${link.model.get("text") ?? ""} Arrow keys read a layer.`);
    if (link.updates !== updates) frames += 1;
    updates = link.updates;
    Object.assign(shownState, { frames, shown: now.position, frame_step: link.state.frame_step, status: active.status, step: now.step, following: now.following, layer: chosen,
      findings: link.state.findings?.map((/** @type {any} */ one) => one.name) ?? null, updates, draw_ms: performance.now() - began });
  };
});
