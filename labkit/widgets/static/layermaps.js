// Maps of units as small pictures: painted from bytes or from numbers, with a box over them.
import { paint, reach } from "./colours.js";
import { lyIndices } from "./layerarith.js";
import { h } from "./lab.js";
import { signedColours } from "./pictures.js";

/** @typedef {import("./frames.js").Field} Field */
/** @typedef {import("./layerarith.js").Box} Box */

/** What stands over a map: a box that marks some of its places. @param {...Node} inside @returns {any} */
export function lyMark(...inside) {
  const mark = h("i", { class: "ly-mark", hidden: true });
  return {
    element: h("span", { class: "ly-map" }, ...inside, mark),
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
 * A map with a canvas of its own, in sharp pixels.
 * @param {string} [className]
 */
export function lyMap(className = "") {
  const canvas = h("canvas", { "aria-hidden": "true" }), map = lyMark(canvas);
  if (className) map.element.classList.add(className);
  return Object.assign(map, { canvas });
}

/** The thumbnails of a whole network in one picture: a canvas each would cost the page more than what is in them. */
export class LyAtlas {
  constructor() {
    this.canvas = document.createElement("canvas");
    this.image = new ImageData(1, 1);
  }

  /** @param {number[]} counts of units, by column */
  begin(counts) {
    const width = LY_SLOT * counts.length, height = LY_SLOT * Math.max(1, ...counts);
    if (this.image.width === width && this.image.height === height) return;
    Object.assign(this.canvas, { width, height });
    this.image = new ImageData(width, height);
  }

  /** The upper left corner of a thumbnail. @param {number} column @param {number} row @returns {[number, number]} */
  at(column, row) { return [LY_SLOT * column, LY_SLOT * row]; }

  /** @param {number} column @param {number} row @param {Field} field @param {number} own @param {number} most @param {boolean} dark */
  put(column, row, field, own, most, dark) {
    const [left, top] = this.at(column, row);
    lyFill(new Uint32Array(this.image.data.buffer), this.image.width, left, top, field, row, own, most, dark);
  }

  end() {
    this.canvas.getContext("2d")?.putImageData(this.image, 0, 0);
    return this.canvas;
  }
}

const LY_SLOT = 32; // pixels: the longest side of a thumbnail

/**
 * The colours of map `index` of (n, h, w) bytes, written into a picture.
 * @param {Uint32Array} out
 * @param {number} stride of the picture
 * @param {number} left
 * @param {number} top
 * @param {Field} field
 * @param {number} index
 * @param {number} own reach of the unit
 * @param {number} most half the width of the scale
 * @param {boolean} dark
 */
function lyFill(out, stride, left, top, field, index, own, most, dark) {
  const [, height, width] = field.shape, colours = new Uint32Array(signedColours(dark).buffer), indices = lyIndices(own, most);
  for (let row = 0, from = index * width * height; row < height; row += 1) {
    for (let column = 0, to = (top + row) * stride + left; column < width; column += 1, from += 1, to += 1) {
      const byte = field.data[from];
      out[to] = byte ? colours[indices[byte]] : 0xff2530d9; // not a number: red
    }
  }
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
  const image = pen.createImageData(width, height);
  lyFill(new Uint32Array(image.data.buffer), width, 0, 0, field, index, own, most, dark);
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
