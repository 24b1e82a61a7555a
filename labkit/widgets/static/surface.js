// Maps of what units answer over the plane, as colours; and places on the plane as pixels. Knows no DOM.
// A map is 100 x 100 bytes: row 0 is y = +6, column 0 is x = -6, and byte b stands for (b / 127.5 - 1) * reach.
import { BLUE, CLASSES, MIDDLE, ORANGE, diverging, table } from "./colours.js";

export const SIDE = 100; // values along each side of a map
export const SPAN = 6; // the plane is [-6, 6] x [-6, 6]

const SURE = 0.75; // a region of a sure class has this much of the class's colour, so that its points stand out

/**
 * The colours of the 256 bytes of a signed map; discretised there are two, and zero counts as above.
 * @param {{dark: boolean, discrete: boolean}} look
 * @returns {Uint32Array} RGBA in the order of the machine, for a picture's buffer
 */
export function paletteFor({ dark, discrete }) {
  const signed = (/** @type {number} */ place) => (discrete ? (place < 0.5 ? ORANGE : BLUE) : diverging(2 * place - 1, dark));
  return new Uint32Array(table(signed).buffer);
}

/**
 * The colours of a class's probability, bytes 0 to 255 for 0 to 1; discretised it is the full colour from a half on.
 * @param {number} index of the class, 0 to 5
 * @param {{dark: boolean, discrete: boolean}} look
 * @returns {Uint32Array}
 */
export function classPalette(index, { dark, discrete }) {
  const back = dark ? MIDDLE.dark : MIDDLE.light;
  const mixed = (/** @type {number} */ place) => {
    const part = SURE * (discrete ? (place < 0.5 ? 0 : 1) : place);
    return back.map((from, k) => from + part * (CLASSES[index][k] - from));
  };
  return new Uint32Array(table(mixed).buffer);
}

/**
 * Paint `count` bytes of a map from `offset`.
 * @param {Uint8Array} bytes
 * @param {number} offset
 * @param {Uint32Array} palette32
 * @param {Uint32Array} out32
 * @param {number} count
 */
export function paintMap(bytes, offset, palette32, out32, count) {
  for (let i = 0; i < count; i += 1) out32[i] = palette32[bytes[offset + i]];
}

/**
 * Paint which class wins at each place, the surer the fuller its colour; discretised at full colour.
 * @param {Uint8Array} decision winning class
 * @param {Uint8Array} confidence its probability, 0 to 255
 * @param {Uint32Array[]} palettes of `classPalette`, one a class
 * @param {boolean} discrete
 * @param {Uint32Array} out32
 */
export function paintClasses(decision, confidence, palettes, discrete, out32) {
  for (let i = 0; i < decision.length; i += 1) out32[i] = palettes[decision[i]][discrete ? 255 : confidence[i]];
}

/** @typedef {{data: Uint8Array, shape: number[], fine?: Uint8Array}} Maps (units, 100, 100), or coarse: (units, 50, 50) */

/**
 * Maps that came coarse, every second row and column, at full size again; those in `fine` as they are.
 * @param {Maps} maps
 * @param {Uint8Array} fine of some units, (count, 100, 100)
 * @param {number[]} units their numbers
 * @returns {Maps} (units, 100, 100), `maps` itself where nothing was to be done
 */
export function refine(maps, fine, units) {
  if (maps.fine === fine) return maps;
  const [count, side] = maps.shape, size = SIDE * SIDE, data = side === SIDE ? maps.data.slice() : new Uint8Array(count * size);
  for (let row = 0, from = 0; side < SIDE && row < count * side; row += 1) {
    const to = 2 * row * SIDE;
    for (let column = 0; column < SIDE; column += 2, from += 1) data[to + column] = data[to + column + 1] = maps.data[from];
    data.copyWithin(to + SIDE, to, to + SIDE);
  }
  units.forEach((unit, i) => data.set(fine.subarray(i * size, (i + 1) * size), unit * size));
  return { data, shape: [count, SIDE, SIDE], fine };
}

/** The value a byte of a signed map stands for. @param {number} byte @param {number} reach @returns {number} */
export const byteValue = (byte, reach) => (byte / 127.5 - 1) * reach;

/**
 * The square of a map in which (x, y) lies.
 * @param {number} x
 * @param {number} y
 * @returns {number} index 0 to 9999
 */
export function mapIndex(x, y) {
  const at = (/** @type {number} */ value) => Math.min(SIDE - 1, Math.max(0, Math.floor(((value + SPAN) / (2 * SPAN)) * SIDE)));
  return at(-y) * SIDE + at(x);
}

/**
 * A place of the plane as pixels of a square picture of `size`, from its upper left corner.
 * @param {number} x
 * @param {number} y
 * @param {number} size
 * @returns {[number, number]}
 */
export function toPixel(x, y, size) {
  return [((x + SPAN) / (2 * SPAN)) * size, ((SPAN - y) / (2 * SPAN)) * size];
}

/**
 * The place of the plane under a pixel, within the plane, to 0.01.
 * @param {number} left
 * @param {number} top
 * @param {number} size
 * @returns {[number, number]}
 */
export function toPlane(left, top, size) {
  const within = (/** @type {number} */ value) => Math.round(100 * Math.min(SPAN, Math.max(-SPAN, value))) / 100 + 0;
  return [within((left / size) * 2 * SPAN - SPAN), within(SPAN - (top / size) * 2 * SPAN)];
}

/**
 * The index of the point nearest to (x, y) that is no further than `most`; -1 where there is none.
 * @param {ArrayLike<number>} points x, y, target of each
 * @param {number} x
 * @param {number} y
 * @param {number} most
 * @returns {number}
 */
export function nearestPoint(points, x, y, most) {
  let found = -1, best = most * most;
  for (let i = 0; i < points.length / 3; i += 1) {
    const off = (points[3 * i] - x) ** 2 + (points[3 * i + 1] - y) ** 2;
    if (off <= best) [found, best] = [i, off];
  }
  return found;
}
