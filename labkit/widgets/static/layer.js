// The layers of a network, opened: overview -> layer -> unit and its arithmetic, and back.
import { History } from "./history.js";
import { h, keyboard, say, view } from "./lab.js";
import { layerNet } from "./layernet.js";
import { layerPicture } from "./layerpicture.js";
import { layerUnit } from "./layerunit.js";
import { layerWall } from "./layerwall.js";
import { legend, signedColours } from "./pictures.js";
import { number, whole } from "./numbers.js";
import { timeline } from "./timeline.js";

const LY_STATUS = /** @type {Record<string, string>} */ ({
  ready: "Ready", playing: "Playing", paused: "Paused", finished: "Finished", failed: "Stopped by an error",
});
const LY_RULES = /** @type {[string, string, string][]} */ ([
  ["unit", "each unit its own", "Colours: each unit has its own range"], ["layer", "one for each layer", "Colours: one range for each layer"],
  ["network", "one for the network", "Colours: one range for the whole network"]]);
const LY_OUTSIDE = ".lk-card, .ly-body, .ly-main, .ly-wall, .ly-tiles, .ly-unitpage, .ly-actions, .ly-equation, .ly-inputs, .ly-total";

export default view("layer", (stage) => {
  const { link, root, signal } = stage;
  const history = new History();
  let spot = /** @type {import("./layernet.js").LayerSpot | null} */ (null), frames = 0, updates = -1, page = "", last = /** @type {any} */ (null);
  const open = (/** @type {string | null} */ layer, /** @type {number | null} */ unit) => {
    spot = null;
    link.do("open", { layer, unit });
  };
  const run = () => {
    const found = link.state.runs?.[0];
    return found && { ...found, now: link.state.live?.[found.id] };
  };
  const layers = () => /** @type {any[]} */ (link.state.structure.layers);
  const indexOf = (/** @type {string} */ name) => layers().findIndex((one) => one.name === name);
  const back = () => {
    const { layer, unit: k, row } = wanted();
    if (row !== null) link.do("pin", { row: null });
    else if (layer !== null) open(k === null ? null : layer, null);
  };
  /** What is open and pinned when all is answered: opening something lets go of the pin. */
  const wanted = () => {
    const { opened, pinned } = link.state;
    let now = { layer: opened?.[0] ?? null, unit: opened?.[1] ?? null, row: pinned?.[0] ?? null };
    for (const { action, details } of link.wishes) {
      if (action === "open") now = { ...details, row: null };
      if (action === "pin") now.row = details.row;
    }
    return now;
  };

  // ---- the page
  const home = h("button", { class: "ly-crumb", "data-needs-kernel": true, onclick: () => open(null, null) }, "Network");
  const crumbLayer = h("button", { class: "ly-crumb", "data-needs-kernel": true, onclick: () => open(wanted().layer, null) });
  const crumbUnit = h("span", { class: "ly-crumb" });
  const title = h("h3", { class: "lk-title ly-crumbs" }, home, crumbLayer, crumbUnit);
  const status = h("span", { class: "lk-status" }), pace = h("span", { class: "lk-pace" });
  const move = (/** @type {number} */ by) => link.do("look", { index: (link.wanted("look").index + by + link.state.count) % link.state.count });
  const before = h("button", { class: "lk-button lk-round", title: "Picture before (,)", "aria-label": "Picture before", "data-needs-kernel": true, onclick: () => move(-1) }, "‹");
  const after = h("button", { class: "lk-button lk-round", title: "Next picture (.)", "aria-label": "Next picture", "data-needs-kernel": true, onclick: () => move(1) }, "›");
  const number_ = h("input", { type: "number", class: "lk-number ly-index", min: 1, step: 1, "aria-label": "Number of the picture", "data-needs-kernel": true });
  const count = h("span", { class: "lk-soft" });
  const go = () => {
    const wanted = Math.round(Number(number_.value)) - 1;
    if (number_.value !== "" && wanted >= 0 && wanted < link.state.count) link.do("look", { index: wanted });
  };
  number_.addEventListener("change", go, { signal });
  number_.addEventListener("keydown", (event) => { if (event.key === "Enter") go(); }, { signal });
  const rule = h("select", { class: "lk-select", "aria-label": "Range of the colours" }, ...LY_RULES.map(([value, word]) => h("option", { value }, word)));
  rule.value = "layer";
  rule.addEventListener("change", () => stage.draw(), { signal });
  const scale = legend(), ruleWords = h("span", {});
  const net = layerNet(stage, { open, spot: (next) => { spot = next; } });
  const wall = layerWall(stage, { open }), unit = layerUnit(stage, { open });
  const picture = layerPicture(stage, () => { spot = null; });
  const readout = h("p", { class: "ly-readout" }), trouble = h("p", { class: "ly-trouble", hidden: true });
  const changed = h("p", { class: "ly-changed", hidden: true });
  const clock = timeline(stage, { openFork: () => {} });
  clock.fork.hidden = true;
  const keys = keyboard(root, {
    Escape: ["One level back: value, unit, layer, network", back],
    "← → ↑ ↓": ["Go from unit to unit; on a map, from place to place", () => {}],
    Enter: ["Open the unit; on a map, pin the place", () => {}],
    ",": ["Picture before", () => move(-1)],
    ".": ["Next picture", () => move(1)],
    s: ["Sweep the window over the picture, or pause", () => { if (link.state.unit) unit.toggle(); }],
    " ": ["Play or pause the training", () => { if (run() && !link.gone) clock.toggle(); }],
  });
  const help = h("button", { class: "lk-button lk-round", title: "Keys (?)", "aria-label": "Keys", onclick: () => { keys.hidden = !keys.hidden; } }, "?");
  const main = h("div", { class: "lk-picture ly-main" }, net.element, wall.element, unit.element, readout);
  const body = h("div", { class: "lk-body ly-body" }, main, picture.element);
  const card = h("div", { class: "lk-card" },
    h("header", { class: "lk-head" }, title, h("div", { class: "lk-sub" }, status, pace)),
    h("div", { class: "lk-controls" }, h("div", { class: "lk-row ly-step" }, h("span", {}, "Picture"), before, number_, count, after),
      h("label", { class: "lk-field" }, h("span", {}, "Range of the colours"), rule), help), keys, trouble, changed,
    body,
    h("div", { class: "ly-foot" }, scale.element, ruleWords), clock.element);
  root.append(card);
  // Outside of what is open, a click goes one level back.
  card.addEventListener("click", (/** @type {MouseEvent} */ event) => {
    if (/** @type {Element} */ (event.target).matches(LY_OUTSIDE)) back();
  }, { signal });

  // ---- drawing
  const looks = (/** @type {number} */ layer, /** @type {number[] | null} */ place) => {
    const rows = link.arrays[`rows ${layer}`], columns = link.arrays[`columns ${layer}`];
    if (!rows || !columns || !place) return null;
    return { top: rows.data[2 * place[0]], bottom: rows.data[2 * place[0] + 1], left: columns.data[2 * place[1]], right: columns.data[2 * place[1] + 1] };
  };
  const sized = (/** @type {any} */ box) => `${box.bottom - box.top} × ${box.right - box.left}`;

  const drawHead = () => {
    const { opened, structure } = link.state, active = run();
    const isUnit = opened && opened[1] !== null;
    say(home, opened ? "Network" : `The network: ${structure.layers.length} layers`);
    home.toggleAttribute("data-off", !opened);
    crumbLayer.hidden = !opened;
    crumbUnit.hidden = !isUnit;
    if (opened) say(crumbLayer, opened[0]);
    crumbLayer.toggleAttribute("data-off", !isUnit);
    if (isUnit) say(crumbUnit, `unit ${opened[1]}`);
    if (!active) {
      say(status, link.gone ? "No kernel" : link.waiting ? "Waiting" : "");
      say(pace, "");
      return;
    }
    say(status, link.gone ? "No kernel" : link.waiting ? "Waiting" : link.state.busy ?? (active.now.following || active.status === "playing" ? LY_STATUS[active.status] : "Looking back"));
    status.dataset.status = root.dataset.status = link.gone ? "gone" : link.state.busy ? "busy" : active.status;
    say(pace, `maps at step ${whole(link.state.frame_step)}`);
  };

  const drawFoot = (/** @type {string} */ chosen) => {
    const reaches = link.arrays.reach.data, { opened } = link.state;
    const words = LY_RULES.find(([value]) => value === chosen)?.[2] ?? "";
    const at = opened ? indexOf(opened[0]) : spot?.layer ?? null;
    let most = /** @type {number | null} */ (null), of = "";
    if (chosen === "network") most = Math.max(...reaches);
    else if (chosen === "layer" && at !== null) [most, of] = [reaches[at], ` (${layers()[at].name})`];
    else if (chosen === "unit" && spot) [most, of] = [link.arrays[`reach ${spot.layer}`].data[link.state.chosen[spot.layer].indexOf(spot.unit)], ` (${layers()[spot.layer].name} unit ${spot.unit})`];
    scale.draw({ low: -1, high: 1, colours: signedColours(stage.theme().dark) }, most === null ? "−" : number(-most), most === null ? "+" : number(most));
    if (stage.theme().dark !== last) scale.draw({ low: -1, high: 1, colours: signedColours(stage.theme().dark) }, most === null ? "−" : number(-most), most === null ? "+" : number(most));
    last = stage.theme().dark;
    say(ruleWords, `${words}${of}, 0 in the middle.`);
  };

  const drawReadout = (/** @type {any} */ box) => {
    const { opened } = link.state;
    let words = "";
    if (spot) {
      const layer = layers()[spot.layer], i = link.state.chosen[spot.layer].indexOf(spot.unit);
      words = `${layer.name}, unit ${spot.unit} of ${whole(layer.units)} (${layer.kind}, ${layer.size[0]} × ${layer.size[1]}): values up to ±${number(link.arrays[`reach ${spot.layer}`].data[i])}.`;
      if (box) words += ` Row ${spot.place?.[0]}, column ${spot.place?.[1]} looks at ${sized(box)} pixels of the picture.`;
    } else if (picture.pixel) words = `Row ${picture.pixel[0]}, column ${picture.pixel[1]} of the picture: the boxes are the places that look at it.`;
    else if (!opened) words = `Each layer stands with its strongest units, in the order of the calls${net.wide ? " (scroll sideways for the later ones)" : ""}. Point at a unit; click it, or a layer’s name, to open it.`;
    else if (opened[1] === null) words = "Click a unit for what it is the sum of.";
    else words = "Point at a place of the unit’s map, or at an input; click a place to keep it and see its receptive field.";
    say(readout, words);
  };

  const shown = /** @type {any} */ ({ frames: 0, page: "network" });
  /** @type {any} */ (root).labkit = shown;

  return () => {
    const { state, arrays } = link;
    if (!state.structure || !arrays.picture) return;
    const began = performance.now(), opened = state.opened, next = !opened ? "network" : opened[1] === null ? "layer" : "unit";
    const chosen = /** @type {"unit" | "layer" | "network"} */ (rule.value), index = opened ? indexOf(opened[0]) : -1;
    const turned = page !== "" && `${next} ${opened}` !== page;
    const inside = main.contains(document.activeElement) || title.contains(document.activeElement) || document.activeElement === document.body;
    body.dataset.page = next;
    net.element.hidden = next !== "network";
    wall.element.hidden = next !== "layer";
    unit.element.hidden = next !== "unit";
    if (next !== "unit") unit.stop();
    drawHead();
    if (next === "network") net.draw(chosen, picture.pixel);
    if (next === "layer") wall.draw(chosen, layers()[index], index);
    if (next === "unit") unit.draw(chosen, index);
    if (turned && inside) (next === "network" ? net.focus() : next === "layer" ? wall.focus(null) : unit.focus());
    page = `${next} ${opened}`;
    const measured = state.measured && { top: state.measured.box[0], left: state.measured.box[1], bottom: state.measured.box[2], right: state.measured.box[3] };
    const box = next === "unit" ? looks(index, unit.place) : spot ? looks(spot.layer, spot.place) : null;
    const told = next === "unit" && box
      ? `${layers()[index].size[0] * layers()[index].size[1] === 1 ? "The unit" : `Row ${unit.place[0]}, column ${unit.place[1]}`} looks at ${sized(box)} pixels (the frame)${measured ? "; how strongly it depends on each is in yellow" : ""}.` : "";
    picture.draw(box, told);
    drawReadout(box);
    drawFoot(chosen);
    if (document.activeElement !== number_) number_.value = String(state.index + 1);
    say(count, `of ${whole(state.count)}`);
    trouble.hidden = !state.not_finite.length;
    if (state.not_finite.length) say(trouble, `Not all values are finite (red) in ${state.not_finite.slice(0, 3).join(", ")}${state.not_finite.length > 3 ? " and others" : ""}.`);
    changed.hidden = !state.altered.length;
    if (state.altered.length) say(changed, `Altered here, the model itself is not: ${state.altered.map((/** @type {any[]} */ [layer, k, factor]) => `${layer} unit ${k} ${factor === 0 ? "off" : `× ${number(factor)}`}`).join(", ")}.`);
    const active = run();
    clock.element.hidden = !active;
    if (active) {
      history.refresh(link.columns, link.age, 0);
      clock.draw({ status: link.gone ? "paused" : active.status, position: active.now.position, last: active.now.step, epoch: (at) => history.epoch(active, at), following: active.now.following,
        speed: active.speed, busy: Boolean(state.busy) });
    }
    if (link.updates !== updates) frames += 1;
    updates = link.updates;
    Object.assign(shown, { frames, updates, asked: link.ticket, answered: state.answered ?? 0, page: next, layer: opened?.[0] ?? null, unit: opened?.[1] ?? null, index: state.index, place: next === "unit" ? unit.place : null,
      sum: next === "unit" ? unit.sum : null, reached: next === "unit" ? unit.reached : null, sweep: unit.sweep, spot, pixel: picture.pixel, box, fields: Boolean(arrays["rows 0"]), pinned: state.pinned,
      measured: state.measured, altered: state.altered, scores: Array.from(arrays.scores.data), before: Array.from(arrays.before.data), status: active?.status ?? "still",
      step: active?.now.step ?? null, frame_step: state.frame_step, painted: state.painted, brought: state.brought, draw_ms: performance.now() - began });
  };
});
