// One training step of a network as a film of real numbers: forward, loss, backward, update.
import { backpropCard } from "./backpropcard.js";
import { BP_STAGES, backpropFilm, backpropSeen, backpropStage } from "./backpropfilm.js";
import { backpropScalar } from "./backpropscalar.js";
import { backpropTensor } from "./backproptensor.js";
import { h, icon, keyboard, say, view } from "./lab.js";
import { number, short, whole } from "./numbers.js";

const BP_SPEEDS = /** @type {[number, string][]} */ ([[0.5, "½ speed"], [1, "Normal speed"], [2, "2× speed"], [4, "4× speed"]]);

export default view("backprop", (stage) => {
  const { link, root, signal } = stage;
  let frames = 0, updates = -1, beatDrawn = -1, seekDone = -1, detail = "node";
  const still = matchMedia("(prefers-reduced-motion: reduce)");

  const film = backpropFilm({
    changed: () => stage.draw(),
    rested: () => { if (!link.gone && link.state.seek) link.do("at", { beat: film.at, detail }); },
    again: () => link.do("take"),
  });
  signal.addEventListener("abort", () => film.stop());

  const edit = (/** @type {string} */ key, /** @type {number} */ value) => {
    const [, end] = backpropStage(film.beats, "backward");
    if (film.at < end) film.go(end);
    link.newest("edit", { key, value }, key);
  };
  let reveal = /** @type {string | null} */ (null); // the number whose arithmetic comes into sight once it is there
  const openKey = () => (link.wished("open").at(-1) ?? link.state.opened)?.key ?? null;
  const open = (/** @type {string} */ key) => {
    reveal = openKey() === key ? null : key;
    link.do("open", { key: reveal });
  };
  const set = (/** @type {Record<string, any>} */ settings) => link.do("set", settings);

  // ---- the head and its controls
  const title = h("h3", { class: "lk-title" }), sub = h("span", { class: "lk-sub" });
  const choice = (/** @type {string} */ label, /** @type {string} */ name, /** @type {[any, string, string][]} */ options) => {
    const buttons = options.map(([value, words, title_]) => h("button", { class: "lk-button", "data-value": String(value), "data-action": `${name}-${value}`, title: title_, "data-needs-kernel": true,
      onclick: () => set({ [name]: value }) }, words));
    return { buttons, element: h("div", { class: "bp-choice", role: "group", "aria-label": label }, ...buttons) };
  };
  const kinds = choice("What is shown", "view", [["scalar", "Numbers", "Every multiplication, sum and activation"], ["tensor", "Layers", "Layers with heatmaps"]]);
  const sizes = choice("What the step is on", "minibatch", [[false, "One example", "The step is on one example"], [true, "Minibatch", "The step is on all examples: the loss is their mean"]]);
  const example = h("input", { type: "number", class: "lk-number bp-example", min: 1, step: 1, "aria-label": "Example", "data-needs-kernel": true });
  const of = h("span", { class: "lk-soft" });
  const rate = h("input", { type: "text", inputmode: "decimal", class: "lk-number bp-rate", "aria-label": "Learning rate", "data-needs-kernel": true });
  const typed = (/** @type {any} */ field, /** @type {(value: number) => void} */ act) => {
    const send = () => { if (field.value.trim() !== "" && Number.isFinite(Number(field.value))) act(Number(field.value)); };
    field.addEventListener("change", send, { signal });
    field.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => { if (event.key === "Enter") send(); }, { signal });
  };
  typed(example, (value) => {
    const nearest = Math.min(link.state.examples, Math.max(1, Math.round(value))) - 1;
    if (nearest !== link.wanted("set").example) set({ example: nearest });
    else stage.draw();
  });
  typed(rate, (value) => { if (value !== link.wanted("set").lr) set({ lr: value }); });
  const details = h("select", { class: "lk-select", "aria-label": "Steps of the film" }, h("option", { value: "node" }, "Number by number"), h("option", { value: "layer" }, "Layer by layer"));
  details.addEventListener("change", () => {
    const stageNow = film.beats[film.at]?.[0] ?? "forward";
    detail = details.value;
    film.load(link.state.structure.beats[detail]);
    film.go(backpropStage(film.beats, stageNow)[0]);
  }, { signal });
  const reset = h("button", { class: "lk-button", "data-action": "reset", "data-needs-kernel": true, title: "Back to the weights and data of the start (r)", onclick: () => link.do("reset") }, "Reset");
  const help = h("button", { class: "lk-button lk-round", title: "Keys (?)", "aria-label": "Keys", onclick: () => { keys.hidden = !keys.hidden; } }, "?");

  // ---- stages, caption, film
  const stages = BP_STAGES.map(([name, words]) => h("button", { class: "lk-button", "data-stage": name, "data-action": `stage-${name}`, title: `Go to the stage ${words.toLowerCase()}`,
    onclick: () => film.go(backpropStage(film.beats, name)[0]) }, h("i", { "aria-hidden": "true" }, { forward: "▸", loss: "◆", backward: "◂", update: "↻" }[name] ?? ""), words));
  const caption = h("p", { class: "bp-caption", role: "status" });
  const playIcon = h("span", { class: "lk-swap" }), playWord = h("span", {});
  const play = h("button", { class: "lk-button lk-play", "data-action": "play", onclick: () => toggle() }, playIcon, playWord);
  const back = h("button", { class: "lk-button", "data-action": "back", title: "One beat back (←)", "aria-label": "One beat back (←)", onclick: () => film.go(film.at - 1) }, icon("back"));
  const on = h("button", { class: "lk-button", "data-action": "step", title: "One beat on (→)", "aria-label": "One beat on (→)", onclick: () => film.go(film.at + 1) }, icon("step"));
  const scrubber = h("input", { type: "range", class: "lk-scrubber", min: 0, step: 1, "aria-label": "Beat" });
  scrubber.addEventListener("input", () => film.go(Number(scrubber.value)), { signal });
  const where = h("output", { class: "lk-where" }, h("b", {}), h("span", {}));
  const speed = h("select", { class: "lk-select", "aria-label": "Speed" }, ...BP_SPEEDS.map(([value, words]) => h("option", { value, selected: value === 1 }, words)));
  speed.addEventListener("change", () => film.speed(Number(speed.value)), { signal });
  const take = h("button", { class: "lk-button", "data-action": "take", "data-needs-kernel": true, title: "Take this step: the update changes the model, and the next step begins (n)", onclick: () => link.do("take") }, "Next training step");
  // Where motion is not wanted, play moves one beat on.
  const toggle = () => (still.matches ? (film.at >= film.last ? link.do("take") : film.go(film.at + 1)) : film.toggle());

  const card = backpropCard(stage, (value) => { if (card.key) edit(card.key, value); });
  const scalar = backpropScalar(stage, { open, edit }), tensor = backpropTensor(stage, { open });
  const tick = (/** @type {() => void} */ act) => () => { if (!link.gone) act(); };
  const keys = keyboard(root, {
    " ": ["Play or pause the film", toggle],
    ArrowLeft: ["One beat back", () => film.go(film.at - 1)],
    ArrowRight: ["One beat on", () => film.go(film.at + 1)],
    Home: ["The first beat", () => film.go(0)],
    End: ["The last beat", () => film.go(film.last)],
    n: ["Take this step and begin the next", tick(() => link.do("take"))],
    r: ["Reset weights and data", tick(() => link.do("reset"))],
    Escape: ["Close the arithmetic", tick(() => { if (openKey() !== null) card.close(); })],
  });

  const waits = h("p", {}, "Waiting for the kernel: the network comes with its first message.");
  const legend = h("p", { class: "lk-note bp-legend" });
  const controls = h("div", { class: "bp-controls" }, kinds.element, sizes.element, h("label", { class: "lk-field" }, h("span", {}, "Example"), example, of), details,
    h("label", { class: "lk-field" }, h("span", {}, "Learning rate"), rate), reset);
  const box = h("div", { class: "lk-card", hidden: true }, h("header", { class: "lk-head" }, h("div", {}, title, sub), help), keys, controls,
    h("div", { class: "bp-story" }, h("div", { class: "bp-stages", role: "group", "aria-label": "Stages" }, ...stages), caption), scalar.element, tensor.element, legend, card.element,
    h("div", { class: "lk-timeline", role: "group", "aria-label": "Film" }, h("div", { class: "lk-transport" }, back, play, on), scrubber, where, h("div", { class: "lk-later" }, speed, take)));
  root.append(waits, box);
  const shown = /** @type {any} */ ({ frames: 0, draw_ms: 0 });
  /** @type {any} */ (root).labkit = shown;

  const drawControls = (/** @type {any} */ state) => {
    const what = state.minibatch ? `on all ${whole(state.examples)} examples` : state.examples > 1 ? `on example ${state.example + 1}` : "";
    say(title, `Training step ${whole(state.steps + 1)}${what ? ` ${what}` : ""}: loss ${number(state.loss)}`);
    say(sub, state.losses.length ? `Before the last step it was ${number(state.losses.at(-1))}, at the start ${number(state.losses[0])}` : "Press Play, or the space bar");
    for (const button of kinds.buttons) button.setAttribute("aria-pressed", String(button.dataset.value === state.kind));
    kinds.buttons[0].toggleAttribute("data-off", Boolean(state.why_not_scalar));
    kinds.buttons[0].title = state.why_not_scalar || "Every multiplication, sum and activation";
    for (const button of sizes.buttons) button.setAttribute("aria-pressed", String(button.dataset.value === String(state.minibatch)));
    sizes.element.hidden = example.parentElement.hidden = state.examples < 2;
    if (document.activeElement !== example) example.value = String(state.example + 1);
    example.max = String(state.examples);
    say(of, `of ${whole(state.examples)}`);
    if (document.activeElement !== rate) rate.value = short(state.lr).replace("\u2212", "-");
    details.hidden = !state.structure.beats.node;
    if (details.value !== detail) details.value = detail;
    say(legend, [state.kind === "scalar" ? "Lines: as wide as the weight is large, dashed orange below zero, blue above. ◂ is the gradient ∂L/∂ of the number. Drag a framed number up or down." : "◂ ∂L is the gradient of the loss by each entry.",
      state.minibatch ? `Values are those of example ${state.example + 1}; the gradients of weights and biases are of the whole minibatch's mean loss.` : ""].join(" ").trim());
  };
  const drawFilm = (/** @type {any} */ state) => {
    const name = film.beats[film.at]?.[0] ?? "", [first, last] = backpropStage(film.beats, name);
    for (const button of stages) button.setAttribute("aria-pressed", String(button.dataset.stage === name));
    const words = state.captions[detail]?.[film.at]; // after a change the others follow those of the beat that Python knows of
    if (words != null) say(caption, words);
    caption.dataset.stage = name;
    if (play.dataset.shows !== String(film.playing)) {
      play.dataset.shows = String(film.playing);
      playIcon.replaceChildren(icon(film.playing ? "pause" : "play"));
      say(playWord, film.playing ? "Pause" : "Play");
      play.title = film.playing ? "Pause (space)" : "Play the film (space)";
    }
    scrubber.max = String(Math.max(1, film.last));
    scrubber.value = String(film.at);
    scrubber.style.setProperty("--lk-part", `${(100 * film.at) / Math.max(1, film.last)}%`);
    const called = BP_STAGES.find(([id]) => id === name)?.[1] ?? "";
    scrubber.setAttribute("aria-valuetext", `Beat ${film.at + 1} of ${film.last + 1}, ${called}`);
    say(where.children[0], `Beat ${film.at + 1} of ${film.last + 1}`);
    say(where.children[1], `${called} ${film.at - first + 1} of ${last - first + 1}`);
    take.classList.toggle("lk-primary", film.at === film.last && !film.playing);
  };

  return () => {
    const { state, arrays } = link;
    waits.hidden = Boolean(state.structure);
    box.hidden = !state.structure;
    if (!state.structure) return;
    const began = performance.now();
    if (!state.structure.beats[detail]) detail = "layer";
    if (state.seek.number !== seekDone) {
      seekDone = state.seek.number;
      detail = state.seek.detail;
      film.load(state.structure.beats[detail]);
      film.put(state.seek.beat);
    }
    if (film.beats !== state.structure.beats[detail]) film.load(state.structure.beats[detail]);
    const seen = backpropSeen(film.beats, film.at), moved = film.at !== beatDrawn;
    beatDrawn = film.at;
    root.dataset.motion = still.matches ? "still" : "moves";
    const isScalar = state.kind === "scalar";
    scalar.element.hidden = !isScalar;
    // First, because it asks for its width: after a change elsewhere the page would be laid out for that.
    scalar.draw(isScalar ? state.structure : null, arrays, seen, state.opened?.key ?? null, moved);
    drawControls(state);
    drawFilm(state);
    tensor.draw(isScalar ? null : state.structure, arrays, seen, state.loss, moved);
    card.draw();
    if (reveal && reveal === card.key) {
      card.element.scrollIntoView({ block: "nearest" });
      reveal = null;
    }
    if (link.updates !== updates) frames += 1;
    updates = link.updates;
    Object.assign(shown, { frames, updates, beat: film.at, beats: film.last + 1, stage: seen.stage, playing: film.playing, kind: state.kind, steps: state.steps, loss: state.loss,
      opened: state.opened?.key ?? null, minibatch: state.minibatch, example: state.example, detail, answered: state.answered ?? 0, asked: link.ticket, draw_ms: performance.now() - began });
  };
});
