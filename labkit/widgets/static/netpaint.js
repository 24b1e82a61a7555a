// Paints the playground's network: links, thumbnails of what units compute, biases, numbers at them.
import { css, diverging } from "./colours.js";
import { biasBox, netCurve, onCurve } from "./netlayout.js";
import { number } from "./numbers.js";
import { classColour, shapePath } from "./plane.js";
import { SIDE, classPalette, paintMap, paletteFor } from "./surface.js";
import { biasAt, isFrozen, weightAt } from "./weights.js";

/** @typedef {import("./netlayout.js").NetLayout} NetLayout */
/**
 * @typedef {object} NetScene what is painted
 * @property {NetLayout} layout
 * @property {any} view run, maps, reach, featureMaps, parameters, theme, discrete
 * @property {number} width of the canvas
 * @property {string[]} classes letters
 * @property {number | null} unit whose links are emphasised
 * @property {number | null} pinned
 * @property {number | null} ring the unit that the keyboard is at
 * @property {{column: number, row: number, from: number, t: number, text: string} | null} link under the pointer
 * @property {number | null} bias the unit whose bias is under the pointer
 * @property {any} stage of the slow motion, or null
 * @property {number} progress how far that stage's links are lit, 0 to 1
 * @property {ArrayLike<number> | undefined} important whose size decides which links carry their number: parameters or their gradients
 * @property {(column: number, row: number, from: number) => string} weightText what is printed at a link that is lit
 * @property {(unit: number) => string} unitText what is printed at a unit; "" for nothing
 */

const LEVELS = 24; // steps of a link's width and colour
const MOST_WEIGHT = 3; // from here on a link grows no wider
const FEW_LINKS = 14; // between two layers: up to so many all carry their number
const FEW_LABELS = 5; // of more links, so many of the largest do
const LIT_ROOM = 44; // px between two columns' units that a number at a link needs
const DENSE = 500; // links from which on they are drawn thinner and without dashes

/**
 * Width (for units of 40 px) and colour of a weight.
 * @param {number} level 0 to LEVELS
 * @param {boolean} negative
 * @param {boolean} dark
 * @returns {{width: number, colour: string}}
 */
function linkLook(level, negative, dark) {
  const size = (MOST_WEIGHT * level) / LEVELS, strength = Math.min(1, 0.35 + 0.65 * size);
  return { width: 0.8 + 2.2 * size, colour: css(diverging(negative ? -strength : strength, dark)) };
}

/** Whether there are too many links to draw each with care. @param {NetLayout} layout */
export const isDense = ({ first }) => first.slice(2).reduce((sum, end, k) => sum + (end - first[k + 1]) * (first[k + 1] - first[k]), 0) > DENSE;

/** Thumbnails of all units in one strip, painted again only when the maps or the colours change. */
class Strip {
  constructor() {
    this.canvas = document.createElement("canvas");
    this.image = /** @type {ImageData | null} */ (null);
    this.key = /** @type {any[]} */ ([]);
    this.palettes = /** @type {Uint32Array[]} */ ([]);
  }

  /**
   * @param {any} maps a Field of (count, 100, 100)
   * @param {number} classes how many at the end are probabilities
   * @param {{dark: boolean, discrete: boolean}} look
   */
  paint(maps, classes, look) {
    const key = [maps, classes, look.dark, look.discrete];
    if (key.every((part, i) => part === this.key[i])) return;
    const recoloured = key.some((part, i) => i && part !== this.key[i]), count = maps.shape[0], size = SIDE * SIDE;
    this.key = key;
    if (recoloured) this.palettes = [paletteFor(look), ...Array.from({ length: classes }, (_, k) => classPalette(k, look))];
    if (this.image?.height !== SIDE * count) {
      Object.assign(this.canvas, { width: SIDE, height: SIDE * count });
      this.image = new ImageData(SIDE, SIDE * count);
    }
    const out = new Uint32Array(this.image.data.buffer);
    paintMap(maps.data, 0, this.palettes[0], out, (count - classes) * size);
    for (let k = 0; k < classes; k += 1) {
      const at = (count - classes + k) * size;
      paintMap(maps.data, at, this.palettes[k + 1], out.subarray(at), size);
    }
    this.canvas.getContext("2d")?.putImageData(this.image, 0, 0);
  }
}

export class NetPainter {
  constructor() {
    this.units = new Strip();
    this.features = new Strip();
  }

  /** @param {CanvasRenderingContext2D} pen @param {NetScene} scene */
  paint(pen, scene) {
    const { layout, view } = scene, { theme } = view;
    pen.clearRect(0, 0, scene.width, layout.height);
    pen.font = `11px ${theme.font}`;
    pen.textBaseline = "middle";
    pen.lineCap = "butt";
    const lit = this.lit(scene);
    this.links(pen, scene, lit);
    const locks = this.locks(pen, scene);
    this.thumbnails(pen, scene, lit);
    this.biases(pen, scene, lit);
    this.ends(pen, scene);
    this.labels(pen, scene, lit, locks);
  }

  /**
   * What stands out, if anything does: the stage of the slow motion, else the unit that is pointed at or pinned.
   * @param {NetScene} scene
   */
  lit({ layout, stage, progress, unit, link }) {
    if (stage?.kind === "loss") return { link: () => false, unit: (/** @type {any} */ node) => node.column === layout.columns.length - 1 };
    if (stage?.kind === "update") return { link: () => true, unit: () => true };
    if (stage) {
      const at = stage.layer, back = stage.kind === "backward";
      return {
        link: (/** @type {number} */ column) => column === at,
        unit: (/** @type {any} */ node) => (back ? node.column >= at : node.column < at || (node.column === at && progress === 1)),
      };
    }
    if (unit === null && !link) return null;
    if (link) {
      return {
        link: (/** @type {number} */ column, /** @type {number} */ row, /** @type {number} */ from) => column === link.column && row === link.row && from === link.from,
        unit: () => true,
      };
    }
    const node = layout.units[/** @type {number} */ (unit)];
    const place = Number(unit) - layout.first[node.column];
    return {
      link: (/** @type {number} */ column, /** @type {number} */ row, /** @type {number} */ from) =>
        (column === node.column ? row === node.row : column === node.column + 1 && from === place),
      unit: () => true,
    };
  }

  /** Links of one look in one stroke: much faster than one by one. @param {CanvasRenderingContext2D} pen @param {NetScene} scene @param {any} lit */
  links(pen, scene, lit) {
    const { layout, view } = scene, { run, parameters, theme } = view;
    if (!parameters) return;
    const groups = /** @type {Map<number, number[]>} */ (new Map());
    for (let column = 1; column < layout.columns.length; column += 1) {
      const count = run.layers[column - 1].width;
      for (let row = 0; row < run.layers[column].width; row += 1) {
        for (let from = 0; from < count; from += 1) {
          const weight = parameters.data[weightAt(run.layers, column, row, from)];
          const level = Math.round(LEVELS * Math.min(1, Math.abs(weight) / MOST_WEIGHT)) || 0;
          const bright = lit && lit.link(column, row, from) ? 1 : 0;
          const key = 2 * (2 * level + (weight < 0 ? 1 : 0)) + bright;
          const curve = netCurve(layout, column, row, from);
          const list = groups.get(key);
          if (list) list.push(curve.x0, curve.y0, curve.x1, curve.y1);
          else groups.set(key, [curve.x0, curve.y0, curve.x1, curve.y1]);
        }
      }
    }
    const { size } = layout.columns[1], dense = isDense(layout);
    const scale = Math.max(0.35, Math.min(1, size / 40, (layout.pitch - size) / 48) * (dense ? 0.7 : 1));
    const sweep = scene.stage && scene.progress < 1 ? this.sweep(scene) : null;
    // The emphasised ones last, the wide ones above the narrow.
    for (const [key, list] of [...groups].sort(([a], [b]) => (a & 1) - (b & 1) || a - b)) {
      const negative = Boolean(key & 2), { width, colour } = linkLook(key >> 2, negative, theme.dark);
      const bright = key & 1;
      pen.globalAlpha = bright && !sweep ? 1 : lit ? 0.14 : dense ? 0.7 : 1;
      pen.strokeStyle = colour;
      pen.lineWidth = width * scale + (bright ? 0.8 : 0);
      pen.setLineDash(negative && (!dense || bright) ? [4 + 2 * pen.lineWidth, 2 + 0.6 * pen.lineWidth] : []);
      pen.beginPath();
      for (let i = 0; i < list.length; i += 4) {
        const middle = (list[i] + list[i + 2]) / 2;
        pen.moveTo(list[i], list[i + 1]);
        pen.bezierCurveTo(middle, list[i + 1], middle, list[i + 3], list[i + 2], list[i + 3]);
      }
      pen.stroke();
      if (!bright || !sweep) continue;
      pen.save();
      pen.clip(sweep);
      pen.globalAlpha = 1;
      pen.stroke();
      pen.restore();
    }
    pen.setLineDash([]);
    pen.globalAlpha = 1;
  }

  /** The part of the links of a stage that is already lit: forward from the left, backward from the right. @param {NetScene} scene */
  sweep({ layout, stage, progress }) {
    const path = new Path2D(), right = layout.columns[stage.layer].x, width = stage.layer ? right - layout.columns[stage.layer - 1].x : 0;
    path.rect(stage.kind === "backward" ? right - progress * width : right - width, 0, progress * width, layout.height);
    return path;
  }

  /** A lock on each weight that training leaves alone; returns the boxes they take. @param {CanvasRenderingContext2D} pen @param {NetScene} scene */
  locks(pen, { layout, view }) {
    const { run, theme } = view, boxes = [];
    for (const [parameter, index] of run.settings.frozen) {
      const column = run.layers.findIndex((/** @type {any} */ layer) => parameter.startsWith(`${layer.name}.`));
      if (column < 1 || index.length !== 2) continue;
      const [x, y] = onCurve(netCurve(layout, column, index[0], index[1]), 0.5);
      lock(pen, x, y, theme);
      boxes.push([x - 8, y - 8, x + 8, y + 8]);
    }
    return boxes;
  }

  /** @param {CanvasRenderingContext2D} pen @param {NetScene} scene @param {any} lit */
  thumbnails(pen, scene, lit) {
    const { layout, view } = scene, { run, maps, featureMaps, theme } = view;
    const look = { dark: theme.dark, discrete: view.discrete };
    if (featureMaps) this.features.paint(featureMaps, 0, look);
    if (maps) this.units.paint(maps, run.kind === "classes" ? run.layers.at(-1).width : 0, look);
    const inputs = layout.first[1];
    for (const column of layout.columns) {
      for (const node of column.nodes) {
        const { unit, size } = node, left = node.x - size / 2, top = node.y - size / 2;
        const strip = node.column === 0 ? featureMaps && this.features : maps && this.units;
        const place = node.column === 0 ? node.row : Number(unit) - inputs;
        pen.globalAlpha = unit === null ? 0.3 : lit && !lit.unit(node) ? 0.35 : 1;
        pen.fillStyle = theme.back;
        pen.fillRect(left, top, size, size);
        if (strip && place < strip.canvas.height / SIDE) pen.drawImage(strip.canvas, 0, SIDE * place, SIDE, SIDE, left, top, size, size);
        const chosen = unit !== null && (unit === scene.unit || unit === scene.pinned);
        pen.lineWidth = chosen ? 2 : 1;
        pen.strokeStyle = chosen ? theme.accent : theme.grey;
        pen.strokeRect(left - pen.lineWidth / 2, top - pen.lineWidth / 2, size + pen.lineWidth, size + pen.lineWidth);
        if (unit !== null && unit === scene.ring) {
          pen.lineWidth = 2;
          pen.strokeStyle = theme.text;
          pen.strokeRect(left - 4, top - 4, size + 8, size + 8);
        }
      }
    }
    pen.globalAlpha = 1;
  }

  /** @param {CanvasRenderingContext2D} pen @param {NetScene} scene @param {any} lit */
  biases(pen, scene, lit) {
    const { layout, view } = scene, { run, parameters, theme } = view;
    if (!parameters) return;
    for (let unit = layout.first[1]; unit < layout.units.length; unit += 1) {
      const node = layout.units[unit], box = biasBox(node), value = parameters.data[biasAt(run.layers, node.column, node.row)];
      pen.globalAlpha = lit && !lit.unit(node) ? 0.35 : 1;
      pen.fillStyle = css(diverging(Math.max(-1, Math.min(1, value)), theme.dark));
      pen.fillRect(box.x, box.y, box.size, box.size);
      const frozen = isFrozen(run, `${run.layers[node.column].name}.bias`, [node.row]);
      pen.lineWidth = frozen || scene.bias === unit ? 2 : 1;
      pen.strokeStyle = scene.bias === unit ? theme.accent : frozen ? theme.text : theme.grey;
      pen.strokeRect(box.x, box.y, box.size, box.size);
    }
    pen.globalAlpha = 1;
  }

  /** What the outputs are called. @param {CanvasRenderingContext2D} pen @param {NetScene} scene */
  ends(pen, { layout, view, classes }) {
    const { run, theme } = view;
    pen.font = `600 ${layout.wide ? 13 : 12}px ${theme.font}`;
    pen.textAlign = "left";
    pen.fillStyle = theme.text;
    for (const node of /** @type {any} */ (layout.columns.at(-1)).nodes) {
      const x = node.x + node.size / 2 + 5;
      pen.fillStyle = theme.text;
      if (run.kind !== "classes") pen.fillText("ŷ", x, node.y);
      else {
        pen.fillText(classes[node.row], x, node.y - (layout.wide ? 0 : 7));
        shapePath(pen, node.row, layout.wide ? x + 18 : x + 5, node.y + (layout.wide ? 0 : 8), 4);
        pen.fillStyle = css(classColour(run.kind, node.row));
        pen.fill();
        pen.lineWidth = 1;
        pen.strokeStyle = theme.text;
        pen.stroke();
      }
    }
    pen.font = `11px ${theme.font}`;
  }

  /** Numbers at units and links. @param {CanvasRenderingContext2D} pen @param {NetScene} scene @param {any} lit @param {number[][]} locks */
  labels(pen, scene, lit, locks) {
    const { layout, view, stage } = scene, { theme } = view;
    const taken = [...locks]; // boxes: left, top, right, bottom
    const free = (/** @type {number[]} */ box) => !taken.some((other) => box[0] < other[2] && box[2] > other[0] && box[1] < other[3] && box[3] > other[1]);
    for (const node of layout.units) {
      const half = node.size / 2;
      taken.push([node.x - half, node.y - half, node.x + half, node.y + half]);
    }
    for (const node of layout.units) {
      const text = scene.unitText(Number(node.unit));
      if (!text || (stage && lit && !lit.unit(node))) continue;
      const below = layout.columns[node.column].pitch - node.size >= 15 && (node.column > 0 || layout.wide);
      if (!below && node.size < 28 && Number(node.unit) !== scene.unit) continue;
      taken.push(chip(pen, text, node.x, below ? node.y + node.size / 2 + 8 : node.y, theme, scene.width, false));
    }
    if (scene.link) {
      const [x, y] = onCurve(netCurve(layout, scene.link.column, scene.link.row, scene.link.from), scene.link.t);
      chip(pen, scene.link.text, x, Math.max(12, y - 16), theme, scene.width, true);
      return;
    }
    if (scene.bias !== null) {
      const node = layout.units[scene.bias];
      chip(pen, scene.unitText(scene.bias), node.x - node.size / 2, Math.min(layout.height - 10, node.y + node.size / 2 + 14), theme, scene.width, true);
      return;
    }
    if (layout.pitch - layout.columns[1].size < LIT_ROOM || !lit || stage?.kind === "loss") return;
    for (const { column, row, from, text } of this.lettered(scene, lit)) {
      const curve = netCurve(layout, column, row, from), half = pen.measureText(text).width / 2 + 4;
      for (const t of [0.5, 0.62, 0.38, 0.74, 0.26]) {
        const [x, y] = onCurve(curve, t), box = [x - half, y - 8, x + half, y + 8];
        if (!free(box)) continue;
        taken.push(chip(pen, text, x, y, theme, scene.width, false));
        break;
      }
    }
  }

  /** The links whose numbers are printed, the most important first. @param {NetScene} scene @param {any} lit */
  lettered({ layout, view, unit, stage, important, weightText }, lit) {
    const { run } = view;
    if (!important) return [];
    const found = [];
    for (let column = 1; column < layout.columns.length; column += 1) {
      const list = [], width = run.layers[column - 1].width;
      for (let row = 0; row < run.layers[column].width; row += 1) {
        for (let from = 0; from < width; from += 1) {
          if (!lit.link(column, row, from)) continue;
          const own = Boolean(stage) && layout.first[column] + row === unit;
          list.push({ column, row, from, own, size: Math.abs(important[weightAt(run.layers, column, row, from)]) });
        }
      }
      list.sort((a, b) => Number(b.own) - Number(a.own) || b.size - a.size);
      const own = list.filter((one) => one.own).length;
      found.push(...list.slice(0, list.length > FEW_LINKS ? own + FEW_LABELS : list.length));
    }
    return found.map((one) => ({ ...one, text: weightText(one.column, one.row, one.from) }));
  }
}

/**
 * A number on a small plate. Returns the box it takes.
 * @param {CanvasRenderingContext2D} pen
 * @param {string} text
 * @param {number} x its middle
 * @param {number} y
 * @param {any} theme
 * @param {number} width of the canvas, within which it stays
 * @param {boolean} strong
 * @returns {number[]}
 */
function chip(pen, text, x, y, theme, width, strong) {
  pen.font = `${strong ? "600 12px" : "11px"} ${theme.font}`;
  const half = pen.measureText(text).width / 2 + (strong ? 6 : 3), tall = strong ? 10 : 7;
  const middle = Math.min(width - half - 1, Math.max(half + 1, x));
  pen.globalAlpha = strong ? 1 : 0.88;
  pen.fillStyle = theme.back;
  pen.beginPath();
  pen.roundRect(middle - half, y - tall, 2 * half, 2 * tall, 4);
  pen.fill();
  pen.globalAlpha = 1;
  if (strong) {
    pen.lineWidth = 1;
    pen.strokeStyle = theme.accent;
    pen.stroke();
  }
  pen.fillStyle = theme.text;
  pen.textAlign = "center";
  pen.fillText(text, middle, y + 0.5);
  pen.font = `11px ${theme.font}`;
  return [middle - half, y - tall, middle + half, y + tall];
}

/** A small padlock about (x, y). @param {CanvasRenderingContext2D} pen @param {number} x @param {number} y @param {any} theme */
function lock(pen, x, y, theme) {
  pen.fillStyle = theme.back;
  pen.beginPath();
  pen.arc(x, y, 8, 0, 7);
  pen.fill();
  pen.strokeStyle = pen.fillStyle = theme.text;
  pen.lineWidth = 1.4;
  pen.fillRect(x - 4, y - 1, 8, 6);
  pen.beginPath();
  pen.arc(x, y - 1, 2.6, Math.PI, 0);
  pen.stroke();
}
