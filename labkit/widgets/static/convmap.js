// A map of pixels that one points at: an input with its padding, or an output.
import { css, diverging, MIDDLE } from "./colours.js";
import { source } from "./convwindow.js";
import { h, keepSharp } from "./lab.js";

/** @typedef {import("./lab.js").Stage} Stage */
/** @typedef {{data: ArrayLike<number>, shape: number[]}} Field */
/** @typedef {{row: number, column: number}} Pixel */
/** @typedef {{field: Field, border: number, mode: string, channel: number | null, most: number | null, until: number, marks: Pixel[], centre: Pixel | null, empty: string}} Picture */

const WAYS = /** @type {Record<string, [number, number]>} */ ({ ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] });
/** What marks a pixel: it stands out from grey, orange and blue. @param {boolean} dark */
export const markColour = (dark) => (dark ? "#ff4da6" : "#d6006c");

/** A colour for one value: brightness from 0 to 1, or signed. @param {number} value @param {number | null} most @param {boolean} dark */
export function shade(value, most, dark) {
  if (most === null) return Array(3).fill(Math.round(255 * Math.min(1, Math.max(0, value))));
  return diverging(Math.max(-1, Math.min(1, value / most)), dark);
}

/**
 * @param {Stage} stage
 * @param {{label: string, point: (pixel: Pixel | null) => void, choose: (pixel: Pixel) => void}} does
 */
export function pixelMap(stage, { label, point, choose }) {
  const { signal } = stage;
  const canvas = h("canvas", { class: "conv-map", tabindex: 0, role: "application", "aria-roledescription": "map of pixels", "aria-label": label });
  let shown = /** @type {Picture | null} */ (null), cursor = { row: 0, column: 0 }, byKey = false;

  const extent = () => {
    const { field: { shape: [, height, width] }, border } = /** @type {Picture} */ (shown);
    return { height, width, border, rows: height + 2 * border, columns: width + 2 * border, side: canvas.clientWidth / (width + 2 * border) };
  };
  /** @param {PointerEvent} event @returns {Pixel | null} */
  const under = (event) => {
    if (!shown) return null;
    const box = canvas.getBoundingClientRect(), { height, width, border, side } = extent();
    const row = Math.floor((event.clientY - box.top) / side) - border, column = Math.floor((event.clientX - box.left) / side) - border;
    return row >= 0 && row < height && column >= 0 && column < width ? { row, column } : null;
  };
  const on = (/** @type {string} */ name, /** @type {(event: any) => void} */ run) => canvas.addEventListener(name, run, { signal });
  const go = (/** @type {Picture} */ on, /** @type {Pixel} */ pixel) => {
    cursor = pixel;
    shown = { ...on, centre: pixel }; // the next key goes on from here, though nothing is drawn yet
    choose(pixel);
  };
  on("pointermove", (event) => point(under(event)));
  on("pointerleave", () => point(null));
  on("pointerdown", (event) => {
    const pixel = under(event);
    byKey = false;
    if (shown && pixel) go(shown, pixel);
  });
  on("blur", () => { byKey = false; point(null); });
  on("keydown", (event) => {
    const way = WAYS[event.key];
    if (!way || !shown || event.ctrlKey || event.metaKey || event.altKey) return;
    const { height, width } = extent(), from = shown.centre ?? cursor;
    const within = (/** @type {number} */ at, /** @type {number} */ most) => Math.min(most - 1, Math.max(0, at));
    byKey = true;
    go(shown, { row: within(from.row + way[0], height), column: within(from.column + way[1], width) });
    event.preventDefault();
    event.stopPropagation();
  });

  const paint = () => {
    const pen = canvas.getContext("2d");
    if (!pen || !shown || !canvas.clientWidth) return;
    const { dark, soft, back } = stage.theme(), { field, mode, channel, most, until, marks, centre } = shown;
    const { height, width, border, rows, columns, side } = extent(), size = height * width;
    pen.clearRect(0, 0, canvas.clientWidth, canvas.clientHeight);
    const edge = side >= 7 ? 1 : 0;
    for (let y = -border; y < height + border; y += 1) {
      for (let x = -border; x < width + border; x += 1) {
        const inside = y >= 0 && y < height && x >= 0 && x < width;
        const from = [source(mode, y, height), source(mode, x, width)], left = (x + border) * side, top = (y + border) * side;
        if (from[0] === null || from[1] === null) {
          pen.fillStyle = css(dark ? MIDDLE.dark : MIDDLE.light, 0.6);
          pen.fillRect(left, top, side - edge, side - edge);
          if (side >= 12) {
            pen.fillStyle = soft;
            pen.font = `${Math.min(12, (side * 1.1) / (shown.empty.length + 0.5))}px ${stage.theme().font}`;
            pen.textAlign = "center";
            pen.textBaseline = "middle";
            pen.fillText(shown.empty, left + side / 2, top + side / 2);
          }
          continue;
        }
        const at = from[0] * width + from[1], read = (/** @type {number} */ c) => field.data[c * size + at];
        const colour = channel === null ? [0, 1, 2].map((c) => shade(read(c), null, dark)[0]) : shade(read(channel), most, dark);
        const hidden = inside && y * width + x > until;
        pen.fillStyle = hidden ? back : css(colour, inside ? 1 : 0.45);
        pen.fillRect(left, top, side - edge, side - edge);
      }
    }
    pen.strokeStyle = soft;
    pen.lineWidth = 1;
    if (border) pen.strokeRect(border * side - 0.5, border * side - 0.5, width * side, height * side);
    pen.strokeStyle = markColour(dark);
    const box = (/** @type {Pixel} */ pixel, /** @type {number} */ thick) => {
      pen.lineWidth = thick;
      pen.strokeRect((pixel.column + border) * side, (pixel.row + border) * side, side - edge, side - edge);
    };
    for (const pixel of marks) {
      const there = pixel.row >= -border && pixel.row < height + border && pixel.column >= -border && pixel.column < width + border;
      if (there) box(pixel, side >= 12 ? 2 : 1);
    }
    if (centre) box(centre, 3);
    canvas.dataset.cells = `${rows}x${columns}`;
  };
  keepSharp(canvas, paint, signal);

  return {
    element: canvas,
    get byKey() { return byKey; },
    /** @param {Picture} picture */
    draw(picture) {
      shown = picture;
      const { rows, columns } = extent();
      canvas.style.aspectRatio = `${columns} / ${rows}`;
      paint();
    },
  };
}
