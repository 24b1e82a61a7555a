// The plane with what the network answers at each place, the points it learns from, and the place whose values are shown.
import { BLUE, CLASSES, ORANGE, css, diverging } from "./colours.js";
import { h, icon, keepSharp, say } from "./lab.js";
import { number, short } from "./numbers.js";
import { legend } from "./pictures.js";
import { SIDE, SPAN, byteValue, classPalette, mapIndex, nearestPoint, paintClasses, paintMap, paletteFor, toPixel, toPlane } from "./surface.js";
import { firstUnit, unitTitle, whereIs } from "./weights.js";

/** @typedef {import("./lab.js").Stage} Stage */
/** @typedef {import("./lab.js").Theme} Theme */
/**
 * @typedef {object} Picture what a plot shows
 * @property {Uint8Array} bytes of a map, or the winning classes
 * @property {number} offset
 * @property {Uint8Array | null} confidence of the winning classes
 * @property {Uint32Array | Uint32Array[]} colours one palette, or one a class
 * @property {boolean} discrete
 */

const MARK = 3; // radius of a point in pixels
const NEAR = 0.3; // a click this close to an own point means it

/**
 * The shape that marks a class, around (x, y): circle, square, triangle, diamond, turned triangle, star. Two classes are
 * a square (A, orange) and a circle (B, blue).
 * @param {CanvasRenderingContext2D} pen
 * @param {number} shape
 * @param {number} x
 * @param {number} y
 * @param {number} r
 */
export function shapePath(pen, shape, x, y, r) {
  pen.beginPath();
  if (shape === 1) pen.arc(x, y, r, 0, 7);
  else if (shape === 0) pen.rect(x - 0.9 * r, y - 0.9 * r, 1.8 * r, 1.8 * r);
  else {
    const corners = [0, 0, 3, 4, 3, 10][shape], turn = shape === 4 ? Math.PI : 0, size = shape === 5 ? 1.4 * r : 1.25 * r;
    for (let k = 0; k < corners; k += 1) {
      const angle = turn + (2 * Math.PI * k) / corners, far = shape === 5 && k % 2 ? 0.5 * size : size;
      pen.lineTo(x + far * Math.sin(angle), y - far * Math.cos(angle));
    }
    pen.closePath();
  }
}

const GREY_POINT = [128, 134, 139]; // a frame may come between the points of a new problem and its settings

/** The colour of class `index`: of two classes those of the signed scale. @param {string} kind @param {number} index */
export const classColour = (kind, index) => (kind === "classes" ? CLASSES[index] ?? GREY_POINT : index ? BLUE : ORANGE);

/** One square plot with axes. */
class Plot {
  /** @param {{name: string, signal: AbortSignal, dirty: () => void}} options */
  constructor({ name, signal, dirty }) {
    this.title = h("figcaption", { class: "pg-plane-title" });
    this.base = h("canvas", { "aria-hidden": "true" });
    this.points = h("canvas", { "aria-hidden": "true" });
    this.over = h("canvas", { "aria-hidden": "true" });
    const ticks = (/** @type {string} */ axis) => h("div", { class: `pg-ticks pg-ticks-${axis}`, "aria-hidden": "true" },
      ...[-6, -3, 0, 3, 6].map((at) => h("span", { style: `--at:${(at + SPAN) / (2 * SPAN)}` }, String(at).replace("-", "\u2212"))),
      h("i", {}, axis === "x" ? "x₁" : "x₂"));
    this.stage = h("div", { class: "pg-plot", tabindex: 0, role: "application", "aria-roledescription": "plane", "data-plane": name }, this.base, this.points, this.over);
    this.head = h("div", { class: "pg-plane-head" }, this.title);
    this.element = h("figure", { class: "pg-plane" }, this.head, h("div", { class: "pg-frame" }, this.stage, ticks("x"), ticks("y")));
    this.small = document.createElement("canvas");
    this.small.width = this.small.height = SIDE;
    const pen = /** @type {CanvasRenderingContext2D} */ (this.small.getContext("2d"));
    this.image = pen.createImageData(SIDE, SIDE);
    this.pixels = new Uint32Array(this.image.data.buffer);
    this.picture = /** @type {Picture | null} */ (null);
    this.pointsKey = /** @type {any[]} */ ([]);
    this.overKey = "";
    keepSharp(this.base, () => { this.picture = null; dirty(); }, signal);
    keepSharp(this.points, () => { this.pointsKey = []; dirty(); }, signal);
    keepSharp(this.over, () => { this.overKey = ""; dirty(); }, signal);
  }

  /** The place under the pointer. @param {MouseEvent} event @returns {[number, number]} */
  place(event) {
    const box = this.stage.getBoundingClientRect();
    return toPlane(event.clientX - box.left, event.clientY - box.top, box.width);
  }

  /** @param {Picture} picture */
  paint(picture) {
    const old = this.picture, same = old && old.bytes === picture.bytes && old.offset === picture.offset && old.colours === picture.colours
      && old.confidence === picture.confidence && old.discrete === picture.discrete;
    const pen = this.base.getContext("2d"), size = this.base.clientWidth;
    if (same || !pen || !size) return;
    this.picture = picture;
    const { bytes, offset, confidence, colours, discrete } = picture;
    if (confidence) paintClasses(bytes, confidence, /** @type {Uint32Array[]} */ (colours), discrete, this.pixels);
    else paintMap(bytes, offset, /** @type {Uint32Array} */ (colours), this.pixels, SIDE * SIDE);
    this.small.getContext("2d")?.putImageData(this.image, 0, 0);
    pen.imageSmoothingEnabled = true;
    pen.drawImage(this.small, 0, 0, size, size);
  }

  /**
   * @param {{train: Float32Array, test: Float32Array | null, own: Float32Array, kind: string, dark: boolean}} data
   */
  mark({ train, test, own, kind, dark }) {
    const key = [train, test, own, kind, dark], pen = this.points.getContext("2d"), size = this.points.clientWidth;
    if (!pen || !size || key.every((part, i) => part === this.pointsKey[i])) return;
    this.pointsKey = key;
    pen.clearRect(0, 0, size, size);
    const radius = size < 220 ? MARK - 0.5 : MARK;
    const each = (/** @type {Float32Array} */ points, /** @type {(x: number, y: number, colour: string, shape: number) => void} */ draw) => {
      for (let i = 0; i < points.length; i += 3) {
        const [x, y] = toPixel(points[i], points[i + 1], size), target = points[i + 2];
        const index = kind === "classes" ? target : Number(target > 0);
        draw(x, y, css(kind === "regression" ? diverging(target, dark) : classColour(kind, index)), kind === "regression" ? 1 : index);
      }
    };
    // Values near zero are nearly white: a white rim would hide them.
    const rim = kind === "regression" ? { width: 2, colour: dark ? "#dadce0" : "#5f6368" } : { width: 2.4, colour: "#fff" };
    each(train, (x, y, colour, shape) => {
      shapePath(pen, shape, x, y, radius);
      pen.lineWidth = rim.width;
      pen.strokeStyle = rim.colour;
      pen.stroke();
      pen.fillStyle = colour;
      pen.fill();
    });
    // Points that it is only tested on: hollow, with a thin rim.
    if (test) {
      each(test, (x, y, colour, shape) => {
        pen.lineWidth = 1;
        pen.strokeStyle = dark ? "#fff" : "#202124";
        shapePath(pen, shape, x, y, radius + 1.5);
        pen.stroke();
        pen.lineWidth = 2;
        pen.strokeStyle = colour;
        shapePath(pen, shape, x, y, radius);
        pen.stroke();
      });
    }
    for (let i = 0; i < own.length; i += 3) {
      const [x, y] = toPixel(own[i], own[i + 1], size);
      pen.lineWidth = 1.5;
      pen.strokeStyle = dark ? "#fff" : "#202124";
      pen.beginPath();
      pen.arc(x, y, radius + 3, 0, 7);
      pen.stroke();
    }
  }

  /** The place whose values are shown, with lines to the axes where one points. @param {number[]} probe @param {boolean} lines */
  cross([x, y], lines) {
    const key = `${x} ${y} ${lines}`, pen = this.over.getContext("2d"), size = this.over.clientWidth;
    if (!pen || !size || key === this.overKey) return;
    this.overKey = key;
    pen.clearRect(0, 0, size, size);
    const [left, top] = toPixel(x, y, size);
    for (const [width, colour] of /** @type {[number, string][]} */ ([[4, "rgba(255,255,255,.9)"], [1.5, "#202124"]])) {
      pen.lineWidth = width;
      pen.strokeStyle = colour;
      pen.beginPath();
      pen.arc(left, top, 5, 0, 7);
      for (const sign of [-1, 1]) {
        pen.moveTo(left + 5 * sign, top);
        pen.lineTo(lines ? (sign < 0 ? 0 : size) : left + 10 * sign, top);
        pen.moveTo(left, top + 5 * sign);
        pen.lineTo(left, lines ? (sign < 0 ? 0 : size) : top + 10 * sign);
      }
      pen.stroke();
    }
  }
}

/**
 * The output: one plot, or with two runs A, their difference, and B.
 * @param {Stage} stage
 * @param {any} shared what network.js and this module both change: selected, select, discrete, showTest
 */
export function plane(stage, shared) {
  const { link, signal } = stage;
  let adding = false, target = 0, data = "", built = "", hovered = /** @type {{slot: number, at: [number, number]} | null} */ (null);
  let run = /** @type {any} */ (null), spoken = "";

  const slots = ["A", "difference", "B"].map((name) => new Plot({ name, signal, dirty: stage.draw }));
  const box = (/** @type {string} */ key, /** @type {string} */ words, /** @type {string} */ hint) => {
    const input = h("input", { type: "checkbox", "data-setting": key });
    input.addEventListener("change", () => {
      shared[key] = input.checked;
      stage.draw();
    }, { signal });
    return { input, element: h("label", { class: "lk-field lk-check", title: hint }, input, h("span", {}, words)) };
  };
  const tests = box("showTest", "Test data", "Show the test data too: the points it is only tested on: hollow, with a thin rim");
  const cut = box("discrete", "Discretise", "Only what is decided: the colour of the sign, not of the value");
  const add = h("button", { class: "lk-button", "data-action": "add-points", "aria-pressed": "false", "data-needs-kernel": true,
    title: "Place points of your own: a click adds one, a click on one takes it away", onclick: () => {
      adding = !adding;
      stage.draw();
    } }, "Add points");
  const palette = h("div", { class: "pg-classes", role: "radiogroup", "aria-label": "Class of the points you add", hidden: true });
  const hint = h("p", { class: "lk-note pg-hint", hidden: true },
    "Click adds a point; click on one of yours, or shift-click, takes it away. With keys: arrows move, Enter adds, Delete removes.");
  const scale = legend();
  const rule = h("span", { class: "lk-note" });
  const key = h("div", { class: "pg-key" });
  const reading = h("p", { class: "lk-note pg-reading" });
  const back = h("button", { class: "lk-button pg-back", "data-action": "unpin", hidden: true, title: "Show the output again (Esc)", onclick: () => shared.select(null, false) },
    icon("close"), "Output");

  const element = h("section", { class: "pg-output", "aria-label": "Output" },
    h("div", { class: "pg-planes" }, ...slots.map((slot) => slot.element)),
    h("div", { class: "pg-below" },
      h("div", { class: "pg-scale" }, scale.element, rule, key), reading,
      h("div", { class: "pg-tools" }, tests.element, cut.element, add, palette), hint));

  /** In slow motion the example of the step that is shown. @returns {ArrayLike<number> | null} */
  const example = () => (link.state.micro && link.arrays["micro.inputs"]?.data) || null;
  /** @returns {[number, number]} the crosshair, also before the kernel answers */
  const probe = () => {
    const wish = link.wished("probe").at(-1);
    return wish ? [wish.x, wish.y] : link.state.probe ?? [0, 0];
  };
  const move = (/** @type {[number, number]} */ [x, y]) => {
    link.newest("probe", { x, y });
    stage.draw();
  };
  const owner = (/** @type {number} */ slot) => (link.state.runs.length > 1 ? link.state.runs[slot && 1] : run);
  const own = (/** @type {any} */ of) => link.arrays[`own.${of.id}`]?.data ?? new Float32Array(0);
  /** The own points when all is answered, as x, y and something each: the next click goes on from them. */
  const ownWanted = (/** @type {any} */ of) => {
    let points = /** @type {number[]} */ (Array.from(own(of))), active = link.state.active;
    for (const { action, details } of link.wishes) {
      if (action === "activate") active = details.run;
      if (active !== of.id) continue;
      if (action === "add_point") points.push(details.x, details.y, details.target);
      if (action === "remove_point") points.splice(3 * details.index, 3);
      if (action === "clear_points") points = [];
    }
    return points;
  };
  /** Add a point there, or take the own one away that stands there. */
  const place = (/** @type {number} */ slot, /** @type {[number, number]} */ at, /** @type {boolean} */ remove) => {
    const of = owner(slot), index = nearestPoint(ownWanted(of), ...at, NEAR);
    if (of.id !== (link.wished("activate").at(-1)?.run ?? link.state.active)) link.do("activate", { run: of.id });
    if (index >= 0) link.do("remove_point", { index });
    else if (!remove) link.do("add_point", { x: at[0], y: at[1], target });
  };

  slots.forEach((slot, number) => {
    const on = (/** @type {string} */ name, /** @type {(event: any) => void} */ act) => slot.stage.addEventListener(name, act, { signal });
    const editable = () => adding && number !== 1 && !link.gone;
    let dragging = false;
    on("pointerdown", (event) => {
      slot.stage.focus({ preventScroll: true });
      if (link.gone || event.button > 0) return;
      if (event.shiftKey || editable()) place(number, slot.place(event), event.shiftKey);
      else if (!example()) {
        dragging = true;
        slot.stage.setPointerCapture(event.pointerId);
        move(slot.place(event));
      }
      event.preventDefault();
    });
    on("pointermove", (event) => {
      hovered = { slot: number, at: slot.place(event) };
      if (dragging) move(hovered.at);
      else stage.draw();
    });
    on("pointerup", () => { dragging = false; });
    on("pointercancel", () => { dragging = false; });
    on("pointerleave", () => {
      hovered = null;
      stage.draw();
    });
    on("contextmenu", (event) => {
      event.preventDefault();
      if (number !== 1 && !link.gone) place(number, slot.place(event), true);
    });
    on("focus", stage.draw);
    on("blur", stage.draw);
    on("keydown", (/** @type {KeyboardEvent} */ event) => {
      const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
      if (event.ctrlKey || event.metaKey || event.altKey || link.gone) return;
      if (way && !example()) {
        const length = event.shiftKey ? 0.05 : 0.25, within = (/** @type {number} */ v) => Math.round(100 * Math.min(SPAN, Math.max(-SPAN, v))) / 100;
        const [x, y] = probe();
        move([within(x + length * way[0]), within(y + length * way[1])]);
      } else if (event.key === "Enter" && editable()) place(number, /** @type {[number, number]} */ (probe()), false);
      else if (event.key === "Delete" && editable()) place(number, /** @type {[number, number]} */ (probe()), true);
      else return;
      event.preventDefault();
      event.stopPropagation();
    });
  });

  // ---- drawing
  const palettes = /** @type {Map<string, any>} */ (new Map());
  const colours = (/** @type {string} */ name, /** @type {boolean} */ dark, /** @type {boolean} */ discrete, /** @type {(look: any) => any} */ make) => {
    const at = `${name} ${dark} ${discrete}`;
    if (!palettes.has(at)) palettes.set(at, make({ dark, discrete }));
    return palettes.get(at);
  };
  const signed = (/** @type {any} */ look) => colours("signed", look.dark, look.discrete, paletteFor);
  const ofClass = (/** @type {number} */ index, /** @type {any} */ look) => colours(`class ${index}`, look.dark, look.discrete, (l) => classPalette(index, l));
  const ofAll = (/** @type {any} */ look) => colours("all classes", look.dark, false, (l) => CLASSES.slice(0, 6).map((_, k) => classPalette(k, l)));

  /** What unit is shown of a run: the one chosen where the run has it, else null for the output. */
  const unitOf = (/** @type {any} */ of) => {
    const { selected } = shared;
    if (!selected) return null;
    const units = firstUnit(of.layers, of.layers.length), last = firstUnit(of.layers, of.layers.length - 1);
    return selected.unit >= units || (selected.unit >= last && of.kind !== "classes") ? null : selected.unit;
  };

  /** @returns {{picture: Picture | null, title: string, reach: number, kind: "signed" | "class" | "classes", index: number, unit: number | null}} */
  const shownOf = (/** @type {any} */ of, /** @type {any} */ look) => {
    const unit = unitOf(of), { arrays } = link, features = of.layers[0].width, last = firstUnit(of.layers, of.layers.length - 1);
    const maps = arrays[`maps.${of.id}`], reaches = arrays[`reach.${of.id}`];
    const paint = (/** @type {any} */ field, /** @type {number} */ map, /** @type {any} */ table) =>
      (field ? { bytes: field.data, offset: map * SIDE * SIDE, confidence: null, colours: table, discrete: look.discrete } : null);
    if (unit === null && of.kind === "classes") {
      const decision = arrays[`decision.${of.id}`], confidence = arrays[`confidence.${of.id}`];
      return { picture: decision && { bytes: decision.data, offset: 0, confidence: confidence.data, colours: ofAll(look), discrete: look.discrete },
        title: "Output: the likeliest class", reach: 1, kind: "classes", index: 0, unit };
    }
    const at = unit ?? last, title = unitTitle(of, at, link.state.options.classes);
    if (at < features) {
      const row = link.state.options.features.indexOf(of.settings.features[at]);
      return { picture: paint(arrays.feature_maps, row, signed(look)), title, reach: arrays.feature_reach?.data[row] ?? 1, kind: "signed", index: 0, unit: at };
    }
    const output = at >= last && of.kind === "classes", index = at - last;
    return { picture: paint(maps, at - features, output ? ofClass(index, look) : signed(look)), title, reach: reaches?.data[at - features] ?? 1,
      kind: output ? "class" : "signed", index, unit: at };
  };

  /** What a map's pixel tells: one byte, about two digits. */
  const valueAt = (/** @type {ReturnType<typeof shownOf>} */ shown, /** @type {[number, number]} */ at) => {
    if (!shown.picture) return "";
    const i = mapIndex(...at), byte = shown.picture.bytes[shown.picture.offset + i];
    const about = (/** @type {number} */ value) => `≈ ${short(Number(value.toPrecision(2)))}`;
    if (shown.kind === "signed") return about(byteValue(byte, shown.reach));
    if (shown.kind === "class") return `probability ${about(byte / 255)}`;
    return `class ${link.state.options.classes[byte]}, probability ${about(/** @type {Uint8Array} */ (shown.picture.confidence)[i] / 255)}`;
  };

  const drawClasses = (/** @type {boolean} */ dark) => {
    const { kind, settings } = run, count = kind === "regression" ? 0 : settings.classes;
    const names = kind === "binary" ? ["−1", "+1"] : link.state.options.classes;  // of two classes, what the output is to be
    target = Math.min(target, Math.max(0, count - 1));
    const now = `${kind} ${count} ${target} ${dark}`;
    if (now === built) return;
    built = now;
    const mark = (/** @type {number} */ index) => {
      const canvas = h("canvas", { width: 32, height: 32, "aria-hidden": "true" }), pen = canvas.getContext("2d");
      pen.fillStyle = css(classColour(kind, index));
      shapePath(pen, index, 16, 16, 9);
      pen.fill();
      pen.lineWidth = 2;
      pen.strokeStyle = dark ? "#fff" : "#202124";
      pen.stroke();
      return canvas;
    };
    const focused = palette.contains(document.activeElement);
    palette.replaceChildren(...Array.from({ length: count }, (_, index) => h("button", { class: "lk-button", role: "radio", "aria-checked": String(index === target),
      "data-class": index, title: `Points of class ${names[index]}`, onclick: () => {
        target = index;
        stage.draw();
      } }, mark(index), names[index])));
    if (focused) palette.querySelector("[aria-checked=true]")?.focus();
    key.toggleAttribute("data-many", count > 2);
    key.replaceChildren(...Array.from({ length: count }, (_, index) => h("span", {}, mark(index), `${names[index]}`)));
  };

  const drawScale = (/** @type {ReturnType<typeof shownOf>} */ shown, /** @type {any} */ look) => {
    const { kind, reach, picture } = shown;
    scale.element.hidden = kind === "classes" || !picture;
    if (picture && kind !== "classes") {
      const table = /** @type {Uint32Array} */ (picture.colours), bytes = table8(table);
      scale.draw({ low: 0, high: 1, colours: bytes }, kind === "class" ? "0" : short(-reach), kind === "class" ? "1" : short(reach));
    }
    const unit = shown.unit ?? 0, { layer } = whereIs(run.layers, unit), bounded = reach === 1;
    say(rule, kind === "classes" ? (look.discrete ? "the likeliest class" : "fuller colour: more probable")
      : kind === "class" ? "probability" : layer === 0 ? "its own range" : run.kind === "regression" && layer === run.layers.length - 1 ? "and beyond"
        : bounded ? "common scale" : "its own range");
  };

  return {
    element,
    /** @param {any} view as network.js gets it */
    draw(view) {
      run = view.run;
      const { runs } = link.state, { arrays } = link, two = runs.length > 1, dark = view.theme.dark, look = { dark, discrete: shared.discrete };
      element.dataset.runs = two ? "2" : "1";
      slots[1].element.hidden = slots[2].element.hidden = !two;
      tests.input.checked = shared.showTest;
      cut.input.checked = shared.discrete;
      add.toggleAttribute("data-off", run.kind === "regression");
      add.title = run.kind === "regression" ? "Points of your own have a class: choose a problem with classes" : "Place points of your own: a click adds one, a click on one takes it away";
      if (run.settings.data === "own" && data !== "own") adding = true; // what else would one want now
      data = run.settings.data;
      adding &&= run.kind !== "regression";
      add.setAttribute("aria-pressed", String(adding));
      palette.hidden = hint.hidden = !adding;
      drawClasses(dark);
      key.hidden = run.kind === "regression";

      const at = /** @type {[number, number]} */ (Array.from(example() ?? probe()));
      let main = null;
      for (const [i, slot] of slots.entries()) {
        if (slot.element.hidden) continue;
        const focused = document.activeElement === slot.stage;
        if (i === 1) drawDifference(slot, look);
        else {
          const of = owner(i), shown = shownOf(of, look), { id } = of;
          if (of.id === run.id) main = { shown, slot };
          say(slot.title, `${two ? `${of.name}: ` : ""}${shown.title}`);
          if (shown.picture) slot.paint(shown.picture);
          slot.mark({ train: arrays[`train.${id}`]?.data ?? new Float32Array(0), test: shared.showTest ? arrays[`test.${id}`]?.data ?? null : null, own: own(of), kind: of.kind, dark });
          slot.stage.classList.toggle("pg-adding", adding);
          slot.element.dataset.chosen = two && of.id === run.id ? "yes" : "no";
          slot.stage.setAttribute("aria-label", `${slot.title.textContent} over the plane from −6 to 6. Crosshair at ${number(at[0])}, ${number(at[1])}: `
            + `${valueAt(shown, at)}. Arrow keys move it.`);
        }
        slot.cross(at, focused);
      }
      if (!main) return;
      drawScale(main.shown, look);
      back.hidden = !shared.selected?.pinned;
      if (back.parentElement !== main.slot.head) main.slot.head.append(back);
      const spot = hovered && hovered.slot !== 1 ? hovered : null, of = spot ? owner(spot.slot) : run;
      const place = spot ? spot.at : at, shown = spot ? shownOf(of, look) : main.shown;
      say(reading, `${spot ? "Pointer" : example() ? "This example" : "Crosshair"} (${coordinate(place[0])}, ${coordinate(place[1])}): ${spot ? valueAt(shown, place) : exact(run, shown, place)}`);
      if (slots.some(({ stage: plot }) => plot === document.activeElement) && spoken !== String(at)) {
        spoken = String(at);
        stage.announce(reading.textContent ?? "");
      }
    },
  };

  /** The value at the crosshair is known exactly, not only to a byte. @param {any} of @param {ReturnType<typeof shownOf>} shown @param {[number, number]} at */
  function exact(of, shown, at) {
    const values = link.arrays[example() ? "micro.values" : `values.${of.id}`], { probe: told, options } = link.state;
    const settled = example() || (told?.[0] === at[0] && told?.[1] === at[1]);
    if (!values || !settled) return valueAt(shown, at);
    const after = values.data.subarray(values.shape[1]);
    if (shown.kind === "classes") {
      const chances = Array.from(after.slice(-of.settings.classes)), most = Math.max(...chances);
      return `class ${options.classes[chances.indexOf(most)]}, probability ${number(most)}`;
    }
    const value = number(after[shown.unit ?? 0]);
    return shown.kind === "class" ? `probability ${value}` : value;
  }

  /** @param {Plot} slot @param {any} look */
  function drawDifference(slot, look) {
    const [a, b] = link.state.runs, classes = run.kind === "classes";
    const comparable = a.kind === b.kind && a.layers.at(-1).width === b.layers.at(-1).width; // else the last difference is an old one
    const field = comparable ? link.arrays.difference : null;
    const reach = link.arrays.difference_reach?.data[0] ?? 0;
    slot.element.classList.toggle("pg-empty", !field);
    say(slot.title, !field ? "No difference: other problems" : classes ? "Blue: they decide differently" : `${a.name} − ${b.name}, up to ±${number(reach)}`);
    slot.title.title = classes || !field ? "" : `Blue where ${a.name} answers more, orange where ${b.name} does`;
    if (field) slot.paint({ bytes: field.data, offset: 0, confidence: null, colours: signed({ ...look, discrete: false }), discrete: false });
    slot.stage.setAttribute("aria-label", `The difference of the outputs of ${a.name} and ${b.name}. ${slot.title.textContent}`);
  }
}

/** @param {number} value */
const coordinate = (value) => value.toFixed(2).replace("-", "\u2212");

const TABLES = /** @type {WeakMap<Uint32Array, Uint8ClampedArray>} */ (new WeakMap());

/** A palette's bytes, the same object each time, so that a legend is painted once. @param {Uint32Array} palette */
function table8(palette) {
  let bytes = TABLES.get(palette);
  if (!bytes) TABLES.set(palette, (bytes = new Uint8ClampedArray(palette.buffer)));
  return bytes;
}
