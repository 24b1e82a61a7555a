// What is asked of all methods, and how their maps are shown.
import { h, say } from "./lab.js";

/** @typedef {import("./lab.js").Stage} Stage */
/** @typedef {{mode: string, common: boolean, truth: boolean}} SalLook how maps are shown in this page */

const SAL_BASELINES = /** @type {Record<string, string>} */ ({ black: "Black", mean: "Its mean colour", blur: "Blurred", noise: "Noise" });
const SAL_MODES = /** @type {[string, string][]} */ ([["overlay", "Over the picture"], ["map", "Map alone"], ["beside", "Side by side"], ["contour", "Contours"]]);

/**
 * @param {Stage} stage
 * @param {ReturnType<import("./saliencyarith.js").salQueue>} queue
 * @param {SalLook} look
 */
export function salControls(stage, queue, look) {
  const { link, draw } = stage;
  const choice = (/** @type {string} */ word, /** @type {string} */ title, /** @type {(value: string) => void} */ chosen, kernel = true) => {
    const select = h("select", { class: "lk-select", "aria-label": word, "data-needs-kernel": kernel, "data-setting": word, onchange: () => chosen(select.value) });
    const element = h("label", { class: "lk-field sal-field", title }, h("span", {}, word), select);
    let offered = "";
    return {
      element,
      /** @param {[string, string][]} options @param {string} value */
      draw(options, value) {
        const key = options.flat().join("\n");
        if (key !== offered) select.replaceChildren(...options.map(([name, text]) => h("option", { value: name }, text)));
        offered = key;
        select.value = value;
      },
    };
  };
  const asNumber = (/** @type {string} */ value) => (value === "" ? null : Number(value));
  const target = choice("Why", "The class that the maps explain", (value) => queue.set({ target: asNumber(value) }));
  const against = choice("and not", "Explain the difference from another class", (value) => queue.set({ against: asNumber(value) }));
  const layer = choice("CAM layer", "The layer whose maps Grad-CAM and its relatives weigh", (value) => queue.set({ layer: value || null }));
  const baseline = choice("Baseline", "What stands for nothing to see: where paths begin, and what is put in place of what is erased", (value) => queue.set({ baseline: value }));
  const part = choice("Truth", "The part whose mask the maps are scored against", (value) => queue.set({ part: value }));
  const sign = choice("Values", "For and against, or only how much", (value) => queue.set({ signed: value === "signed" }));
  const mode = choice("Show", "How the maps are drawn", (value) => { look.mode = value; draw(); }, false);
  const scale = choice("Scale", "Whether maps can be compared in size, or in shape only", (value) => { look.common = value === "common"; draw(); }, false);
  const truth = h("input", { type: "checkbox", onchange: () => { look.truth = truth.checked; draw(); } });
  const outline = h("label", { class: "lk-field lk-check", title: "Draw where the truth is (t)" }, truth, h("span", {}, "Outline"));
  const idle = h("input", { type: "checkbox", "data-needs-kernel": true, onchange: () => queue.set({ idle: idle.checked }) });
  const alone = h("label", { class: "lk-field lk-check", title: "Compute methods of many passes whenever nothing else is computed; else open one and ask for it" }, idle, h("span", {}, "Slow ones by themselves"));
  const about = h("p", { class: "lk-note sal-rule" });
  return {
    asks: h("div", { class: "lk-controls" }, target.element, against.element, layer.element, baseline.element, alone),
    looks: h("div", { class: "lk-controls" }, mode.element, sign.element, scale.element, part.element, outline),
    about,
    toggleTruth() { look.truth = !look.truth; draw(); },
    nextMode() { look.mode = SAL_MODES[(SAL_MODES.findIndex(([name]) => name === look.mode) + 1) % SAL_MODES.length][0]; draw(); },
    draw() {
      const { state, arrays } = link, wish = queue.wish, chances = arrays.probabilities.data;
      const name = (/** @type {number} */ k) => state.classes?.[k] ?? `class ${k}`;
      const outputs = /** @type {[string, string][]} */ (Array.from(chances, (_, k) => [String(k), name(k)]));
      const best = chances.indexOf(Math.max(...chances)), asText = (/** @type {any} */ value) => (value == null ? "" : String(value));
      target.draw([["", `most probable${state.axes.compared ? " before" : ""}: ${name(state.usual)}`], ...outputs], asText(wish.target));
      against.draw([["", "any other"], ...outputs], asText(wish.against));
      layer.draw([["", "last with places"], ...state.layers.map((/** @type {string} */ one) => [one, one])], asText(wish.layer));
      layer.element.hidden = !state.layers.length || !state.methods.some((/** @type {any} */ one) => one.layer);
      baseline.draw(state.baselines.map((/** @type {string} */ one) => [one, SAL_BASELINES[one] ?? one]), wish.baseline);
      part.draw(state.parts.map((/** @type {string} */ one) => [one, one === "object" ? "the object" : one === "cue" ? "the watermark" : one]), asText(wish.part));
      part.element.hidden = outline.hidden = !state.parts.length;
      sign.draw([["signed", "For and against"], ["size", "Magnitude"]], wish.signed ? "signed" : "size");
      mode.draw(SAL_MODES, look.mode);
      scale.draw([["own", "Each its own"], ["common", "One for all"]], look.common ? "common" : "own");
      truth.checked = look.truth;
      idle.checked = wish.idle;
      const which = `${name(state.target)}${state.settings.against === null ? "" : ` and not ${name(state.settings.against)}`}`;
      const colours = state.settings.signed ? `Blue speaks for ${which}, orange against it` : `How much each pixel counts for ${which}, dark to bright`;
      const ends = look.common ? "all maps on one scale, that of the largest" : "each map on its own scale";
      const how = { overlay: "; the larger, the less of the picture is seen", contour: "; lines around the 5 % (thick) and 20 % (thin) of the pixels that count most" }[look.mode] ?? "";
      say(about, look.mode === "contour" ? `${state.settings.signed ? `Blue lines: for ${which}; orange, dashed: against it` : `What counts for ${which}`}${how}.` : `${colours}; ${ends}, which 1 % of the pixels exceed${how}.`);
    },
  };
}
