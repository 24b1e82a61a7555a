// The lab's colour scales. Knows no DOM. A colour is [red, green, blue], each 0 to 255.

export const ORANGE = [245, 147, 34];
export const BLUE = [8, 119, 189];
export const MIDDLE = { light: [232, 234, 235], dark: [56, 58, 61] };

/** Okabe and Ito's eight colours that people with any colour vision can tell apart (black last). */
export const CLASSES = [
  [230, 159, 0], [86, 180, 233], [0, 158, 115], [240, 228, 66], [0, 114, 178], [213, 94, 0], [204, 121, 167], [0, 0, 0],
];

const NOT_A_NUMBER = [217, 48, 37, 255];

const CIVIDIS = [
  [0, 34, 78], [18, 53, 112], [59, 73, 108], [87, 93, 109], [112, 113, 115], [138, 134, 120], [165, 156, 116],
  [195, 179, 105], [225, 204, 85], [254, 232, 56],
];
const VIRIDIS = [
  [68, 1, 84], [72, 40, 120], [62, 74, 137], [49, 104, 142], [38, 130, 142], [31, 158, 137], [53, 183, 121],
  [110, 206, 88], [181, 222, 43], [253, 231, 37],
];

/**
 * The colour at `place` (0 to 1) along evenly spaced stops.
 * @param {number[][]} stops
 * @param {number} place
 * @returns {number[]}
 */
export function along(stops, place) {
  const at = Math.min(1, Math.max(0, Number.isNaN(place) ? 0 : place)) * (stops.length - 1);
  const i = Math.min(stops.length - 2, Math.floor(at));
  return stops[i].map((low, k) => Math.round(low + (stops[i + 1][k] - low) * (at - i)));
}

export const cividis = (/** @type {number} */ place) => along(CIVIDIS, place);
export const viridis = (/** @type {number} */ place) => along(VIRIDIS, place);

/**
 * Signed values: orange below zero, near the background at zero, blue above.
 * @param {number} value -1 to 1
 * @param {boolean} dark
 * @returns {number[]}
 */
export function diverging(value, dark) {
  return along([ORANGE, dark ? MIDDLE.dark : MIDDLE.light, BLUE], (value + 1) / 2);
}

/**
 * 256 colours of `colour(0..1)` as RGBA bytes, for painting many pixels.
 * @param {(place: number) => number[]} colour
 * @returns {Uint8ClampedArray} 1024 bytes
 */
export function table(colour) {
  const bytes = new Uint8ClampedArray(1024);
  for (let i = 0; i < 256; i += 1) bytes.set([...colour(i / 255), 255], 4 * i);
  return bytes;
}

/**
 * The largest magnitude of finite values: half the width of a scale that is symmetric about zero.
 * @param {ArrayLike<number>} values
 * @returns {number}
 */
export function reach(values) {
  let most = 0;
  for (let i = 0; i < values.length; i += 1) {
    const size = Math.abs(values[i]);
    if (size > most && size < Infinity) most = size;
  }
  return most;
}

/**
 * Paint `count` values from `offset` into RGBA bytes; what is not a number comes out red.
 * @param {ArrayLike<number>} values
 * @param {number} offset
 * @param {number} count
 * @param {number} low value of the table's first colour
 * @param {number} high value of its last
 * @param {Uint8ClampedArray} colours from `table`
 * @param {Uint8ClampedArray} out 4 * count bytes
 */
export function paint(values, offset, count, low, high, colours, out) {
  const factor = high > low ? 255.999 / (high - low) : 0;
  for (let i = 0; i < count; i += 1) {
    const place = (values[offset + i] - low) * factor;
    if (Number.isNaN(place)) {
      out.set(NOT_A_NUMBER, 4 * i);
      continue;
    }
    const at = 4 * (place > 0 ? (place < 255 ? place | 0 : 255) : 0);
    out[4 * i] = colours[at];
    out[4 * i + 1] = colours[at + 1];
    out[4 * i + 2] = colours[at + 2];
    out[4 * i + 3] = 255;
  }
}

/** @param {number[]} colour @param {number} [alpha] @returns {string} */
export const css = (colour, alpha = 1) => `rgba(${colour.join(",")},${alpha})`;
