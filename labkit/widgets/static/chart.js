// A chart of curves over the training steps, on a canvas of its own: drawn anew at each frame, read by hover, keys and touch.
import { decimate, spread } from "./curves.js";
import { h, keepSharp } from "./lab.js";
import { logTicks, scale, short, tickStep, ticks } from "./numbers.js";

/** @typedef {import("./lab.js").Theme} Theme */
/**
 * @typedef {object} Curve
 * @property {ArrayLike<number>} x ascending steps
 * @property {ArrayLike<number>} y
 * @property {number} count how many entries of x and y count
 * @property {string} colour
 * @property {number} width in CSS pixels
 * @property {boolean} [dashed]
 * @property {number} [alpha]
 * @property {boolean} [faint] for reading only: does not stretch the scale to its extremes
 * @property {string} [label] stands at the line's end
 */
/**
 * @typedef {object} Drawing
 * @property {Curve[]} curves
 * @property {[number, number]} domain of steps
 * @property {boolean} log
 * @property {[number, number] | null} limits fixed limits of y, or null for what the curves need
 * @property {number | null} shown the step shown, where it is not the newest
 * @property {{step: number, label: string}[]} marks
 * @property {number} right pixels kept free for the labels
 */

const LEFT = 46, TOP = 8;

export class Chart {
  /**
   * @param {{title: string, axis: boolean, className: string, read: (step: number | null) => void,
   *   choose: (step: number) => void, signal: AbortSignal}} options
   */
  constructor({ title, axis, className, read, choose, signal }) {
    this.axis = axis;
    this.base = h("canvas", { "aria-hidden": "true" });
    this.over = h("canvas", { "aria-hidden": "true" });
    this.title = h("div", { class: "lk-chart-title" }, title);
    this.stage = h("div", { class: "lk-plot", tabindex: 0, role: "img", "aria-label": title }, this.base, this.over);
    this.element = h("div", { class: `lk-chart ${className}` }, this.title, this.stage);
    this.drawing = /** @type {Drawing | null} */ (null);
    this.theme = /** @type {Theme | null} */ (null);
    this.cursor = /** @type {{step: number, points: [number, string][]} | null} */ (null);
    this.x = scale([0, 1], [0, 1]);
    this.y = scale([0, 1], [0, 1]);
    keepSharp(this.base, () => this.draw(this.drawing, this.theme), signal);
    keepSharp(this.over, () => this.overlay(), signal);

    const step = (/** @type {PointerEvent} */ event) => {
      const at = this.x.invert(event.clientX - this.stage.getBoundingClientRect().left);
      const [low, high] = this.drawing?.domain ?? [0, 1];
      return Math.min(high, Math.max(low, Math.round(at)));
    };
    const on = (/** @type {string} */ name, /** @type {(event: any) => void} */ run) => this.stage.addEventListener(name, run, { signal });
    // A finger reads, and what it read stays until one touches elsewhere; a mouse reads by hovering and chooses by clicking.
    let finger = false;
    on("pointerdown", (event) => {
      finger = event.pointerType === "touch";
      read(step(event));
    });
    on("pointermove", (event) => read(step(event)));
    on("pointerleave", (event) => { if (event.pointerType !== "touch") read(null); });
    on("click", (event) => { if (!finger) choose(step(event)); });
    on("blur", () => read(null));
  }

  /** The limits of y that show every solid curve whole and the faint ones without their outliers. */
  limits(/** @type {Drawing} */ drawing, /** @type {{x: number[], y: number[]}[]} */ thinned) {
    let low = Infinity, high = -Infinity;
    drawing.curves.forEach((curve, i) => {
      const values = thinned[i].y.filter((v) => Number.isFinite(v) && (!drawing.log || v > 0)).sort((a, b) => a - b);
      if (!values.length) return;
      const cut = curve.faint ? Math.floor(0.02 * values.length) : 0;
      low = Math.min(low, values[cut]);
      high = Math.max(high, values[values.length - 1 - cut]);
    });
    if (low > high) return /** @type {[number, number]} */ (drawing.log ? [0.1, 1] : [0, 1]);
    if (drawing.log) return /** @type {[number, number]} */ (high > 1.5 * low ? [low / 1.1, high * 1.1] : [low / 1.5, high * 1.5]);
    low = Math.min(0, low);
    if (high <= low) high = low + 1;
    const step = tickStep(high - low, 8);
    return /** @type {[number, number]} */ ([Math.floor(low / step) * step, Math.ceil((high * 1.02) / step) * step]);
  }

  /** @param {Drawing | null} drawing @param {Theme | null} theme */
  draw(drawing, theme) {
    this.drawing = drawing;
    this.theme = theme;
    const pen = this.base.getContext("2d");
    const width = this.base.clientWidth, height = this.base.clientHeight;
    if (!pen || !drawing || !theme || !width || !height) return;
    const right = width - drawing.right, bottom = height - (this.axis ? 34 : 10);
    const thinned = drawing.curves.map((c) => decimate(c.x, c.y, c.count, drawing.domain, Math.max(1, Math.round(right - LEFT))));
    const limits = drawing.limits ?? this.limits(drawing, thinned);
    this.x = scale(drawing.domain, [LEFT, right]);
    this.y = scale(limits, [bottom, TOP], drawing.log);
    const { x, y } = this;

    pen.clearRect(0, 0, width, height);
    pen.font = `12px ${theme.font}`;
    pen.lineWidth = 1;
    pen.textBaseline = "middle";
    pen.textAlign = "right";
    const levels = drawing.log ? logTicks(...limits) : ticks(...limits, Math.min(6, Math.max(2, Math.floor((bottom - TOP) / 36))));
    for (const level of levels) {
      const at = Math.round(y(level)) + 0.5;
      pen.strokeStyle = theme.line;
      pen.beginPath();
      pen.moveTo(LEFT, at);
      pen.lineTo(right, at);
      pen.stroke();
      pen.fillStyle = theme.soft;
      pen.fillText(short(level), LEFT - 8, at);
    }
    pen.textAlign = "center";
    const steps = ticks(...drawing.domain, Math.max(2, Math.floor((right - LEFT) / 80))).filter(Number.isInteger);
    for (const step of steps) {
      const at = Math.round(x(step)) + 0.5;
      pen.strokeStyle = theme.line;
      pen.beginPath();
      pen.moveTo(at, bottom);
      pen.lineTo(at, bottom + 4);
      pen.stroke();
      pen.fillStyle = theme.soft;
      if (this.axis) pen.fillText(short(step), at, bottom + 12);
    }
    if (this.axis) {
      pen.fillStyle = theme.soft;
      pen.fillText("training step", (LEFT + right) / 2, bottom + 27);
    }

    pen.save();
    pen.beginPath();
    pen.rect(LEFT, TOP - 4, right - LEFT + 3, bottom - TOP + 8);
    pen.clip();
    drawing.curves.forEach((curve, i) => this.curve(pen, curve, thinned[i]));
    this.marks(pen, bottom, right);
    if (drawing.shown !== null) {
      const at = x(drawing.shown);
      pen.globalAlpha = 0.66;
      pen.fillStyle = theme.back;
      pen.fillRect(at, TOP - 4, right - at + 4, bottom - TOP + 8);
      pen.globalAlpha = 1;
      pen.strokeStyle = theme.text;
      pen.beginPath();
      pen.moveTo(at, TOP - 4);
      pen.lineTo(at, bottom);
      pen.stroke();
    }
    pen.restore();
    this.labels(pen, thinned, right, bottom);
    this.overlay();
  }

  /** What happened at a step: a dotted line with its name, one row lower where names would meet. @param {CanvasRenderingContext2D} pen @param {number} bottom @param {number} right */
  marks(pen, bottom, right) {
    const { marks } = /** @type {Drawing} */ (this.drawing), theme = /** @type {Theme} */ (this.theme);
    pen.strokeStyle = pen.fillStyle = theme.soft;
    pen.globalAlpha = 1;
    pen.lineWidth = 1;
    pen.textAlign = "left";
    let end = -Infinity, row = 0;
    for (const { step, label } of [...marks].sort((a, b) => a.step - b.step)) {
      const at = Math.round(this.x(step)) + 0.5, wide = pen.measureText(label).width;
      const left = Math.min(at + 4, right - wide);
      row = left < end ? row + 1 : 0;
      end = left + wide + 6;
      pen.setLineDash([1, 3]);
      pen.beginPath();
      pen.moveTo(at, TOP);
      pen.lineTo(at, bottom);
      pen.stroke();
      pen.setLineDash([]);
      pen.strokeStyle = theme.back;  // a halo: the words stay readable over the curves
      pen.lineWidth = 4;
      pen.strokeText(label, left, TOP + 6 + 15 * (row % 3));
      pen.strokeStyle = theme.soft;
      pen.lineWidth = 1;
      pen.fillText(label, left, TOP + 6 + 15 * (row % 3));
    }
  }

  /** @param {CanvasRenderingContext2D} pen @param {Curve} curve @param {{x: number[], y: number[]}} points */
  curve(pen, curve, points) {
    pen.strokeStyle = pen.fillStyle = curve.colour;
    pen.globalAlpha = curve.alpha ?? 1;
    pen.lineWidth = curve.width;
    pen.lineJoin = "round";
    pen.setLineDash(curve.dashed ? [6, 4] : []);
    pen.beginPath();
    let down = false;
    for (let i = 0; i < points.x.length; i += 1) {
      const at = this.y(points.y[i]);
      if (Number.isFinite(at)) {
        const near = Math.min(1e5, Math.max(-1e5, at));
        if (down) pen.lineTo(this.x(points.x[i]), near);
        else pen.moveTo(this.x(points.x[i]), near);
      }
      down = Number.isFinite(at);
    }
    pen.stroke();
    pen.setLineDash([]);
    if (points.x.length === 1) {
      pen.beginPath();
      pen.arc(this.x(points.x[0]), this.y(points.y[0]), 2.5, 0, 7);
      pen.fill();
    }
    pen.globalAlpha = 1;
    pen.lineWidth = 1;
  }

  /** Names at the lines' ends. @param {CanvasRenderingContext2D} pen @param {{x: number[], y: number[]}[]} thinned @param {number} right @param {number} bottom */
  labels(pen, thinned, right, bottom) {
    const found = /** @type {Drawing} */ (this.drawing).curves.flatMap((curve, i) => {
      const points = thinned[i];
      let k = points.y.length - 1;
      while (k >= 0 && !Number.isFinite(this.y(points.y[k]))) k -= 1;
      return curve.label && k >= 0 ? [{ curve, at: this.y(points.y[k]), x: this.x(points.x[k]) }] : [];
    });
    const places = spread(found.map(({ at }) => Math.min(bottom, Math.max(TOP, at))), 15, TOP, bottom);
    pen.textAlign = "left";
    found.forEach(({ curve, at, x }, i) => {
      pen.fillStyle = curve.colour;
      if (at >= TOP - 2 && at <= bottom + 2) {
        pen.beginPath();
        pen.arc(x, at, 2.5, 0, 7);
        pen.fill();
      }
      pen.fillText(/** @type {string} */ (curve.label), right + 8, places[i]);
    });
  }

  /** Show where one reads, or nothing. @param {{step: number, points: [number, string][]} | null} cursor */
  point(cursor) {
    this.cursor = cursor;
    this.overlay();
  }

  overlay() {
    const pen = this.over.getContext("2d");
    if (!pen || !this.theme) return;
    pen.clearRect(0, 0, this.over.clientWidth, this.over.clientHeight);
    if (!this.cursor || !this.drawing) return;
    const at = Math.round(this.x(this.cursor.step)) + 0.5, bottom = this.over.clientHeight - (this.axis ? 34 : 10);
    pen.strokeStyle = this.theme.soft;
    pen.beginPath();
    pen.moveTo(at, TOP - 4);
    pen.lineTo(at, bottom);
    pen.stroke();
    for (const [value, colour] of this.cursor.points) {
      const y = this.y(value);
      if (!(y >= TOP - 4 && y <= bottom + 4)) continue;
      pen.fillStyle = this.theme.back;
      pen.beginPath();
      pen.arc(at, y, 5, 0, 7);
      pen.fill();
      pen.fillStyle = colour;
      pen.beginPath();
      pen.arc(at, y, 3.5, 0, 7);
      pen.fill();
    }
  }
}
