// How the members' last values depend on a setting: the median and the spread, the best one marked.
import { nearest } from "./curves.js";
import { h, keepSharp } from "./lab.js";
import { logTicks, scale, short, ticks } from "./numbers.js";

/** @typedef {import("./lab.js").Theme} Theme */
/**
 * @typedef {object} SettingDrawing arrays of equal length, one entry for each value of the setting, ascending
 * @property {ArrayLike<number>} setting
 * @property {ArrayLike<number>} median infinite where half of the members have diverged
 * @property {ArrayLike<number>} low
 * @property {ArrayLike<number>} high
 * @property {ArrayLike<number>} diverged how many members have
 * @property {boolean} log of the values
 * @property {boolean} largest whether the largest is the best
 * @property {string} name of the setting
 * @property {boolean} several whether more than one member shares a value
 * @property {number | null} lit the value of the setting that is pointed at elsewhere
 */

const SETTING_LEFT = 46, SETTING_TOP = 18, SETTING_FOOT = 34;

/** The entry with the best median; -1 where none is finite. @param {ArrayLike<number>} median @param {boolean} largest */
export function bestEntry(median, largest) {
  let best = -1;
  for (let i = 0; i < median.length; i += 1) {
    if (Number.isFinite(median[i]) && (best < 0 || (largest ? median[i] > median[best] : median[i] < median[best]))) best = i;
  }
  return best;
}

export class SettingCurve {
  /** @param {{read: (value: number | null) => void, choose: (value: number) => void, signal: AbortSignal}} options */
  constructor({ read, choose, signal }) {
    this.canvas = h("canvas", { "aria-hidden": "true" });
    this.stage = h("div", { class: "lk-plot lk-setting-plot", tabindex: 0, role: "application" }, this.canvas);
    this.drawing = /** @type {SettingDrawing | null} */ (null);
    this.theme = /** @type {Theme | null} */ (null);
    this.at = /** @type {number[]} */ ([]); // where each entry stands, in pixels
    // The value read here. Not the drawing's `lit`: that is a frame late, and may be pointed at elsewhere.
    this.cursor = /** @type {number | null} */ (null);
    const point = (/** @type {number | null} */ value) => {
      this.cursor = value;
      read(value);
    };
    keepSharp(this.canvas, () => this.draw(this.drawing, this.theme), signal);
    const found = (/** @type {PointerEvent} */ event) => {
      const i = nearest(this.at, this.at.length, event.clientX - this.stage.getBoundingClientRect().left);
      return i < 0 || !this.drawing ? null : this.drawing.setting[i];
    };
    const on = (/** @type {string} */ name, /** @type {(event: any) => void} */ run) => this.stage.addEventListener(name, run, { signal });
    on("pointermove", (event) => point(found(event)));
    on("pointerdown", (event) => point(found(event)));
    on("pointerleave", (event) => { if (event.pointerType !== "touch") point(null); });
    on("blur", () => point(null));
    on("click", (event) => {
      const value = found(event);
      if (value !== null) choose(value);
    });
    on("keydown", (/** @type {KeyboardEvent} */ event) => {
      const move = { ArrowLeft: -1, ArrowRight: 1 }[event.key], d = this.drawing;
      if (!d || event.ctrlKey || event.metaKey || event.altKey || !(move || event.key === "Enter")) return;
      const settings = Array.from(d.setting), best = Math.max(0, bestEntry(d.median, d.largest));
      const at = this.cursor === null ? -1 : settings.indexOf(this.cursor);
      if (move) point(settings[at < 0 ? best : Math.min(settings.length - 1, Math.max(0, at + move))]); // the best is read first
      else choose(settings[at < 0 ? best : at]);
      event.preventDefault();
      event.stopPropagation();
    });
  }

  /** @param {SettingDrawing | null} drawing @param {Theme | null} theme */
  draw(drawing, theme) {
    this.drawing = drawing;
    this.theme = theme;
    const pen = this.canvas.getContext("2d");
    const width = this.canvas.clientWidth, height = this.canvas.clientHeight;
    if (!pen || !drawing || !theme || !width || !height) return;
    const d = drawing, right = width - 14, bottom = height - SETTING_FOOT, count = d.setting.length;
    const low = d.setting[0], high = d.setting[count - 1];
    const seeds = d.name === "seed", logX = low > 0 && !seeds;
    const x = scale(high > low ? [low, high] : [low * 0.5, high * 2 + 1e-9], [SETTING_LEFT + 6, right - 6], logX);
    this.at = Array.from(d.setting, (value) => x(value));
    pen.clearRect(0, 0, width, height);
    pen.font = `12px ${theme.font}`;
    const limits = this.limits(d);
    const y = scale(limits, [bottom, SETTING_TOP], d.log);
    this.axes(pen, x, y, limits, logX ? logTicks(low, high) : ticks(low, high, 5).filter((value) => !seeds || Number.isInteger(value)), { right, bottom });
    this.band(pen, y);
    this.line(pen, y);
    this.fallen(pen);
    this.best(pen, y, right);
  }

  /** @param {SettingDrawing} d @returns {[number, number]} */
  limits(d) {
    const finite = [...Array.from(d.low), ...Array.from(d.median), ...Array.from(d.high)].filter((v) => Number.isFinite(v) && (!d.log || v > 0));
    if (!finite.length) return d.log ? [0.1, 1] : [0, 1];
    const low = Math.min(...finite), high = Math.max(...finite);
    if (!d.log) return [low, high + Math.max(0.01, 0.15 * (high - low))];
    return [low * Math.min(0.6, (low / high) ** 0.2), Math.max(high, 1.5 * low) * 1.1]; // room for the best one's name
  }

  /** @param {CanvasRenderingContext2D} pen @param {any} x @param {any} y @param {[number, number]} limits @param {number[]} settings @param {{right: number, bottom: number}} box */
  axes(pen, x, y, limits, settings, { right, bottom }) {
    const d = /** @type {SettingDrawing} */ (this.drawing), theme = /** @type {Theme} */ (this.theme);
    pen.strokeStyle = theme.line;
    pen.fillStyle = theme.soft;
    pen.textBaseline = "middle";
    pen.textAlign = "right";
    pen.lineWidth = 1;
    for (const level of d.log ? logTicks(...limits) : ticks(...limits, 4)) {
      const at = Math.round(y(level)) + 0.5;
      pen.beginPath();
      pen.moveTo(SETTING_LEFT, at);
      pen.lineTo(right, at);
      pen.stroke();
      pen.fillText(short(level), SETTING_LEFT - 8, at);
    }
    pen.textAlign = "center";
    let end = -Infinity;
    for (const value of settings) {
      const at = x(value), wide = pen.measureText(short(value)).width;
      pen.beginPath();
      pen.moveTo(Math.round(at) + 0.5, bottom);
      pen.lineTo(Math.round(at) + 0.5, bottom + 4);
      pen.stroke();
      if (at - wide / 2 < end + 6) continue;
      pen.fillText(short(value), Math.min(right + 12 - wide / 2, at), bottom + 12);
      end = at + wide / 2;
    }
    pen.fillText(d.name, (SETTING_LEFT + right) / 2, bottom + 27);
  }

  /** From the least to the greatest value of the members that share a setting. @param {CanvasRenderingContext2D} pen @param {any} y */
  band(pen, y) {
    const d = /** @type {SettingDrawing} */ (this.drawing), theme = /** @type {Theme} */ (this.theme);
    pen.strokeStyle = theme.accent;
    pen.globalAlpha = 0.35;
    pen.lineWidth = Math.max(2, Math.min(10, 0.5 * (this.at[1] - this.at[0] || 10)));
    this.at.forEach((at, i) => {
      if (!(d.high[i] > d.low[i])) return;
      pen.beginPath();
      pen.moveTo(at, y(d.low[i]));
      pen.lineTo(at, y(d.high[i]));
      pen.stroke();
    });
    pen.globalAlpha = 1;
  }

  /** @param {CanvasRenderingContext2D} pen @param {any} y */
  line(pen, y) {
    const d = /** @type {SettingDrawing} */ (this.drawing), theme = /** @type {Theme} */ (this.theme);
    pen.strokeStyle = pen.fillStyle = theme.accent;
    pen.lineWidth = 1.5;
    pen.beginPath();
    let down = false;
    if (d.name !== "seed") this.at.forEach((at, i) => { // between two seeds there is nothing
      const place = y(d.median[i]);
      const there = Number.isFinite(place);
      if (there && down) pen.lineTo(at, place);
      else if (there) pen.moveTo(at, place);
      down = there;
    });
    pen.stroke();
    this.at.forEach((at, i) => {
      const place = y(d.median[i]);
      if (!Number.isFinite(place)) return;
      pen.beginPath();
      pen.arc(at, place, d.setting[i] === d.lit ? 5 : 2.5, 0, 7);
      pen.fill();
    });
  }

  /** Settings of which half have diverged stand at the top. @param {CanvasRenderingContext2D} pen */
  fallen(pen) {
    const d = /** @type {SettingDrawing} */ (this.drawing), theme = /** @type {Theme} */ (this.theme);
    const lost = this.at.filter((_, i) => d.diverged[i] > 0 && !Number.isFinite(d.median[i]));
    pen.fillStyle = theme.text;
    pen.textAlign = "center";
    for (const at of lost) pen.fillText("✕", at, SETTING_TOP - 2);
    if (!lost.length) return;
    pen.textAlign = "right";
    const wide = pen.measureText("diverged").width;
    pen.fillText("diverged", Math.max(SETTING_LEFT + wide, lost[0] - 9), SETTING_TOP - 2);
  }

  /** @param {CanvasRenderingContext2D} pen @param {any} y @param {number} right */
  best(pen, y, right) {
    const d = /** @type {SettingDrawing} */ (this.drawing), theme = /** @type {Theme} */ (this.theme);
    const i = bestEntry(d.median, d.largest);
    if (i < 0) return;
    const label = `${d.several ? "best median" : "best"} ${short(d.setting[i])}`, at = this.at[i], place = y(d.median[i]);
    pen.strokeStyle = pen.fillStyle = theme.accent;
    pen.lineWidth = 2;
    pen.beginPath();
    pen.arc(at, place, 6, 0, 7);
    pen.stroke();
    const half = pen.measureText(label).width / 2, below = place + (d.largest ? -14 : 15);
    const middle = Math.min(right - half, Math.max(SETTING_LEFT + half, at));
    pen.textAlign = "center";
    pen.lineWidth = 4;
    pen.strokeStyle = theme.back;
    pen.strokeText(label, middle, below);
    pen.fillText(label, middle, below);
  }
}
