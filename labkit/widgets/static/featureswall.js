// The wall of FeatureView: for each unit of a layer what excites it, with the part that it detects.
import { fvDetectors } from "./featuresarith.js";
import { h, say } from "./lab.js";
import { INK, paintPicture } from "./pictures.js";
import { number, short, whole } from "./numbers.js";

/** @typedef {import("./lab.js").Stage} Stage */

const FV_PAGE = 64;

/**
 * @param {Stage} stage
 * @param {(unit: number | null) => void} open
 */
export function featureWall(stage, open) {
  const { link, signal } = stage;
  const what = h("p", { class: "fv-what" }), tiles = h("div", { class: "fv-tiles", role: "group", "aria-label": "Units" });
  const turn = (/** @type {number} */ by) => link.do("page", { first: link.wanted("page").first + by * FV_PAGE });
  const before = h("button", { class: "lk-button", "data-needs-kernel": true, onclick: () => turn(-1) }, "Units before");
  const after = h("button", { class: "lk-button", "data-needs-kernel": true, onclick: () => turn(1) }, "Units after");
  const range = h("span", { class: "lk-soft" });
  const pages = h("div", { class: "fv-pages", hidden: true }, before, after, range);
  const element = h("div", { class: "fv-wall" }, what, tiles, pages);
  let built = "", units = /** @type {any[]} */ ([]), painted = /** @type {any} */ (null);

  const build = (/** @type {number} */ first, /** @type {number} */ count) => {
    units = Array.from({ length: count }, (_, i) => {
      const unit = first + i, canvas = h("canvas", { "aria-hidden": "true" }), name = h("b", {}), part = h("span", {});
      const button = h("button", { class: "fv-tile", "data-unit": unit, "data-needs-kernel": true, tabindex: i ? -1 : 0, onclick: () => open(unit) },
        h("span", { class: "fv-frame" }, canvas), h("span", { class: "fv-label" }, name, part));
      return { unit, canvas, name, part, button };
    });
    tiles.replaceChildren(...units.map(({ button }) => button));
    painted = null;
  };
  const move = (/** @type {any} */ from, /** @type {string} */ key) => {
    const buttons = units.map(({ button }) => button), at = buttons.indexOf(from), box = from.getBoundingClientRect();
    const across = buttons.filter((button) => Math.abs(button.getBoundingClientRect().top - box.top) < 2).length || 1;
    const by = /** @type {Record<string, number>} */ ({ ArrowLeft: -1, ArrowRight: 1, ArrowUp: -across, ArrowDown: across })[key];
    const to = key === "Home" ? 0 : key === "End" ? buttons.length - 1 : at + by;
    if (to < 0 || to >= buttons.length) return;
    for (const button of buttons) button.tabIndex = -1;
    buttons[to].tabIndex = 0;
    buttons[to].focus();
  };
  tiles.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
    const tile = /** @type {HTMLElement} */ (event.target).closest(".fv-tile");
    if (!tile || !/^(Arrow(Left|Right|Up|Down)|Home|End)$/.test(event.key)) return;
    move(tile, event.key);
    event.preventDefault();
    event.stopPropagation();
  }, { signal });

  return {
    element,
    focus() {
      const unit = link.state.unit?.unit;
      (units.find((one) => one.unit === unit) ?? units[0])?.button.focus({ preventScroll: true });
    },
    /** @param {boolean} formed whether the pictures made for the units are shown, else the patches of the data */
    draw(formed) {
      const { state, arrays } = link, layer = state.layers.find((/** @type {any} */ one) => one.name === state.layer);
      const key = `${state.layer} ${state.first} ${state.names.length}`;
      if (key !== built) build(state.first, state.names.length);
      built = key;
      const images = arrays["wall.image"], patches = arrays["wall.patch"];
      const shown = formed && images.shape[0] ? images : patches, iou = arrays["wall.iou"].data, part = arrays["wall.part"].data, most = arrays["wall.most"].data;
      tiles.dataset.kind = !shown.shape[0] ? "empty" : shown === images ? "formed" : "patch";
      const off = new Set(state.off.filter((/** @type {any[]} */ [name]) => name === state.layer).map((/** @type {any[]} */ [, unit]) => unit));
      units.forEach(({ unit, canvas, name, part: word, button }, i) => {
        if (shown !== painted && shown.shape[0]) paintPicture(canvas, shown, i, INK);
        canvas.hidden = !shown.shape[0];
        const detects = part[i] >= 0 && iou[i] >= state.detector ? state.parts[part[i]] : "";
        say(name, state.names[i] ?? String(unit));
        say(word, detects);
        word.title = detects && `${detects}, IoU ${number(iou[i])}`;
        button.setAttribute("aria-pressed", String(state.unit?.unit === unit));
        button.dataset.silenced = off.has(unit) ? "yes" : "no";
        const words = `Unit ${unit}${state.names[i] ? `, ${state.names[i]}` : ""}${detects ? `, detects ${detects}, IoU ${number(iou[i])}` : ""}${most.length ? `, at most ${number(most[i])}` : ""}${off.has(unit) ? ", switched off" : ""}`;
        if (button.title !== words) {
          button.title = words;
          button.setAttribute("aria-label", `${words}. Open it`);
        }
      });
      painted = shown;
      const seen = state.seen ? `${whole(state.seen)} of ${whole(state.total)} pictures` : "";
      let words = state.no_images;
      if (!shown.shape[0]) words = "The first pictures are being looked at.";
      else if (shown === images) words = `Pictures made by gradient ascent to excite each unit in the middle of its map, cut to what it sees there${state.formed < state.formed_of ? `: forming, step ${state.formed} of ${state.formed_of}` : `, ${state.formed_of} steps`}.`;
      else words = `${formed && state.no_images ? `${state.no_images} ` : ""}What each unit saw of the picture that excites it most, of ${seen}.`;
      say(what, words);
      pages.hidden = layer.units <= FV_PAGE;
      before.toggleAttribute("data-off", state.first === 0);
      after.toggleAttribute("data-off", state.first + FV_PAGE >= layer.units);
      say(range, `Units ${state.first} to ${state.first + state.names.length - 1} of ${whole(layer.units)}`);
    },
  };
}

/**
 * What stands beside the wall while no unit is open: which parts the layer detects.
 * @param {Stage} stage
 * @param {(unit: number | null) => void} open
 */
export function featureSummary(stage, open) {
  const { link } = stage;
  const what = h("p", {}), list = h("div", { class: "fv-parts" }), note = h("p", { class: "lk-note" });
  const element = h("div", { class: "fv-summary" }, h("h4", {}, "What this layer detects"), what, list, note);
  let built = "";
  return {
    element,
    draw() {
      const { state, arrays } = link, known = state.parts.length > 0;
      const found = known ? fvDetectors(state.parts, arrays["wall.part"].data, arrays["wall.iou"].data, state.detector, state.first) : [];
      const key = JSON.stringify(found);
      if (key !== built) {
        list.replaceChildren(...found.map(({ part, units, best }) => h("div", { class: "fv-part" }, h("b", {}, part),
          h("span", { class: "fv-units" }, ...units.slice(0, 8).map((unit) => h("button", { class: "fv-chip", "data-needs-kernel": true, "aria-label": `Unit ${unit}, detects ${part}. Open it`, onclick: () => open(unit) }, String(unit))),
            units.length > 8 ? h("span", { class: "lk-soft" }, `and ${units.length - 8} more`) : null), h("span", { class: "lk-soft" }, `IoU up to ${number(best)}`))));
      }
      built = key;
      if (!state.masks) say(what, "These data have no masks of parts, so no part can be named. Click a unit for its patches, weights and classes.");
      else if (!known) say(what, "The units’ maps are compared with the masks of the parts as soon as the pictures have been looked at.");
      else if (!found.length) say(what, "No unit here detects a part.");
      else say(what, "Units by the part that they agree with most. Click one, or a picture on the wall.");
      say(note, known ? `A unit detects a part from an intersection over union of ${short(state.detector)} on (Bau et al. 2017), on ${whole(state.count)} pictures.` : "");
    },
  };
}
