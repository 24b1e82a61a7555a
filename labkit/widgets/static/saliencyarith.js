// What SaliencyView works out in the page: the order of wishes, scales, outlines. Knows no DOM.
import { contourLines } from "./contours.js";

/** @typedef {{data: ArrayLike<number>, shape: number[]}} SalField */

const SAL_CLIPPED = 0.01; // of the pixels are beyond a scale's end

/**
 * Wishes for the kernel in the order in which they came, one at a time. Settings that wait are merged, and so are the points of
 * a stroke; nothing is lost. What is wished next is worked out from `wish`, the last wish, never from the last answer.
 * @param {{state: Record<string, any>, ticket: number, do: (action: string, details?: any, buffers?: ArrayBuffer[]) => void}} link
 */
export function salQueue(link) {
  const waiting = /** @type {{action: string, details: any, points: number[] | null}[]} */ ([]);
  let asked = 0, changes = /** @type {Record<string, any>} */ ({});
  const answered = () => (link.state.answered ?? Infinity) >= asked;
  const pending = () => waiting.length > 0 || !answered();
  const flush = () => {
    const next = answered() ? waiting.shift() : undefined;
    if (!next) return;
    link.do(next.action, next.details, next.points ? [Float32Array.from(next.points).buffer] : []);
    asked = link.ticket;
  };
  const push = (/** @type {string} */ action, /** @type {any} */ details = {}, /** @type {number[] | null} */ points = null) => {
    waiting.push({ action, details, points });
    flush();
  };
  return {
    flush,
    push,
    get pending() { return pending(); },
    /** The settings last wished for, until they are answered; then those in force. */
    get wish() { return { ...link.state.settings, ...(pending() ? changes : {}) }; },
    /** @param {Record<string, any>} wished settings, never relative to others */
    set(wished) {
      if (!pending()) changes = {};
      Object.assign(changes, wished);
      const last = waiting[waiting.length - 1];
      if (last?.action === "set") Object.assign(last.details, wished);
      else push("set", { ...wished });
    },
    /** @param {any} brush tool, width, colour @param {number[]} points x, y, ... @param {boolean} begin whether a new stroke begins */
    stroke(brush, points, begin) {
      const last = waiting[waiting.length - 1];
      if (!begin && last?.action === "stroke") last.points?.push(...points);
      else push("stroke", { ...brush, begin }, [...points]);
    },
  };
}

/**
 * The outline of a mask as an SVG path in pixels of the picture.
 * @param {SalField} mask (H, W)
 * @returns {string}
 */
export function salOutline({ data, shape: [height, width] }) {
  const wide = width + 2, around = new Float32Array(wide * (height + 2)); // outlines close at the picture's border
  for (let i = 0; i < height; i += 1) for (let j = 0; j < width; j += 1) around[(i + 1) * wide + j + 1] = data[i * width + j] ? 1 : 0;
  return salPath(contourLines({ data: around, rows: height + 2, columns: wide }, 0.5), -0.5);
}

/**
 * The lines along which a map has a value, as an SVG path in pixels of the picture.
 * @param {SalField} map (H, W)
 * @param {number} level
 */
export function salLevel({ data, shape: [rows, columns] }, level) {
  return salPath(contourLines({ data, rows, columns }, level), 0.5);
}

/** @param {number[][]} lines x, y, ... @param {number} shift */
function salPath(lines, shift) {
  return lines.map((line) => {
    let path = "";
    for (let i = 0; i < line.length; i += 2) path += `${i ? "L" : "M"}${+(line[i] + shift).toFixed(2)} ${+(line[i + 1] + shift).toFixed(2)}`;
    return path;
  }).join("");
}

/**
 * The magnitude that this share of the places lies above; 0 for a map of zeros.
 * @param {ArrayLike<number>} values
 * @param {number} share
 */
export function salTop(values, share) {
  const sizes = Float32Array.from(values, Math.abs).sort();
  return sizes[Math.max(0, Math.floor(sizes.length * (1 - share)) - 1)] ?? 0;
}

/**
 * The end of a map's scale, in parts of its largest magnitude: what one pixel in a hundred lies above, so that few pixels do not
 * hide all others. Where all maps have one scale, the largest such end of them all.
 * @param {Record<string, {reach: number | null}>} tiles
 * @param {Record<string, number>} ends of each method's map by itself
 * @param {string} method
 * @param {boolean} common
 */
export function salEnd(tiles, ends, method, common) {
  const own = tiles[method].reach;
  if (!common || !own) return ends[method] ?? 1;
  return Math.max(...Object.keys(ends).map((name) => ends[name] * (tiles[name].reach ?? 0))) / own || 1;
}

/** A map's own end. @param {ArrayLike<number>} values -1 to 1 */
export const salOwnEnd = (values) => salTop(values, SAL_CLIPPED) || 1;

/**
 * A map over a picture without its colours: the larger a value, the more its colour covers. RGBA bytes into `out`.
 * @param {SalField} picture (H, W) of which 0 is paper, or (H, W, 3)
 * @param {ArrayLike<number>} values -1 to 1
 * @param {number} end of the scale
 * @param {Uint8ClampedArray} colours 256, from `low` to `end`
 * @param {number} low 0 or -end
 * @param {Uint8ClampedArray} out
 */
export function salOverlay(picture, values, end, colours, low, out) {
  const coloured = picture.shape.length === 3;
  for (let i = 0; i < values.length; i += 1) {
    const bright = coloured ? 0.299 * picture.data[3 * i] + 0.587 * picture.data[3 * i + 1] + 0.114 * picture.data[3 * i + 2] : 255 - picture.data[i];
    const grey = 255 - 0.7 * (255 - bright), cover = Math.min(1, Math.abs(values[i]) / end);
    const at = 4 * Math.min(255, Math.max(0, Math.floor((255.999 * (values[i] - low)) / (end - low))));
    for (let k = 0; k < 3; k += 1) out[4 * i + k] = grey + cover * (colours[at + k] - grey);
    out[4 * i + 3] = 255;
  }
}

/** A score's name where there is little room. @param {string} name */
export const salShort = (name) => ({ pointing: "points", auc: "AUC" })[name] ?? name.replace("_", "\u2009");

/**
 * How a score compares with those of the controls, in words.
 * @param {number} value
 * @param {Record<string, number>} references
 * @param {"higher" | "lower"} better
 */
export function salAgainst(value, references, better) {
  const names = Object.keys(references).filter((name) => Number.isFinite(references[name]));
  if (!names.length || !Number.isFinite(value)) return "";
  const beaten = names.filter((name) => (better === "higher" ? value > references[name] : value < references[name]));
  if (beaten.length === names.length) return `better than ${names.join(", ")}`;
  return beaten.length ? `better than ${beaten.join(", ")} only` : `no better than ${names.join(", ")}`;
}
