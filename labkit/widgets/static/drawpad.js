// A pad to draw on, what the model sees of the drawing, what it says, and which pixels decided.
import { h, keyboard, say, view } from "./lab.js";
import { number, whole } from "./numbers.js";
import { pad } from "./pad.js";
import { INK, legend, paintPicture, signedColours } from "./pictures.js";
import { reach } from "./colours.js";

const MOST = 12; // classes shown; of more, the most probable

export default view("drawpad", (stage) => {
  const { link, root } = stage;
  const surface = pad(stage);
  const title = h("h3", { class: "lk-title" }), step = h("span", { class: "lk-soft" });
  const button = (/** @type {string} */ action, /** @type {string} */ word, /** @type {string} */ title_, /** @type {() => void} */ run) =>
    h("button", { class: "lk-button", "data-action": action, title: title_, "data-needs-kernel": true, onclick: run }, word);
  const undo = button("undo", "Undo", "Take the last stroke back (Backspace)", () => surface.undo());
  const clear = button("clear", "Clear", "Take everything off the pad (Delete)", () => surface.clear());
  const keys = keyboard(root, {
    "← → ↑ ↓": ["Move the pen on the pad (with Shift: further)", () => {}],
    " ": ["Put the pen down, lift it", () => {}],
    Backspace: ["Take the last stroke back", surface.undo],
    Delete: ["Clear the pad", surface.clear],
  });
  const help = h("button", { class: "lk-button lk-round", title: "Keys (?)", "aria-label": "Keys", onclick: () => { keys.hidden = !keys.hidden; } }, "?");

  const picture = (/** @type {string} */ name, /** @type {string} */ word) => {
    const canvas = h("canvas", { role: "img", "aria-label": word }), note = h("p", { class: "lk-note" });
    return { canvas, note, element: h("figure", { class: "lk-seen", "data-part": name }, h("h4", {}, word), canvas, note) };
  };
  const seen = picture("tensor", "What the model sees"), evidence = picture("evidence", "Evidence");
  const range = legend();
  evidence.element.append(range.element);
  const list = h("div", { class: "lk-odds", role: "list", "aria-label": "Probability of each class" });
  const odds = h("div", { class: "lk-says" }, h("h4", {}, "What it says", h("span", { class: "lk-aside" }, "probability of each class")), list);

  root.append(h("div", { class: "lk-card" },
    h("header", { class: "lk-head" }, title, step), h("div", { class: "lk-controls" }, undo, clear, help), keys,
    h("div", { class: "lk-draw" }, surface.element, h("div", { class: "lk-seens" }, seen.element, evidence.element), odds)));
  const shown = /** @type {any} */ ({ frames: 0, shown: null, status: "empty" });
  /** @type {any} */ (root).labkit = shown;

  let rows = /** @type {any[]} */ ([]);
  const build = (/** @type {number} */ count) => {
    rows = Array.from({ length: count }, () => {
      const name = h("span", { class: "lk-odd-name" }), bar = h("i", {}), value = h("span", { class: "lk-odd-value" });
      return { name, bar, value, element: h("div", { class: "lk-odd", role: "listitem" }, name, h("span", { class: "lk-odd-track" }, bar), value) };
    });
    list.replaceChildren(...rows.map((row) => row.element));
  };

  return () => {
    surface.draw();
    const { classes, read } = link.state;
    const drawn = !surface.empty() && read;
    const chances = drawn ? link.arrays.probabilities.data : new Float32Array(classes?.length ?? 0);
    const all = Array.from(chances, (_, k) => k);
    const order = chances.length > MOST ? all.sort((a, b) => chances[b] - chances[a]).slice(0, MOST) : all;
    if (rows.length !== order.length) build(order.length);
    const best = drawn ? chances.indexOf(Math.max(...chances)) : -1;
    order.forEach((k, i) => {
      const row = rows[i];
      say(row.name, classes[k]);
      say(row.value, drawn ? number(chances[k]) : "");
      row.bar.style.transform = `scaleX(${chances[k]})`;
      row.element.dataset.best = k === best ? "yes" : "no";
      row.element.setAttribute("aria-label", `${classes[k]}: ${number(chances[k])}${k === best ? ", the most probable" : ""}`);
    });
    say(title, drawn ? `The model reads ${classes[best]}, probability ${number(chances[best])}` : "Draw, and see what the model reads");
    say(step, link.state.step == null || !drawn ? "" : `model at step ${whole(link.state.step)}`);

    const tensor = drawn && link.arrays.tensor;
    seen.element.dataset.empty = tensor ? "no" : "yes";
    if (tensor) {
      const [height, width] = tensor.shape;
      paintPicture(seen.canvas, { data: tensor.data, shape: [1, height, width] }, 0, { ...INK, high: reach(tensor.data) || 1 });
      say(seen.note, `${height}×${width} pixels, each one number from 0 to ${number(reach(tensor.data))}`);
    } else say(seen.note, "The drawing, cropped, centred and averaged into few pixels");
    const why = drawn && link.state.has_evidence && link.arrays.evidence;
    evidence.element.dataset.empty = why ? "no" : "yes";
    range.element.hidden = !why;
    if (why) {
      const [height, width] = why.shape, most = reach(why.data) || 1;
      const scale = { low: -most, high: most, colours: signedColours(stage.theme().dark) };
      paintPicture(evidence.canvas, { data: why.data, shape: [1, height, width] }, 0, scale);
      range.draw(scale, number(-most), number(most));
      say(evidence.note, `Blue speaks for ${classes[best]}, orange against it`);
    } else say(evidence.note, "The pixels that decided for or against");
    for (const control of [undo, clear]) control.toggleAttribute("data-off", surface.empty());
    shown.frames += 1;
    Object.assign(shown, { shown: drawn ? classes[best] : null, status: surface.empty() ? "empty" : drawn ? "read" : "drawn", updates: link.updates });
  };
});
