// The picture that is explained: erased, blurred, painted, moved, by hand or by keys; and what the model says of it.
import { h, say } from "./lab.js";
import { number, whole } from "./numbers.js";
import { INK, paintPicture } from "./pictures.js";
import { salOutline } from "./saliencyarith.js";
import { within } from "./pen.js";

/** @typedef {import("./lab.js").Stage} Stage */

const SAL_CLASSES = 6; // shown, the most probable
const SAL_TOOLS = /** @type {[string, string, string][]} */ ([
  ["erase", "Erase", "Put the baseline in place of what the brush goes over (e)"], ["blur", "Blur", "Take the details from what the brush goes over (b)"],
  ["paint", "Paint", "Paint over it (c)"], ["move", "Move", "Lay what is under the brush elsewhere (m)"]]);

/** An SVG over a picture of `height` x `width` pixels. @param {string} kind */
export function salLayer(kind) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("class", `sal-layer ${kind}`);
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("aria-hidden", "true");
  return {
    element: svg,
    /** @param {number[]} size @param {[string, string][]} paths class and path of each */
    draw([height, width], paths) {
      const key = JSON.stringify([height, width, paths]);
      if (svg.dataset.drawn === key) return;
      svg.dataset.drawn = key;
      svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
      svg.replaceChildren(...paths.filter(([, d]) => d).map(([name, d]) => {
        const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
        path.setAttribute("class", name);
        path.setAttribute("d", d);
        return path;
      }));
    },
  };
}

/**
 * @param {Stage} stage
 * @param {ReturnType<import("./saliencyarith.js").salQueue>} queue
 * @param {import("./saliencycontrols.js").SalLook} look
 */
export function salPicture(stage, queue, look) {
  const { link, signal } = stage;
  let tool = "erase", pointer = /** @type {number | null} */ (null), held = false, byKey = false;
  let cursor = /** @type {[number, number]} */ ([0.5, 0.5]), start = cursor; // of the brush, and where it lifted something
  let trail = /** @type {[number, number][]} */ ([]), drawn = /** @type {any} */ (null), outline = /** @type {any[]} */ ([null, ""]);

  const button = (/** @type {string} */ action, /** @type {string} */ word, /** @type {string} */ title, /** @type {() => void} */ run) =>
    h("button", { class: "lk-button", "data-action": action, title, "data-needs-kernel": true, onclick: run }, word);
  const canvas = h("canvas", { "aria-hidden": "true" }), truth = salLayer("sal-truth"), stroke = salLayer("sal-stroke"), brush = h("i", { class: "sal-brush", hidden: true });
  const paper = h("div", { class: "sal-paper lk-plot", tabindex: 0, role: "application", "aria-roledescription": "picture to change" }, canvas, truth.element, stroke.element, brush);
  const step = (/** @type {number} */ by) => {
    const { index } = queue.wish, count = link.state.count;
    queue.set({ index: index == null ? 0 : (index + by + count) % count });
  };
  const which = h("span", { class: "sal-which" });
  const steps = h("div", { class: "sal-steps" }, button("previous", "‹", "Picture before (p)", () => step(-1)), button("next", "›", "Next picture (n)", () => step(1)), which);
  const take = (/** @type {string} */ next) => { drop(); tool = next; stage.draw(); };
  const tools = SAL_TOOLS.map(([name, word, title]) => button(name, word, title, () => take(name)));
  const width = h("input", { type: "range", class: "lk-slider", min: 0.04, max: 0.6, step: 0.02, value: 0.2, "aria-label": "Width of the brush", title: "Width of the brush (+ and −)", oninput: () => stage.draw() });
  const colour = h("input", { type: "color", class: "sal-colour", value: "#d22f27", "aria-label": "Colour of the brush", title: "Colour of the brush", "data-needs-kernel": true });
  const back = (/** @type {"undo" | "reset"} */ action) => {
    if (link.gone) return;
    drop();
    queue.push(action);
    stage.draw();
  };
  const undo = button("undo", "Undo", "Take the last change back (u)", () => back("undo"));
  const reset = button("reset", "Reset", "The picture as it was (r)", () => back("reset"));
  const note = h("p", { class: "lk-note" });
  const list = h("div", { class: "sal-chances", role: "list", "aria-label": "Probability of each class" });
  const more = h("div", { class: "sal-more" });
  const element = h("div", { class: "sal-side" }, steps, paper,
    h("div", { class: "sal-tools", role: "group", "aria-label": "What the brush does" }, ...tools),
    h("div", { class: "sal-tools" }, h("label", { class: "lk-field" }, h("span", {}, "Brush"), width), colour, undo, reset),
    note, h("div", { class: "sal-says" }, h("h4", {}, "What the model says"), list), more);

  const size = () => /** @type {[number, number]} */ (link.arrays.picture.shape.slice(0, 2));
  const details = () => ({ tool, width: Number(width.value), colour: tool === "paint" ? colour.value : null });
  /** The brush begins, goes on or ends at a place: each is a wish of its own, which the kernel answers in this order. */
  const begin = (/** @type {[number, number]} */ at) => {
    trail = [at];
    start = at;
    if (tool !== "move") queue.stroke(details(), at, true);
    stage.draw();
  };
  const extend = (/** @type {[number, number]} */ at) => {
    trail.push(at);
    if (tool !== "move") queue.stroke(details(), at, false);
    stage.draw();
  };
  const end = () => {
    const to = trail[trail.length - 1];
    if (tool === "move" && to && (to[0] !== start[0] || to[1] !== start[1])) queue.stroke(details(), [...start, ...to], true);
    drop();
    stage.draw();
  };
  const drop = () => {
    pointer = null;
    held = false;
    trail = [];
  };

  const place = (/** @type {PointerEvent} */ event) => {
    const box = canvas.getBoundingClientRect();
    return /** @type {[number, number]} */ (within([(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height]));
  };
  const on = (/** @type {string} */ name, /** @type {(event: any) => void} */ run) => paper.addEventListener(name, run, { signal });
  on("pointerdown", (event) => {
    if (pointer !== null || link.gone || (event.pointerType === "mouse" && event.button !== 0)) return;
    if (held) end();
    pointer = event.pointerId;
    paper.setPointerCapture(pointer);
    paper.focus({ preventScroll: true });
    byKey = false;
    cursor = place(event);
    begin(cursor);
    event.preventDefault();
  });
  on("pointermove", (event) => {
    byKey = false;
    brush.hidden = false;
    cursor = place(event);
    if (event.pointerId === pointer) extend(cursor);
    else stage.draw();
  });
  for (const name of ["pointerup", "pointercancel", "lostpointercapture"]) on(name, (event) => { if (event.pointerId === pointer) end(); });
  on("pointerleave", () => { if (pointer === null && !byKey) { brush.hidden = true; stage.draw(); } });
  on("blur", () => {
    if (held) end();
    byKey = false;
    brush.hidden = true;
  });
  on("focus", () => { if (paper.matches(":focus-visible")) { byKey = true; brush.hidden = false; stage.draw(); } });
  on("keydown", (event) => {
    if (link.gone || event.ctrlKey || event.metaKey || event.altKey) return;
    const [height, wide] = size(), far = event.shiftKey ? 8 : 1;
    const by = /** @type {Record<string, [number, number]>} */ ({ ArrowLeft: [-far / wide, 0], ArrowRight: [far / wide, 0], ArrowUp: [0, -far / height], ArrowDown: [0, far / height] })[event.key];
    if (by) {
      cursor = /** @type {[number, number]} */ (within([cursor[0] + by[0], cursor[1] + by[1]]));
      if (held) extend(cursor);
    } else if (event.key === " ") {
      if (held) end();
      else {
        held = true;
        begin(cursor);
      }
      stage.announce(held ? (tool === "move" ? "Lifted" : "Brush down") : tool === "move" ? "Laid down" : "Brush up");
    } else if (event.key === "Escape" && held) drop();
    else return;
    byKey = true;
    brush.hidden = false;
    stage.draw();
    event.preventDefault();
    event.stopPropagation();
  });

  const rows = Array.from({ length: SAL_CLASSES }, () => {
    const name = h("span", { class: "sal-class" }), bar = h("i", {}), was = h("b", {}), value = h("span", { class: "sal-chance" });
    return { name, bar, was, value, element: h("div", { class: "sal-row", role: "listitem" }, name, h("span", { class: "sal-track" }, bar, was), value) };
  });
  list.append(...rows.map((row) => row.element));
  const drawChances = () => {
    const { arrays, state } = link, chances = arrays.probabilities.data, before = arrays.before.data;
    const order = Array.from(chances, (_, k) => k).sort((a, b) => chances[b] - chances[a]).slice(0, SAL_CLASSES);
    if (!order.includes(state.target)) order[order.length - 1] = state.target;
    rows.forEach((row, i) => {
      const k = order[i];
      row.element.hidden = k === undefined;
      if (k === undefined) return;
      const name = state.classes?.[k] ?? `class ${k}`, changed = state.edits > 0;
      say(row.name, name);
      row.name.title = `${name}${k === state.true ? " (true class)" : ""}`;
      say(row.value, number(chances[k]));
      row.bar.style.transform = `scaleX(${chances[k]})`;
      row.was.hidden = !changed;
      row.was.style.left = `${100 * before[k]}%`;
      row.element.dataset.target = k === state.target ? "yes" : "no";
      row.element.dataset.true = k === state.true ? "yes" : "no";
      row.element.setAttribute("aria-label", `${name}: ${number(chances[k])}${changed ? `, before the changes ${number(before[k])}` : ""}${k === state.true ? ", the true class" : ""}${k === state.target ? ", explained" : ""}`);
    });
  };

  return {
    element,
    more,
    step,
    take,
    back,
    /** @param {number} by */
    widen(by) {
      width.value = String(Number(width.value) + by);
      stage.draw();
    },
    draw() {
      const { arrays, state } = link, [height, wide] = size(), picture = arrays.picture;
      if (picture !== drawn) paintPicture(canvas, { data: picture.data, shape: [1, ...picture.shape] }, 0, INK);
      drawn = picture;
      paper.style.aspectRatio = `${wide} / ${height}`;
      if (arrays.mask !== outline[0]) outline = [arrays.mask, state.masked ? salOutline(arrays.mask) : ""];
      truth.draw([height, wide], look.truth ? [["sal-halo", outline[1]], ["sal-line", outline[1]]] : []);
      const across = Number(width.value), path = trail.length > 1 || held || pointer !== null ? trail.map(([x, y], i) => `${i ? "L" : "M"}${x * wide} ${y * height}`).join("") + "h0.01" : "";
      stroke.element.style.setProperty("--sal-width", String(tool === "move" ? 0.6 : across * wide));
      stroke.draw([height, wide], tool === "move" || queue.pending ? [["sal-trail", path]] : []);
      Object.assign(brush.style, { left: `${100 * cursor[0]}%`, top: `${100 * cursor[1]}%`, width: `${100 * across}%` });
      brush.dataset.down = held || pointer !== null ? "yes" : "no";
      for (const one of tools) one.setAttribute("aria-pressed", String(one.dataset.action === tool));
      tools[2].hidden = ![1, 3].includes(state.channels);
      colour.hidden = tool !== "paint" || state.channels !== 3;
      undo.toggleAttribute("data-off", !state.edits && !queue.pending);
      reset.toggleAttribute("data-off", !state.edits && !queue.pending);
      const truly = state.true === null ? "" : state.classes?.[state.true] ?? `class ${state.true}`, { index } = queue.wish;
      say(which, index == null ? "Your picture" : `${whole(index + 1)} of ${whole(state.count)}${truly && index === state.settings.index ? `: ${truly}` : ""}`);
      which.title = which.textContent;
      say(note, state.edits ? `Changed ${state.edits === 1 ? "once" : `${state.edits} times`}; ▏ marks the probability before.` : `${height} × ${wide} pixels. Change the picture: all follows.`);
      paper.setAttribute("aria-label", `${which.textContent}. Arrow keys move the brush (with Shift further), space puts it down and lifts it. Tool: ${tool}.`);
      drawChances();
    },
  };
}
