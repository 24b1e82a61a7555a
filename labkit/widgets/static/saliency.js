// Which pixels decided: a picture to change on the left, all methods' maps with their scores on the right.
import { h, keyboard, say, view } from "./lab.js";
import { salQueue } from "./saliencyarith.js";
import { salAxes, salMore } from "./saliencyaxes.js";
import { salControls } from "./saliencycontrols.js";
import { salPicture } from "./saliencypicture.js";
import { salDetail, salWall } from "./saliencywall.js";

export default view("saliency", (stage) => {
  const { link, root } = stage;
  const queue = salQueue(link), look = { mode: "overlay", common: false, truth: true };
  let opened = /** @type {string | null} */ (null), frames = 0, updates = -1;
  const open = (/** @type {string | null} */ method) => queue.push("open", { method });

  const title = h("h3", { class: "lk-title" }), status = h("span", { class: "lk-status" });
  const controls = salControls(stage, queue, look), picture = salPicture(stage, queue, look);
  const wall = salWall(stage, open, look), detail = salDetail(stage, queue, open, look, wall);
  const axes = salAxes(stage, queue), more = salMore(stage, queue);
  picture.more.append(more.element);
  const keys = keyboard(root, {
    n: ["Next picture", () => picture.step(1)],
    p: ["Picture before", () => picture.step(-1)],
    "← → ↑ ↓": ["Move the brush on the picture (with Shift further), or go from tile to tile", () => {}],
    " ": ["Put the brush down, lift it", () => {}],
    e: ["Erase", () => picture.take("erase")],
    b: ["Blur", () => picture.take("blur")],
    c: ["Paint", () => { if ([1, 3].includes(link.state.channels)) picture.take("paint"); }],
    m: ["Move", () => picture.take("move")],
    "+": ["A wider brush", () => picture.widen(0.04)],
    "-": ["A narrower brush", () => picture.widen(-0.04)],
    u: ["Undo", () => picture.back("undo")],
    r: ["The picture as it was", () => picture.back("reset")],
    s: ["For and against, or the magnitude", () => queue.set({ signed: !queue.wish.signed })],
    v: ["Over the picture, alone, side by side, contours", () => controls.nextMode()],
    t: ["Outline of the truth", () => controls.toggleTruth()],
    ...axes.keys,
    Escape: ["Close the method", () => { if (link.state.opened) open(null); }],
  });
  const help = h("button", { class: "lk-button lk-round", title: "Keys (?)", "aria-label": "Keys", onclick: () => { keys.hidden = !keys.hidden; } }, "?");
  const body = h("div", { class: "sal-body" }, picture.element, h("div", { class: "sal-main" }, controls.looks, controls.about, detail.element, wall.element, wall.marks));
  const card = h("div", { class: "lk-card" }, h("header", { class: "lk-head" }, title, h("div", { class: "lk-sub" }, status, help)), controls.asks, keys, body, axes.element);
  root.append(card);
  const shown = /** @type {any} */ ({ frames: 0 });
  /** @type {any} */ (root).labkit = shown;

  return () => {
    const { state, arrays } = link;
    if (!state.tiles || !arrays.picture) return;
    const began = performance.now();
    queue.flush();
    say(title, state.finding);
    say(status, link.gone ? "No kernel" : link.waiting ? "Waiting" : state.doing);
    status.dataset.status = link.gone ? "gone" : state.doing ? "playing" : "ready";
    controls.draw();
    picture.draw();
    axes.draw();
    more.draw();
    const focused = body.contains(document.activeElement), before = opened;
    wall.draw();
    detail.draw();
    opened = state.opened;
    if (opened !== before && focused && frames) (opened ? detail.focus() : wall.focus(before));
    if (link.updates !== updates) frames += 1;
    updates = link.updates;
    const tiles = Object.values(state.tiles);
    Object.assign(shown, {
      frames, updates, answered: state.answered ?? 0, asked: link.ticket, pending: queue.pending, settings: state.settings, wish: queue.wish, edits: state.edits, opened, target: state.target,
      doing: state.doing, axes: state.axes, like: Object.fromEntries(Object.entries(state.tiles).map(([name, tile]) => [name, tile.like])), mode: look.mode, content: tiles.some((tile) => tile.reach !== null), fresh: tiles.filter((tile) => tile.status === "shown").length,
      settled: !queue.pending && tiles.every((tile) => !["waiting", "computing"].includes(tile.status)), draw_ms: performance.now() - began,
    });
  };
});
