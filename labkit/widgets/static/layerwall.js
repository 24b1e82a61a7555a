// An opened layer of LayerView: all its units, as many as fit at once, with their kernels.
import { lyReach } from "./layerarith.js";
import { lyMap, lyPaintBytes, lyPaintNumbers } from "./layermaps.js";
import { h, say } from "./lab.js";
import { number, whole } from "./numbers.js";
import { reach } from "./colours.js";

/** @typedef {import("./lab.js").Stage} Stage */

const LY_PAGE = 64; // units

/**
 * @param {Stage} stage
 * @param {{open: (layer: string | null, unit: number | null) => void}} actions
 */
export function layerWall(stage, { open }) {
  const { link } = stage;
  const what = h("p", { class: "ly-what" }), tiles = h("div", { class: "ly-tiles" });
  const shown = h("span", {});
  const turn = (/** @type {number} */ by) => {
    const first = (link.wished("page").at(-1) ?? link.state.wall).first + by * LY_PAGE;
    if (first >= 0 && first < count) link.do("page", { first });
  };
  const before = h("button", { class: "lk-button", "data-needs-kernel": true, onclick: () => turn(-1) }, "Units before");
  const after = h("button", { class: "lk-button", "data-needs-kernel": true, onclick: () => turn(1) }, "Units after");
  const pages = h("div", { class: "lk-row ly-pages" }, before, after, shown);
  const element = h("div", { class: "ly-wall", hidden: true }, what, tiles, pages);
  let built = "", units = /** @type {any[]} */ ([]), count = 0; // of the layer's units

  const build = (/** @type {any} */ layer, /** @type {any} */ wall, /** @type {number} */ kernels) => {
    units = Array.from({ length: wall.last - wall.first }, (_, i) => {
      const unit = wall.first + i, map = lyMap(), range = h("span", { class: "lk-soft" });
      map.canvas.style.aspectRatio = `${layer.size[1]} / ${layer.size[0]}`;
      const kernel = Array.from({ length: kernels }, () => h("canvas", { "aria-hidden": "true" }));
      const button = h("button", { class: "ly-tile", "data-unit": unit, onclick: () => open(layer.name, unit) }, map.element,
        h("span", { class: "ly-kernels" }, ...kernel), h("span", { class: "ly-name" }, h("b", {}, String(unit)), range));
      return { unit, map, range, kernel, button };
    });
    tiles.replaceChildren(...units.map(({ button }) => button));
    tiles.dataset.small = layer.size[0] * layer.size[1] === 1 ? "yes" : "no";
  };

  return {
    element,
    focus(/** @type {number | null} */ unit) { tiles.querySelector(unit === null ? ".ly-tile" : `[data-unit="${unit}"]`)?.focus({ preventScroll: true }); },
    /** @param {"unit" | "layer" | "network"} rule @param {any} layer @param {number} index of the layer */
    draw(rule, layer, index) {
      const { state, arrays } = link, { wall } = state, { dark } = stage.theme();
      const kernels = arrays.kernels, each = kernels.shape[1];
      const key = `${layer.name} ${wall.first} ${wall.last} ${each}`;
      if (key !== built) build(layer, wall, each);
      built = key;
      count = layer.units;
      const places = layer.size[0] * layer.size[1] === 1 ? "one number each" : `maps of ${layer.size[0]} × ${layer.size[1]}`;
      say(what, `${layer.kind}${layer.options ? ` (${layer.options})` : ""}: ${whole(layer.units)} units, ${places}${layer.parameters ? `, ${whole(layer.parameters)} parameters` : ", no parameters"}.`
        + (each ? ` Under each map ${each < 3 ? "its kernels" : "its largest kernels, at most 3"}, on their own scale.` : ""));
      const reaches = arrays["wall reach"].data, most = arrays.reach.data[index], widest = reach(kernels.data) || 1;
      const off = new Map(state.altered.filter((/** @type {any[]} */ [name]) => name === layer.name).map((/** @type {any[]} */ [, unit, factor]) => [unit, factor]));
      units.forEach(({ unit, map, range, kernel, button }, i) => {
        lyPaintBytes(map.canvas, arrays.wall, i, reaches[i], lyReach(rule, reaches[i], most, arrays.reach.data), dark);
        kernel.forEach((/** @type {HTMLCanvasElement} */ canvas, /** @type {number} */ c) => lyPaintNumbers(canvas, { data: kernels.data, shape: kernels.shape }, i * each + c, widest, dark));
        const factor = off.get(unit), words = factor === undefined ? "" : factor === 0 ? " off" : ` × ${number(factor)}`;
        button.dataset.altered = factor === undefined ? "no" : factor === 0 ? "off" : "yes";
        say(range, `±${number(reaches[i])}${words}`);
        button.setAttribute("aria-label", `Unit ${unit}, ±${number(reaches[i])}${words}. Open it`);
      });
      pages.hidden = layer.units <= LY_PAGE;
      before.toggleAttribute("data-off", wall.first === 0);
      after.toggleAttribute("data-off", wall.last >= layer.units);
      say(shown, `Units ${wall.first} to ${wall.last - 1} of ${whole(layer.units)}`);
    },
  };
}
