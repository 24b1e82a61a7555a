// Maps of units as small pictures: painted from bytes or from numbers, with a box over them.
import { paint, reach } from "./colours.js";
import { lyIndices } from "./layerarith.js";
import { h } from "./lab.js";
import { signedColours } from "./pictures.js";

/** @typedef {import("./frames.js").Field} Field */
/** @typedef {import("./layerarith.js").Box} Box */

/**
 * A map: a canvas of its own size in sharp pixels, and a box over it.
 * @param {string} [className]
 */
export function lyMap(className = "") {
  const canvas = h("canvas", { "aria-hidden": "true" }), mark = h("i", { class: "ly-mark", hidden: true });
  const element = h("span", { class: `ly-map ${className}` }, canvas, mark);
  return {
    element, canvas,
    /** @param {Box | null} box @param {number[]} size [H, W] of the map that the box is in */
    mark(box, [height, width]) {
      mark.hidden = !box;
      if (!box) return;
      const top = Math.max(0, box.top), left = Math.max(0, box.left), bottom = Math.min(height, box.bottom), right = Math.min(width, box.right);
      mark.hidden = bottom <= top || right <= left;
      Object.assign(mark.style, { top: `${(100 * top) / height}%`, left: `${(100 * left) / width}%`, height: `${(100 * (bottom - top)) / height}%`, width: `${(100 * (right - left)) / width}%` });
    },
  };
}

/**
 * Paint map `index` of (n, h, w) bytes, which are on the unit's own reach.
 * @param {HTMLCanvasElement} canvas
 * @param {Field} field
 * @param {number} index
 * @param {number} own reach of the unit
 * @param {number} most half the width of the scale
 * @param {boolean} dark
 */
export function lyPaintBytes(canvas, field, index, own, most, dark) {
  const [, height, width] = field.shape;
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  const pen = canvas.getContext("2d");
  if (!pen) return;
  const image = pen.createImageData(width, height), out = new Uint32Array(image.data.buffer);
  const colours = new Uint32Array(signedColours(dark).buffer), indices = lyIndices(own, most);
  for (let i = 0, from = index * width * height; i < out.length; i += 1) {
    const byte = field.data[from + i];
    out[i] = byte ? colours[indices[byte]] : 0xff2530d9; // not a number: red
  }
  pen.putImageData(image, 0, 0);
}

/**
 * Paint map `index` of (n, H, W) numbers, of which only the first `until` where that is given.
 * @param {HTMLCanvasElement} canvas
 * @param {Field} field
 * @param {number} index
 * @param {number} most half the width of the scale
 * @param {boolean} dark
 * @param {number} [until]
 */
export function lyPaintNumbers(canvas, field, index, most, dark, until = Infinity) {
  const [height, width] = field.shape.slice(-2), size = height * width;
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  const pen = canvas.getContext("2d");
  if (!pen) return;
  const image = pen.createImageData(width, height);
  paint(field.data, index * size, Math.min(size, until), -most, most, signedColours(dark), image.data);
  pen.putImageData(image, 0, 0);
}

/** The reach of map `index` of (n, H, W) numbers. @param {Field} field @param {number} index */
export function lyReachOf(field, index) {
  const size = field.shape.slice(-2).reduce((a, b) => a * b, 1);
  return reach(field.data.subarray(index * size, (index + 1) * size));
}

/** Where a pointer is over a map, as [row, column]. @param {PointerEvent} event @param {Element} element @param {number[]} size */
export function lyUnder(event, element, [height, width]) {
  const box = element.getBoundingClientRect();
  const within = (/** @type {number} */ share, /** @type {number} */ count) => Math.min(count - 1, Math.max(0, Math.floor(share * count)));
  return [within((event.clientY - box.top) / box.height, height), within((event.clientX - box.left) / box.width, width)];
}
