// The whole picture and what the operation makes of it, with the piece that is shown large, which one drags.
import { signedColours } from "./pictures.js";
import { h } from "./lab.js";

/** @typedef {import("./lab.js").Stage} Stage */

const FAR = 8; // pixels that Shift and an arrow key move the piece

/** @param {Stage} stage */
export function convPhotos(stage) {
  const { link, signal } = stage;
  const figure = (/** @type {string} */ word) => {
    const canvas = h("canvas", { role: "img", "aria-label": word }), box = h("i", { class: "conv-box" });
    const frame = h("div", { class: "conv-frame" }, canvas, box);
    return { canvas, box, frame, element: h("figure", {}, h("h4", {}, word), frame) };
  };
  const photo = figure("Whole picture"), result = figure("Its output");
  const box = h("div", { class: "conv-box conv-piece", tabindex: 0, role: "application", "aria-roledescription": "piece of the picture", title: "The piece that is shown large: drag it, or use the arrow keys" });
  photo.box.replaceWith(box);
  let drawn = /** @type {any[]} */ ([]), dragging = false;

  const clamp = (/** @type {number} */ at, /** @type {number} */ length) => Math.max(0, Math.min(length - link.state.piece, at));
  const move = (/** @type {number} */ row, /** @type {number} */ column) => {
    const [height, width] = link.arrays.photo.shape;
    link.newest("move", { row: clamp(Math.round(row), height), column: clamp(Math.round(column), width) });
  };
  const drag = (/** @type {PointerEvent} */ event) => {
    const area = photo.canvas.getBoundingClientRect(), [height, width] = link.arrays.photo.shape, half = link.state.piece / 2;
    move(((event.clientY - area.top) / area.height) * height - half, ((event.clientX - area.left) / area.width) * width - half);
  };
  photo.frame.addEventListener("pointerdown", (/** @type {PointerEvent} */ event) => {
    if (link.gone) return;
    dragging = true;
    photo.frame.setPointerCapture(event.pointerId);
    drag(event);
  }, { signal });
  photo.frame.addEventListener("pointermove", (/** @type {PointerEvent} */ event) => { if (dragging) drag(event); }, { signal });
  for (const name of ["pointerup", "pointercancel"]) photo.frame.addEventListener(name, () => { dragging = false; }, { signal });
  box.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
    const way = ({ ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] })[event.key];
    if (!way || link.gone) return;
    const far = event.shiftKey ? FAR : 1, [top, left] = link.state.place;
    const { row, column } = link.wished("move").at(-1) ?? { row: top, column: left };
    move(row + far * way[0], column + far * way[1]);
    event.preventDefault();
    event.stopPropagation();
  }, { signal });

  /** @param {HTMLCanvasElement} canvas @param {number} height @param {number} width @param {(out: Uint8ClampedArray) => void} fill */
  const paintOn = (canvas, height, width, fill) => {
    Object.assign(canvas, { width, height });
    const pen = canvas.getContext("2d");
    if (!pen) return;
    const image = pen.createImageData(width, height);
    fill(image.data);
    pen.putImageData(image, 0, 0);
  };
  const paint = () => {
    const { photo: given, whole } = link.arrays, { like, channel, colours } = link.state;
    const [height, width, channels] = given.shape, grey = colours === "grey";
    paintOn(photo.canvas, height, width, (out) => {
      for (let i = 0; i < height * width; i += 1) {
        const pixel = [0, 1, 2].map((c) => given.data[channels * i + (c % channels)]), mean = (pixel[0] + pixel[1] + pixel[2]) / 3;
        for (let c = 0; c < 3; c += 1) out[4 * i + c] = grey ? mean : pixel[c];
        out[4 * i + 3] = 255;
      }
    });
    const [outputs, high, wide] = whole.shape, table = signedColours(stage.theme().dark), one = outputs > 1 ? channel : 0;
    paintOn(result.canvas, high, wide, (out) => {
      for (let i = 0; i < high * wide; i += 1) {
        const at = whole.data[one * high * wide + i];
        for (let c = 0; c < 3; c += 1) out[4 * i + c] = like === "signed" ? table[4 * at + c] : whole.data[(c % outputs) * high * wide + i];
        out[4 * i + 3] = 255;
      }
    });
  };
  return {
    elements: [photo.element, result.element],
    draw() {
      const { photo: given, whole } = link.arrays, { like, channel, colours, place, piece } = link.state, key = [given, whole, like, channel, colours, stage.theme()];
      if (key.some((part, i) => part !== drawn[i])) paint();
      drawn = key;
      const [height, width] = given.shape;
      for (const one of [box, result.box]) {
        Object.assign(one.style, { left: `${(100 * place[1]) / width}%`, top: `${(100 * place[0]) / height}%`, width: `${(100 * piece) / width}%`, height: `${(100 * piece) / height}%` });
      }
      box.setAttribute("aria-label", `Piece of ${piece} by ${piece} pixels, its upper left in row ${place[0]}, column ${place[1]}. Arrow keys move it.`);
    },
  };
}
