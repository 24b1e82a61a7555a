// A row of colours for each member of an ensemble, over the training steps: drawn on a canvas, read by hover, keys and touch.
import { cividis, table } from "./colours.js";
import { columnOf, rowTicks } from "./ensemblerows.js";
import { h, keepSharp } from "./lab.js";
import { scale, short, ticks } from "./numbers.js";

/** @typedef {import("./lab.js").Theme} Theme */
/** @typedef {{row: number, column: number}} Cell */
/**
 * @typedef {object} HeatDrawing
 * @property {number[]} order the member of each row, from the top
 * @property {import("./ensemblerows.js").RowGroup[]} groups
 * @property {ArrayLike<number>} cells `columns` times a value of each member
 * @property {number[]} edges where the columns begin, and the end of the last one, in steps
 * @property {ArrayLike<number>} ends the step that each column is named by
 * @property {number} columns
 * @property {{low: number, high: number} | null} range the values of the first and the last colour
 * @property {boolean} log
 * @property {number} last the newest step
 * @property {number | null} shown the step shown, where it is not the newest
 * @property {ArrayLike<number>} fallen the step at which each member diverged, or 0
 * @property {number | null} best
 * @property {number | null} chosen
 * @property {RowGroup | null} lit rows that another picture points at
 * @property {string} name of the setting
 */

export const HEAT_COLOURS = table(cividis);
const HEAT_TOP = 4, HEAT_FOOT = 34;

/** Diagonal lines: what is not there any more. @param {Theme} theme */
function heatHatch(theme) {
  const tile = document.createElement("canvas");
  tile.width = tile.height = 6;
  const pen = /** @type {CanvasRenderingContext2D} */ (tile.getContext("2d"));
  pen.fillStyle = theme.dark ? "#2a2c2f" : "#f4f5f6";
  pen.fillRect(0, 0, 6, 6);
  pen.strokeStyle = theme.grey;
  pen.globalAlpha = 0.6;
  pen.beginPath();
  for (const shift of [-6, 0, 6]) {
    pen.moveTo(shift - 1, 7);
    pen.lineTo(shift + 7, -1);
  }
  pen.stroke();
  return tile;
}

export class MemberHeat {
  /** @param {{read: (cell: Cell | null) => void, choose: (row: number) => void, signal: AbortSignal}} options */
  constructor({ read, choose, signal }) {
    this.base = h("canvas", { "aria-hidden": "true" });
    this.over = h("canvas", { "aria-hidden": "true" });
    this.stage = h("div", { class: "lk-plot lk-rows-plot", tabindex: 0, role: "application" }, this.base, this.over);
    this.picture = document.createElement("canvas");
    this.drawing = /** @type {HeatDrawing | null} */ (null);
    this.theme = /** @type {Theme | null} */ (null);
    this.cursor = /** @type {Cell | null} */ (null);
    this.hatch = /** @type {{dark: boolean, tile: HTMLCanvasElement} | null} */ (null);
    this.x = scale([0, 1], [0, 1]);
    this.left = 0;
    this.right = 0;
    this.bottom = 0;
    keepSharp(this.base, () => this.draw(this.drawing, this.theme), signal);
    keepSharp(this.over, () => this.overlay(), signal);

    const cell = (/** @type {PointerEvent} */ event) => {
      const box = this.stage.getBoundingClientRect();
      return this.cellAt(event.clientX - box.left, event.clientY - box.top);
    };
    const on = (/** @type {string} */ name, /** @type {(event: any) => void} */ run) => this.stage.addEventListener(name, run, { signal });
    on("pointermove", (event) => read(cell(event)));
    on("pointerdown", (event) => read(cell(event)));
    on("pointerleave", (event) => { if (event.pointerType !== "touch") read(null); });
    on("blur", () => read(null));
    on("click", (event) => {
      const found = cell(event);
      if (found) choose(found.row);
    });
    on("keydown", (/** @type {KeyboardEvent} */ event) => {
      const rows = this.drawing?.order.length ?? 0, columns = this.drawing?.columns ?? 0;
      if (!rows || event.ctrlKey || event.metaKey || event.altKey) return;
      const move = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1], PageUp: [-10, 0], PageDown: [10, 0] }[event.key];
      const at = this.cursor ?? { row: this.drawing?.best == null ? 0 : this.drawing.order.indexOf(this.drawing.best), column: columns - 1 };
      if (event.key === "Enter") choose(at.row);
      else if (move) {
        const jump = move[1] * Math.max(1, Math.round(columns / 64));
        // Kept at once: the next key may come before the next drawing.
        this.cursor = { row: Math.min(rows - 1, Math.max(0, at.row + move[0])), column: Math.min(columns - 1, Math.max(0, at.column + jump)) };
        read(this.cursor);
      } else return;
      event.preventDefault();
      event.stopPropagation();
    });
  }

  /** The height of one row in pixels. */
  get high() {
    return (this.bottom - HEAT_TOP) / Math.max(1, this.drawing?.order.length ?? 1);
  }

  /** @param {number} x @param {number} y in pixels @returns {Cell | null} */
  cellAt(x, y) {
    const d = this.drawing;
    if (!d || x < this.left - 60 || x > this.right + 60 || y < HEAT_TOP || y >= this.bottom) return null;
    const step = Math.min(d.last, Math.max(0, this.x.invert(Math.min(this.right, Math.max(this.left, x)))));
    const column = d.columns ? Math.max(0, columnOf(d.edges.slice(1), d.columns, step)) : -1;
    return { row: Math.floor((y - HEAT_TOP) / this.high), column };
  }

  /** @param {HeatDrawing | null} drawing @param {Theme | null} theme */
  draw(drawing, theme) {
    this.drawing = drawing;
    this.theme = theme;
    const pen = this.base.getContext("2d");
    const width = this.base.clientWidth, height = this.base.clientHeight;
    if (!pen || !drawing || !theme || !width || !height) return;
    pen.clearRect(0, 0, width, height);
    pen.font = `12px ${theme.font}`;
    this.bottom = height - HEAT_FOOT;
    const named = rowTicks(drawing.groups, this.bottom - HEAT_TOP, drawing.name !== "seed");
    this.left = Math.ceil(Math.max(...named.map(({ value }) => pen.measureText(short(value)).width))) + 12;
    this.right = width - (width < 480 ? 16 : 48);
    this.x = scale([0, Math.max(1, drawing.last)], [this.left, this.right]);
    if (drawing.columns && drawing.range) this.cells(pen);
    this.names(pen, named);
    this.steps(pen);
    if (drawing.shown !== null) {
      const at = this.x(drawing.shown);
      pen.globalAlpha = 0.72;
      pen.fillStyle = theme.back;
      pen.fillRect(at, HEAT_TOP, this.right - at, this.bottom - HEAT_TOP);
      pen.globalAlpha = 1;
      pen.fillStyle = theme.text;
      pen.fillRect(at - 0.5, HEAT_TOP, 1, this.bottom - HEAT_TOP);
    }
    this.overlay();
  }

  /** @param {CanvasRenderingContext2D} pen */
  cells(pen) {
    const d = /** @type {HeatDrawing} */ (this.drawing), theme = /** @type {Theme} */ (this.theme), { high } = this;
    if (this.hatch?.dark !== theme.dark) this.hatch = { dark: theme.dark, tile: heatHatch(theme) };
    pen.fillStyle = /** @type {CanvasPattern} */ (pen.createPattern(/** @type {any} */ (this.hatch).tile, "repeat"));
    d.order.forEach((member, row) => {
      const step = d.fallen[member];
      if (!step) return;
      const from = this.x(d.edges[columnOf(d.edges.slice(1), d.columns, step)]);
      pen.fillRect(from, HEAT_TOP + row * high, this.right - from, high);
    });
    this.paint();
    pen.imageSmoothingEnabled = false;
    for (let k = 0; k < d.columns; k += 1) {
      const from = this.x(d.edges[k]), to = this.x(d.edges[k + 1]);
      // A hair wider than it is: no gap shows between two columns.
      if (to > from) pen.drawImage(this.picture, k, 0, 1, d.order.length, from, HEAT_TOP, Math.min(this.right - from, to - from + 0.5), this.bottom - HEAT_TOP);
    }
    if (high < 8) return;
    pen.fillStyle = theme.text;
    pen.strokeStyle = theme.back;
    pen.lineWidth = 3;
    pen.lineJoin = "round";
    pen.textAlign = "center";
    pen.textBaseline = "middle";
    d.order.forEach((member, row) => {
      const step = d.fallen[member];
      if (!step) return;
      const x = Math.min(this.right - 6, this.x(step) + 7), y = HEAT_TOP + (row + 0.5) * high;
      pen.strokeText("✕", x, y); // so that it is seen on any colour
      pen.fillText("✕", x, y);
    });
  }

  /** One pixel a cell; cells without a number stay clear. */
  paint() {
    const d = /** @type {HeatDrawing} */ (this.drawing), rows = d.order.length, of = (/** @type {number} */ v) => (d.log ? Math.log(v) : v);
    const { range } = /** @type {any} */ (d), low = of(range.low), high = of(range.high);
    this.picture.width = d.columns;
    this.picture.height = rows;
    const pen = /** @type {CanvasRenderingContext2D} */ (this.picture.getContext("2d"));
    const image = pen.createImageData(d.columns, rows), out = new Uint32Array(image.data.buffer);
    const colours = new Uint32Array(HEAT_COLOURS.buffer), factor = 255.999 / (high - low);
    for (let row = 0, at = 0; row < rows; row += 1) {
      for (let k = 0; k < d.columns; k += 1, at += 1) {
        const value = d.cells[k * rows + d.order[row]];
        if (Number.isNaN(value)) continue;
        const place = (of(value) - low) * factor;
        out[at] = colours[place > 0 ? (place < 255 ? place | 0 : 255) : 0];
      }
    }
    pen.putImageData(image, 0, 0);
  }

  /** @param {CanvasRenderingContext2D} pen @param {{value: number, row: number}[]} named */
  names(pen, named) {
    const d = /** @type {HeatDrawing} */ (this.drawing), theme = /** @type {Theme} */ (this.theme), { high } = this;
    pen.textAlign = "right";
    pen.textBaseline = "middle";
    pen.fillStyle = theme.soft;
    for (const { value, row } of named) {
      pen.fillText(short(value), this.left - 8, Math.min(this.bottom - 6, Math.max(HEAT_TOP + 6, HEAT_TOP + row * high)));
    }
    if (d.best == null || !d.columns) return;
    const y = HEAT_TOP + (d.order.indexOf(d.best) + 0.5) * high;
    pen.fillStyle = theme.accent;
    pen.beginPath();
    pen.moveTo(this.right + 3, y);
    pen.lineTo(this.right + 11, y - 5);
    pen.lineTo(this.right + 11, y + 5);
    pen.fill();
    pen.textAlign = "left";
    if (this.base.clientWidth >= 480) pen.fillText("best", this.right + 15, Math.min(this.bottom - 6, Math.max(HEAT_TOP + 6, y)));
  }

  /** @param {CanvasRenderingContext2D} pen */
  steps(pen) {
    const d = /** @type {HeatDrawing} */ (this.drawing), theme = /** @type {Theme} */ (this.theme);
    pen.textAlign = "center";
    pen.textBaseline = "middle";
    pen.strokeStyle = theme.line;
    pen.fillStyle = theme.soft;
    for (const step of ticks(0, Math.max(1, d.last), Math.max(2, Math.floor((this.right - this.left) / 90))).filter(Number.isInteger)) {
      const at = Math.round(this.x(step)) + 0.5;
      pen.beginPath();
      pen.moveTo(at, this.bottom);
      pen.lineTo(at, this.bottom + 4);
      pen.stroke();
      pen.fillText(short(step), at, this.bottom + 12);
    }
    pen.fillText("training step", (this.left + this.right) / 2, this.bottom + 27);
  }

  /** Show where one reads, or nothing. @param {Cell | null} cell */
  point(cell) {
    this.cursor = cell;
    this.overlay();
  }

  overlay() {
    const pen = this.over.getContext("2d"), d = this.drawing, theme = this.theme;
    if (!pen || !theme) return;
    pen.clearRect(0, 0, this.over.clientWidth, this.over.clientHeight);
    if (!d) return;
    const { high } = this;
    const frame = (/** @type {number} */ from, /** @type {number} */ to, /** @type {number} */ wide) => {
      // Dark around light is seen on every colour of the scale.
      for (const [colour, width] of /** @type {[string, number][]} */ ([[theme.dark ? "#000" : "#fff", wide + 2.5], [theme.text, wide]])) {
        pen.strokeStyle = colour;
        pen.lineWidth = width;
        pen.strokeRect(this.left - 1, HEAT_TOP + from * high - 1, this.right - this.left + 2, (to - from) * high + 2);
      }
    };
    if (d.lit) frame(d.lit.from, d.lit.to, 1);
    if (d.chosen !== null) frame(d.order.indexOf(d.chosen), d.order.indexOf(d.chosen) + 1, 1.5);
    const cell = this.cursor;
    if (!cell) return;
    frame(cell.row, cell.row + 1, 1);
    if (cell.column < 0 || cell.column >= d.columns) return;
    const from = this.x(d.edges[cell.column]), to = this.x(d.edges[cell.column + 1]);
    const middle = (from + to) / 2, y = HEAT_TOP + (cell.row + 0.5) * high;
    pen.lineWidth = 3;
    pen.strokeStyle = theme.dark ? "#000" : "#fff";
    pen.fillStyle = theme.text;
    pen.beginPath();
    pen.arc(middle, y, 4, 0, 7);
    pen.stroke();
    pen.fill();
  }
}
