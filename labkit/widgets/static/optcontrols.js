// The controls of an optimisers' view: function, learning rates, momentum, start.
import { h, put } from "./lab.js";
import { short } from "./numbers.js";

/** @typedef {import("./lab.js").Stage} Stage */

/** What a person typed as a number; null for nothing or nonsense. @param {string} text */
const asNumber = (text) => (text.trim() === "" || !Number.isFinite(Number(text)) ? null : Number(text));

/** A text field for one number. @param {string} label @param {(value: number) => void} set @param {AbortSignal} signal */
function numberField(label, set, signal) {
  const field = h("input", { type: "text", inputmode: "decimal", class: "lk-number", "aria-label": label, "data-needs-kernel": true });
  let taken = ""; // at Enter
  const take = () => {
    const value = asNumber(field.value);
    taken = field.value;
    if (value !== null) set(value);
  };
  // When it is left after Enter, that is nothing new, and older than what is done elsewhere by then.
  field.addEventListener("change", () => { if (field.value !== taken) take(); }, { signal });
  // The notebook takes Enter for itself, so that no change event comes.
  field.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => { if (event.key === "Enter") take(); }, { signal });
  return {
    element: field,
    draw: (/** @type {number} */ value) => {
      if (document.activeElement === field) return;
      field.value = Math.abs(value) < 1e4 ? String(Number(value.toPrecision(4))) : value.toExponential(0).replace("+", "");
      taken = field.value;
    },
  };
}

/**
 * A slider with the number beside it.
 * @param {Stage} stage
 * @param {{word: string, title: string, min: number, max: number, step: number, log: boolean, set: (value: number) => void}} options
 */
function slide({ link, signal }, { word, title, min, max, step, log, set }) {
  const slider = h("input", { type: "range", class: "lk-slider", min, max, step, "aria-label": word, "data-needs-kernel": true });
  const field = numberField(`${word}, as a number`, set, signal), name = h("span", {}, word);
  slider.addEventListener("input", () => set(log ? Number((10 ** Number(slider.value)).toPrecision(2)) : Number(slider.value)), { signal });
  return {
    element: h("label", { class: "lk-field opt-slide", title }, name, slider, field.element),
    draw(/** @type {number} */ value) {
      field.draw(value);
      if (!slider.matches(":active")) put(link, slider, String(log ? Math.log10(value) : value));
      slider.setAttribute("aria-valuetext", short(value));
    },
  };
}

/** @param {Stage} stage */
export function optControls(stage) {
  const { link, signal } = stage;
  const choice = h("select", { class: "lk-select", "aria-label": "Function", "data-needs-kernel": true,
    onchange: () => link.do("set", { function: choice.value }) });
  const rate = (/** @type {boolean} */ plain, /** @type {string} */ word, /** @type {string} */ title) =>
    slide(stage, { word, title, min: -4, max: 1, step: 0.02, log: true, set: (lr) => link.newest("rate", { plain, lr }, String(plain)) });
  const factor = rate(true, "Rate × gradient", "Learning rate of SGD, Momentum and Nesterov: a step is this times the gradient, or times the sum of past gradients");
  const length = rate(false, "Rate ≈ step length", "Learning rate of Adagrad, RMSProp, Adam and AdamW: they divide by the gradient's size, so a step is at most about this long along each axis");
  const momentum = slide(stage, { word: "Momentum", title: "Of Momentum and Nesterov, and β₁ of Adam and AdamW", min: 0, max: 0.99, step: 0.01, log: false,
    set: (value) => link.newest("set", { momentum: value }, "momentum") });
  const place = ["x", "y"].map((word, i) => numberField(`Start, ${word}`, (value) => {
    const start = [...link.wanted("set").start], [low, high] = link.state.limits[i];
    start[i] = Math.min(high, Math.max(low, value)); // off the map it could not be seen
    link.do("set", { start });
  }, signal));
  const button = (/** @type {string} */ action, /** @type {string} */ word, /** @type {string} */ title) =>
    h("button", { class: "lk-button", "data-action": action, "data-needs-kernel": true, title, onclick: () => link.do(action) }, word);
  const best = button("best", "Best rates", "Try many rates from this start and give each optimiser its best (b)");
  const usual = button("usual", "Usual rates", "Back to the usual rates of this function (u)");
  const start = h("span", { class: "lk-field" }, h("span", {}, "Start"), ...place.map((field) => field.element));
  let offered = "";
  return {
    elements: [choice, factor.element, length.element, momentum.element, start, best, usual],
    draw() {
      const { functions, function: name, optimizers, momentum: inertia, start: at } = link.state, key = functions.join("\n");
      if (key !== offered) choice.replaceChildren(...functions.map((/** @type {string} */ one) => h("option", { value: one }, one[0].toUpperCase() + one.slice(1))));
      offered = key;
      put(link, choice, name);
      for (const [control, plain] of /** @type {[any, boolean][]} */ ([[factor, true], [length, false]])) {
        const first = optimizers.find((/** @type {any} */ one) => one.plain === plain);
        control.element.hidden = !first;
        if (first) control.draw(first.lr);
      }
      momentum.draw(inertia);
      place.forEach((field, i) => field.draw(at[i]));
    },
  };
}
