// The scalar view: every number of a training step as a box, lines between them, numbers that can be dragged.
import { backpropBrief, backpropDragged, backpropLayout, backpropWeight } from "./backpropgraph.js";
import { css, diverging } from "./colours.js";
import { h, say } from "./lab.js";
import { number } from "./numbers.js";

/** @typedef {import("./lab.js").Stage} Stage */
/** @typedef {import("./backpropfilm.js").BpSeen} BpSeen */

const BP_SVG = "http://www.w3.org/2000/svg";
/** @param {string} name @param {Record<string, any>} properties */
const bpSvg = (name, properties) => {
  const element = document.createElementNS(BP_SVG, name);
  for (const [key, value] of Object.entries(properties)) element.setAttribute(key, String(value));
  return element;
};

/**
 * @param {Stage} stage
 * @param {{open: (key: string) => void, edit: (key: string, value: number) => void}} acts
 */
export function backpropScalar(stage, { open, edit }) {
  const { link, signal } = stage;
  const heads = h("div", { class: "bp-heads" });
  const lines = bpSvg("svg", { class: "bp-lines-svg", "aria-hidden": "true" });
  const sheet = h("div", { class: "bp-sheet" }, heads, lines);
  const scroller = h("div", { class: "bp-scroll" }, sheet);
  const element = h("div", { class: "bp-scalar", hidden: true }, scroller);
  let structure = /** @type {any} */ (null), layout = /** @type {any} */ (null), width = 0;
  let boxes = /** @type {any[]} */ ([]), paths = /** @type {SVGElement[]} */ ([]), values = /** @type {ArrayLike<number>} */ ([]);
  let drag = /** @type {any} */ (null);

  const build = () => {
    const focused = boxes.findIndex(({ element: box }) => box === document.activeElement);
    boxes = structure.nodes.map((/** @type {any} */ node, /** @type {number} */ k) => {
      const label = h("span", { class: "bp-label" }), value = h("b", {}), slope = h("span", { class: "bp-slope" });
      const box = h("button", { class: "bp-node", "data-kind": node.kind, "data-key": node.id, "data-moves": node.moves ? "yes" : "no",
        title: node.moves ? `${node.label}: drag up or down, or press ↑ ↓; click for the arithmetic` : `${node.label}: click for the arithmetic` }, label, value, slope);
      say(label, node.kind === "product" ? "×" : node.kind === "sum" ? `${node.label} = Σ` : node.label);
      listen(box, k);
      return { element: box, label, value, slope };
    });
    paths = structure.links.map(() => bpSvg("path", { fill: "none" }));
    lines.replaceChildren(...paths);
    heads.replaceChildren(...structure.heads.map((/** @type {any} */ head) => h("span", {}, h("b", {}, head.name), head.kind ? ` ${head.kind}` : "")));
    sheet.replaceChildren(heads, lines, ...boxes.map((box) => box.element));
    boxes[focused]?.element.focus();
  };

  const place = () => {
    layout = backpropLayout(structure.nodes, structure.links, width);
    sheet.style.cssText = `width: ${layout.width}px; height: ${layout.height}px`;
    lines.setAttribute("width", layout.width);
    lines.setAttribute("height", layout.height);
    for (const [k, { x, y }] of layout.places.entries()) boxes[k].element.style.cssText = `left: ${x}px; top: ${y}px; width: ${layout.box}px; height: ${layout.tall}px`;
    for (const [k, path] of layout.links.entries()) paths[k].setAttribute("d", path);
    for (const [k, head] of structure.heads.entries()) {
      const left = layout.columns[head.from], right = layout.columns[head.to] + layout.box;
      heads.children[k].style.cssText = `left: ${left}px; width: ${right - left}px`;
    }
  };

  const listen = (/** @type {HTMLElement} */ box, /** @type {number} */ k) => {
    const node = structure.nodes[k];
    box.addEventListener("click", () => { if (!drag?.moved) open(node.id); }, { signal });
    if (!node.moves) return;
    const whole = node.kind === "class", now = () => link.wished("edit").filter(({ key }) => key === node.id).at(-1)?.value ?? values[k];
    box.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      drag = { y: event.clientY, start: now(), moved: false, pointer: event.pointerId };
      box.setPointerCapture(event.pointerId);
    }, { signal });
    box.addEventListener("pointermove", (event) => {
      if (!drag || event.pointerId !== drag.pointer || !box.hasPointerCapture(event.pointerId)) return;
      const up = drag.y - event.clientY;
      if (!drag.moved && Math.abs(up) < 3) return;
      drag.moved = true;
      edit(node.id, whole ? Math.round(drag.start + up / 24) : backpropDragged(drag.start, up, event.shiftKey));
    }, { signal });
    const end = () => { setTimeout(() => { drag = null; }); };
    box.addEventListener("pointerup", end, { signal });
    box.addEventListener("pointercancel", end, { signal });
    box.addEventListener("keydown", (event) => {
      const way = { ArrowUp: 1, ArrowDown: -1, PageUp: 10, PageDown: -10 }[event.key];
      if (!way || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      event.stopPropagation();
      edit(node.id, whole ? now() + Math.sign(way) : Number((now() + way * (event.shiftKey ? 0.01 : 0.1)).toFixed(6)));
    }, { signal });
  };

  /** Keep what lights up in sight where the graph is wider than its place. @param {Set<any>} lit */
  const follow = (lit) => {
    if (layout.width <= scroller.clientWidth || !lit.size) return;
    const xs = [...lit].map((k) => layout.places[k].x), left = Math.min(...xs), right = Math.max(...xs) + layout.box;
    if (left < scroller.scrollLeft || right > scroller.scrollLeft + scroller.clientWidth) {
      scroller.scrollLeft = (left + right - scroller.clientWidth) / 2;
    }
  };

  return {
    element,
    /**
     * @param {any} nextStructure
     * @param {Record<string, import("./frames.js").Field>} arrays
     * @param {BpSeen} seen
     * @param {string | null} opened
     * @param {boolean} moved whether the film stands at another beat than before
     */
    draw(nextStructure, arrays, seen, opened, moved) {
      element.hidden = !nextStructure;
      if (!nextStructure) return;
      const rebuilt = nextStructure !== structure, there = scroller.clientWidth;
      if (rebuilt) {
        structure = nextStructure;
        build();
      }
      if ((rebuilt || there !== width) && there) {
        width = there;
        place();
      }
      if (!layout) return;
      values = arrays.values.data;
      const gradients = arrays.gradients.data, after = arrays.after.data, { dark } = stage.theme();
      const backward = seen.stage === "backward";
      const steepest = Math.max(1e-12, ...gradients.filter((/** @type {number} */ g) => Number.isFinite(g)).map(Math.abs));
      let strongest = 1e-12;
      for (const [k, node] of structure.nodes.entries()) if (node.kind === "weight") strongest = Math.max(strongest, Math.abs(values[k]));
      for (const [k, node] of structure.nodes.entries()) {
        const box = boxes[k], known = node.moves || seen.values.has(k), sloped = seen.gradients.has(k) && Number.isFinite(gradients[k]);
        const updated = seen.updated.has(k);
        say(box.value, !known ? "" : node.kind === "class" ? String(values[k]) : backpropBrief(updated ? after[k] : values[k]));
        say(box.slope, updated ? `${after[k] < values[k] ? "" : "+"}${backpropBrief(after[k] - values[k])}` : sloped ? `◂ ${backpropBrief(gradients[k])}` : "");
        const strength = sloped ? 0.5 * Math.min(1, Math.abs(gradients[k]) / steepest) ** 0.5 : 0;
        box.slope.style.backgroundColor = sloped && !updated ? css(diverging(Math.sign(gradients[k]), dark), strength) : "";
        box.element.dataset.known = known ? "yes" : "no";
        box.element.dataset.lit = seen.lit.has(k) ? seen.stage : "";
        box.element.dataset.updated = updated ? "yes" : "";
        box.element.setAttribute("aria-pressed", String(node.id === opened));
        const words = `${node.label}${known ? ` = ${number(values[k])}` : ""}${sloped ? `, gradient ${number(gradients[k])}` : ""}`;
        if (box.element.getAttribute("aria-label") !== words) box.element.setAttribute("aria-label", words);
      }
      for (const [k, [from, to]] of structure.links.entries()) {
        const path = paths[k], weight = structure.nodes[from].kind === "weight" ? -1 : backpropWeight(structure.nodes, structure.links, to);
        const lit = backward ? seen.lit.has(from) || (weight >= 0 && seen.lit.has(weight)) : seen.lit.has(to) && seen.stage !== "update";
        const size = weight >= 0 ? Math.abs(values[weight]) / strongest : 0.1;
        path.setAttribute("stroke", weight >= 0 ? css(diverging(Math.sign(values[weight]) * (0.5 + 0.5 * size), dark)) : "var(--lk-edge)");
        path.setAttribute("stroke-width", String(weight >= 0 ? 1 + 5 * size : 1.2));
        path.setAttribute("stroke-dasharray", weight >= 0 && values[weight] < 0 ? "7 4" : "");
        path.setAttribute("data-lit", lit ? seen.stage : "");
      }
      if (moved) follow(seen.lit);
    },
  };
}
