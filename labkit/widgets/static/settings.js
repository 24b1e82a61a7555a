// The settings of a run: one labelled control each, the most important first.
import { h, icon, say } from "./lab.js";
import { number } from "./numbers.js";
import { ACTIVATION_WORDS } from "./weights.js";

/** @typedef {import("./lab.js").Stage} Stage */

const RATES = [0.00001, 0.0001, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10];
const WORDS = /** @type {Record<string, string>} */ ({
  ...ACTIVATION_WORDS,
  sgd: "SGD", momentum: "Momentum", adam: "Adam", adamw: "AdamW", rmsprop: "RMSprop", adagrad: "Adagrad",
  constant: "Constant", step: "Step", exponential: "Exponential", cosine: "Cosine", warmup: "Warm-up",
});
const PERIODS = /** @type {Record<string, string>} */ ({
  constant: "", step: "Epochs to a half", exponential: "Epochs to a tenth", cosine: "Epochs to zero", warmup: "Epochs to full",
});
const NAMES = /** @type {Record<string, string>} */ ({
  data: "data set", classes: "classes", noise: "noise", n: "points", train_share: "train share", data_seed: "drawing of the data", points: "own points",
  features: "inputs", widths: "hidden layers", activations: "activations", dropout: "dropout", optimizer: "optimiser", lr: "learning rate",
  schedule: "schedule", schedule_epochs: "epochs of the schedule", batch_size: "batch size", l1: "L1", l2: "L2", seed: "seed",
  start_weights: "weights set by hand", frozen: "frozen weights",
});

/** What Python calls it, in words: "ReLU" for relu. @param {string} name @returns {string} */
export const wordOf = (name) => WORDS[name] ?? name;

/**
 * What a person typed as a number, with a point or a comma; null for nothing or nonsense.
 * @param {string} text
 * @returns {number | null}
 */
export function numberFrom(text) {
  const value = Number(text.trim().replace(",", ".").replace("\u2212", "-"));
  return text.trim() === "" || !Number.isFinite(value) ? null : value;
}

/**
 * The settings in which two runs differ, in words for both.
 * @param {Record<string, any>} one
 * @param {Record<string, any>} other
 * @returns {{name: string, one: string, other: string}[]}
 */
export function differences(one, other) {
  const tell = (/** @type {any} */ value, /** @type {string} */ key) => {
    if (key === "points" || key === "start_weights" || key === "frozen") return String(value.length);
    if (Array.isArray(value)) return value.map((v) => (typeof v === "string" ? wordOf(v) : v)).join(", ") || "none";
    return wordOf(String(value));
  };
  return Object.keys(one).filter((key) => JSON.stringify(one[key]) !== JSON.stringify(other[key]))
    .map((key) => ({ name: NAMES[key] ?? key, one: tell(one[key], key), other: tell(other[key], key) }));
}

/**
 * The settings of a run with the changes that have no answer yet: what the next change goes on from.
 * @param {import("./link.js").Link} link
 * @param {any} run
 */
export function wantedSettings(link, run) {
  const wanted = Object.assign({}, run.settings, ...link.wished("change").map(({ settings }) => settings));
  // Layers that are being added have the last one's activation.
  wanted.activations = wanted.widths.map((/** @type {number} */ _, /** @type {number} */ k) => wanted.activations[k] ?? wanted.activations.at(-1) ?? "tanh");
  return wanted;
}

/**
 * Sends changed settings, those of a slider as often as they are answered. While an answer is awaited the controls keep what they show.
 * @param {Stage} stage
 * @returns {{now: (settings: Record<string, any>) => void, soon: (settings: Record<string, any>) => void, pending: () => boolean, ticket: () => number}}
 */
export function changes({ link }) {
  return {
    now: (settings) => link.do("change", { settings }),
    soon: (settings) => link.newest("change", { settings }, Object.keys(settings).join()),
    ticket: () => link.ticket, // after an answer that refused a change the controls are set back
    pending: () => link.wished("change").length > 0,
  };
}

/** A control under its name. @param {string} name @param {string} hint @param {...any} inside */
const labelled = (name, hint, ...inside) => h("label", { class: "pg-field", title: hint }, h("span", { class: "pg-label" }, name), h("span", { class: "pg-control" }, ...inside));

/**
 * A field for a number. It takes what is typed at Enter and when it is left.
 * @param {string} key of the setting
 * @param {string} name
 * @param {(value: number) => void} take
 * @param {AbortSignal} signal
 */
function numberField(key, name, take, signal) {
  const field = h("input", { type: "text", inputmode: "decimal", class: "lk-number", "data-setting": key, "aria-label": name, autocomplete: "off", "data-needs-kernel": true });
  let shown = /** @type {number | null} */ (null);
  const put = (/** @type {number} */ value) => {
    shown = value;
    field.value = String(value);
    field.removeAttribute("aria-invalid");
  };
  const submit = () => {
    const value = numberFrom(field.value);
    if (value === null) field.setAttribute("aria-invalid", "true");
    else if (value !== shown) {
      put(value);
      take(value);
    }
  };
  // The notebook takes Enter for itself, so that no change event comes.
  field.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => { if (event.key === "Enter") submit(); }, { signal });
  field.addEventListener("blur", () => {
    submit();
    if (field.hasAttribute("aria-invalid") && shown !== null) put(shown);
  }, { signal });
  return { field, draw: (/** @type {number} */ value) => { if (document.activeElement !== field || field.value === String(shown)) put(value); } };
}

/**
 * A field for a number with a list of the usual ones: one click chooses, and anything can be typed.
 * @param {string} key
 * @param {string} name
 * @param {number[]} usual
 * @param {(value: number) => void} take
 * @param {AbortSignal} signal
 */
function combo(key, name, usual, take, signal) {
  const { field, draw } = numberField(key, name, take, signal);
  const list = h("select", { class: "lk-select", "data-setting": `${key}-usual`, "aria-label": `${name}: usual values`, "data-needs-kernel": true },
    ...usual.map((value) => h("option", { value }, String(value))));
  list.addEventListener("change", () => take(Number(list.value)), { signal });
  return {
    element: h("span", { class: "pg-combo" }, field, list),
    draw(/** @type {number} */ value) {
      draw(value);
      list.value = String(value);
    },
  };
}

/**
 * The row of controls.
 * @param {Stage} stage
 * @param {ReturnType<typeof changes>} change
 */
export function settings(stage, change) {
  const { link, signal } = stage;
  let run = /** @type {any} */ (null);
  const wanted = () => wantedSettings(link, run);
  const select = (/** @type {string} */ key, /** @type {string} */ name, /** @type {(value: string) => void} */ take) => {
    const element = h("select", { class: "lk-select", "data-setting": key, "aria-label": name, "data-needs-kernel": true });
    element.addEventListener("change", () => take(element.value), { signal });
    return element;
  };
  /** Fill a select once its choices are known. */
  const fill = (/** @type {HTMLSelectElement} */ element, /** @type {[string, string][]} */ choices) => {
    const key = JSON.stringify(choices);
    if (element.dataset.choices === key) return;
    element.dataset.choices = key;
    element.replaceChildren(...choices.map(([value, label]) => h("option", { value }, label)));
  };

  const rate = combo("lr", "Learning rate", RATES, (lr) => change.now({ lr }), signal);
  const rateField = labelled("Learning rate", "How far each step goes: w ← w − rate · ∂L/∂w. It takes effect at once, also while it plays.", rate.element);
  const activation = select("activation", "Activation of all hidden layers", (name) => change.now({ activations: wanted().widths.map(() => name) }));
  const penalty = select("regularisation", "Regularisation", (kind) => {
    // A penalty that costs nothing would look as if it did nothing: the first choice comes with a rate.
    const { l1, l2 } = wanted(), size = l1 || l2 || 0.003;
    change.now({ l1: kind === "l1" ? size : 0, l2: kind === "l2" ? size : 0 });
  });
  const penaltyRate = combo("regularisation_rate", "Regularisation rate", [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10],
    (value) => change.now({ [wanted().l1 ? "l1" : "l2"]: value }), signal);
  const problem = select("problem", "Problem", (kind) => {
    if (kind === "regression") return change.now({ data: link.state.options.regression[0], classes: 2 });
    const classes = Number(kind), stays = !link.state.options.regression.includes(wanted().data);
    change.now(stays ? { classes } : { classes, data: link.state.options.data[0] });
  });
  const batch = combo("batch_size", "Batch size", [1, 2, 5, 10, 20, 30, 50, 100], (value) => change.now({ batch_size: value }), signal);
  const optimizer = select("optimizer", "Optimiser", (name) => change.now({ optimizer: name }));
  const schedule = select("schedule", "Schedule of the learning rate", (name) => change.now({ schedule: name }));
  const over = numberField("schedule_epochs", "Epochs of the schedule", (value) => change.now({ schedule_epochs: value }), signal);
  const dropout = combo("dropout", "Dropout", [0, 0.1, 0.2, 0.3, 0.4, 0.5], (value) => change.now({ dropout: value }), signal);
  const seed = numberField("seed", "Seed of the start weights", (value) => change.now({ seed: value }), signal);
  const dice = h("button", { class: "lk-button", "data-action": "new-seed", title: "Other start weights: the next seed", "aria-label": "New seed", "data-needs-kernel": true,
    onclick: () => change.now({ seed: wanted().seed + 1 }) }, "New");
  const reset = h("button", { class: "lk-button", "data-action": "reset", title: "The same start again: the very weights it began with (r)", "data-needs-kernel": true,
    onclick: () => link.do("reset") }, icon("rewind"), "Reset");

  const activationField = labelled("Activation", "What each hidden neuron applies to its weighted sum z. tanh: (eᶻ − e⁻ᶻ) / (eᶻ + e⁻ᶻ). ReLU: max(0, z). "
    + "Sigmoid: 1 / (1 + e⁻ᶻ). Linear: z. GELU: z · Φ(z). Leaky ReLU: max(0.01 z, z). Each layer can have its own, above the network.", activation);
  const overField = labelled("", "How long the schedule takes, in epochs.", over.field);
  const penaltyField = labelled("Rate", "How much large weights cost, compared with errors.", penaltyRate.element);
  const scheduleField = labelled("Schedule", "How the learning rate goes on. Step: halved after each period. Exponential: falls to a tenth in each period. Cosine: in half a wave to 0, "
    + "and stays. Warm-up: rises to its full value, and stays.", schedule);
  const more = h("div", { class: "pg-more" },
    labelled("Optimiser", "How a gradient becomes a step. SGD: w ← w − rate · ∂L/∂w. Momentum adds what is left of earlier steps; "
      + "Adam divides by the size of earlier gradients.", optimizer),
    labelled("Batch size", "Points a step averages its gradient over. An epoch has training points / batch size steps.", batch.element),
    scheduleField, overField,
    labelled("Dropout", "The share of each hidden layer's neurons that every training step switches off by chance; "
      + "the others are scaled by 1 / (1 − share).", dropout.element),
    h("div", { class: "pg-field", title: "The seed draws the start weights: the same seed, the same start." }, h("span", { class: "pg-label" }, "Seed"),
      h("span", { class: "pg-control" }, seed.field, dice)));
  const moreButton = h("button", { class: "lk-button pg-more-button", "data-action": "more", "aria-expanded": "false", onclick: () => {
    const open = more.toggleAttribute("data-open");
    moreButton.setAttribute("aria-expanded", String(open));
  } });
  const element = h("div", { class: "pg-settings", role: "group", "aria-label": "Settings" },
    rateField, activationField,
    labelled("Regularisation", "Makes large weights cost: L1 adds rate · Σ|w| to the loss, L2 adds rate · ½ Σw².", penalty), penaltyField,
    labelled("Problem", "What is to be learned: which of some classes a point has (classification), or a number at each place (regression).", problem),
    more, h("div", { class: "pg-field" }, h("span", { class: "pg-label" }, "Same start"), reset),
    h("div", { class: "pg-field" }, h("span", { class: "pg-label" }, "More"), moreButton));

  let drawn = /** @type {any[]} */ ([]);
  return {
    element,
    /** @param {any} next the active run @param {any} now its live state */
    draw(next, now) {
      run = next;
      const { settings: set } = run, { options } = link.state;
      say(scheduleField.children[0], set.schedule === "constant" || now.lr == null ? "Schedule" : `Rate now ${number(now.lr)}`);
      const key = [set, change.ticket()];
      if (change.pending() || key.every((part, i) => part === drawn[i])) return;
      drawn = key;
      const named = (/** @type {string[]} */ list) => list.map((name) => /** @type {[string, string]} */ ([name, wordOf(name)]));
      rate.draw(set.lr);
      const same = set.activations.every((/** @type {string} */ name) => name === set.activations[0]);
      fill(activation, same ? named(options.activations) : [["", "Mixed"], ...named(options.activations)]);
      activation.value = same ? set.activations[0] ?? "" : "";
      activation.toggleAttribute("data-off", !set.widths.length);
      fill(penalty, [["none", "None"], ["l1", "L1"], ["l2", "L2"], ...(set.l1 && set.l2 ? [/** @type {[string, string]} */ (["both", "L1 + L2"])] : [])]);
      penalty.value = set.l1 ? (set.l2 ? "both" : "l1") : set.l2 ? "l2" : "none";
      penaltyField.hidden = !set.l1 && !set.l2;
      if (!penaltyField.hidden) penaltyRate.draw(set.l1 || set.l2);
      fill(problem, [...[2, 3, 4, 5, 6].map((k) => /** @type {[string, string]} */ ([String(k), `${k} classes`])), ["regression", "Regression"]]);
      problem.value = run.kind === "regression" ? "regression" : String(set.classes);
      batch.draw(set.batch_size);
      fill(optimizer, named(options.optimizers));
      optimizer.value = set.optimizer;
      fill(schedule, named(options.schedules));
      schedule.value = set.schedule;
      overField.hidden = set.schedule === "constant";
      say(overField.children[0], PERIODS[set.schedule]);
      over.draw(set.schedule_epochs);
      dropout.draw(set.dropout);
      seed.draw(set.seed);
      // What is folded away is still said where it is not as usual.
      const unusual = [set.optimizer !== "sgd" && wordOf(set.optimizer), set.batch_size !== 10 && `batch ${set.batch_size}`,
        set.schedule !== "constant" && wordOf(set.schedule).toLowerCase(), set.dropout > 0 && `dropout ${set.dropout}`].filter(Boolean);
      say(moreButton, unusual.length ? unusual.join(", ") : "Optimiser, batch …");
    },
  };
}
