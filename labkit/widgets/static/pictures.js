// Small pictures of arrays: grey or coloured images, signed heatmaps, bars. Pixels stay sharp.
import { cividis, diverging, paint, reach, table } from "./colours.js";
import { h } from "./lab.js";

/** @typedef {import("./frames.js").Field} Field */

const GREY = table((place) => [255 * (1 - place), 255 * (1 - place), 255 * (1 - place)]);
const SIGNED = { light: table((p) => diverging(2 * p - 1, false)), dark: table((p) => diverging(2 * p - 1, true)) };
const SIZES = table(cividis);

/**
 * The colours of signed values, symmetric about zero.
 * @param {boolean} dark
 * @returns {Uint8ClampedArray}
 */
export const signedColours = (dark) => (dark ? SIGNED.dark : SIGNED.light);

/**
 * Paint picture `index` of a stack into a canvas of its own size.
 * @param {HTMLCanvasElement} canvas
 * @param {Field} field (n, H, W) or (n, H, W, 3)
 * @param {number} index
 * @param {{low: number, high: number, colours: Uint8ClampedArray}} scale
 */
export function paintPicture(canvas, field, index, scale) {
  const [, height, width, channels] = field.shape;
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  const pen = canvas.getContext("2d");
  if (!pen) return;
  const image = pen.createImageData(width, height);
  const size = width * height;
  if (channels === 3) {
    for (let i = 0; i < size; i += 1) {
      for (let k = 0; k < 3; k += 1) image.data[4 * i + k] = field.data[3 * (index * size + i) + k];
      image.data[4 * i + 3] = 255;
    }
  } else paint(field.data, index * size, size, scale.low, scale.high, scale.colours, image.data);
  pen.putImageData(image, 0, 0);
}

/** Ink on paper: the lab shows one-channel pictures dark on light in both themes. */
export const INK = { low: 0, high: 255, colours: GREY };

/**
 * The scale of an array: signed values symmetric about zero, magnitudes from zero.
 * @param {Field} field
 * @param {boolean} signed
 * @param {boolean} dark
 * @returns {{low: number, high: number, colours: Uint8ClampedArray}}
 */
export function scaleOf(field, signed, dark) {
  const most = reach(field.data) || 1;
  return signed ? { low: -most, high: most, colours: signedColours(dark) } : { low: 0, high: most, colours: SIZES };
}

/**
 * The printed range of a scale, with its colours beside it.
 * @returns {{element: HTMLElement, draw: (scale: {low: number, high: number, colours: Uint8ClampedArray}, low: string, high: string) => void}}
 */
export function legend() {
  const low = h("span", {}), high = h("span", {});
  const canvas = h("canvas", { width: 128, height: 1, "aria-hidden": "true" });
  let last = /** @type {Uint8ClampedArray | null} */ (null);
  return {
    element: h("div", { class: "lk-legend" }, low, canvas, high),
    draw(scale, from, to) {
      low.textContent = from;
      high.textContent = to;
      if (scale.colours === last) return;
      last = scale.colours;
      const pen = canvas.getContext("2d");
      const image = pen.createImageData(128, 1);
      paint(Float32Array.from({ length: 128 }, (_, i) => i / 127), 0, 128, 0, 1, scale.colours, image.data);
      pen.putImageData(image, 0, 0);
    },
  };
}
