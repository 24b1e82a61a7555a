// The tensor view: a card for each layer with its output, weights and gradients as heatmaps, whose cells can be opened.
import { backpropPlace, backpropTiles } from "./backproptiles.js";
import { reach } from "./colours.js";
import { h, say } from "./lab.js";
import { number } from "./numbers.js";
import { signedColours } from "./pictures.js";

/** @typedef {import("./lab.js").Stage} Stage */
/** @typedef {import("./frames.js").Field} Field */
/** @typedef {import("./backpropfilm.js").BpSeen} BpSeen */

const BP_PICTURE = 140, BP_SMALL = 88; // the longer side of a heatmap, and where there are many layers

/**
 * One heatmap: signed values on a scale of their own, its range printed, a cursor that reads and opens a cell.
 * @param {Stage} stage
 * @param {string} part whose entries it shows: "conv1", "conv1.weight", "x"
 * @param {string} words
 * @param {number} side
 * @param {{open: (key: string) => void, read: (text: string) => void}} acts
 */
function bpHeatmap({ signal }, part, words, side, { open, read }) {
  const canvas = h("canvas", { class: "bp-heat", tabindex: 0, role: "img" }), name = h("span", {}), range = h("span", { class: "lk-soft" });
  const element = h("figure", { class: "bp-map" }, h("figcaption", {}, name, range), canvas);
  let field = /** @type {Field | null} */ (null), tiles = /** @type {any} */ (null), drawn = /** @type {any[]} */ ([]), cursor = 0;
  const key = (/** @type {number} */ flat) => `${part}[${backpropPlace(flat, field?.shape ?? []).join(",")}]`;
  const told = (/** @type {number} */ flat) => { if (field) read(`${words} ${key(flat)} = ${number(field.data[flat])}. Click for the arithmetic.`); };
  const under = (/** @type {PointerEvent | MouseEvent} */ event) => {
    const box = canvas.getBoundingClientRect();
    const row = Math.floor(((event.clientY - box.top) / box.height) * tiles.rows), column = Math.floor(((event.clientX - box.left) / box.width) * tiles.columns);
    return row >= 0 && row < tiles.rows && column >= 0 && column < tiles.columns ? tiles.flat(row, column) : -1;
  };
  canvas.addEventListener("pointermove", (/** @type {PointerEvent} */ event) => {
    const flat = under(event);
    if (flat >= 0) told(flat);
  }, { signal });
  canvas.addEventListener("pointerleave", () => read(""), { signal });
  canvas.addEventListener("click", (/** @type {MouseEvent} */ event) => {
    cursor = Math.max(0, under(event));
    open(key(cursor));
  }, { signal });
  canvas.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
    if (!field) return;
    const [row, column] = tiles.cell(cursor), way = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
    if (event.key === "Enter") open(key(cursor));
    else if (way) {
      for (let step = 1; step <= 2; step += 1) {  // over the gap between two tiles
        const [r, c] = [row + step * way[0], column + step * way[1]];
        const flat = r >= 0 && r < tiles.rows && c >= 0 && c < tiles.columns ? tiles.flat(r, c) : -1;
        if (flat < 0) continue;
        cursor = flat;
        break;
      }
      told(cursor);
    } else return;
    event.preventDefault();
    event.stopPropagation();
  }, { signal });

  return {
    element,
    /** @param {Field | undefined} next @param {boolean} shown @param {boolean} dark @param {string} label */
    draw(next, shown, dark, label) {
      element.hidden = !next;
      if (!next) return;
      canvas.dataset.shown = shown ? "yes" : "no";
      say(name, label);
      const most = reach(next.data);
      say(range, shown ? `±${number(most)}` : "");
      canvas.setAttribute("aria-label", `${label}, ${next.shape.join("×") || "one number"}, ${shown ? `from ${number(-most)} to ${number(most)} on the scale` : "not computed yet"}. Arrows read, Enter opens.`);
      const parts = [next, shown, dark];
      if (parts.every((value, i) => value === drawn[i])) return;
      drawn = parts;
      if (!tiles || String(next.shape) !== String(field?.shape)) tiles = backpropTiles(next.shape);
      field = next;
      Object.assign(canvas, { width: tiles.columns, height: tiles.rows });
      const cell = Math.min(22, side / Math.max(tiles.rows, tiles.columns));
      canvas.style.width = `${Math.max(6, Math.round(cell * tiles.columns))}px`;
      canvas.style.height = `${Math.max(6, Math.round(cell * tiles.rows))}px`;
      if (shown) paintTiles(next, most || 1, dark);
    },
  };

  /** @param {Field} values @param {number} most @param {boolean} dark */
  function paintTiles(values, most, dark) {
    const pen = canvas.getContext("2d"), image = pen.createImageData(tiles.columns, tiles.rows), colours = signedColours(dark);
    for (let row = 0; row < tiles.rows; row += 1) {
      for (let column = 0; column < tiles.columns; column += 1) {
        const flat = tiles.flat(row, column), at = 4 * (row * tiles.columns + column);
        if (flat < 0) continue;
        const place = 4 * Math.max(0, Math.min(255, Math.round((values.data[flat] / most + 1) * 127.5)));
        for (let i = 0; i < 4; i += 1) image.data[at + i] = colours[place + i];
      }
    }
    pen.putImageData(image, 0, 0);
  }
}

/**
 * @param {Stage} stage
 * @param {{open: (key: string) => void}} acts
 */
export function backpropTensor(stage, { open }) {
  const readout = h("p", { class: "lk-note bp-readout", "aria-live": "polite" });
  const flow = h("div", { class: "bp-flow" });
  const element = h("div", { class: "bp-tensor", hidden: true }, flow, readout);
  const acts = { open, read: (/** @type {string} */ text) => say(readout, text || "Each picture has its own scale: orange below zero, blue above. Point at a cell to read it, click it for the arithmetic.") };
  let structure = /** @type {any} */ (null), cards = /** @type {any[]} */ ([]);
  acts.read("");

  const card = (/** @type {string} */ name, /** @type {string} */ kind, /** @type {string} */ shape, /** @type {string[]} */ parameters) => {
    const side = structure.layers.length > 6 ? BP_SMALL : BP_PICTURE;
    const maps = [name, ...parameters].map((part) => ({ part, value: bpHeatmap(stage, part, "", side, acts), slope: bpHeatmap(stage, part, "gradient at", side, acts) }));
    const figure = h("section", { class: "bp-layer", "aria-label": name }, h("header", {}, h("b", {}, name), h("span", { class: "lk-soft" }, kind)), h("span", { class: "lk-note" }, shape),
      ...maps.map(({ value, slope }) => h("div", { class: "bp-pair" }, value.element, slope.element)));
    return { name, maps, element: figure };
  };
  const build = () => {
    const shape = (/** @type {string} */ name) => (structure.shapes[name] ?? []).join("×") || "one number";
    cards = [card("x", "input", shape("x"), []), ...structure.layers.map((/** @type {any} */ layer) => card(layer.name, layer.kind, shape(layer.name), layer.parameters))];
    const loss = { name: "L", maps: /** @type {any[]} */ ([]), value: h("button", { class: "lk-button bp-loss", title: "The loss: click for its arithmetic", "data-needs-kernel": true, onclick: () => open("L") }), element: /** @type {any} */ (null) };
    loss.element = h("section", { class: "bp-layer", "aria-label": "Loss" }, h("header", {}, h("b", {}, "L"), h("span", { class: "lk-soft" }, "loss")), loss.value);
    cards.push(loss);
    flow.replaceChildren(...cards.map((one) => one.element));
  };

  return {
    element,
    /** @param {any} nextStructure @param {Record<string, Field>} arrays @param {BpSeen} seen @param {number} loss @param {boolean} moved */
    draw(nextStructure, arrays, seen, loss, moved) {
      element.hidden = !nextStructure;
      if (!nextStructure) return;
      if (nextStructure !== structure) {
        structure = nextStructure;
        build();
      }
      const { dark } = stage.theme();
      for (const one of cards) {
        const known = seen.values.has(one.name), sloped = seen.gradients.has(one.name), updated = seen.updated.has(one.name);
        one.element.dataset.lit = seen.lit.has(one.name) ? seen.stage : "";
        one.element.dataset.known = known ? "yes" : "no";
        if (one.value) say(one.value, known ? number(loss) : "");
        for (const { part, value, slope } of one.maps) {
          const own = part === one.name, after = updated && !own ? arrays[`after ${part}`] : undefined;
          value.draw(after ?? arrays[`value ${part}`], own ? known : true, dark, own ? (part === "x" ? "x" : "output") : `${part.split(".").pop()}${after ? " (new)" : ""}`);
          slope.draw(arrays[`gradient ${part}`], sloped, dark, "◂ ∂L");
        }
      }
      const lit = moved && cards.find((one) => seen.lit.has(one.name))?.element;
      if (!lit) return;
      const top = lit.offsetTop - flow.offsetTop, bottom = top + lit.offsetHeight;
      if (top < flow.scrollTop || bottom > flow.scrollTop + flow.clientHeight) flow.scrollTop = top - 8;
    },
  };
}
