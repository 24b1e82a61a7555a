// The details of a training view: whatever its probes deliver, each drawn by its shape.
import { h, say } from "./lab.js";
import { number, whole } from "./numbers.js";
import { INK, legend, paintPicture, scaleOf } from "./pictures.js";

/** @typedef {import("./frames.js").Field} Field */
/** @typedef {import("./lab.js").Stage} Stage */
/** @typedef {{element: HTMLElement, draw: (fields: Record<string, Field>) => void}} Panel */

/** "conv1_weights" as "Conv1 weights". @param {string} name */
const words = (name) => (name[0]?.toUpperCase() ?? "") + name.slice(1).replaceAll("_", " ");

/**
 * Pictures with what the model takes them for.
 * @param {string} title
 * @param {Record<string, Field>} fields
 * @param {Stage} stage
 * @returns {Panel}
 */
function wall(title, fields, { link }) {
  const count = fields.pictures.shape[0];
  const longest = Math.max(...(link.state.classes ?? ["0"]).map((/** @type {string} */ name) => name.length));
  const tiles = Array.from({ length: count }, () => {
    const canvas = h("canvas", { "aria-hidden": "true" }), name = h("span", {}), sure = h("i", {});
    return { canvas, name, sure, element: h("figure", { class: "lk-tile" }, canvas, h("figcaption", {}, name), h("div", { class: "lk-sure" }, sure)) };
  });
  const score = h("span", { class: "lk-aside" });
  const element = h("section", { class: "lk-panel" }, h("h4", {}, title, score),
    h("div", { class: "lk-wall", style: `--lk-size:${longest > 3 ? 76 : 50}px` }, ...tiles.map((tile) => tile.element)),
    h("p", { class: "lk-note" }, "✓ right, ✗ wrong (the true class in brackets). The bar is the probability given."));
  let painted = /** @type {any} */ (null);
  return {
    element,
    draw({ pictures, predicted, target, confidence }) {
      const names = link.state.classes;
      const call = (/** @type {number} */ k) => (names ? String(names[k]) : String(k));
      if (painted !== pictures.data) tiles.forEach((tile, i) => paintPicture(tile.canvas, pictures, i, INK));
      painted = pictures.data;
      let right = 0;
      tiles.forEach((tile, i) => {
        const good = predicted.data[i] === target.data[i];
        right += Number(good);
        say(tile.name, good ? `✓ ${call(predicted.data[i])}` : `✗ ${call(predicted.data[i])} (${call(target.data[i])})`);
        if ((tile.element.dataset.right === "yes") !== good || !tile.element.dataset.right) tile.element.dataset.right = good ? "yes" : "no";
        if (confidence) tile.sure.style.transform = `scaleX(${confidence.data[i].toFixed(2)})`;
      });
      say(score, `${right} of ${count} right`);
    },
  };
}

/**
 * Heatmaps of a (H, W) or (n, H, W) array, all on one scale.
 * @param {string} title
 * @param {string} name
 * @param {Record<string, Field>} fields
 * @param {Stage} stage
 * @returns {Panel}
 */
function heatmaps(title, name, fields, { theme }) {
  const stack = (/** @type {Field} */ field) => (field.shape.length === 2 ? { data: field.data, shape: [1, ...field.shape] } : field);
  const [count, height, width] = stack(fields[name]).shape;
  const canvases = Array.from({ length: count }, () => h("canvas", { "aria-hidden": "true" }));
  const scaleBar = legend();
  const note = h("span", { class: "lk-note" });
  let signed = false; // once signed, always: the scale does not jump as a value crosses zero
  const element = h("section", { class: "lk-panel" }, h("h4", {}, title, h("span", { class: "lk-aside" }, `${count > 1 ? `${count} of ` : ""}${height}×${width}`)),
    h("div", { class: count > 1 ? "lk-maps" : "lk-map", style: `--lk-size:${count <= 4 ? 76 : count <= 32 ? 36 : 24}px` }, ...canvases),
    h("div", { class: "lk-panel-foot" }, scaleBar.element, note));
  return {
    element,
    draw(next) {
      const field = stack(next[name]);
      signed ||= field.data.some((/** @type {number} */ v) => v < 0);
      const colours = scaleOf(field, signed, theme().dark);
      const broken = field.data.some(Number.isNaN);
      say(note, broken ? "Red: not a number." : count > 1 ? "One scale for all." : "");
      canvases.forEach((canvas, i) => paintPicture(canvas, field, i, colours));
      scaleBar.draw(colours, number(colours.low), number(colours.high));
    },
  };
}

/**
 * Bars of a 1-D array, from zero.
 * @param {string} title
 * @param {string} name
 * @param {Record<string, Field>} fields
 * @returns {Panel}
 */
function bars(title, name, fields) {
  const count = fields[name].shape[0];
  const sticks = Array.from({ length: count }, () => h("i", {}));
  const range = h("span", { class: "lk-aside" });
  const box = h("div", { class: "lk-bars" }, ...sticks);
  const element = h("section", { class: "lk-panel" }, h("h4", {}, title, range), box);
  return {
    element,
    draw(next) {
      const { data } = next[name];
      let low = 0, high = 0;
      for (const value of data) {
        if (value < low) low = value;
        if (value > high) high = value;
      }
      const span = high - low || 1;
      sticks.forEach((stick, i) => {
        const value = Number.isFinite(data[i]) ? data[i] : 0;
        stick.style.bottom = `${(100 * (Math.min(0, value) - low)) / span}%`;
        stick.style.height = `${(100 * Math.abs(value)) / span}%`;
        stick.dataset.sign = value < 0 ? "negative" : "positive";
      });
      say(range, `${number(low)} to ${number(high)}`);
    },
  };
}

/**
 * @param {Stage} stage
 * @returns {{element: HTMLElement, draw: () => void}}
 */
export function details(stage) {
  const { link } = stage;
  const when = h("div", { class: "lk-when" });
  const body = h("div", { class: "lk-panels" });
  const element = h("div", { class: "lk-details", role: "group", "aria-label": "Details" }, when, body);
  let built = "", dark = /** @type {boolean | null} */ (null), drawn = /** @type {any[]} */ ([]);
  let panels = /** @type {{panel: Panel, fields: () => Record<string, Field>}[]} */ ([]);

  const groups = () => {
    const found = /** @type {Record<string, Record<string, Field>>} */ ({});
    for (const name of link.state.frame ?? []) {
      const field = link.arrays[`frame.${name}`];
      const dot = name.lastIndexOf(".");
      if (field) (found[name.slice(0, dot)] ??= {})[name.slice(dot + 1)] = field;
    }
    return found;
  };
  const build = () => {
    panels = [];
    for (const [probe, fields] of Object.entries(groups())) {
      const read = () => groups()[probe];
      const title = words(probe);
      if (fields.pictures && fields.predicted && fields.target) {
        panels.push({ panel: wall(title, fields, stage), fields: read });
        continue;
      }
      for (const [name, field] of Object.entries(fields)) {
        const full = Object.keys(fields).length > 1 || !title ? `${title} ${name.replaceAll("_", " ")}`.trim() : title;
        const size = field.shape.length;
        if (size === 1) panels.push({ panel: bars(full, name, fields), fields: read });
        else if (size === 2 || size === 3) panels.push({ panel: heatmaps(full, name, fields, stage), fields: read });
      }
    }
    body.replaceChildren(...panels.map(({ panel }) => panel.element));
  };

  return {
    element,
    draw() {
      const names = /** @type {string[]} */ (link.state.frame ?? []);
      element.hidden = !names.length;
      const shape = names.map((name) => `${name}:${link.arrays[`frame.${name}`]?.shape}`).join();
      if (shape !== built) {
        built = shape;
        drawn = [];
        build();
      }
      say(when, `At step ${whole(link.state.frame_step ?? 0)}`);
      const data = names.map((name) => link.arrays[`frame.${name}`]?.data);
      if (dark === stage.theme().dark && data.every((d, i) => d === drawn[i]) && drawn.length === data.length) return;
      dark = stage.theme().dark;
      drawn = data;
      for (const { panel, fields } of panels) panel.draw(fields());
    },
  };
}
