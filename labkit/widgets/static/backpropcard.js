// The card of one number: its arithmetic forward and backward, the line of PyTorch, three ways to its gradient.
import { h, icon, say } from "./lab.js";
import { number } from "./numbers.js";

/** @typedef {import("./lab.js").Stage} Stage */

/** Six digits, so that one sees how well they agree. @param {number | null} value */
const bpExact = (value) => (value == null ? "–" : value === 0 ? "0" : Math.abs(value) < 1e-3 ? value.toExponential(4) : String(Number(value.toPrecision(6)))).replace(/-/g, "\u2212");

/**
 * @param {Stage} stage
 * @param {(value: number) => void} edit
 */
export function backpropCard({ link, signal }, edit) {
  const close = () => link.do("open", { key: null });
  const title = h("h4", {}), shut = h("button", { class: "lk-button lk-round", title: "Close (Esc)", "aria-label": "Close", onclick: close }, icon("close"));
  const field = h("input", { type: "number", step: "any", class: "lk-number bp-field", "aria-label": "Value", "data-needs-kernel": true });
  const value = h("label", { class: "lk-field" }, h("span", {}, "Value"), field);
  const lines = h("div", { class: "bp-lines" }), code = h("pre", { class: "bp-code", "aria-label": "PyTorch", tabindex: 0 });
  const ways = h("div", { class: "bp-ways", role: "group", "aria-label": "Three ways to the gradient" });
  const verdict = h("p", { class: "bp-verdict", role: "status" });
  const note = h("p", { class: "lk-note" });
  const element = h("section", { class: "bp-card", hidden: true, "aria-label": "Arithmetic" }, h("header", {}, title, value, shut),
    lines, h("div", { class: "bp-checks" }, ways, verdict), h("div", { class: "bp-python" }, code, note));
  const send = () => {
    const wanted = Number(field.value);
    if (field.value !== "" && Number.isFinite(wanted)) edit(wanted);
  };
  field.addEventListener("change", send, { signal });
  field.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
    if (event.key === "Escape") close();
    else if (event.key === "Enter") send();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }, { signal });

  const way = (/** @type {string} */ name, /** @type {number | null} */ value_) => h("div", {}, h("span", {}, name), h("b", {}, bpExact(value_)));
  let last = /** @type {any} */ (null);
  return {
    element, close,
    get key() { return link.state.opened?.key ?? null; },
    draw() {
      const card = link.state.opened;
      element.hidden = !card;
      if (!card || card === last) return;
      last = card;
      say(title, card.title);
      value.hidden = !card.moves;
      if (document.activeElement !== field) field.value = String(Number(card.value.toPrecision(6)));
      lines.replaceChildren(...card.lines.filter((/** @type {any[]} */ [, text]) => text).flatMap((/** @type {any[]} */ [name, text]) =>
        [h("b", {}, name), h("span", {}, text)]));
      say(code, card.code.join("\n\n"));
      say(note, card.note ?? "");
      code.parentElement.hidden = card.code.length === 0;
      ways.parentElement.hidden = !card.check;
      if (!card.check) return;
      const { autograd, chain, finite, gap, agrees } = card.check;
      ways.replaceChildren(way("autograd", autograd), way("chain rule", chain), way("finite difference", finite));
      verdict.dataset.agrees = agrees ? "yes" : "no";
      const missing = autograd == null ? " The model keeps no tensor of this number, so autograd has none." : finite == null ? " At a kink there is no derivative: the two sides differ." : "";
      say(verdict, `${agrees ? "✓ They agree" : "✗ They do not agree"}: the largest difference is ${gap === 0 ? "0" : number(gap)}.${missing}`);
    },
  };
}
