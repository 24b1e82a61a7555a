// The wall of SaliencyView: a tile for each method with its map and its scores, and one method from near.
import { cividis, paint, table } from "./colours.js";
import { h, say } from "./lab.js";
import { number } from "./numbers.js";
import { INK, legend, paintPicture, signedColours } from "./pictures.js";
import { salAgainst, salEnd, salLevel, salOutline, salOverlay, salOwnEnd, salShort, salTop } from "./saliencyarith.js";
import { salLike } from "./saliencyaxes.js";
import { salLayer } from "./saliencypicture.js";

/** @typedef {import("./lab.js").Stage} Stage */
/** @typedef {import("./saliencycontrols.js").SalLook} SalLook */

const SAL_SIZES = table(cividis);
const SAL_MARKS = /** @type {Record<string, string>} */ ({ edge: "edge", centre: "centre", random: "random" });
const SAL_LINES = /** @type {[string, number][]} */ ([["thin", 0.2], ["thick", 0.05]]); // of the pixels that count most

/** A map on a picture. @param {Stage} stage @param {SalLook} look */
function salMap({ link, theme }, look) {
  const map = h("canvas", { "aria-hidden": "true" }), picture = h("canvas", { "aria-hidden": "true" });
  const lines = salLayer("sal-lines"), truth = salLayer("sal-truth");
  const left = h("span", { class: "sal-half" }, picture), element = h("span", { class: "sal-frame" }, left, h("span", { class: "sal-half" }, map, lines.element, truth.element));
  const scaleOf = (/** @type {number} */ end) => {
    const signed = link.state.settings.signed;
    return { low: signed ? -end : 0, high: end, colours: signed ? signedColours(theme().dark) : SAL_SIZES };
  };
  let last = "", of = /** @type {any[]} */ ([]);
  return {
    element,
    scaleOf,
    /** @param {import("./frames.js").Field | null} field the map, -1 to 1 @param {number} end of its scale @param {string} outline */
    draw(field, end, outline) {
      const shown = link.arrays.picture, [height, width] = shown.shape, scale = scaleOf(end);
      element.dataset.beside = look.mode === "beside" ? "yes" : "no";
      left.hidden = look.mode !== "beside";
      map.hidden = !field;
      truth.draw([height, width], look.truth && field ? [["sal-halo", outline], ["sal-line", outline]] : []);
      const key = `${look.mode} ${end} ${link.state.settings.signed} ${theme().dark}`;
      if (key === last && of[0] === field && of[1] === shown) return;
      last = key;
      of = [field, shown];
      if (look.mode === "beside") paintPicture(picture, { data: shown.data, shape: [1, ...shown.shape] }, 0, INK);
      lines.draw([height, width], []);
      if (!field) return;
      if (look.mode === "contour") {
        paintPicture(map, { data: shown.data, shape: [1, ...shown.shape] }, 0, INK);
        lines.draw([height, width], SAL_LINES.flatMap(([kind, share]) => {
          const level = salTop(field.data, share);
          if (!level) return [];
          const above = salLevel(field, level), below = link.state.settings.signed ? salLevel(field, -level) : "";
          return /** @type {[string, string][]} */ ([[`sal-halo sal-${kind}`, above + below], [`sal-above sal-${kind}`, above], [`sal-below sal-${kind}`, below]]);
        }));
        return;
      }
      if (map.width !== width || map.height !== height) Object.assign(map, { width, height });
      const pen = map.getContext("2d"), image = pen.createImageData(width, height);
      if (look.mode === "overlay") salOverlay(shown, field.data, end, scale.colours, scale.low, image.data);
      else paint(field.data, 0, field.data.length, scale.low, scale.high, scale.colours, image.data);
      pen.putImageData(image, 0, 0);
    },
  };
}

/** A score as a bar, with marks at those of the controls. @param {string} name @param {string} word */
function salBar(name, word) {
  const bar = h("i", {}), value = h("span", { class: "sal-value" }), marks = Object.fromEntries(Object.keys(SAL_MARKS).map((one) => [one, h("u", { "data-mark": one })]));
  return {
    element: h("span", { class: "sal-bar", "data-score": name }, h("span", { class: "sal-word" }, word), h("span", { class: "sal-track" }, bar, ...Object.values(marks)), value),
    /** @param {number | null} score @param {Record<string, number>} references */
    draw(score, references) {
      bar.style.transform = `scaleX(${Math.min(1, Math.max(0, score ?? 0))})`;
      for (const [one, mark] of Object.entries(marks)) {
        mark.hidden = !Number.isFinite(references[one]);
        if (!mark.hidden) mark.style.left = `${100 * Math.min(1, Math.max(0, references[one]))}%`;
      }
      say(value, score === null ? "–" : number(score));
    },
  };
}

/** What a tile says instead of, or about, its map. @param {any} tile @param {boolean} map whether an earlier one is there */
function salStatus(tile, map) {
  if (tile.status === "refused") return "Not for this model";
  if (tile.status === "failed") return "Failed";
  if (tile.status === "computing") return tile.of > 1 ? `Computing, ${tile.done} of ${tile.of}` : "Computing";
  if (tile.status === "waiting") return map ? "Of before the change" : "Waits";
  if (tile.status === "on request") return map ? "Of before the change" : "On request";
  return "";
}

/**
 * @param {Stage} stage
 * @param {(method: string | null) => void} open
 * @param {SalLook} look
 */
export function salWall(stage, open, look) {
  const { link, signal } = stage;
  const marks = h("p", { class: "lk-note sal-marks" });
  const tiles = h("div", { class: "sal-tiles", role: "group", "aria-label": "Methods" });
  const element = h("div", { class: "sal-wall" }, tiles);
  let built = "", all = /** @type {any[]} */ ([]), outlined = /** @type {any[]} */ ([null, ""]);
  const measured = /** @type {Record<string, any>} */ ({}); // maps, so that their ends are found once
  let ends = /** @type {Record<string, number>} */ ({});

  const fieldOf = (/** @type {string} */ method) => (link.state.tiles[method].reach === null ? null : link.arrays[`map.${method}`] ?? null);
  const measure = () => {
    ends = {};
    for (const { name } of link.state.methods) {
      const field = fieldOf(name);
      if (!field) continue;
      if (measured[name]?.field !== field) measured[name] = { field, end: salOwnEnd(field.data) };
      ends[name] = measured[name].end;
    }
  };
  const build = () => {
    all = link.state.methods.map((/** @type {any} */ method, /** @type {number} */ i) => {
      const map = salMap(stage, look), status = h("span", { class: "sal-status" }), bars = h("span", { class: "sal-bars" }), like = h("span", { class: "sal-like", hidden: true });
      const button = h("button", { class: "sal-tile", "data-method": method.name, "data-family": method.family, "data-needs-kernel": true, tabindex: i ? -1 : 0, onclick: () => open(method.name) },
        h("b", {}, method.label), map.element, status, bars, like);
      return { method, map, status, bars, like, button, scores: /** @type {any} */ ({}), names: "" };
    });
    tiles.replaceChildren(...all.map(({ button }) => button));
  };
  tiles.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
    const from = /** @type {HTMLElement} */ (event.target).closest(".sal-tile");
    if (!from || !/^(Arrow(Left|Right|Up|Down)|Home|End)$/.test(event.key)) return;
    const buttons = all.map(({ button }) => button), at = buttons.indexOf(from), top = from.getBoundingClientRect().top;
    const across = buttons.filter((one) => Math.abs(one.getBoundingClientRect().top - top) < 2).length || 1;
    const by = /** @type {Record<string, number>} */ ({ ArrowLeft: -1, ArrowRight: 1, ArrowUp: -across, ArrowDown: across, Home: -at, End: buttons.length - 1 - at })[event.key];
    const to = buttons[at + by];
    if (to) {
      for (const one of buttons) one.tabIndex = one === to ? 0 : -1;
      to.focus();
    }
    event.preventDefault();
    event.stopPropagation();
  }, { signal });

  const references = (/** @type {string} */ name) => Object.fromEntries(link.state.controls.map((/** @type {string} */ one) => [one, link.state.tiles[one].scores[name] ?? NaN]));
  const drawBars = (/** @type {any} */ one, /** @type {any} */ tile, /** @type {string[]} */ names) => {
    const key = names.join();
    if (key !== one.names) {
      one.scores = Object.fromEntries(names.map((name) => [name, salBar(name, salShort(name))]));
      one.bars.replaceChildren(...Object.values(one.scores).map((/** @type {any} */ bar) => bar.element));
    }
    one.names = key;
    for (const name of names) one.scores[name].draw(tile.scores[name] ?? null, references(name));
  };

  return {
    element,
    marks,
    references,
    fieldOf,
    /** The end of a method's scale, and the outline of the truth. @param {string} method @returns {[number, string]} */
    scaleOf: (method) => [salEnd(link.state.tiles, ends, method, look.common), outlined[1]],
    focus(/** @type {string | null} */ method) { (all.find((one) => one.method.name === method) ?? all[0])?.button.focus({ preventScroll: true }); },
    draw() {
      const { state, arrays } = link, key = JSON.stringify(state.methods.map((/** @type {any} */ one) => one.name));
      if (key !== built) build();
      built = key;
      measure();
      if (arrays.mask !== outlined[0]) outlined = [arrays.mask, state.masked ? salOutline(arrays.mask) : ""];
      const found = new Set(Object.values(state.tiles).flatMap((tile) => Object.keys(tile.scores)));
      const masked = Object.keys(state.about_scores).filter((name) => found.has(name));
      const names = masked.filter((name) => state.masked === (state.about_scores[name].needs === "mask")).slice(0, 4);
      tiles.dataset.beside = look.mode === "beside" ? "yes" : "no";
      for (const one of all) {
        const tile = state.tiles[one.method.name], field = fieldOf(one.method.name);
        one.map.draw(field, salEnd(state.tiles, ends, one.method.name, look.common), outlined[1]);
        one.button.dataset.status = tile.status;
        one.button.dataset.notes = tile.notes.length ? "yes" : "no";
        one.button.setAttribute("aria-pressed", String(state.opened === one.method.name));
        say(one.status, salStatus(tile, Boolean(field)));
        one.status.title = tile.why;
        drawBars(one, tile, names);
        salLike(one.like, tile.like);
        const scored = names.filter((name) => tile.scores[name] != null).map((name) => `${state.about_scores[name].label} ${number(tile.scores[name])}`);
        const words = [one.method.label, one.status.textContent, ...scored, one.like.hidden ? "" : one.like.textContent, tile.notes.length ? `note: ${tile.notes[0]}` : "", tile.why].filter(Boolean).join(", ");
        if (one.button.title !== words) {
          one.button.title = words;
          one.button.setAttribute("aria-label", `${words}. Open it`);
        }
      }
      say(marks, names.length ? "Marks on the bars: ▏edge, ┊ centre, ○ random, maps that know nothing of the model." : "");
    },
  };
}

/**
 * One method from near.
 * @param {Stage} stage
 * @param {ReturnType<import("./saliencyarith.js").salQueue>} queue
 * @param {(method: string | null) => void} open
 * @param {SalLook} look
 * @param {ReturnType<typeof salWall>} wall
 */
export function salDetail(stage, queue, open, look, wall) {
  const { link } = stage;
  const name = h("h4", { tabindex: -1 }), close = h("button", { class: "lk-button", "data-action": "close", title: "Close (Esc)", "data-needs-kernel": true, onclick: () => open(null) }, "Close");
  const compute = h("button", { class: "lk-button lk-primary", "data-action": "compute", "data-needs-kernel": true, onclick: () => queue.push("compute", { method: link.state.opened }) }, "Compute it");
  const map = salMap(stage, look), range = legend(), status = h("p", { class: "sal-status" });
  const line = (/** @type {string} */ word) => {
    const text = h("span", {});
    return { text, element: h("p", { class: "sal-about" }, h("b", {}, word), text) };
  };
  const formula = line("Formula"), assumes = line("Takes for granted"), source = line("Source"), code = h("code", { class: "sal-code" });
  const verdicts = h("ul", {}), checked = h("b", {}), notes = h("ul", { class: "sal-notes" }), scores = h("div", { class: "sal-scores" });
  const element = h("section", { class: "sal-detail", hidden: true }, h("div", { class: "sal-head" }, name, h("div", { class: "sal-tools" }, compute, close)),
    h("div", { class: "sal-near" }, h("div", { class: "sal-large" }, map.element, range.element, status), h("div", { class: "sal-words" }, notes, formula.element, assumes.element, source.element, scores, h("div", { class: "sal-about sal-verdicts" }, checked, verdicts), code)));
  let built = "";
  return {
    element,
    focus: () => name.focus({ preventScroll: true }),
    draw() {
      const { state } = link, method = state.methods.find((/** @type {any} */ one) => one.name === state.opened);
      element.hidden = !method;
      if (!method) return;
      const tile = state.tiles[method.name], field = wall.fieldOf(method.name), [end, outline] = wall.scaleOf(method.name);
      say(name, method.label);
      map.draw(field, end, outline);
      range.element.hidden = !field || look.mode === "contour";
      if (field) range.draw(map.scaleOf(end), state.settings.signed ? number(-end * tile.reach) : "0", number(end * tile.reach));
      const time = tile.seconds === null || tile.status !== "shown" ? "" : `Computed in ${number(tile.seconds)} s`;
      say(status, salStatus(tile, Boolean(field)) || time);
      compute.hidden = tile.status !== "on request";
      const told = [tile.why, ...tile.notes].filter(Boolean);
      notes.hidden = !told.length;
      if (notes.dataset.told !== told.join("\n")) notes.replaceChildren(...told.map((text) => h("li", {}, text)));
      notes.dataset.told = told.join("\n");
      notes.dataset.kind = tile.why ? "why" : "note";
      say(formula.text, method.formula);
      say(assumes.text, method.assumes);
      say(source.text, method.source);
      say(checked, `In our checks (${state.verdicts_on})`);
      const names = Object.keys(tile.scores), key = `${method.name} ${names}`;
      if (key !== built) {
        verdicts.replaceChildren(...method.verdicts.map((/** @type {string} */ text) => h("li", {}, text)));
        scores.replaceChildren(...names.map((one) => {
          const about = state.about_scores[one], bar = salBar(one, about.label), word = h("span", { class: "lk-note" });
          return Object.assign(h("div", { class: "sal-score", title: `${about.formula}. ${about.source}` }, bar.element, word), { bar, word });
        }));
      }
      built = key;
      names.forEach((one, i) => {
        const row = /** @type {any} */ (scores.children[i]), known = wall.references(one), { better, formula: sum } = state.about_scores[one];
        const others = Object.fromEntries(Object.entries(known).filter(([control]) => control !== method.name));
        row.bar.draw(tile.scores[one], known);
        say(row.word, `${[salAgainst(tile.scores[one] ?? NaN, others, better), better === "lower" ? "lower is better" : "", sum].filter(Boolean).join("; ")}`);
      });
      say(code, state.call);
    },
  };
}
