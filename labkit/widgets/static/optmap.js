// The map of an optimisers' view: what one reads on it, and the start that one chooses.
import { cividis } from "./colours.js";
import { readGrid } from "./contours.js";
import { h, keepSharp, say } from "./lab.js";
import { number, scale, short } from "./numbers.js";
import { rounded } from "./optpaths.js";
import { paintOver, paintUnder } from "./optpaint.js";

/** @typedef {import("./lab.js").Stage} Stage */
/** @typedef {{x: number, y: number}} Place */

const WEST = 36, SOUTH = 36, NORTH = 6, EAST = 8;
const WAYS = /** @type {Record<string, [number, number]>} */ ({ ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] });

/**
 * @param {Stage} stage
 * @param {(place: Place) => void} choose a new start
 */
export function optMap(stage, choose) {
  const { link, signal } = stage;
  const base = h("canvas", { "aria-hidden": "true" }), over = h("canvas", { "aria-hidden": "true" });
  const plot = h("div", { class: "lk-plot opt-plot", tabindex: 0, role: "application", "aria-roledescription": "map" }, base, over);
  const readout = h("span", { class: "opt-readout" });
  const ends = [h("span", {}), h("span", {})], ramp = h("i", { class: "opt-ramp" });
  const foot = h("div", { class: "opt-foot lk-note" }, readout, h("span", { class: "opt-scale" }, h("span", {}, "Loss"), ends[0], ramp, ends[1]));
  const element = h("section", { class: "opt-map", "aria-label": "Map" }, plot, foot);
  ramp.style.background = `linear-gradient(to right, ${Array.from({ length: 9 }, (_, i) => `rgb(${cividis(i / 8).join(",")})`).join(",")})`;

  let frame = { x: scale([0, 1], [0, 1]), y: scale([0, 1], [0, 1]), west: 0, east: 1, north: 0, south: 1 };
  let cursor = /** @type {Place | null} */ (null), held = /** @type {Place | null} */ (null), byKeys = false;
  let painted = /** @type {any[]} */ ([]);

  keepSharp(base, () => { painted = []; stage.draw(); }, signal);
  keepSharp(over, () => stage.draw(), signal);

  const place = (/** @type {number[]} */ [x, y]) => ({ x, y });
  const within = (/** @type {Place} */ at) => {
    const [[left, right], [low, high]] = link.state.limits;
    return {
      x: rounded(Math.min(right, Math.max(left, at.x)), right - left),
      y: rounded(Math.min(high, Math.max(low, at.y)), high - low),
    };
  };
  const under = (/** @type {PointerEvent} */ event) => {
    const box = plot.getBoundingClientRect();
    return within({ x: frame.x.invert(event.clientX - box.left), y: frame.y.invert(event.clientY - box.top) });
  };
  const on = (/** @type {string} */ name, /** @type {(event: any) => void} */ run) => plot.addEventListener(name, run, { signal });
  const hold = (/** @type {Place} */ at) => {
    held = cursor = at;
    choose(at);
    stage.draw();
  };
  on("pointerdown", (event) => {
    if (event.button !== 0 || link.gone) return;
    byKeys = false;
    plot.setPointerCapture(event.pointerId);
    hold(under(event));
  });
  on("pointermove", (event) => {
    byKeys = false;
    if (held && plot.hasPointerCapture(event.pointerId)) hold(under(event));
    else {
      cursor = under(event);
      stage.draw();
    }
  });
  on("pointerup", () => { held = null; stage.draw(); });
  on("pointercancel", () => { held = null; stage.draw(); });
  on("pointerleave", () => { if (!held) cursor = null; stage.draw(); });
  on("blur", () => { cursor = null; stage.draw(); });
  on("keydown", (event) => {
    const way = WAYS[event.key];
    if (event.ctrlKey || event.metaKey || event.altKey || !(way || event.key === "Enter")) return;
    const [[left, right], [low, high]] = link.state.limits, from = cursor ?? place(link.wanted("set").start);
    const part = event.shiftKey ? 0.1 : 0.02;
    byKeys = true;
    if (way) cursor = within({ x: from.x + way[0] * part * (right - left), y: from.y + way[1] * part * (high - low) });
    else if (!link.gone) choose(from);
    stage.announce(words(cursor ?? from));
    event.preventDefault();
    event.stopPropagation();
    stage.draw();
  });

  /** The loss at a place, between those of the map. @param {Place} at */
  const lossAt = (at) => {
    const { data, shape: [rows, columns] } = link.arrays.map, [[left, right], [low, high]] = link.state.limits;
    return readGrid({ data, rows, columns }, ((at.x - left) / (right - left)) * (columns - 1), ((at.y - low) / (high - low)) * (rows - 1));
  };
  const words = (/** @type {Place} */ at) => `x ${short(at.x)}, y ${short(at.y)}: loss ≈ ${number(lossAt(at))}`;

  return {
    element,
    /** @param {number} step up to which the paths are drawn */
    draw(step) {
      const { state, arrays } = link, theme = stage.theme(), [[left, right], [low, high]] = state.limits;
      plot.style.aspectRatio = String((right - left) / (high - low));
      const width = base.clientWidth, height = base.clientHeight, pens = [base.getContext("2d"), over.getContext("2d")];
      if (!width || !height || !pens[0] || !pens[1]) return;
      const key = [arrays.map, theme, width, height];
      if (key.some((part, i) => part !== painted[i])) {
        const [west, east, north, south] = [WEST, width - EAST, NORTH, height - SOUTH];
        frame = { x: scale([left, right], [west, east]), y: scale([low, high], [south, north]), west, east, north, south };
        pens[0].clearRect(0, 0, width, height);
        paintUnder(pens[0], theme, frame, state, arrays.map);
        painted = key;
      }
      pens[1].clearRect(0, 0, width, height);
      paintOver(pens[1], theme, frame, state, arrays.paths.data, { step, start: held ?? place(state.start), cross: byKeys ? cursor : null });
      const start = place(state.start);
      say(readout, cursor ? words(cursor) : `Start ${short(start.x)}, ${short(start.y)}: loss ${number(state.first)}. Click or drag to move it.`);
      say(ends[0], number(state.low + state.floor));
      say(ends[1], number(state.high + state.floor));
      plot.setAttribute("aria-label", `Map of the loss with the paths. The start is at x ${short(start.x)}, y ${short(start.y)}. Arrow keys move a crosshair, Enter starts there.`);
    },
  };
}
