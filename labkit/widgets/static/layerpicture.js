// The picture that LayerView gives to the network: pointed at, painted on, changed; receptive fields over it; class scores.
import { lyCut } from "./layerarith.js";
import { lyUnder } from "./layermaps.js";
import { cividis, paint, reach, table } from "./colours.js";
import { h, say } from "./lab.js";
import { INK, paintPicture } from "./pictures.js";
import { number, whole } from "./numbers.js";

/** @typedef {import("./lab.js").Stage} Stage */
/** @typedef {import("./layerarith.js").Box} Box */

const LY_CLASSES = 10; // shown; of more, the most probable
const LY_HEAT = table(cividis);

/**
 * @param {Stage} stage
 * @param {() => void} moved the pixel that is pointed at has changed
 */
export function layerPicture(stage, moved) {
  const { link, signal } = stage;
  let tool = "point", pixel = /** @type {number[] | null} */ (null), stroke = /** @type {number[][]} */ ([]), pointer = /** @type {number | null} */ (null);
  let cursor = [0, 0], seen = /** @type {any} */ (null);

  const canvas = h("canvas", { "aria-hidden": "true" }), heat = h("canvas", { class: "ly-heat", "aria-hidden": "true", hidden: true });
  const field = h("i", { class: "ly-field", hidden: true }), spot = h("i", { class: "ly-mark", hidden: true });
  const paper = h("div", { class: "ly-paper lk-plot", tabindex: 0, role: "img" }, canvas, heat, field, spot);
  const button = (/** @type {string} */ name, /** @type {string} */ word, /** @type {string} */ title, /** @type {() => void} */ run) =>
    h("button", { class: "lk-button", "data-action": name, title, "data-needs-kernel": true, onclick: run }, word);
  const choose = (/** @type {string} */ next) => { tool = next; stage.draw(); };
  const tools = [button("point", "Point", "Point at a pixel: where it goes", () => choose("point")), button("paint", "Paint", "Paint on the picture", () => choose("paint")),
    button("erase", "Erase", "Take parts of the picture away", () => choose("erase"))];
  const colour = h("input", { type: "color", class: "ly-colour", value: "#d22f27", "aria-label": "Colour of the brush", title: "Colour of the brush", "data-needs-kernel": true });
  const width = h("input", { type: "range", class: "lk-slider", min: 0.02, max: 0.4, step: 0.02, value: 0.12, "aria-label": "Width of the brush", title: "Width of the brush" });
  const brush = h("div", { class: "ly-brush" }, colour, width);
  const restore = button("restore", "Undo all", "The picture and all units as they were", () => link.do("restore"));
  const file = h("input", { type: "file", accept: "image/*", class: "lk-hidden", tabindex: -1, "aria-label": "A picture of your own" });
  const bring = button("bring", "Open a picture…", "Show the network a picture of your own: its middle, resized to what the network takes", () => file.click());
  const note = h("p", { class: "lk-note" });
  const list = h("div", { class: "ly-scores", role: "list", "aria-label": "Probability of each class" });
  const says = h("div", { class: "ly-says" }, h("h4", {}, "What it says"), list);
  const element = h("div", { class: "ly-side" }, h("div", { class: "ly-given" }, h("h4", {}, "What it is given"), paper, note,
    h("div", { class: "ly-tools", role: "group", "aria-label": "What the pointer does" }, ...tools), brush, h("div", { class: "ly-tools" }, bring, restore), file), says);

  const shape = () => link.arrays.picture.shape.slice(0, 2);
  const place = (/** @type {PointerEvent} */ event) => {
    const box = canvas.getBoundingClientRect();
    return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height].map((value) => Math.min(1, Math.max(0, value)));
  };
  const point = (/** @type {number[] | null} */ next) => {
    pixel = next;
    moved();
    stage.draw();
  };
  const flush = () => {
    if (!stroke.length) return;
    link.do("paint", { width: Number(width.value), colour: tool === "erase" ? null : colour.value }, [Float32Array.from(stroke.flat()).buffer]);
    stroke = stroke.slice(-1);
  };
  let waiting = 0;
  const later = () => {
    if (waiting) return;
    waiting = requestAnimationFrame(function send() {
      waiting = 0;
      if (link.wishes.length && pointer !== null) { // the kernel has not answered yet: more points join
        waiting = requestAnimationFrame(send);
        return;
      }
      flush();
    });
  };
  const on = (/** @type {string} */ name, /** @type {(event: any) => void} */ run) => paper.addEventListener(name, run, { signal });
  on("pointerdown", (event) => {
    if (tool === "point" || link.gone) return point(lyUnder(event, canvas, shape()));
    pointer = event.pointerId;
    paper.setPointerCapture(pointer);
    stroke = [place(event)];
    later();
    event.preventDefault();
  });
  on("pointermove", (event) => {
    if (event.pointerId === pointer) {
      stroke.push(place(event));
      later();
    } else if (tool === "point") point(lyUnder(event, canvas, shape()));
  });
  for (const name of ["pointerup", "pointercancel", "lostpointercapture"]) {
    on(name, (event) => {
      if (event.pointerId !== pointer) return;
      pointer = null;
      cancelAnimationFrame(waiting);
      waiting = 0;
      flush();
      stroke = [];
    });
  }
  on("pointerleave", () => point(null));
  on("blur", () => point(null));
  on("keydown", (event) => {
    const move = /** @type {Record<string, number[]>} */ ({ ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] })[event.key];
    if (move) {
      cursor = [0, 1].map((d) => Math.min(shape()[d] - 1, Math.max(0, cursor[d] + move[d])));
      point(cursor);
    } else if ((event.key === " " || event.key === "Enter") && tool !== "point") {
      stroke = [[(cursor[1] + 0.5) / shape()[1], (cursor[0] + 0.5) / shape()[0]]];
      flush();
      stroke = [];
    } else return;
    event.preventDefault();
    event.stopPropagation();
  });

  /** Decode a file here, cut its middle out, and send its pixels in the network's size. */
  const send = async () => {
    const chosen = file.files?.[0];
    file.value = "";
    if (!chosen) return;
    let picture;
    try {
      picture = await createImageBitmap(chosen);
    } catch {
      say(note, `${chosen.name} could not be read as a picture. Choose a PNG, JPEG, WebP or GIF.`);
      return;
    }
    const [height, wide] = shape(), { x, y, width: w, height: tall } = lyCut(picture.width, picture.height, [height, wide]);
    const small = new OffscreenCanvas(wide, height), pen = small.getContext("2d");
    if (!pen) return;
    pen.fillStyle = "#fff";
    pen.fillRect(0, 0, wide, height);
    pen.imageSmoothingQuality = "high";
    pen.drawImage(picture, x, y, w, tall, 0, 0, wide, height);
    link.do("bring", {}, [pen.getImageData(0, 0, wide, height).data.buffer]);
  };
  file.addEventListener("change", () => link.guard(() => { send(); }), { signal });

  let rows = /** @type {any[]} */ ([]);
  const drawScores = () => {
    const { arrays, state } = link, scores = arrays.scores.data, before = arrays.before.data;
    says.hidden = !scores.length;
    const all = Array.from(scores, (_, k) => k);
    const order = all.length > LY_CLASSES ? all.sort((a, b) => scores[b] - scores[a]).slice(0, LY_CLASSES) : all;
    if (rows.length !== order.length) {
      rows = order.map(() => {
        const name = h("span", { class: "ly-class" }), bar = h("i", {}), was = h("b", {}), value = h("span", { class: "ly-score" });
        return { name, bar, was, value, element: h("div", { class: "ly-row-score", role: "listitem" }, name, h("span", { class: "ly-track" }, bar, was), value) };
      });
      list.replaceChildren(...rows.map((row) => row.element));
    }
    const best = Math.max(...scores);
    order.forEach((k, i) => {
      const row = rows[i], name = state.classes?.[k] ?? `class ${k}`;
      say(row.name, name);
      row.name.title = name;
      say(row.value, number(scores[k]));
      row.bar.style.transform = `scaleX(${scores[k]})`;
      row.was.hidden = !before.length;
      if (before.length) row.was.style.left = `${100 * before[k]}%`;
      row.element.dataset.best = scores[k] === best ? "yes" : "no";
      row.element.dataset.target = k === state.target ? "yes" : "no";
      row.element.setAttribute("aria-label", `${name}: ${number(scores[k])}${before.length ? `, with all units as they are ${number(before[k])}` : ""}`);
    });
    says.dataset.before = before.length ? "yes" : "no";
  };

  return {
    element,
    get pixel() { return pixel; },
    get tool() { return tool; },
    /** @param {Box | null} box that a value looks at, over the picture @param {string} words about it */
    draw(box, words) {
      const { arrays, state } = link, picture = arrays.picture, [height, width_] = shape(), grey = picture.shape.length === 2;
      if (picture !== seen) paintPicture(canvas, { data: picture.data, shape: [1, ...picture.shape] }, 0, INK);
      seen = picture;
      paper.style.aspectRatio = `${width_} / ${height}`;
      const place_ = (/** @type {HTMLElement} */ one, /** @type {Box | null} */ at) => {
        one.hidden = !at;
        if (!at) return;
        const top = Math.max(0, at.top), left = Math.max(0, at.left), bottom = Math.min(height, at.bottom), right = Math.min(width_, at.right);
        Object.assign(one.style, { top: `${(100 * top) / height}%`, left: `${(100 * left) / width_}%`, height: `${(100 * (bottom - top)) / height}%`, width: `${(100 * (right - left)) / width_}%` });
      };
      place_(field, box);
      place_(spot, pixel && { top: pixel[0], left: pixel[1], bottom: pixel[0] + 1, right: pixel[1] + 1 });
      heat.hidden = !(state.measured && arrays.field);
      if (!heat.hidden) {
        const values = arrays.field.data, most = reach(values) || 1;
        Object.assign(heat, { width: width_, height });
        const pen = heat.getContext("2d"), image = pen.createImageData(width_, height);
        paint(values, 0, values.length, 0, most, LY_HEAT, image.data);
        for (let i = 0; i < values.length; i += 1) image.data[4 * i + 3] = values[i] > 0 ? 60 + 180 * Math.sqrt(values[i] / most) : 0;
        pen.putImageData(image, 0, 0);
      }
      const named = state.target === null ? "" : `, ${state.classes?.[state.target] ?? `class ${state.target}`}`;
      const which = state.brought ? "A picture of your own" : `Picture ${whole(state.index + 1)} of ${whole(state.count)}${named}`;
      say(note, words || `${which}, ${height} × ${width_}${state.painted ? ", painted on" : ""}.`);
      for (const one of tools) one.setAttribute("aria-pressed", String(one.dataset.action === tool));
      brush.hidden = tool === "point";
      colour.hidden = tool !== "paint" || grey;
      paper.dataset.tool = tool;
      restore.toggleAttribute("data-off", !state.painted && !state.altered.length);
      paper.setAttribute("aria-label", `${which}. Arrow keys point at a pixel${tool === "point" ? "" : ", space paints there"}. ${words}`);
      drawScores();
    },
  };
}
