// The card of one unit: its sum written out, and its weights and bias as fields that can be changed and frozen.
import { h, icon, put, say } from "./lab.js";
import { number } from "./numbers.js";
import { ACTIVATION_WORDS, activationOf, activationText, arithmetic, biasAt, bySize, isFrozen, sumNumbers, sumSymbols, unitTitle, whereIs } from "./weights.js";

/** @typedef {import("./lab.js").Stage} Stage */

/**
 * A field for one parameter, with a box that freezes it.
 * @param {Stage} stage
 * @param {string} what the parameter in words
 * @param {() => {parameter: string, index: number[]}} place
 * @param {() => void} [entered] after Enter
 */
export function weightField({ link, signal }, what, place, entered) {
  const field = h("input", { type: "number", step: 0.1, class: "lk-number lk-net-weight", "aria-label": what, "data-needs-kernel": true });
  const box = h("input", { type: "checkbox", "aria-label": `Freeze ${what}`, "data-needs-kernel": true });
  const freeze = h("label", { class: "lk-field lk-check", title: "Frozen: training leaves this number as it is" }, box, h("span", {}, "freeze"));
  let sent = "";
  const send = () => {
    const value = Number(field.value);
    if (field.value === "" || !Number.isFinite(value) || field.value === sent) return;
    sent = field.value;
    link.do("edit", { ...place(), value });
  };
  field.addEventListener("change", send, { signal });
  // The notebook takes Enter for itself, so that no change event comes.
  field.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
    if (event.key !== "Enter") return;
    send();
    event.preventDefault();
    event.stopPropagation();
    entered?.();
  }, { signal });
  box.addEventListener("change", () => link.do("freeze", { ...place(), on: box.checked }), { signal });
  return {
    field, freeze,
    draw(/** @type {any} */ run, /** @type {number} */ value) {
      const text = String(Number(value.toPrecision(4)));
      if (document.activeElement !== field && field.value !== text && !link.awaits(field)) {
        field.value = text;
        sent = text;
      }
      const { parameter, index } = place();
      put(link, box, isFrozen(run, parameter, index));
    },
  };
}

/**
 * @param {Stage} stage
 * @param {() => void} close
 */
export function neuronCard(stage, close) {
  const { link } = stage;
  const title = h("h4", {}), shut = h("button", { class: "lk-button lk-round", title: "Close (Esc)", "aria-label": "Close", onclick: close }, icon("close"));
  const where = h("p", { class: "lk-note" }), symbols = h("p", { class: "lk-neuron-sum" }), numbers = h("p", { class: "lk-neuron-sum" }), answer = h("p", { class: "lk-neuron-sum" });
  const table = h("div", { class: "lk-neuron-rows", role: "table", "aria-label": "What each input adds" });
  const element = h("section", { class: "lk-neuron", hidden: true, "aria-label": "Unit" },
    h("header", {}, title, shut), where, h("div", { class: "lk-neuron-text" }, symbols, numbers, answer), table);
  let key = "", rows = /** @type {any[]} */ ([]);

  const makeRow = (/** @type {any} */ run, /** @type {number} */ layer, /** @type {number} */ row, /** @type {number | null} */ from, /** @type {string} */ name) => {
    const parameter = `${run.layers[layer].name}.${from === null ? "bias" : "weight"}`, index = from === null ? [row] : [row, from];
    const field = weightField(stage, from === null ? "the bias" : `the weight of ${name}`, () => ({ parameter, index }));
    const times = h("span", { class: "lk-neuron-times" }), bar = h("i", {}), adds = h("span", { class: "lk-neuron-adds" });
    return {
      from, field, times, bar, adds,
      element: h("div", { class: "lk-neuron-row", role: "row" }, h("b", { role: "rowheader" }, name), h("span", { role: "cell" }, field.field), times,
        h("span", { class: "lk-neuron-track", "aria-hidden": "true" }, bar), adds, field.freeze),
    };
  };

  return {
    element,
    /**
     * @param {any} view
     * @param {number | null} unit
     * @param {ArrayLike<number> | null} values
     * @param {number} dropout in force when they were taken
     * @param {string} place where that was
     */
    draw(view, unit, values, dropout, place) {
      const { run, parameters } = view;
      element.hidden = unit === null || !parameters || !values;
      if (unit === null || !parameters || !values) {
        key = "";
        return;
      }
      const sum = arithmetic(run, parameters.data, values, unit, dropout), { layer, row } = whereIs(run.layers, unit);
      if (!sum) return;
      const activation = ACTIVATION_WORDS[activationOf(run, layer)];
      say(title, `${unitTitle(run, unit, link.state.options.classes)} · ${activation}`);
      const before = layer === 1 ? "" : ` h₁ is unit 1 of hidden layer ${layer - 1}.`;
      say(where, `${place}.${before} A ticked box freezes a number: training leaves it alone.`);
      say(symbols, `z = ${sumSymbols(sum)}`);
      say(numbers, `z = ${sumNumbers(sum)} = ${number(sum.z)}`);
      say(answer, activationText(sum));

      const nextKey = JSON.stringify([run.id, unit, run.settings.widths, run.settings.features, run.kind]);
      if (nextKey !== key) {
        key = nextKey;
        rows = [...sum.terms.map((term) => makeRow(run, layer, row, term.from, term.name)), makeRow(run, layer, row, null, "bias")];
        table.replaceChildren(...rows.map((one) => one.element));
        order(sum);
      } else if (run.status !== "playing" && !element.matches(":hover, :focus-within")) order(sum);
      const most = Math.max(1e-9, ...sum.terms.map(({ product }) => Math.abs(product)), Math.abs(sum.bias));
      for (const one of rows) {
        const term = one.from === null ? null : sum.terms[one.from], adds = term ? term.product : sum.bias;
        one.field.draw(run, term ? term.weight : sum.bias);
        say(one.times, term ? `× ${number(term.value)}` : "");
        say(one.adds, `${adds < 0 ? "" : "+"}${number(adds)}`);
        one.bar.dataset.sign = adds < 0 ? "negative" : "positive";
        one.bar.style.width = `${(50 * Math.abs(adds)) / most}%`;
      }
    },
    /** Puts the focus into the card. */
    focus: () => rows.length && rows[0].field.field.focus(),
  };

  /** The largest contribution first, the bias last. @param {any} sum */
  function order(sum) {
    const places = bySize(sum.terms).map(({ from }) => from);
    const sorted = [...rows].sort((a, b) => (a.from === null ? 1 : b.from === null ? -1 : places.indexOf(a.from) - places.indexOf(b.from)));
    if (sorted.some((one, i) => one.element !== table.children[i])) table.append(...sorted.map((one) => one.element));
  }
}
