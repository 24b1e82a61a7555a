// Weights by name and place, and a unit's sum written out with its numbers. Knows no DOM.
// Units are numbered: the features that are switched on, hidden units layer by layer, outputs. A run's `layers` begin with the input.
import { number } from "./numbers.js";

/** @typedef {{name: string, width: number, activation: string | null, weight: number | null, bias: number | null}} Layer */
/** @typedef {{name: string, from: number, offset: number, weight: number, value: number, product: number}} Term */
/** @typedef {{terms: Term[], bias: number, z: number, out: number, activation: string, total: number, classes: number, dropped: boolean}} Arithmetic */

const MINUS_SIGN = "\u2212";

/** Features as they are written, and in words. */
export const FEATURES = /** @type {Record<string, [string, string]>} */ ({
  x1: ["x₁", "the horizontal coordinate"],
  x2: ["x₂", "the vertical coordinate"],
  x1_squared: ["x₁²", "the horizontal coordinate squared"],
  x2_squared: ["x₂²", "the vertical coordinate squared"],
  x1_x2: ["x₁x₂", "the two coordinates multiplied"],
  sin_x1: ["sin x₁", "the sine of the horizontal coordinate"],
  sin_x2: ["sin x₂", "the sine of the vertical coordinate"],
});

/** Activations as they are written. */
export const ACTIVATION_WORDS = /** @type {Record<string, string>} */ ({
  tanh: "tanh", relu: "ReLU", sigmoid: "sigmoid", linear: "linear", gelu: "GELU", leaky_relu: "leaky ReLU", softmax: "softmax",
});

/** 12 -> ₁₂. @param {number} value a whole number from 0 */
export const subscript = (value) => String(value).replace(/\d/g, (digit) => String.fromCharCode(0x2080 + Number(digit)));

/**
 * The layer (0: features) and the place in it of a unit.
 * @param {Layer[]} layers
 * @param {number} unit
 * @returns {{layer: number, row: number}}
 */
export function whereIs(layers, unit) {
  let layer = 0, row = unit;
  while (row >= layers[layer].width) row -= layers[layer++].width;
  return { layer, row };
}

/**
 * The first unit of a layer.
 * @param {Layer[]} layers
 * @param {number} layer
 */
export const firstUnit = (layers, layer) => layers.slice(0, layer).reduce((sum, { width }) => sum + width, 0);

/**
 * Offset in the flat parameters of the weight from unit `from` of the layer before to unit `row` of `layer`.
 * @param {Layer[]} layers
 * @param {number} layer from 1
 * @param {number} row
 * @param {number} from
 */
export const weightAt = (layers, layer, row, from) => Number(layers[layer].weight) + row * layers[layer - 1].width + from;

/** Offset of a unit's bias. @param {Layer[]} layers @param {number} layer from 1 @param {number} row */
export const biasAt = (layers, layer, row) => Number(layers[layer].bias) + row;

/**
 * Whether training leaves a parameter alone.
 * @param {any} run
 * @param {string} parameter as "linear1.weight"
 * @param {number[]} index
 */
export function isFrozen(run, parameter, index) {
  return run.settings.frozen.some((/** @type {[string, number[]]} */ [name, place]) => name === parameter && String(place) === String(index));
}

/** What a unit's output is called in a sum: x₁², or h₂ for unit 2 of the layer before. @param {any} run @param {number} unit */
export function unitSymbol(run, unit) {
  const { layer, row } = whereIs(run.layers, unit);
  return layer === 0 ? FEATURES[run.settings.features[row]][0] : `h${subscript(row + 1)}`;
}

/**
 * A unit in words.
 * @param {any} run
 * @param {number} unit
 * @param {string[]} classes their letters
 */
export function unitTitle(run, unit, classes) {
  const { layers, kind } = run, { layer, row } = whereIs(layers, unit);
  if (layer === 0) return `Feature ${unitSymbol(run, unit)}`;
  if (layer < layers.length - 1) return `Hidden layer ${layer}, unit ${row + 1}`;
  return kind === "classes" ? `Output for class ${classes[row]}` : "Output";
}

/** The activation of a unit's layer; "softmax" for the outputs of several classes. @param {any} run @param {number} layer from 1 */
export const activationOf = (run, layer) => (layer === run.layers.length - 1 && run.kind === "classes" ? "softmax" : run.layers[layer].activation ?? "linear");

/**
 * A unit's sum at one point.
 * @param {any} run
 * @param {ArrayLike<number>} parameters flat
 * @param {ArrayLike<number>} values (2, units): before and after the activation
 * @param {number} unit
 * @param {number} [dropout] in force when the values were taken
 * @returns {Arithmetic | null} null for a feature; `total` the softmax's denominator, `dropped` whether dropout comes after it
 */
export function arithmetic(run, parameters, values, unit, dropout = 0) {
  const { layers } = run, { layer, row } = whereIs(layers, unit), units = values.length / 2;
  if (layer === 0) return null;
  const before = firstUnit(layers, layer - 1);
  const terms = Array.from({ length: layers[layer - 1].width }, (_, from) => {
    const offset = weightAt(layers, layer, row, from), value = values[units + before + from];
    return { name: unitSymbol(run, before + from), from, offset, weight: parameters[offset], value, product: parameters[offset] * value };
  });
  const activation = activationOf(run, layer), first = firstUnit(layers, layer), width = layers[layer].width;
  const total = Array.from({ length: width }, (_, i) => Math.exp(values[first + i])).reduce((sum, part) => sum + part, 0);
  return { terms, bias: parameters[biasAt(layers, layer, row)], z: values[unit], out: values[units + unit], activation, total, classes: width, dropped: dropout > 0 && layer < layers.length - 1 };
}

/** A number as a factor: negative ones in brackets. @param {number} value */
const factor = (value) => (value < 0 ? `(${number(value)})` : number(value));

/** Terms with their signs between them. @param {[number, string][]} parts the sign's number and the text without a sign */
const joined = (parts) => parts.map(([value, text], i) => (value < 0 ? (i ? ` ${MINUS_SIGN} ` : MINUS_SIGN) : i ? " + " : "") + text).join("");

/** The sum with its inputs' names: 0.230·x₁ − 0.540·x₂ + 0.100. @param {Arithmetic} sum */
export const sumSymbols = ({ terms, bias }) => joined([
  ...terms.map(({ weight, name }) => /** @type {[number, string]} */ ([weight, `${number(Math.abs(weight))}·${name}`])), [bias, number(Math.abs(bias))]]);

/**
 * The sum with its inputs' numbers: 0.230·1.50 − 0.540·(−2.00) + 0.100.
 * Where two or more are left over, only the `most` largest terms are written, and what the others add.
 * @param {Arithmetic} sum
 * @param {number} [most]
 */
export function sumNumbers({ terms, bias }, most = Infinity) {
  const few = terms.length <= most + 1, largest = few ? terms : bySize(terms).slice(0, most);
  const parts = largest.map(({ weight, value }) => /** @type {[number, string]} */ ([weight, `${number(Math.abs(weight))}·${factor(value)}`]));
  if (!few) {
    const rest = terms.filter((term) => !largest.includes(term)).reduce((sum, { product }) => sum + product, 0);
    parts.push([rest, `${number(Math.abs(rest))} (${terms.length - most} smaller)`]);
  }
  return joined([...parts, [bias, number(Math.abs(bias))]]);
}

/** A parameter before and after an update; where three digits don't tell them apart, with what was added. @param {number} before @param {number} after */
export function changeText(before, after) {
  if (number(before) !== number(after) || before === after) return `${number(before)} → ${number(after)}`;
  return `${number(before)} ${after < before ? MINUS_SIGN : "+"} ${number(Math.abs(after - before))}`;
}

/** Terms by the size of what they add. @param {Term[]} terms @returns {Term[]} */
export const bySize = (terms) => [...terms].sort((a, b) => Math.abs(b.product) - Math.abs(a.product));

/** What the activation makes of the sum: tanh(−0.635) = −0.561. @param {Arithmetic} sum */
export function activationText({ activation, z, out, total, classes, dropped }) {
  const inside = number(z), result = number(out);
  if (dropped) return `${ACTIVATION_WORDS[activation]} and dropout make ${result} of it`;
  if (activation === "linear") return `no activation: ${result}`;
  if (activation === "relu") return `max(0, ${inside}) = ${result}`;
  if (activation === "sigmoid") return `σ(${inside}) = ${result}`;
  if (activation === "softmax") return `softmax: exp(${inside}) / ${number(total)} = ${result}, where ${number(total)} is the sum of exp(z) over the ${classes} classes`;
  return `${ACTIVATION_WORDS[activation]}(${inside}) = ${result}`;
}

/**
 * All of it in one line: z = 0.230·1.50 − 0.540·2.00 + 0.100 = −0.635, tanh(−0.635) = −0.561.
 * @param {Arithmetic} sum
 * @param {number} most terms that are written out
 */
export const sumLine = (sum, most) => `z = ${sumNumbers(sum, most)} = ${number(sum.z)}, ${activationText(sum)}`;
