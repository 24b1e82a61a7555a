// The surface one draws on: mouse, pen, finger and keys.
import { h, keepSharp } from "./lab.js";
import { moved, smooth, split, within } from "./pen.js";

/** @typedef {import("./lab.js").Stage} Stage */
/** @typedef {[number, number]} Point */

const STRIDE = 1 / 32; // of the pen that is moved with the arrow keys

/**
 * @param {Stage} stage
 * @returns {{element: HTMLElement, draw: () => void, undo: () => void, clear: () => void, empty: () => boolean}}
 */
export function pad(stage) {
  const { link, signal } = stage;
  const canvas = h("canvas", { class: "lk-pad", tabindex: 0, role: "application", "aria-roledescription": "drawing pad",
    "aria-label": "Drawing pad. Arrow keys move the pen, space puts it down and lifts it, Backspace takes the last stroke back, Delete clears." });
  const hint = h("div", { class: "lk-hint" }, h("span", {}), h("span", { class: "lk-hint-keys" }, "mouse, pen, finger, or arrow keys and space"));
  const element = h("div", { class: "lk-paper" }, canvas, hint);
  let strokes = /** @type {Point[][]} */ ([]);
  let pointer = /** @type {number | null} */ (null);
  let sent = 0, asked = 0, taken = /** @type {any} */ (null);
  let cursor = /** @type {Point} */ ([0.5, 0.3]), down = false;

  const flush = (/** @type {boolean} */ done) => {
    asked = 0;
    const index = strokes.length - 1, fresh = strokes[index]?.slice(sent) ?? [];
    if (!fresh.length && !done) return;
    sent += fresh.length;
    link.do("stroke", { index, done }, [Float32Array.from(fresh.flat()).buffer]);
  };
  const later = () => { if (!asked) asked = requestAnimationFrame(() => { if (pointer !== null || down) flush(false); else asked = 0; }); };
  const begin = (/** @type {Point} */ point) => {
    strokes.push([point]);
    sent = 0;
    later();
    stage.draw();
  };
  const extend = (/** @type {Point} */ point) => {
    const stroke = strokes[strokes.length - 1];
    if (!moved(stroke[stroke.length - 1], point)) return;
    stroke.push(point);
    later();
    stage.draw();
  };
  const finish = () => {
    cancelAnimationFrame(asked);
    flush(true);
  };

  const place = (/** @type {PointerEvent} */ event) => {
    const box = canvas.getBoundingClientRect();
    return within([(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height]);
  };
  const on = (/** @type {string} */ name, /** @type {(event: any) => void} */ run) => canvas.addEventListener(name, run, { signal });
  on("pointerdown", (event) => {
    if (pointer !== null || link.gone || (event.pointerType === "mouse" && event.button !== 0)) return;
    lift();
    canvas.classList.add("lk-by-pointer");
    pointer = event.pointerId;
    canvas.setPointerCapture(pointer);
    canvas.focus({ preventScroll: true });
    begin(place(event));
    event.preventDefault();
  });
  on("pointermove", (event) => {
    if (event.pointerId !== pointer) return;
    const all = event.getCoalescedEvents?.() ?? [];
    for (const one of all.length ? all : [event]) extend(place(one));
  });
  for (const name of ["pointerup", "pointercancel", "lostpointercapture"]) {
    on(name, (event) => {
      if (event.pointerId !== pointer) return;
      pointer = null;
      finish();
    });
  }

  const lift = () => {
    if (!down) return;
    down = false;
    finish();
    stage.draw();
  };
  on("blur", () => {
    lift();
    canvas.classList.remove("lk-by-pointer");
    stage.draw();
  });
  on("focus", () => stage.draw());
  on("keydown", (event) => {
    if (link.gone || event.ctrlKey || event.metaKey || event.altKey) return;
    canvas.classList.remove("lk-by-pointer");
    const step = event.shiftKey ? 4 * STRIDE : STRIDE;
    const move = /** @type {Record<string, Point>} */ ({ ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] })[event.key];
    if (move) {
      cursor = within([cursor[0] + move[0], cursor[1] + move[1]]);
      if (down) extend(cursor);
    } else if (event.key === " ") {
      if (down) lift();
      else {
        down = true;
        begin(cursor);
      }
      stage.announce(down ? "Pen down" : "Pen up");
    } else if (event.key === "Backspace") undo();
    else if (event.key === "Delete") clear();
    else return;
    stage.draw();
    event.preventDefault();
    event.stopPropagation();
  });

  const undo = () => {
    lift();
    strokes.pop();
    link.do("undo");
    stage.draw();
  };
  const clear = () => {
    lift();
    strokes = [];
    link.do("clear");
    stage.draw();
  };

  const paint = () => {
    const pen = canvas.getContext("2d"), size = canvas.clientWidth;
    if (!pen || !size) return;
    pen.fillStyle = "#fff";
    pen.fillRect(0, 0, size, size);
    pen.strokeStyle = pen.fillStyle = "#111";
    pen.lineWidth = (link.state.pen ?? 0.08) * size;
    pen.lineCap = pen.lineJoin = "round";
    for (const stroke of strokes) {
      pen.beginPath();
      for (const [i, { from, bend, to }] of smooth(stroke).entries()) {
        if (!i) pen.moveTo(from[0] * size, from[1] * size);
        pen.quadraticCurveTo(bend[0] * size, bend[1] * size, to[0] * size, to[1] * size);
      }
      pen.stroke();
    }
    if (document.activeElement === canvas && !canvas.classList.contains("lk-by-pointer")) {
      const [x, y] = [cursor[0] * size, cursor[1] * size], radius = pen.lineWidth / 2;
      pen.lineWidth = 2;
      pen.strokeStyle = "#0b6bb8";
      pen.beginPath();
      pen.arc(x, y, radius + 2, 0, 7);
      pen.stroke();
      if (!down) {
        pen.beginPath();
        for (const [dx, dy] of [[-1, 0], [1, 0], [0, -1], [0, 1]]) {
          pen.moveTo(x + dx * (radius - 4), y + dy * (radius - 4));
          pen.lineTo(x + dx * (radius + 8), y + dy * (radius + 8));
        }
        pen.stroke();
      }
    }
  };
  keepSharp(canvas, paint, signal);

  return {
    element,
    undo,
    clear,
    empty: () => strokes.length === 0,
    draw() {
      const points = link.arrays.points;
      // While a message is on its way, more has been drawn here than Python knows of.
      if (points && points !== taken && pointer === null && !down && !link.wishes.length) {
        taken = points;
        strokes = split(points.data, link.state.strokes);
      }
      hint.children[0].textContent = link.state.hint ?? "Draw here";
      hint.hidden = strokes.length > 0;
      paint();
    },
  };
}
