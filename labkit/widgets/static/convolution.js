// One convolution: the picture, the kernel, the output, and the arithmetic of the pixel one points at.
import { reach } from "./colours.js";
import { convControls } from "./convcontrols.js";
import { kernelTable } from "./convkernel.js";
import { pixelMap } from "./convmap.js";
import { convPhotos } from "./convphoto.js";
import { sumCard } from "./convsum.js";
import { outputsOf, places, sumAt } from "./convwindow.js";
import { h, keyboard, put, say, view } from "./lab.js";
import { number, whole } from "./numbers.js";
import { optFilm } from "./optfilm.js";
import { legend, signedColours } from "./pictures.js";

/** @typedef {import("./convmap.js").Pixel} Pixel */

export default view("convolution", (stage) => {
  const { link, root } = stage;
  const shown = /** @type {any} */ ({ frames: 0, playing: false, updates: -1 });
  let hover = /** @type {{on: string, pixel: Pixel} | null} */ (null), chosen = { row: 0, column: 0 }, told = "";
  let all = true, sweep = false, filmAt = -1, wasPlaying = false;

  const channelNow = () => link.wanted("look").channel;
  const look = (channel = channelNow()) => link.newest("look", { ...chosen, channel });
  const choose = (/** @type {Pixel} */ pixel) => {
    hover = null;
    sweep = false;
    chosen = pixel;
    filmAt = chosen.row * link.arrays.output.shape[2] + chosen.column;
    film.show(filmAt);
    look();
  };
  const controls = convControls(stage), photos = convPhotos(stage);
  const table = kernelTable(stage, channelNow, () => all);
  const film = optFilm(stage, "output", 1);
  const card = sumCard(stage);
  let inputAt = /** @type {Pixel | null} */ (null); // an input pixel that was clicked: where it goes stays shown
  const point = (/** @type {string} */ on) => (/** @type {Pixel | null} */ pixel) => {
    hover = pixel && !film.playing ? { on, pixel } : null;
    stage.draw();
  };
  const input = pixelMap(stage, { label: "Input", point: point("input"), choose: (pixel) => { [inputAt, sweep] = [pixel, false]; stage.draw(); } });
  const output = pixelMap(stage, { label: "Output", point: point("output"), choose: (pixel) => { inputAt = null; choose(pixel); } });
  const inputTitle = h("h4", {}), outputTitle = h("h4", {}), inputNote = h("p", { class: "lk-note" }), outputNote = h("p", { class: "lk-note" });
  const range = legend(), pooled = h("p", { class: "lk-note" }), weights = h("p", { class: "lk-note" });
  const which = h("select", { class: "lk-select", "aria-label": "Colour", "data-needs-kernel": true, onchange: () => {
    all = which.value === "all";
    look(all ? channelNow() : Number(which.value));
  } }, ...["all", "0", "1", "2"].map((value, i) => h("option", { value }, ["Edit all colours", "Red", "Green", "Blue"][i])));

  const keys = keyboard(root, {
    " ": ["Play or pause the sweep", film.toggle],
    ArrowLeft: ["One output back; on a map or the piece: move there", () => film.show(film.shown - 1)],
    ArrowRight: ["One output on", () => film.show(film.shown + 1)],
    "↑ ↓": ["On an entry of the kernel: change it (with Shift: ten times as much)", () => {}],
    Escape: ["Back from an input pixel to the output", () => { inputAt = null; stage.draw(); }],
  });
  const help = h("button", { class: "lk-button lk-round", title: "Keys (?)", "aria-label": "Keys", onclick: () => { keys.hidden = !keys.hidden; } }, "?");
  const title = h("h3", { class: "lk-title" }), formula = h("span", {}), tabular = h("b", { class: "conv-formula" });
  const kernelTitle = h("h4", {});
  const kernelPart = h("section", { class: "conv-middle", "aria-label": "Kernel" }, kernelTitle, h("div", { class: "conv-choose" }, ...controls.kernel, which), table.element, pooled, weights);
  const body = h("div", { class: "conv-body" },
    h("div", { class: "conv-photos" }, ...photos.elements),
    h("section", { class: "conv-side", "aria-label": "Input" }, inputTitle, input.element, inputNote),
    kernelPart,
    h("section", { class: "conv-side", "aria-label": "Output" }, outputTitle, output.element, range.element, outputNote));
  root.append(h("div", { class: "lk-card" },
    h("header", {}, title, h("p", { class: "lk-sub" }, formula, tabular)),
    h("div", { class: "lk-controls" }, ...controls.above), h("div", { class: "lk-controls" }, ...controls.options, help), keys,
    body,
    card.element, film.element));
  /** @type {any} */ (root).labkit = shown;

  /** Which output pixel is meant: by the film, by Python, or by the pointer. */
  const settle = () => {
    const { pixel } = link.state, [, height, width] = link.arrays.output.shape, from = JSON.stringify([pixel, height, width]);
    const settled = !film.playing && !link.wished("look").length; // else what Python says is older than what is chosen here
    const other = from !== told && (pixel[0] !== chosen.row || pixel[1] !== chosen.column || !told.endsWith(`,${height},${width}]`));
    if (settled) told = from;
    if (settled && other) {
      chosen = { row: pixel[0], column: pixel[1] };
      filmAt = chosen.row * width + chosen.column;
      film.draw(height * width - 1);
      film.show(filmAt);
      sweep = false;
    }
    film.draw(height * width - 1);
    if (film.shown !== filmAt) {
      [filmAt, sweep, inputAt, hover] = [film.shown, true, null, null];
      chosen = { row: Math.floor(filmAt / width), column: filmAt % width };
      if (!film.playing) look();
    }
    if (wasPlaying && !film.playing) look();
    if (filmAt >= height * width - 1 && !film.playing) sweep = false;
    wasPlaying = film.playing;
  };

  return () => {
    settle();
    const state = link.state, { input: given, output: made, weight } = link.arrays, dark = stage.theme().dark;
    const [channels, height, width] = given.shape, [outputs, high, wide] = made.shape, pools = state.kind === "max" || state.kind === "average";
    say(title, state.finding);
    say(formula, "Size along a side: ");
    say(tabular, state.formula);
    controls.draw();
    photos.draw();
    table.draw();
    body.dataset.wide = state.size > 5 && !pools ? "yes" : "no";
    for (const element of [table.element, weights, controls.kernel[0]]) element.hidden = pools;
    which.hidden = channels === 1;
    which.options[0].hidden = pools;
    put(link, which, all && !pools ? "all" : String(state.channel));
    say(kernelTitle, pools ? "No kernel" : "Kernel");
    pooled.hidden = !pools;
    say(pooled, state.kind === "max" ? "The largest value in the window goes on. There is nothing to learn." : "The mean of the window goes on. There is nothing to learn.");
    say(weights, `${whole(state.weights)} weights in all, used at every place`);

    const at = inputAt ? { on: "input", pixel: inputAt } : hover ?? { on: "output", pixel: chosen };
    const target = at.on === "output" ? at.pixel : chosen, out = outputs > 1 ? state.channel : 0;
    const summed = state.colours === "together" ? Array.from({ length: channels }, (_, c) => c) : [state.channel];
    const most = state.like === "signed" ? reach(made.data) || 1 : null;
    const goes = at.on === "input" ? outputsOf(state, at.pixel.row, at.pixel.column, [height, width], [high, wide]) : [];
    const rows = places(state, target.row), columns = places(state, target.column);
    const window = at.on === "input" ? [] : rows.flatMap((row) => columns.flatMap((column) => (row === null || column === null ? [] : [{ row, column }])));
    const border = state.kind === "transposed" ? 0 : state.padding;
    const painted = channels === 3;
    input.draw({ field: given, border, mode: state.mode, channel: painted ? null : 0, most: null, until: Infinity, marks: window, centre: at.on === "input" ? at.pixel : null, empty: state.kind === "max" ? "−∞" : "0" });
    const asPicture = state.like === "picture" && outputs === 3;
    output.draw({ field: made, border: 0, mode: "zeros", channel: asPicture ? null : out, most, until: sweep ? filmAt : Infinity, marks: goes, centre: at.on === "output" ? at.pixel : null, empty: "" });
    say(inputTitle, `Input, ${height} × ${width}${channels === 3 ? " × 3 colours" : ""}`);
    say(inputNote, border ? `and ${border} pixel${border > 1 ? "s" : ""} of padding on each side` : "the piece in the box, an input of its own");
    say(outputTitle, `Output, ${high} × ${wide}${outputs === 3 ? ` × 3${asPicture ? " colours" : `: ${["red", "green", "blue"][out]}`}` : ""}`);
    range.element.hidden = most === null;
    if (most !== null) range.draw({ low: -most, high: most, colours: signedColours(dark) }, number(-most), number(most));
    outputNote.hidden = most !== null;
    say(outputNote, "brightness as in the input: 0 is black, 1 is white");

    const biggest = reach(weight.data) || 1;
    if (at.on === "input") {
      card.input(goes, { ...at.pixel, value: given.data[(state.channel * height + at.pixel.row) * width + at.pixel.column], most: biggest }, (entry) => (pools ? 1 : weight.data[state.channel * state.size * state.size + entry]));
    } else {
      const value = made.data[(out * high + target.row) * wide + target.column];
      const sum = sumAt(state, given, weight, summed, target.row, target.column);
      card.output(state, sum, summed, { ...target, value, coloured: channels === 3, line: state.code, most: biggest });
      Object.assign(shown, { value, total: sum.total });
    }
    input.element.setAttribute("aria-label", `Input, ${height} by ${width} pixels. Arrow keys choose one; what it reaches is said below.`);
    output.element.setAttribute("aria-label", `Output, ${high} by ${wide} pixels. Row ${target.row}, column ${target.column} is ${number(shown.value)}. Arrow keys choose another.`);
    shown.frames += 1;
    Object.assign(shown, {
      playing: film.playing, updates: link.updates, on: at.on, pixel: at.pixel, reaches: goes.length, sweep, shape: [outputs, high, wide],
      operation: state.kind, kernel: state.kernel, size: state.size, picture: state.picture, place: state.place, answered: state.answered,
    });
  };
});
