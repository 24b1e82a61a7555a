// Slow motion: one optimisation step taken apart into what runs forward, the loss, what runs backward, and the update.
import { h, icon, say } from "./lab.js";
import { number, short, whole } from "./numbers.js";
import { arithmetic, biasAt, changeText, firstUnit, sumLine, unitSymbol, weightAt } from "./weights.js";

/** @typedef {import("./lab.js").Stage} Stage */
/** @typedef {{kind: "forward" | "loss" | "backward" | "update", layer: number}} MicroStage */

const MICRO_PACE = 1400; // ms that a stage stands while slow motion plays
const SWEEP = 250; // ms in which a stage's links light up

/** The stages of one step of a network with so many layers (input and output counted). @param {number} layers @returns {MicroStage[]} */
export function microStages(layers) {
  const inner = Array.from({ length: layers - 1 }, (_, k) => k + 1);
  return [
    { kind: "forward", layer: 0 }, ...inner.map((layer) => /** @type {MicroStage} */ ({ kind: "forward", layer })), { kind: "loss", layer: layers - 1 },
    ...inner.reverse().map((layer) => /** @type {MicroStage} */ ({ kind: "backward", layer })), { kind: "update", layer: 0 },
  ];
}

/** @param {any} run @param {number} layer */
const layerWords = (run, layer) => (layer === 0 ? "the features" : layer === run.layers.length - 1 ? "the output" : `hidden layer ${layer}`);

/** Which of `width` values from `first` on is the largest. @param {ArrayLike<number>} slopes @param {number} first @param {number} width */
function steepest(slopes, first, width) {
  let best = 0;
  for (let row = 1; row < width; row += 1) if (Math.abs(slopes[first + row]) > Math.abs(slopes[first + best])) best = row;
  return best;
}

/**
 * The parameter that the update changed most, of all or of one unit.
 * @param {any} run
 * @param {ArrayLike<number>} before
 * @param {ArrayLike<number>} after
 * @param {{layer: number, row: number} | null} unit
 */
function mostChanged(run, before, after, unit) {
  let best = { offset: -1, name: "" }, most = -1;
  const consider = (/** @type {number} */ offset, /** @type {() => string} */ name) => {
    const change = Math.abs(after[offset] - before[offset]);
    if (change > most) {
      most = change;
      best = { offset, name: name() };
    }
  };
  for (let layer = 1, first = 0; layer < run.layers.length; first += run.layers[layer - 1].width, layer += 1) {
    for (let row = 0; row < run.layers[layer].width; row += 1) {
      if (unit && (unit.layer !== layer || unit.row !== row)) continue;
      const several = run.layers[layer].width > 1, last = layer === run.layers.length - 1;
      const owner = !last ? `unit ${row + 1} of hidden layer ${layer}` : several ? `output ${row + 1}` : "the output";
      const from = first;
      for (let i = 0; i < run.layers[layer - 1].width; i += 1) {
        consider(weightAt(run.layers, layer, row, i), () => `the weight from ${unitSymbol(run, from + i)} to ${owner}`);
      }
      consider(biasAt(run.layers, layer, row), () => `the bias of ${owner}`);
    }
  }
  return best;
}

/**
 * One sentence for a stage, with its numbers.
 * @param {MicroStage} stage
 * @param {any} run
 * @param {any} micro the kernel's state of the step
 * @param {Record<string, ArrayLike<number>>} data inputs, values, slopes (of the sums), parameters, gradients (of the parameters), after
 * @param {{layer: number, row: number} | null} unit the one that is pointed at or pinned
 * @param {string[]} classes
 * @returns {string}
 */
export function microCaption(stage, run, micro, data, unit, classes) {
  const { kind, layer } = stage;
  // The unit whose numbers are written out: the chosen one, else the layer's first, or backward the one with the steepest slope.
  const first = firstUnit(run.layers, layer), chosen = unit?.layer === layer ? unit.row : null;
  const row = chosen ?? (kind === "backward" ? steepest(data.slopes, first, run.layers[layer].width) : 0), shown = first + row;
  const shownWords = run.layers[layer].width > 1 ? `unit ${row + 1}: ` : "";
  if (kind === "forward") {
    const example = `example ${micro.example + 1} of ${micro.size} at x₁ = ${number(data.inputs[0])}, x₂ = ${number(data.inputs[1])}`;
    if (layer === 0) return `Forward: ${example}`;
    const sum = arithmetic(run, data.parameters, data.values, shown, run.settings.dropout);
    return `Forward, ${layerWords(run, layer)}: ${shownWords}${sum && sumLine(sum, 3)}`;
  }
  if (kind === "loss") {
    const loss = number(micro.example_loss);
    if (run.kind === "classes") {
      const outputs = run.layers.at(-1).width, p = data.values[data.values.length - outputs + micro.target];
      return `Loss: −log p(${classes[micro.target]}) = −log ${number(p)} = ${loss}; mean over the batch ${number(micro.loss)}`;
    }
    const target = micro.target < 0 ? `(${short(micro.target)})` : short(micro.target);
    return `Loss: ½(ŷ − y)² = ½(${number(micro.output)} − ${target})² = ${loss}; mean over the batch ${number(micro.loss)}`;
  }
  if (kind === "backward") {
    return `Backward, ${layerWords(run, layer)}: ${shownWords}∂L/∂z = ${number(data.slopes[shown])} for this example; `
      + `at the links ∂L/∂w of the batch's mean loss (${whole(micro.size)} examples)`;
  }
  const { offset, name } = mostChanged(run, data.parameters, data.after, unit);
  const before = data.parameters[offset], gradient = data.gradients[offset], after = data.after[offset];
  const plain = run.settings.optimizer === "sgd" && Math.abs(before - micro.lr * gradient - after) <= 1e-3 * Math.abs(after - before) + 1e-6;
  if (plain) {
    const sign = gradient < 0 ? `(${number(gradient)})` : number(gradient);
    return `Update: w − ${short(micro.lr)} · ∂L/∂w, ${name}: ${number(before)} − ${short(micro.lr)} · ${sign} = ${number(after)}`;
  }
  return `Update: the optimiser's step (${run.settings.optimizer}), ${name}: ${changeText(before, after)}`;
}

/** @param {Stage} stage */
export function slowMotion(stage) {
  const { link, signal } = stage;
  let stages = /** @type {MicroStage[]} */ ([]), at = 0, began = 0, playing = false, timer = 0, key = "";
  let ahead = 0; // stages asked for of a step that is not opened yet

  const button = (/** @type {string} */ name, /** @type {string} */ title, /** @type {() => void} */ run, /** @type {any[]} */ ...inside) =>
    h("button", { class: "lk-button", title, "aria-label": title, "data-action": `micro-${name}`, "data-needs-kernel": true, onclick: run }, ...inside);
  const playWord = h("span", {}), playIcon = h("span", { class: "lk-swap" });
  const play = button("play", "Play the stages one after the other (space)", () => toggle(), playIcon, playWord);
  const before = button("back", "The stage before (←)", () => back(), icon("back"));
  const forth = button("next", "Next stage (→)", () => next(), icon("step"), "Next stage");
  const step = button("step", "Take this step and open the next one", () => take(), "Next step");
  const still = matchMedia("(prefers-reduced-motion: reduce)");
  const out = button("leave", "Leave slow motion (Esc)", () => leave(), icon("close"));
  const where = h("span", { class: "lk-soft" }), caption = h("p", { class: "lk-micro-caption", role: "status" });
  const dots = h("div", { class: "lk-micro-dots", "aria-hidden": "true" });
  const element = h("div", { class: "lk-micro", role: "group", "aria-label": "Slow motion", hidden: true },
    h("div", { class: "lk-micro-row" }, h("b", {}, "Slow motion"), where, dots, out),
    h("div", { class: "lk-micro-row" }, before, play, forth, step), caption);

  const halt = () => {
    clearTimeout(timer);
    timer = 0;
    playing = false;
  };
  const arm = () => {
    clearTimeout(timer);
    timer = playing ? setTimeout(() => {
      if (!opening()) forward();
      arm();
    }, MICRO_PACE) : 0;
  };
  const opening = () => link.wishes.some(({ action }) => action === "micro_step" || action === "micro");
  const take = () => link.do("micro_step");
  const forward = () => {
    began = performance.now();
    if (opening()) ahead += 1;
    else if (at < stages.length - 1) at += 1;
    else take();
    stage.draw();
  };
  const next = () => {
    halt();
    forward();
  };
  const back = () => {
    halt();
    if (opening()) ahead = Math.max(0, ahead - 1);
    else at = Math.max(0, at - 1);
    stage.draw();
  };
  const toggle = () => {
    if (still.matches) {
      next();
      return;
    }
    const on = !playing;
    halt();
    playing = on;
    if (on) forward();
    arm();
    stage.draw();
  };
  const leave = () => {
    halt();
    link.do("micro", { on: false });
  };
  signal.addEventListener("abort", halt);

  return {
    element, next, back, toggle, leave,
    active: () => Boolean(link.state.micro),
    /** The stage shown, or null. */
    now: () => (link.state.micro && stages[at]) || null,
    /** How far the links of this stage are lit, 0 to 1. */
    progress: () => (still.matches ? 1 : Math.min(1, (performance.now() - began) / SWEEP)),
    /** @param {any} run @param {any} parameters @param {{layer: number, row: number} | null} unit */
    draw(run, parameters, unit) {
      const micro = link.state.micro, { arrays } = link;
      element.hidden = !micro;
      if (!micro || !arrays["micro.values"]) {
        if (opening()) return;
        halt();
        ahead = 0;
        key = "";
        return;
      }
      const nextKey = `${run.id} ${micro.step} ${run.settings.widths}`;
      if (nextKey !== key) {
        key = nextKey;
        stages = microStages(run.layers.length);
        at = 0;
      }
      if (!opening()) {
        at = Math.min(at + ahead, stages.length - 1);
        ahead = 0;
      }
      const data = {
        inputs: arrays["micro.inputs"].data, values: arrays["micro.values"].data, slopes: arrays["micro.gradients"].data, parameters: parameters.data,
        gradients: arrays["micro.parameter_gradients"].data, after: arrays["micro.after"].data,
      };
      say(where, `step ${whole(micro.step)}, batch ${whole(micro.batch)} of ${whole(micro.batches)} in the epoch`);
      say(caption, microCaption(stages[at], run, micro, data, unit, link.state.options.classes));
      if (dots.childElementCount !== stages.length) dots.replaceChildren(...stages.map(({ kind }) => h("i", { "data-kind": kind })));
      for (const [k, dot] of [...dots.children].entries()) dot.toggleAttribute("data-on", k <= at);
      if (play.dataset.shows !== String(playing)) {
        play.dataset.shows = String(playing);
        playIcon.replaceChildren(icon(playing ? "pause" : "play"));
        say(playWord, playing ? "Pause" : "Play");
      }
      play.hidden = still.matches;
      before.toggleAttribute("data-off", at === 0);
    },
  };
}
