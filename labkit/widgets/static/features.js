// What the units of a network look for: a wall of their pictures, and one of them from near.
import { featureSummary, featureWall } from "./featureswall.js";
import { featureUnit } from "./featuresunit.js";
import { fvShort } from "./featuresarith.js";
import { History } from "./history.js";
import { h, keyboard, say, view } from "./lab.js";
import { timeline } from "./timeline.js";
import { whole } from "./numbers.js";

const FV_TABS = 16, FV_LETTERS = 240; // layers and letters of their names; of more a list to choose from

export default view("features", (stage) => {
  const { link, root, signal } = stage;
  const history = new History();
  let formed = true, frames = 0, updates = -1, opened = "", built = "";
  const open = (/** @type {string} */ layer, /** @type {number | null} */ unit) => link.do("open", { layer, unit });
  const openUnit = (/** @type {number | null} */ unit) => open(link.state.layer, unit);
  const run = () => {
    const found = link.state.runs?.[0];
    return found && { ...found, now: link.state.live?.[found.id] };
  };

  // ---- the page
  const title = h("h3", { class: "lk-title" }), status = h("span", { class: "lk-status" });
  const tabs = h("div", { class: "fv-tabs", role: "group", "aria-label": "Layer" });
  const list = h("select", { class: "lk-select fv-list-of-layers", "aria-label": "Layer", "data-needs-kernel": true });
  list.addEventListener("change", () => open(list.value, null), { signal });
  const kind = (/** @type {boolean} */ value, /** @type {string} */ word, /** @type {string} */ hint) => h("button", { class: "lk-button fv-kind", title: hint, "data-formed": value ? "yes" : "no",
    onclick: () => { formed = value; stage.draw(); } }, word);
  const kinds = h("div", { class: "fv-kinds", role: "group", "aria-label": "On the wall" }, kind(true, "Made for it", "Pictures made by gradient ascent to excite each unit"),
    kind(false, "Found in the data", "What each unit saw of the picture that excites it most"));
  const wall = featureWall(stage, openUnit), summary = featureSummary(stage, openUnit), unit = featureUnit(stage, open);
  const side = h("div", { class: "fv-side" }, summary.element, unit.element);
  const body = h("div", { class: "fv-body" }, wall.element, side);

  // ---- time: checkpoints, or a run
  const steps = () => /** @type {number[]} */ (link.state.steps);
  let scrubbed = /** @type {number | null} */ (null);
  const stepNow = () => link.wanted("time").step;
  const go = (/** @type {number} */ i) => {
    const k = Math.min(steps().length - 1, Math.max(0, i));
    if (steps().length && steps()[k] !== stepNow()) link.do("time", { step: steps()[k] });
  };
  const turn = (/** @type {number} */ by) => go(steps().indexOf(stepNow()) + by);
  const slider = h("input", { type: "range", class: "lk-scrubber", min: 0, step: 1, "aria-label": "Step of the training", "data-needs-kernel": true });
  const where = h("output", { class: "lk-where" }, h("b", {}), h("span", {}));
  const earlier = h("button", { class: "lk-button", title: "Checkpoint before ([)", "aria-label": "Checkpoint before", "data-needs-kernel": true, onclick: () => turn(-1) }, "‹");
  const later = h("button", { class: "lk-button", title: "Next checkpoint (])", "aria-label": "Next checkpoint", "data-needs-kernel": true, onclick: () => turn(1) }, "›");
  slider.addEventListener("input", () => { scrubbed = Number(slider.value); stage.draw(); }, { signal });
  slider.addEventListener("change", () => { go(Number(slider.value)); scrubbed = null; stage.draw(); }, { signal });
  const checkpoints = h("div", { class: "lk-timeline fv-time" }, h("div", { class: "lk-transport" }, earlier, later), slider, where);
  const clock = timeline(stage, { openFork: () => {} });
  clock.fork.hidden = true;

  const keys = keyboard(root, {
    "← → ↑ ↓": ["Go from unit to unit on the wall", () => {}],
    Enter: ["Open the unit", () => {}],
    Escape: ["Close the unit", () => { if ((link.wished("open").at(-1) ?? link.state.unit ?? { unit: null }).unit !== null) openUnit(null); }],
    "[": ["Checkpoint before", () => turn(-1)],
    "]": ["Next checkpoint", () => turn(1)],
    o: ["Switch the open unit off or on", () => { if (link.state.unit) unit.toggle(); }],
    m: ["Pictures made for the units, or found in the data", () => { formed = !formed; stage.draw(); }],
    " ": ["Play or pause the training", () => { if (run() && !link.gone) clock.toggle(); }],
  });
  const help = h("button", { class: "lk-button lk-round", title: "Keys (?)", "aria-label": "Keys", onclick: () => { keys.hidden = !keys.hidden; } }, "?");
  root.append(h("div", { class: "lk-card" }, h("header", { class: "lk-head" }, title, h("div", { class: "lk-sub" }, status)),
    h("div", { class: "lk-controls fv-controls" }, tabs, list, kinds, help), keys, body, checkpoints, clock.element));

  // ---- drawing
  const drawLayers = () => {
    const { layers, layer } = link.state, names = layers.map((/** @type {any} */ one) => one.name), shorts = names.map((/** @type {string} */ one) => fvShort(one, names));
    const many = layers.length > FV_TABS || shorts.join("").length > FV_LETTERS;
    tabs.hidden = many;
    list.hidden = !many;
    const key = JSON.stringify(layers);
    if (key !== built) {
      const hint = (/** @type {any} */ one) => `${one.name}: ${one.kind}, ${one.units} units${one.size[0] * one.size[1] > 1 ? ` of ${one.size[0]} × ${one.size[1]}` : ""}`;
      tabs.replaceChildren(...layers.map((/** @type {any} */ one, /** @type {number} */ i) => h("button", { class: "fv-tab", "data-layer": one.name, title: hint(one), "data-needs-kernel": true, onclick: () => open(one.name, null) },
        h("b", {}, shorts[i]), h("span", {}, String(one.units)))));
      list.replaceChildren(...layers.map((/** @type {any} */ one) => h("option", { value: one.name }, hint(one))));
    }
    built = key;
    for (const tab of tabs.children) tab.setAttribute("aria-pressed", String(/** @type {HTMLElement} */ (tab).dataset.layer === layer));
    if (document.activeElement !== list) list.value = layer;
    for (const button of kinds.children) button.setAttribute("aria-pressed", String((/** @type {HTMLElement} */ (button).dataset.formed === "yes") === formed));
  };

  const drawTime = () => {
    const { state } = link, active = run(), there = steps();
    checkpoints.hidden = !there.length;
    clock.element.hidden = !active;
    if (there.length) {
      const at = scrubbed ?? there.indexOf(stepNow());
      slider.max = String(there.length - 1);
      if (scrubbed === null) slider.value = String(at);
      slider.style.setProperty("--lk-part", `${(100 * at) / Math.max(1, there.length - 1)}%`);
      slider.setAttribute("aria-valuetext", `Step ${there[at]}`);
      say(where.children[0], `Step ${whole(there[at])}`);
      say(where.children[1], there[at] === 0 ? "untrained" : `of ${whole(there[there.length - 1])}`);
      earlier.toggleAttribute("data-off", at <= 0);
      later.toggleAttribute("data-off", at >= there.length - 1);
    }
    if (active) {
      history.refresh(link.columns, link.age, 0);
      clock.draw({ status: link.gone ? "paused" : active.status, position: active.now.position, last: active.now.step, epoch: (at) => history.epoch(active, at),
        following: active.now.following, speed: active.speed, busy: Boolean(state.busy) });
    }
  };

  const shown = /** @type {any} */ ({ frames: 0 });
  /** @type {any} */ (root).labkit = shown;

  return () => {
    const { state, arrays } = link;
    if (!state.layers || !arrays["wall.patch"]) return;
    const began = performance.now(), next = state.unit ? `${state.unit.layer} ${state.unit.unit}` : "";
    const turned = next !== opened, focused = body.contains(document.activeElement) || document.activeElement === document.body;
    say(title, state.finding);
    say(status, link.gone ? "No kernel" : link.waiting ? "Waiting" : state.doing);
    status.dataset.status = link.gone ? "gone" : state.doing ? "playing" : "ready";
    drawLayers();
    body.dataset.open = state.unit ? "yes" : "no";
    wall.draw(formed);
    summary.element.hidden = Boolean(state.unit);
    if (!state.unit) summary.draw();
    unit.draw();
    if (turned && frames && focused) (state.unit ? unit : wall).focus();
    opened = next;
    drawTime();
    if (link.updates !== updates) frames += 1;
    updates = link.updates;
    Object.assign(shown, { frames, updates, layer: state.layer, unit: state.unit?.unit ?? null, step: state.step, seen: state.seen, count: state.count, formed: state.formed, doing: state.doing,
      parts: state.parts.length, patches: state.unit?.patches.length ?? 0, boxes: Boolean(state.unit?.patches[0]?.[3]), off: state.off.length, before: arrays.before.data.length,
      content: arrays["wall.patch"].shape[0] > 0, kind: formed, draw_ms: performance.now() - began });
  };
});
