// What it learns from: the data sets as pictures, their noise and number, own points.
import { css, diverging } from "./colours.js";
import { h, say } from "./lab.js";
import { whole } from "./numbers.js";
import { classColour } from "./plane.js";
import { wantedSettings } from "./settings.js";
import { paletteFor, toPixel } from "./surface.js";

/** @typedef {import("./lab.js").Stage} Stage */

const TITLES = /** @type {Record<string, [string, string]>} */ ({
  circle: ["Circle", "One class around the other: no straight line can part them"],
  xor: ["XOR", "A class in opposite corners: blue where x₁ and x₂ have the same sign"],
  gauss: ["Blobs", "Normal blobs: a straight line nearly parts two of them"],
  spiral: ["Spiral", "Arms that wind around each other: the hardest"],
  plane: ["Plane", "The answer is (x₁ + x₂) / 10: one neuron can do it"],
  multigauss: ["Cones", "Six cones, up and down; 0 between them"],
  own: ["Own", "Only the points that you place yourself"],
});

/** Numbers from 0 to 1, the same each time (Mulberry32). @param {number} seed */
function dice(seed) {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

/**
 * Points [x, y, class or value] that show the shape of a data set (the kernel has the real ones).
 * @param {string} name
 * @param {number} classes
 * @param {number} count
 * @returns {[number, number, number][]}
 */
export function sketch(name, classes, count) {
  const random = dice(7), turn = 2 * Math.PI;
  const normal = () => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(turn * random());
  const polar = (/** @type {number} */ r, /** @type {number} */ angle) => [r * Math.sin(angle), r * Math.cos(angle)];
  return Array.from({ length: count }, (_, i) => {
    const k = i % classes;
    if (name === "circle") {
      const r = ((k + (k ? 0.4 : 0) + random() * (k ? 0.6 : 1)) * 5) / classes, [x, y] = polar(r, turn * random());
      return [x, y, classes - 1 - k];
    }
    if (name === "gauss") {
      const [x, y] = polar(Math.sqrt(8), Math.PI / 4 + (turn * (k + 1)) / classes);
      return [x + 0.7 * normal(), y + 0.7 * normal(), k];
    }
    if (name === "spiral") {
      const along = i / count, [x, y] = polar(5 * along, 1.75 * along * turn + (turn * ((k + 1) % classes)) / classes);
      return [x, y, k];
    }
    if (name === "xor") {
      const x = 10 * random() - 5, y = 10 * random() - 5, half = 5 + 0.3 * classes;
      const square = (/** @type {number} */ v) => Math.min(classes - 1, Math.floor(((v + 5) / 10) * classes));
      const place = (/** @type {number} */ v) => ((v + 0.3 * (2 * square(v) - (classes - 1))) * 5.3) / (half - 0.3);
      return [place(x), place(y), (square(x) + square(y) + 1) % classes];
    }
    const x = 12 * random() - 6, y = 12 * random() - 6;
    return [x, y, name === "plane" ? (x + y) / 10 : cones(x, y)];
  });
}

/** The value of the six cones at a place. @param {number} x @param {number} y */
function cones(x, y) {
  const far = Math.hypot(x - 4 * Math.round(Math.min(1, Math.max(-1, x / 4))), Math.abs(y) - 2.5);
  const sign = (Math.round(x / 4) % 2 === 0 ? -1 : 1) * (y > 0 ? 1 : -1);
  return sign * Math.max(0, 1 - far / 2);
}

/**
 * The data panel.
 * @param {Stage} stage
 * @param {ReturnType<import("./settings.js").changes>} change
 */
export function datasets(stage, change) {
  const { link, signal } = stage;
  const sets = h("div", { class: "pg-sets", role: "group", "aria-label": "Data sets" });
  const slider = (/** @type {string} */ key, /** @type {string} */ name, /** @type {string} */ hint, /** @type {Record<string, number>} */ range, /** @type {(value: number) => string} */ words) => {
    const input = h("input", { type: "range", "data-setting": key, ...range, "aria-label": name, "data-needs-kernel": true });
    const value = h("output", {});
    const tell = () => {
      say(value, words(Number(input.value)));
      input.setAttribute("aria-valuetext", words(Number(input.value)));
    };
    input.addEventListener("input", () => {
      tell();
      change.soon({ [key]: Number(input.value) });
    }, { signal });
    return { element: h("label", { class: "pg-slide", title: hint }, h("span", {}, h("span", {}, name), value), input), draw: (/** @type {number} */ now) => {
      input.value = String(now);
      tell();
    } };
  };
  const share = slider("train_share", "For training", "The share of the points that it learns from; the others only test it", { min: 10, max: 90, step: 10 }, (v) => `${v} %`);
  const noise = slider("noise", "Noise", "How far points are moved, or answers jittered, by chance", { min: 0, max: 50, step: 5 }, (v) => `${v} %`);
  const count = slider("n", "Points", "How many points are drawn, for training and test together", { min: 20, max: 2000, step: 20 }, whole);
  const again = h("button", { class: "lk-button", "data-action": "new-data", title: "Other points of the same kind: the next drawing", "data-needs-kernel": true,
    onclick: () => change.now({ data_seed: wantedSettings(link, run).data_seed + 1 }) }, "Draw new data");
  const clear = h("button", { class: "lk-button", "data-action": "clear-points", title: "Take all points of your own away", "data-needs-kernel": true,
    onclick: () => link.do("clear_points") }, "Clear own points");
  const sizes = h("p", { class: "lk-note" });
  const element = h("section", { class: "pg-data", "aria-label": "Data" }, h("h4", {}, "Data"), sets,
    h("div", { class: "pg-slides" }, share.element, noise.element, count.element), h("div", { class: "pg-data-buttons" }, again, clear), sizes);
  let run = /** @type {any} */ (null), drawn = /** @type {any[]} */ ([]), built = "";

  const picture = (/** @type {string} */ name, /** @type {boolean} */ dark) => {
    const size = 44, ratio = 2, canvas = h("canvas", { width: size * ratio, height: size * ratio, "aria-hidden": "true" }), pen = canvas.getContext("2d");
    const { classes } = run.settings, regression = link.state.options.regression.includes(name);
    const points = name === "own" ? run.settings.points : sketch(name, classes, regression ? 150 : 110);
    const back = new Uint8Array(paletteFor({ dark, discrete: false }).buffer, 4 * 128, 3);
    pen.fillStyle = css([...back]);
    pen.fillRect(0, 0, size * ratio, size * ratio);
    for (const [x, y, target] of points) {
      const [left, top] = toPixel(x, y, size * ratio);
      pen.fillStyle = css(regression ? diverging(target, dark) : classColour(classes > 2 ? "classes" : "binary", target));
      pen.fillRect(left - 2, top - 2, 4, 4);
    }
    if (name === "own" && !points.length) {  // a plus: none placed yet
      pen.fillStyle = dark ? "#a9aeb4" : "#5f6368";
      pen.fillRect(42, 30, 4, 28);
      pen.fillRect(30, 42, 28, 4);
    }
    return canvas;
  };

  const drawSets = (/** @type {boolean} */ dark) => {
    const { options } = link.state, { settings } = run;
    const names = options.regression.includes(settings.data) ? options.regression : [...options.data.filter((/** @type {string} */ name) => name !== "own"), "own"];
    const key = JSON.stringify([names, settings.classes, settings.points, dark]);
    if (key !== built) {
      built = key;
      const focused = /** @type {HTMLElement | null} */ (document.activeElement)?.dataset?.set;
      sets.replaceChildren(...names.map((/** @type {string} */ name) => h("button", { class: "pg-set", "data-set": name, title: TITLES[name]?.[1], "data-needs-kernel": true,
        onclick: () => change.now({ data: name }) }, picture(name, dark), h("span", {}, TITLES[name]?.[0] ?? name))));
      if (focused) sets.querySelector(`[data-set="${focused}"]`)?.focus();
    }
    for (const button of sets.children) button.setAttribute("aria-pressed", String(button.dataset.set === settings.data));
  };

  return {
    element,
    /** @param {any} next the active run */
    draw(next) {
      run = next;
      const { dark } = stage.theme(), { settings } = run, key = [settings, dark, change.ticket()];
      const learned = link.arrays[`train.${run.id}`]?.shape[0] ?? 0, kept = link.arrays[`test.${run.id}`]?.shape[0] ?? 0;
      say(sizes, `${whole(learned)} to learn from, ${whole(kept)} to test`);
      if (change.pending() || key.every((part, i) => part === drawn[i])) return;
      drawn = key;
      drawSets(dark);
      share.draw(settings.train_share);
      noise.draw(settings.noise);
      count.draw(settings.n);
      const own = settings.data === "own";
      for (const control of [noise, count]) control.element.hidden = own;
      again.hidden = own;
      clear.hidden = !settings.points.length;
    },
  };
}
