// The map of a loss over a plane, with the paths of runs on it: drawn on two canvases, read by hover, keys and touch.
import { cividis, css, paint, table } from "./colours.js";
import { contourLines, labelPlace, levelScale, onScale, readGrid, refineGrid } from "./contours.js";
import { atOrBefore } from "./curves.js";
import { h, keepSharp, say } from "./lab.js";
import { number, scale, short, ticks, whole } from "./numbers.js";

/** @typedef {import("./lab.js").Theme} Theme */
/** @typedef {import("./frames.js").Column} Column */
/** @typedef {{name: string, main: boolean, steps: Column | null, a: Column | null, b: Column | null}} MapRun */
/**
 * @typedef {object} MapDrawing
 * @property {any} losses (rows, columns), row 0 at b[0]
 * @property {any} a
 * @property {any} b
 * @property {[string, string]} axes
 * @property {MapRun[]} runs
 * @property {number | null} shown the step shown, where it is not the newest
 */

const MAP_LEFT = 52, MAP_TOP = 6, MAP_BOTTOM = 36, MAP_RIGHT = 8;
const FINER = 4; // points drawn for each one measured, along each axis
const MOST_DOTS = 60;
const HALO = "rgba(20, 24, 30, .85)";
const NEAR_PATH = 12; // pixels

export class LossMap {
  /** @param {{seek: (step: number) => void, announce: (text: string) => void, dirty: () => void, signal: AbortSignal}} options */
  constructor({ seek, announce, dirty, signal }) {
    this.announce = announce;
    this.base = h("canvas", { "aria-hidden": "true" });
    this.over = h("canvas", { "aria-hidden": "true" });
    this.tip = h("div", { class: "lk-tip ls-tip", hidden: true });
    this.stage = h("div", { class: "lk-plot ls-map", tabindex: 0, role: "img" }, this.base, this.over);
    this.legend = h("canvas", { class: "ls-legend", "aria-hidden": "true" });
    this.legendWord = h("span", { class: "lk-note" });
    this.element = h("div", { class: "ls-frame" }, this.stage, h("div", { class: "ls-key" }, this.legendWord, this.legend), this.tip);
    this.drawing = /** @type {MapDrawing | null} */ (null);
    this.theme = /** @type {Theme | null} */ (null);
    this.drawn = /** @type {any[]} */ ([]);
    this.picture = document.createElement("canvas");
    this.cursor = /** @type {[number, number] | null} */ (null); // in grid coordinates
    this.x = scale([0, 1], [0, 1]);
    this.y = scale([0, 1], [0, 1]);
    const again = () => { this.drawn = []; dirty(); };
    for (const canvas of [this.base, this.over, this.legend]) keepSharp(canvas, again, signal);

    const on = (/** @type {string} */ name, /** @type {(event: any) => void} */ run) => this.stage.addEventListener(name, run, { signal });
    const place = (/** @type {PointerEvent} */ event) => {
      const box = this.stage.getBoundingClientRect();
      return /** @type {[number, number]} */ ([event.clientX - box.left, event.clientY - box.top]);
    };
    on("pointermove", (event) => this.point(...place(event)));
    on("pointerdown", (event) => this.point(...place(event)));
    on("pointerleave", (event) => { if (event.pointerType !== "touch") this.leave(); });
    on("blur", () => this.leave());
    on("click", (event) => {
      const step = this.stepAt(...place(event));
      if (step !== null) seek(step);
    });
    on("keydown", (event) => this.key(event));
  }

  get columns() { return this.drawing?.a?.data.length ?? 0; }
  get rows() { return this.drawing?.b?.data.length ?? 0; }

  /** @param {MapDrawing} drawing @param {Theme} theme */
  draw(drawing, theme) {
    this.drawing = drawing;
    this.theme = theme;
    this.stage.dataset.empty = String(!drawing.losses);
    if (!drawing.losses || !this.base.clientWidth) return;
    const key = [drawing.losses, drawing.axes[0], theme.dark, theme.font];
    if (!key.every((part, i) => part === this.drawn[i])) {
      this.drawn = key;
      this.drawBase(drawing, theme);
      this.drawLegend(theme);
    }
    this.overlay();
  }

  /** The picture, contour lines and axes. @param {MapDrawing} drawing @param {Theme} theme */
  drawBase({ losses, a, b, axes }, theme) {
    const pen = /** @type {CanvasRenderingContext2D} */ (this.base.getContext("2d"));
    const width = this.base.clientWidth, height = this.base.clientHeight;
    const right = width - MAP_RIGHT, bottom = height - MAP_BOTTOM, size = right - MAP_LEFT, tall = bottom - MAP_TOP;
    this.x = scale([a.data[0], a.data[this.columns - 1]], [MAP_LEFT, right]);
    this.y = scale([b.data[0], b.data[this.rows - 1]], [bottom, MAP_TOP]);
    this.levels = levelScale(losses.data);
    const { low, high, log, levels } = this.levels;
    const onto = (/** @type {number} */ value) => (log ? Math.log10(value) : value);
    this.grid = { data: losses.data, rows: this.rows, columns: this.columns };
    const fine = refineGrid({ ...this.grid, data: onScale(losses.data, log) }, FINER);

    this.picture.width = fine.columns;
    this.picture.height = fine.rows;
    const brush = /** @type {CanvasRenderingContext2D} */ (this.picture.getContext("2d")), image = brush.createImageData(fine.columns, fine.rows);
    const colours = table(cividis);
    for (let row = 0; row < fine.rows; row += 1) {
      const line = image.data.subarray(4 * row * fine.columns, 4 * (row + 1) * fine.columns);
      paint(fine.data, (fine.rows - 1 - row) * fine.columns, fine.columns, onto(low), onto(high), colours, line);
    }
    brush.putImageData(image, 0, 0);
    pen.clearRect(0, 0, width, height);
    pen.imageSmoothingEnabled = true;
    pen.imageSmoothingQuality = "high";
    pen.drawImage(this.picture, 0.5, 0.5, fine.columns - 1, fine.rows - 1, MAP_LEFT, MAP_TOP, size, tall);

    pen.save();
    pen.translate(MAP_LEFT, MAP_TOP);
    pen.lineJoin = "round";
    pen.font = `11px ${theme.font}`;
    pen.textAlign = "center";
    pen.textBaseline = "middle";
    const taken = /** @type {[number, number][]} */ ([]);
    for (const level of levels) {
      for (const line of contourLines(fine, onto(level))) {
        const points = line.map((value, i) => (i % 2 ? tall * (1 - value / (fine.rows - 1)) : size * value / (fine.columns - 1)));
        const place = labelPlace(points, pen.measureText(short(level)).width + 12, size, taken);
        if (place) taken.push([place.x, place.y]);
        this.contour(pen, points, place, short(level));
      }
    }
    pen.restore();
    this.drawAxes(pen, theme, axes, right, bottom);
  }

  /** One contour line, with a gap for its label. @param {CanvasRenderingContext2D} pen @param {number[]} points @param {ReturnType<typeof labelPlace>} place @param {string} word */
  contour(pen, points, place, word) {
    pen.strokeStyle = "rgba(255, 255, 255, .62)";
    pen.lineWidth = 1;
    pen.beginPath();
    let down = false;
    for (let i = 0; i < points.length / 2; i += 1) {
      if (place && i > place.from && i < place.to) down = false;
      else if (down) pen.lineTo(points[2 * i], points[2 * i + 1]);
      else {
        pen.moveTo(points[2 * i], points[2 * i + 1]);
        down = true;
      }
    }
    pen.stroke();
    if (!place) return;
    pen.save();
    pen.translate(place.x, place.y);
    pen.rotate(place.angle);
    pen.strokeStyle = "rgba(20, 24, 30, .45)";
    pen.lineWidth = 2.5;
    pen.strokeText(word, 0, 0);
    pen.fillStyle = "#fff";
    pen.fillText(word, 0, 0);
    pen.restore();
  }

  /** @param {CanvasRenderingContext2D} pen @param {Theme} theme @param {[string, string]} names @param {number} right @param {number} bottom */
  drawAxes(pen, theme, [across, up], right, bottom) {
    const { a, b } = /** @type {MapDrawing} */ (this.drawing);
    pen.font = `12px ${theme.font}`;
    pen.fillStyle = theme.soft;
    pen.strokeStyle = theme.line;
    pen.lineWidth = 1;
    pen.strokeRect(MAP_LEFT - 0.5, MAP_TOP - 0.5, right - MAP_LEFT + 1, bottom - MAP_TOP + 1);
    const few = (/** @type {any} */ axis, /** @type {number} */ gap, /** @type {number} */ length) => ticks(axis.data[0], axis.data[axis.data.length - 1], Math.max(2, Math.floor(length / gap)));
    pen.textAlign = "center";
    pen.textBaseline = "top";
    for (const value of few(a, 80, right - MAP_LEFT)) pen.fillText(short(value), Math.min(right - 8, Math.max(MAP_LEFT + 4, this.x(value))), bottom + 5);
    pen.fillText(across, (MAP_LEFT + right) / 2, bottom + 20);
    pen.textAlign = "right";
    pen.textBaseline = "middle";
    for (const value of few(b, 70, bottom - MAP_TOP)) pen.fillText(short(value), MAP_LEFT - 6, Math.min(bottom - 5, Math.max(MAP_TOP + 6, this.y(value))));
    pen.save();
    pen.translate(9, (MAP_TOP + bottom) / 2);
    pen.rotate(-Math.PI / 2);
    pen.textAlign = "center";
    pen.fillText(up, 0, 0);
    pen.restore();
  }

  /** The colours with the levels' losses under them. @param {Theme} theme */
  drawLegend(theme) {
    const pen = this.legend.getContext("2d"), width = this.legend.clientWidth, { low, high, log, levels } = /** @type {any} */ (this.levels);
    if (!pen || !width) return;
    pen.clearRect(0, 0, width, this.legend.clientHeight);
    const place = scale([low, high > low ? high : low + 1], [1, width - 1], log);
    for (let x = 0; x < width; x += 1) {
      pen.fillStyle = css(cividis(x / (width - 1)));
      pen.fillRect(x, 0, 1.5, 10);
    }
    pen.font = `11px ${theme.font}`;
    pen.fillStyle = theme.soft;
    pen.textAlign = "center";
    pen.textBaseline = "top";
    let end = -Infinity;
    for (const level of levels) {
      const word = short(level), at = place(level), half = pen.measureText(word).width / 2;
      if (at - half < Math.max(0, end + 8) || at + half > width) continue;
      pen.fillRect(at - 0.5, 10, 1, 3);
      pen.fillText(word, at, 15);
      end = at + half;
    }
    const holes = this.drawing?.losses.data.some((/** @type {number} */ value) => !Number.isFinite(value));
    say(this.legendWord, `Loss${log ? ", log scale" : ""}${holes ? "; red is not finite" : ""}`);
  }

  // ---- the paths

  overlay() {
    const pen = this.over.getContext("2d"), { drawing, theme } = this;
    if (!pen || !drawing?.losses || !theme) return;
    const right = this.over.clientWidth - MAP_RIGHT, bottom = this.over.clientHeight - MAP_BOTTOM;
    pen.clearRect(0, 0, this.over.clientWidth, this.over.clientHeight);
    pen.save();
    pen.beginPath();
    pen.rect(MAP_LEFT, MAP_TOP, right - MAP_LEFT, bottom - MAP_TOP);
    pen.clip();
    pen.font = `600 12px ${theme.font}`;
    pen.lineJoin = "round";
    for (const run of drawing.runs.filter(({ main }) => !main)) this.path(pen, run, null);
    for (const run of drawing.runs.filter(({ main }) => main)) this.path(pen, run, drawing.shown);
    if (this.cursor) this.cross(pen, right, bottom);
    pen.restore();
  }

  /** @param {CanvasRenderingContext2D} pen @param {MapRun} run @param {number | null} shown */
  path(pen, { name, main, steps, a, b }, shown) {
    if (!steps || !a || !b) return;
    const newest = steps.length - 1, end = shown === null ? newest : Math.max(0, atOrBefore(steps.data, steps.length, shown));
    const at = (/** @type {number} */ k) => /** @type {[number, number]} */ ([this.x(a.data[k]), this.y(b.data[k])]);
    const line = (/** @type {number} */ from, /** @type {number} */ to, /** @type {number} */ alpha) => {
      pen.globalAlpha = alpha;
      pen.setLineDash(main ? [] : [6, 4]);
      for (const [width, colour] of /** @type {[number, string][]} */ ([[main ? 4.5 : 4, HALO], [main ? 2 : 1.6, main ? "#fff" : "#d5d8db"]])) {
        pen.lineWidth = width;
        pen.strokeStyle = colour;
        pen.beginPath();
        for (let k = from; k <= to; k += 1) pen.lineTo(...at(k));
        pen.stroke();
      }
      pen.setLineDash([]);
      pen.globalAlpha = 1;
    };
    if (end < newest) line(end, newest, 0.35);
    line(0, end, 1);
    if (!main) {
      this.word(pen, `run ${name}`, ...at(newest));
      return;
    }
    const every = Math.max(1, Math.ceil((end + 1) / MOST_DOTS));
    for (let k = 0; k < end; k += every) {
      pen.beginPath();
      pen.arc(...at(k), 2.6, 0, 7);
      pen.fillStyle = "#fff";
      pen.fill();
      pen.lineWidth = 1;
      pen.strokeStyle = HALO;
      pen.stroke();
    }
    const [x0, y0] = at(0), [x, y] = at(end);
    pen.beginPath();
    pen.arc(x0, y0, 5.5, 0, 7);
    pen.fillStyle = HALO;
    pen.fill();
    pen.lineWidth = 2.2;
    pen.strokeStyle = "#fff";
    pen.stroke();
    if (end > 0 || newest > 0) this.star(pen, x, y);
    const apart = Math.hypot(x - x0, y - y0) > 28;
    if (apart || newest === 0) this.word(pen, "start", x0, y0);
    if (newest > 0) this.word(pen, `${shown === null ? "now, " : ""}step ${whole(steps.data[end])}`, x, y, true);
  }

  /** @param {CanvasRenderingContext2D} pen @param {number} x @param {number} y */
  star(pen, x, y) {
    pen.beginPath();
    for (let k = 0; k < 10; k += 1) {
      const far = k % 2 ? 4.2 : 10, angle = (Math.PI * k) / 5;
      pen.lineTo(x + far * Math.sin(angle), y - far * Math.cos(angle));
    }
    pen.closePath();
    pen.lineWidth = 3;
    pen.strokeStyle = HALO;
    pen.stroke();
    pen.fillStyle = "#fff";
    pen.fill();
  }

  /** A word beside a place, on the side where there is room. @param {CanvasRenderingContext2D} pen @param {string} word @param {number} x @param {number} y @param {boolean} [below] */
  word(pen, word, x, y, below = false) {
    const right = this.over.clientWidth - MAP_RIGHT, bottom = this.over.clientHeight - MAP_BOTTOM;
    const left = x + 12 + pen.measureText(word).width > right;
    pen.textAlign = left ? "right" : "left";
    pen.textBaseline = "middle";
    const row = below ? Math.min(bottom - 10, y + 16) : Math.max(MAP_TOP + 10, y - 13);
    pen.lineWidth = 4;
    pen.strokeStyle = HALO;
    pen.strokeText(word, left ? x - 8 : x + 8, row);
    pen.fillStyle = "#fff";
    pen.fillText(word, left ? x - 8 : x + 8, row);
  }

  // ---- reading

  /** Grid coordinates of a pixel. @param {number} left @param {number} top @returns {[number, number]} */
  gridAt(left, top) {
    const right = this.over.clientWidth - MAP_RIGHT, bottom = this.over.clientHeight - MAP_BOTTOM;
    return [((left - MAP_LEFT) / (right - MAP_LEFT)) * (this.columns - 1), ((bottom - top) / (bottom - MAP_TOP)) * (this.rows - 1)];
  }

  /** The recorded step whose place is near a pixel, or null. @param {number} left @param {number} top @returns {number | null} */
  stepAt(left, top) {
    const run = this.drawing?.runs.find(({ main }) => main);
    if (!run?.steps || !run.a || !run.b) return null;
    let found = -1, best = NEAR_PATH;
    for (let k = 0; k < run.steps.length; k += 1) {
      const off = Math.hypot(this.x(run.a.data[k]) - left, this.y(run.b.data[k]) - top);
      if (off < best) [found, best] = [k, off];
    }
    return found < 0 ? null : run.steps.data[found];
  }

  /** @param {number} left @param {number} top */
  point(left, top) {
    if (!this.grid) return;
    const [x, y] = this.gridAt(left, top), loss = readGrid(this.grid, x, y);
    if (!(x >= 0 && x <= this.columns - 1 && y >= 0 && y <= this.rows - 1)) return this.leave();
    this.cursor = [x, y];
    const step = this.stepAt(left, top);
    this.tell(loss, step === null ? "between the measured places, bilinear" : `the path at step ${whole(step)}: click to go there`);
  }

  /** Arrow keys go from one measured place to the next. @param {KeyboardEvent} event */
  key(event) {
    const move = /** @type {Record<string, [number, number]>} */ ({ ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] })[event.key];
    if (!move || !this.grid) return;
    const [x, y] = this.cursor ?? [(this.columns - 1) / 2, (this.rows - 1) / 2];
    const many = event.shiftKey ? 5 : 1, within = (/** @type {number} */ value, /** @type {number} */ most) => Math.min(most, Math.max(0, Math.round(value)));
    this.cursor = [within(x + many * move[0], this.columns - 1), within(y + many * move[1], this.rows - 1)];
    this.tell(readGrid(this.grid, ...this.cursor), "as measured here");
    this.announce(this.tip.innerText.replaceAll("\n", " "));
    event.preventDefault();
    event.stopPropagation();
  }

  /** @param {number} loss @param {string} how */
  tell(loss, how) {
    const [x, y] = /** @type {[number, number]} */ (this.cursor);
    const across = scale([0, this.columns - 1], this.ends("a")), up = scale([0, this.rows - 1], this.ends("b"));
    this.tip.hidden = false;
    this.tip.replaceChildren(h("b", {}, `Loss ${number(loss)}`), h("div", { class: "lk-soft" }, `at ${short(across(x))}, ${short(up(y))}`), h("div", { class: "lk-soft" }, how));
    const left = this.x(across(x)), top = this.y(up(y)), room = this.stage.clientWidth, wide = this.tip.offsetWidth, tall = this.tip.offsetHeight;
    const right = left + 16 + wide < room, beside = right || left - 16 - wide >= 0; // else above or below, so that the place is seen
    const high = beside ? top - tall / 2 : top - tall - 14 >= 0 ? top - tall - 14 : top + 14;
    this.tip.style.left = `${beside ? (right ? left + 16 : left - 16 - wide) : Math.max(0, Math.min(room - wide, left - wide / 2))}px`;
    this.tip.style.top = `${Math.max(0, Math.min(this.stage.clientHeight - tall, high))}px`;
    this.overlay();
  }

  /** @param {"a" | "b"} axis @returns {[number, number]} */
  ends(axis) {
    const { data } = /** @type {any} */ (this.drawing)[axis];
    return [data[0], data[data.length - 1]];
  }

  leave() {
    this.cursor = null;
    this.tip.hidden = true;
    this.overlay();
  }

  /** Where one reads. @param {CanvasRenderingContext2D} pen @param {number} right @param {number} bottom */
  cross(pen, right, bottom) {
    const [x, y] = /** @type {[number, number]} */ (this.cursor);
    const left = MAP_LEFT + (x / (this.columns - 1)) * (right - MAP_LEFT), top = bottom - (y / (this.rows - 1)) * (bottom - MAP_TOP);
    for (const [width, colour] of /** @type {[number, string][]} */ ([[3, HALO], [1.2, "#fff"]])) {
      pen.lineWidth = width;
      pen.strokeStyle = colour;
      pen.beginPath();
      pen.moveTo(left - 8, top);
      pen.lineTo(left + 8, top);
      pen.moveTo(left, top - 8);
      pen.lineTo(left, top + 8);
      pen.stroke();
    }
  }
}
