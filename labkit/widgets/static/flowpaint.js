// Paints the layers of a network: distributions as strips, their size as lines, shares as bars, updates as points.
import { cividis, css } from "./colours.js";
import { flowColumns, flowLabels, flowTicks, flowZeros, percent, tenTo } from "./flowlayout.js";

/** @typedef {import("./lab.js").Theme} Theme */
/** @typedef {import("./flowlayout.js").FlowField} FlowField */
/**
 * @typedef {object} FlowPanel
 * @property {"strip" | "shares" | "updates"} kind
 * @property {string} title
 * @property {number} top
 * @property {number} height of its plot
 * @property {[number, number]} range powers of two, or of ten for updates
 * @property {FlowField} [histogram]
 * @property {{values: ArrayLike<number>, label: string, dashed: boolean}[]} lines
 * @property {number} lowest power of two of the histogram's first bin
 */

const FLOW_LEFT = 52, FLOW_RIGHT = 8, FLOW_ZERO = 12, FLOW_GAP = 3;
// The share of a layer's values in one bin at which a strip has its strongest colour.
const FLOW_FULL = 0.5;
export const FLOW_BARS = { dead: "#d55e00", saturated: "#0072b2" };

/** The colour of a share: cividis, from pale on light and from dark on dark. @param {number} share @param {boolean} dark */
export const flowColour = (share, dark) => {
  const place = Math.min(1, Math.sqrt(share / FLOW_FULL));
  return css(cividis(dark ? 0.15 + 0.85 * place : 1 - place));
};

/** @param {number} width @param {number} count */
export const flowPlaces = (width, count) => flowColumns(count, FLOW_LEFT, width - FLOW_RIGHT);

/**
 * @param {CanvasRenderingContext2D} pen
 * @param {{width: number, height: number}} size
 * @param {FlowPanel[]} panels
 * @param {string[]} names of the layers
 * @param {Theme} theme
 */
export function paintFlow(pen, { width, height }, panels, names, theme) {
  const columns = flowPlaces(width, names.length);
  pen.clearRect(0, 0, width, height);
  pen.font = `12px ${theme.font}`;
  pen.textBaseline = "middle";
  for (const panel of panels) {
    pen.fillStyle = theme.text;
    pen.textAlign = "left";
    pen.font = `600 12px ${theme.font}`;
    pen.fillText(panel.title, 0, panel.top - 15);
    pen.font = `12px ${theme.font}`;
    if (panel.kind === "strip") paintStrip(pen, panel, columns, names.length, width, theme);
    else if (panel.kind === "shares") paintShares(pen, panel, columns, width, theme);
    else paintUpdates(pen, panel, columns, width, theme);
  }
  pen.fillStyle = theme.soft;
  pen.textAlign = "center";
  for (const { place, label } of flowLabels(names, columns.width, (text) => pen.measureText(text).width)) {
    pen.fillText(label, columns.middle(place), height - 24);
  }
  pen.fillText(names.length > 1 ? "layer, from the input to the output" : "layer", (FLOW_LEFT + width) / 2, height - 8);
}

/** Lines across with a label at the left. @param {CanvasRenderingContext2D} pen @param {{y: number, label: string}[]} levels @param {number} width @param {Theme} theme */
function paintLevels(pen, levels, width, theme) {
  pen.lineWidth = 1;
  pen.textAlign = "right";
  for (const { y, label } of levels) {
    pen.strokeStyle = theme.line;
    pen.beginPath();
    pen.moveTo(FLOW_LEFT, Math.round(y) + 0.5);
    pen.lineTo(width - FLOW_RIGHT, Math.round(y) + 0.5);
    pen.stroke();
    pen.fillStyle = theme.soft;
    pen.fillText(label, FLOW_LEFT - 8, y);
  }
}

/** @param {CanvasRenderingContext2D} pen @param {FlowPanel} panel @param {any} columns @param {number} count @param {number} width @param {Theme} theme */
function paintStrip(pen, panel, columns, count, width, theme) {
  const { top, height, range: [low, high], histogram, lowest } = panel;
  if (!histogram) return;
  const floor = top + height - FLOW_ZERO - FLOW_GAP, bins = histogram.shape[1];
  const y = (/** @type {number} */ power) => floor - ((power - low) / (high - low)) * (floor - top);
  paintLevels(pen, [...flowTicks([low, high], Math.floor(height / 28)).map(({ power, label }) => ({ y: y(power), label })),
    { y: top + height - FLOW_ZERO / 2, label: "0" }], width, theme);
  const gap = columns.width > 6 ? 1 : 0;
  for (let i = 0; i < count; i += 1) {
    const left = columns.left(i), wide = columns.width - gap;
    for (let k = Math.max(0, low - lowest); k < Math.min(bins, high - lowest); k += 1) {
      const share = histogram.data[i * bins + k];
      if (!(share > 0)) continue;
      pen.fillStyle = flowColour(share, theme.dark);
      pen.fillRect(left, y(lowest + k + 1), wide, y(lowest + k) - y(lowest + k + 1) + 0.5);
    }
    const zeros = flowZeros(histogram, i);
    if (zeros > 0.002) {
      pen.fillStyle = flowColour(zeros, theme.dark);
      pen.fillRect(left, top + height - FLOW_ZERO, wide, FLOW_ZERO);
    }
  }
  for (const line of panel.lines) paintLine(pen, line, columns, (value) => y(Math.log2(value)), theme);
}

/** A line over the layers, with a halo so that it is seen on any colour. @param {CanvasRenderingContext2D} pen @param {{values: ArrayLike<number>, dashed: boolean}} line @param {any} columns @param {(value: number) => number} y @param {Theme} theme */
function paintLine(pen, { values, dashed }, columns, y, theme) {
  const path = new Path2D();
  let down = false;
  for (let i = 0; i < values.length; i += 1) {
    const seen = values[i] > 0 && Number.isFinite(values[i]);
    if (seen && down) path.lineTo(columns.middle(i), y(values[i]));
    else if (seen) path.moveTo(columns.middle(i), y(values[i]));
    down = seen;
  }
  pen.lineJoin = "round";
  for (const [colour, width, dash] of /** @type {[string, number, number[]][]} */ ([[theme.back, 5, []], [theme.text, 2, dashed ? [5, 4] : []]])) {
    pen.strokeStyle = colour;
    pen.lineWidth = width;
    pen.setLineDash(dash);
    pen.stroke(path);
  }
  pen.setLineDash([]);
  if (columns.width < 10) return;
  for (let i = 0; i < values.length; i += 1) {
    if (!(values[i] > 0 && Number.isFinite(values[i]))) continue;
    pen.beginPath();
    pen.arc(columns.middle(i), y(values[i]), 3, 0, 7);
    pen.fillStyle = dashed ? theme.back : theme.text;
    pen.strokeStyle = dashed ? theme.text : theme.back;
    pen.lineWidth = 1.5;
    pen.fill();
    pen.stroke();
  }
}

/** Bars: dead units filled, saturated ones hatched. @param {CanvasRenderingContext2D} pen @param {FlowPanel} panel @param {any} columns @param {number} width @param {Theme} theme */
function paintShares(pen, panel, columns, width, theme) {
  const { top, height } = panel;
  const y = (/** @type {number} */ share) => top + height * (1 - share);
  paintLevels(pen, [0, 0.5, 1].map((share) => ({ y: y(share), label: percent(share) })), width, theme);
  const wide = Math.max(1, Math.min(36, columns.width * 0.7));
  panel.lines.forEach(({ values, dashed }) => {
    const colour = dashed ? FLOW_BARS.saturated : FLOW_BARS.dead;
    for (let i = 0; i < values.length; i += 1) {
      if (!(values[i] > 0)) continue;
      const left = columns.middle(i) - wide / 2, up = y(values[i]), down = y(0);
      pen.globalAlpha = dashed ? 0.35 : 1;
      pen.fillStyle = colour;
      pen.fillRect(left, up, wide, down - up);
      pen.globalAlpha = 1;
      if (dashed) hatch(pen, left, up, wide, down - up, colour);
    }
  });
}

/** @param {CanvasRenderingContext2D} pen @param {number} left @param {number} top @param {number} width @param {number} height @param {string} colour */
function hatch(pen, left, top, width, height, colour) {
  pen.save();
  pen.beginPath();
  pen.rect(left, top, width, height);
  pen.clip();
  pen.strokeStyle = colour;
  pen.lineWidth = 1.5;
  pen.beginPath();
  for (let at = left - height; at < left + width; at += 6) {
    pen.moveTo(at, top + height);
    pen.lineTo(at + height, top);
  }
  pen.stroke();
  pen.restore();
  pen.strokeStyle = colour;
  pen.lineWidth = 1;
  pen.strokeRect(left + 0.5, top + 0.5, Math.max(0, width - 1), Math.max(0, height - 1));
}

/** @param {CanvasRenderingContext2D} pen @param {FlowPanel} panel @param {any} columns @param {number} width @param {Theme} theme */
function paintUpdates(pen, panel, columns, width, theme) {
  const { top, height, range: [low, high] } = panel;
  const y = (/** @type {number} */ value) => top + height * (1 - (Math.log10(value) - low) / (high - low));
  const every = Math.max(1, Math.ceil((high - low) / Math.floor(height / 22)));
  const tens = [];
  for (let ten = every * Math.ceil(low / every); ten <= high; ten += every) tens.push({ y: y(10 ** ten), label: tenTo(ten) });
  paintLevels(pen, tens, width, theme);
  pen.strokeStyle = theme.soft;
  pen.setLineDash([2, 3]);
  pen.lineWidth = 1.5;
  pen.beginPath();
  pen.moveTo(FLOW_LEFT, y(1e-3));
  pen.lineTo(width - FLOW_RIGHT, y(1e-3));
  pen.stroke();
  pen.setLineDash([]);
  const known = panel.lines[0];
  for (let i = 0; i < known.values.length; i += 1) {
    const value = known.values[i];
    if (Number.isFinite(value) && value <= 0) {  // nothing moved: a cross on the floor
      pen.strokeStyle = theme.text;
      pen.lineWidth = 1.5;
      const x = columns.middle(i), floor = top + height - 4, arm = Math.min(4, columns.width / 2);
      pen.beginPath();
      pen.moveTo(x - arm, floor - arm);
      pen.lineTo(x + arm, floor + arm);
      pen.moveTo(x - arm, floor + arm);
      pen.lineTo(x + arm, floor - arm);
      pen.stroke();
    }
  }
  paintLine(pen, known, columns, y, theme);
}
