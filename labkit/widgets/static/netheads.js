// What stands above the playground's network: the number of hidden layers, and each layer's units and activation.
import { h, put, say } from "./lab.js";
import { wantedSettings } from "./settings.js";
import { ACTIVATION_WORDS } from "./weights.js";

/** @typedef {import("./lab.js").Stage} Stage */
/** @typedef {import("./netlayout.js").NetLayout} NetLayout */

const MOST_LAYERS = 8; // until the kernel has said its own limits
const NEW_LAYER = 2; // units of a layer that is added

/** A − and a + around a count. @param {() => void} less @param {() => void} more */
function stepper(less, more) {
  const minus = h("button", { class: "lk-button lk-net-step", "data-needs-kernel": true, onclick: less }, "−");
  const plus = h("button", { class: "lk-button lk-net-step", "data-needs-kernel": true, onclick: more }, "+");
  const count = h("span", { class: "lk-net-count" });
  return { minus, plus, count, element: h("span", { class: "lk-net-stepper" }, minus, count, plus) };
}

/** @param {any} control @param {string} title @param {boolean} off */
function label(control, title, off) {
  control.title = title;
  control.setAttribute("aria-label", title);
  control.toggleAttribute("data-off", off);
}

/** @param {Stage} stage */
export function netHeads(stage) {
  const { link, signal } = stage;
  let run = /** @type {any} */ (null);
  const widths = () => wantedSettings(link, run).widths; // two quick clicks add two units
  const change = (/** @type {number[]} */ next) => {
    const options = link.state.options ?? {};
    if (next.length > (options.most_layers ?? MOST_LAYERS) || next.some((width) => width < 1 || width > (options.most_width ?? 16))) return;
    link.do("change", { settings: { widths: next } });
  };
  const setWidth = (/** @type {number} */ layer, /** @type {number} */ by) =>
    change(widths().map((/** @type {number} */ width, /** @type {number} */ k) => (k === layer ? width + by : width)));

  const word = h("span", {});
  const layers = stepper(() => change(widths().slice(0, -1)), () => change([...widths(), NEW_LAYER]));
  const top = h("div", { class: "lk-net-top" }, h("h4", {}, "Features"),
    h("div", { class: "lk-net-layers", role: "group", "aria-label": "Hidden layers" }, layers.element, word),
    h("h4", {}, "Output"));
  const row = h("div", { class: "lk-net-heads" });
  const element = h("div", {}, top, row);

  let open = -1; // the layer whose controls are shown in a popover
  const heads = /** @type {any[]} */ ([]);
  const close = () => {
    if (open < 0) return false;
    const held = heads[open].box.contains(document.activeElement);
    const { summary } = heads[open];
    open = -1;
    stage.draw();
    if (held) summary.focus();
    return true;
  };
  const makeHead = (/** @type {number} */ layer) => {
    const units = stepper(() => setWidth(layer, -1), () => setWidth(layer, 1));
    const activation = h("select", { class: "lk-select lk-net-activation", "data-needs-kernel": true });
    activation.addEventListener("change", () => {
      const activations = wantedSettings(link, run).activations.map((/** @type {string} */ name, /** @type {number} */ k) => (k === layer ? activation.value : name));
      link.do("change", { settings: { activations } });
    }, { signal });
    const name = h("b", {}, `Hidden layer ${layer + 1}`);
    const box = h("div", { class: "lk-net-head-box" }, name, units.element, activation);
    const summary = h("button", { class: "lk-button lk-net-summary", "aria-expanded": "false",
      onclick: () => { open = open === layer ? -1 : layer; stage.draw(); } });
    const head = h("div", { class: "lk-net-head", role: "group", "aria-label": `Hidden layer ${layer + 1}` }, summary, box);
    head.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
      if (event.key !== "Escape" || open !== layer) return;
      close();
      event.preventDefault();
      event.stopPropagation();
    }, { signal });
    row.append(head);
    heads.push({ head, box, name, summary, units, activation });
  };
  document.addEventListener("pointerdown", (event) => {
    if (open >= 0 && !heads[open].head.contains(event.target)) close();
  }, { signal });

  return {
    element,
    close,
    draw(/** @type {any} */ nextRun, /** @type {NetLayout} */ layout) {
      run = nextRun;
      const options = link.state.options ?? {}, mostWidth = options.most_width ?? 16, mostLayers = options.most_layers ?? MOST_LAYERS;
      const now = run.settings.widths, many = now.length;
      say(layers.count, String(many));
      say(word, many === 1 ? "hidden layer" : "hidden layers");
      label(layers.minus, many ? "Take the last hidden layer away" : "There is no hidden layer to take away", many === 0);
      label(layers.plus, many < mostLayers ? "Add a hidden layer" : `There are at most ${mostLayers} hidden layers`, many >= mostLayers);
      while (heads.length < many) makeHead(heads.length);
      if (open >= many || !layout.slim) open = -1;
      row.hidden = many === 0;
      row.dataset.slim = layout.slim ? "yes" : "no";
      for (const [k, { head, box, summary, units, activation }] of heads.entries()) {
        head.hidden = k >= many;
        if (k >= many) continue;
        const width = now[k], column = layout.columns[k + 1];
        head.style.left = `${column.x}px`;
        head.style.width = `${Math.min(116, layout.pitch - (layout.slim ? 4 : 8))}px`;
        summary.hidden = !layout.slim;
        say(summary, String(width));
        summary.setAttribute("aria-expanded", String(open === k));
        label(summary, `Hidden layer ${k + 1}: ${width} ${width === 1 ? "unit" : "units"}, ${ACTIVATION_WORDS[run.settings.activations[k]]}. Change it`, false);
        box.hidden = layout.slim && open !== k;
        // A popover stays within the network.
        box.style.marginLeft = layout.slim ? `${Math.min(layout.width - 152, Math.max(0, column.x - 76)) - column.x}px` : "";
        say(units.count, String(width));
        label(units.minus, width > 1 ? `One unit less in hidden layer ${k + 1}` : "A layer has at least one unit", width <= 1);
        label(units.plus, width < mostWidth ? `One unit more in hidden layer ${k + 1}` : `A layer has at most ${mostWidth} units`, width >= mostWidth);
        const names = options.activations ?? [];
        if (activation.options.length !== names.length) {
          activation.replaceChildren(...names.map((/** @type {string} */ one) => h("option", { value: one }, ACTIVATION_WORDS[one] ?? one)));
        }
        put(link, activation, run.settings.activations[k]);
        const title = `Activation of hidden layer ${k + 1}`;
        activation.title = title;
        activation.setAttribute("aria-label", title);
      }
    },
  };
}
