// Where things stand in the picture of a network's layers, and what is said of them. Knows no DOM.
import { number } from "./numbers.js";

/** @typedef {{data: ArrayLike<number>, shape: number[]}} FlowField */

/**
 * Columns of equal width, one a layer, and which column a place belongs to.
 * @param {number} count
 * @param {number} left
 * @param {number} right
 */
export function flowColumns(count, left, right) {
  const width = (right - left) / Math.max(1, count);
  return {
    width,
    left: (/** @type {number} */ i) => left + i * width,
    middle: (/** @type {number} */ i) => left + (i + 0.5) * width,
    at: (/** @type {number} */ x) => Math.min(count - 1, Math.max(0, Math.floor((x - left) / width))),
  };
}

/**
 * The powers of two between which a histogram's values lie, with those of `lines` that are above zero.
 * @param {FlowField} histogram (layers, bins) shares
 * @param {number} lowest power of two of the first bin
 * @param {ArrayLike<number>[]} lines values by layer
 * @param {[number, number] | null} before a range to keep
 * @returns {[number, number]}
 */
export function flowRange(histogram, lowest, lines, before) {
  const [rows, bins] = histogram.shape;
  let [low, high] = before ?? [Infinity, -Infinity];
  for (let i = 0; i < rows; i += 1) {
    for (let k = 0; k < bins; k += 1) {
      if (!(histogram.data[i * bins + k] > 0)) continue;
      low = Math.min(low, lowest + k);
      high = Math.max(high, lowest + k + 1);
    }
  }
  for (const line of lines) {
    for (let i = 0; i < line.length; i += 1) {
      if (!(line[i] > 0 && Number.isFinite(line[i]))) continue;
      low = Math.min(low, Math.floor(Math.log2(line[i])));
      high = Math.max(high, Math.ceil(Math.log2(line[i])));
    }
  }
  return low < high ? [low, high] : [-10, 3];
}

/**
 * Powers of ten to be labelled on an axis of powers of two: at most `most`, evenly apart.
 * @param {[number, number]} range powers of two
 * @param {number} most
 * @returns {{power: number, label: string}[]} power of two, and the number
 */
export function flowTicks([low, high], most) {
  const from = Math.ceil(low * Math.LOG10E * Math.LN2 - 1e-9), to = Math.floor(high * Math.LOG10E * Math.LN2 + 1e-9);
  const every = Math.max(1, Math.ceil((to - from + 1) / Math.max(1, most)));
  const found = [];
  for (let ten = every * Math.ceil(from / every); ten <= to; ten += every) found.push({ power: ten / (Math.LOG10E * Math.LN2), label: tenTo(ten) });
  return found;
}

const RAISED = "⁰¹²³⁴⁵⁶⁷⁸⁹";

/** 10⁻³; 1 and 10 as they are. @param {number} power */
export function tenTo(power) {
  if (power === 0) return "1";
  if (power === 1) return "10";
  return `10${power < 0 ? "⁻" : ""}${[...String(Math.abs(power))].map((digit) => RAISED[Number(digit)]).join("")}`;
}

/**
 * Which layers are labelled below the picture, and how: names where they fit, else numbers from 1.
 * @param {string[]} names
 * @param {number} width of a column
 * @param {(text: string) => number} measure a text's width
 * @returns {{place: number, label: string}[]}
 */
export function flowLabels(names, width, measure) {
  const brief = names.map(briefName);
  if (brief.every((name) => measure(name) + 6 <= width)) return brief.map((label, place) => ({ place, label }));
  const need = (measure(String(names.length)) + 8) / width;
  const every = [1, 2, 5, 10, 20, 50, 100].find((step) => step >= need) ?? names.length;
  const found = [];
  for (let i = 0; i < names.length; i += 1) {
    if (i === 0 || (i + 1) % every === 0) found.push({ place: i, label: String(i + 1) });
  }
  return found;
}

/** The last part of a layer's name. @param {string} name */
export const briefName = (name) => name.slice(name.lastIndexOf(".") + 1);

/** The share of a layer's values that is in no bin: zeros. @param {FlowField} histogram @param {number} layer */
export function flowZeros(histogram, layer) {
  const bins = histogram.shape[1];
  let sum = 0;
  for (let k = 0; k < bins; k += 1) sum += histogram.data[layer * bins + k];
  return Math.max(0, 1 - sum);
}

/**
 * What the gradients do on their way back, in a sentence.
 * @param {ArrayLike<number>} gradients of the outputs, by layer
 * @returns {string}
 */
export function flowHeadline(gradients) {
  const last = gradients.length - 1;
  if (last < 1) return `The gradient of the layer is ${number(gradients[0])}`;
  const share = gradients[0] / gradients[last];
  if (gradients[0] === 0 && gradients[last] > 0) return "No gradient reaches the first layer";
  if (!Number.isFinite(share) || share === 0) return "Activations and gradients by layer";
  if (share < 0.5) return `Gradients shrink ${times(1 / share)} from the last layer to the first`;
  if (share > 2) return `Gradients grow ${times(share)} from the last layer to the first`;
  return "Gradients reach the first layer about as large as the last";
}

/** "120-fold", "3.4 × 10⁷-fold". @param {number} factor */
function times(factor) {
  if (factor < 9995) return `${number(factor)}-fold`;
  const power = Math.floor(Math.log10(factor));
  return `${(factor / 10 ** power).toPrecision(2)} × ${tenTo(power)}-fold`;
}

/** A share as a percentage: 0 %, 0.4 %, 53 %. @param {number} share */
export const percent = (share) => `${share > 0 && share < 0.01 ? (100 * share).toFixed(1) : Math.round(100 * share)} %`;
