// Where the playground's network stands: columns, units, curves between them, and what lies under a point. Knows no DOM.
// All lengths are CSS pixels, y downwards. Column 0 holds the features (also those switched off), the last the outputs.

/** @typedef {{unit: number | null, column: number, row: number, x: number, y: number, size: number}} NetNode a unit's square by its centre */
/** @typedef {{x: number, size: number, pitch: number, nodes: NetNode[]}} NetColumn */
/** @typedef {{x0: number, y0: number, x1: number, y1: number}} NetCurve */
/** @typedef {{width: number, height: number, wide: boolean, pitch: number, slim: boolean, columns: NetColumn[], units: NetNode[], first: number[]}} NetLayout */
/** @typedef {{kind: "unit" | "bias", unit: number} | {kind: "link", column: number, row: number, from: number, t: number}} NetHit */

export const FEATURE_ROWS = 7;
const WIDE = 520; // from here on the features' names stand beside them, below it under them
const HEAD = 76; // a column narrower than this has no room for a layer's controls
const LABEL = 13; // height of a name under a feature

/**
 * Places for a network.
 * @param {{width: number, inputs: number[], widths: number[], outputs: number}} net `inputs`: rows (0 to 6) of the features that
 *   are switched on, in the order of the units
 * @returns {NetLayout} `units` by unit number, `first` the first unit of each column, `pitch` between two columns' centres,
 *   `slim` where a column has no room for its controls
 */
export function netLayout({ width, inputs, widths, outputs }) {
  const wide = width >= WIDE, most = Math.max(outputs, ...widths, 1);
  const height = wide ? Math.max(396, 27.5 * most) : Math.max(7 * 50, 25 * most);
  const counts = [FEATURE_ROWS, ...widths, outputs], gaps = counts.length - 1;
  const left = wide ? 52 : 19, right = wide ? 30 : 22;

  // The two ends are half a unit within the margins, and a unit's size follows from the distance between columns.
  let pitch = (width - left - right) / (gaps + (wide ? 0 : 0.5));
  const room = Math.min(0.52 * pitch, wide ? 40 : 34);
  pitch = (width - left - right - room / (wide ? 1 : 2)) / gaps;
  const fit = (/** @type {number} */ count, /** @type {number} */ spare) => Math.max(18, Math.floor(Math.min(room, height / count - spare)));
  const hidden = fit(Math.max(...widths, 1), 5);

  const first = [0], units = /** @type {NetNode[]} */ ([]);
  const columns = counts.map((count, k) => {
    const size = k === 0 || k === gaps ? fit(count, 5) : hidden;
    const x = Math.round(left + (wide ? room / 2 : 0) + k * pitch);
    const step = k === 0 ? height / count : Math.min(height / count, size + (wide ? 44 : 30));
    const top = height / 2 - ((count - 1) * step) / 2 - (k === 0 && !wide ? LABEL / 2 : 0);
    const nodes = Array.from({ length: count }, (_, row) => {
      const y = Math.round(top + row * step);
      return /** @type {NetNode} */ ({ unit: null, column: k, row, x, y, size });
    });
    for (const node of k === 0 ? inputs.map((row) => nodes[row]) : nodes) {
      node.unit = units.length;
      units.push(node);
    }
    first.push(units.length);
    return { x, size, pitch: step, nodes };
  });
  return { width, height, wide, pitch, slim: pitch < HEAD, columns, units, first };
}

/** Side of the square that stands for a bias. @param {number} size of its unit */
export const biasSize = (size) => Math.max(5, Math.min(9, Math.round(0.22 * size)));

/**
 * The square of a unit's bias: outside, at its lower left.
 * @param {NetNode} node
 * @returns {{x: number, y: number, size: number}} its upper left corner
 */
export function biasBox({ x, y, size }) {
  const side = biasSize(size);
  return { x: x - size / 2 - side - 1, y: y + size / 2 - side + 1, size: side };
}

/**
 * The curve of a weight. The ends of a unit's links are spread over its left edge.
 * @param {NetLayout} layout
 * @param {number} column of the unit that it leads to, from 1
 * @param {number} row of that unit in its column
 * @param {number} from which unit of the column before (features: of those switched on)
 * @returns {NetCurve}
 */
export function netCurve(layout, column, row, from) {
  const count = layout.first[column] - layout.first[column - 1];
  const start = layout.units[layout.first[column - 1] + from], end = layout.columns[column].nodes[row];
  const spread = 0.6 * end.size * ((from + 0.5) / count - 0.5);
  return { x0: start.x + start.size / 2, y0: start.y, x1: end.x - end.size / 2, y1: end.y + spread };
}

/**
 * A point of a curve: a cubic Bézier that leaves and arrives level, its handles half way.
 * @param {NetCurve} curve
 * @param {number} t 0 to 1
 * @returns {[number, number]}
 */
export function onCurve({ x0, y0, x1, y1 }, t) {
  return [x0 + (x1 - x0) * (1.5 * t * (1 - t) + t ** 3), y0 + (y1 - y0) * (3 - 2 * t) * t * t];
}

/** The t at which a curve has gone the `share` (0 to 1) of its way from left to right. @param {number} share */
export function curveTime(share) {
  let low = 0, high = 1;
  for (let i = 0; i < 20; i += 1) {
    const t = (low + high) / 2;
    if (1.5 * t * (1 - t) + t ** 3 < share) low = t;
    else high = t;
  }
  return (low + high) / 2;
}

/**
 * What lies under a point: a bias, a unit (small units are hit in their whole cell), or the nearest link within `reach`.
 * @param {NetLayout} layout
 * @param {number} x
 * @param {number} y
 * @param {number} [reach]
 * @returns {NetHit | null}
 */
export function netHit(layout, x, y, reach = 7) {
  for (let unit = layout.first[1]; unit < layout.units.length; unit += 1) {
    const box = biasBox(layout.units[unit]), more = box.size < 8 ? 1 : 3;
    if (x >= box.x - more && x <= box.x + box.size && y >= box.y - 1 && y <= box.y + box.size + more) return { kind: "bias", unit };
  }
  for (const [k, column] of layout.columns.entries()) {
    const half = Math.max(12, column.size / 2 + 1);
    if (Math.abs(x - column.x) > Math.min(half, column.size / 2 + (layout.pitch - column.size) / 3)) continue;
    const node = column.nodes.find((one) => one.unit !== null && Math.abs(y - one.y) <= Math.min(half, column.pitch / 2));
    if (node) return { kind: "unit", unit: /** @type {number} */ (node.unit) };
    if (k === 0) return null;
  }
  const column = layout.columns.findIndex((one, k) => k > 0 && x <= one.x - one.size / 2 && x >= layout.columns[k - 1].x + layout.columns[k - 1].size / 2);
  if (column < 1) return null;
  const { x0, x1 } = netCurve(layout, column, 0, 0), t = curveTime((x - x0) / (x1 - x0));
  let best = /** @type {NetHit | null} */ (null), least = reach;
  for (let row = 0; row < layout.columns[column].nodes.length; row += 1) {
    for (let from = 0; from < layout.first[column] - layout.first[column - 1]; from += 1) {
      const curve = netCurve(layout, column, row, from);
      const slope = ((curve.y1 - curve.y0) * 6 * t * (1 - t)) / ((x1 - x0) * (1.5 - 3 * t + 3 * t * t));
      const distance = Math.abs(y - onCurve(curve, t)[1]) / Math.hypot(1, slope);
      if (distance < least) {
        least = distance;
        best = { kind: "link", column, row, from, t };
      }
    }
  }
  return best;
}

/**
 * The unit that an arrow key leads to: up and down within a column, left and right to the nearest of the next column.
 * @param {NetLayout} layout
 * @param {number} unit
 * @param {string} key ArrowUp, ArrowDown, ArrowLeft, ArrowRight
 * @returns {number} the same unit at an edge
 */
export function netNeighbour(layout, unit, key) {
  const { column, y } = layout.units[unit];
  const side = { ArrowLeft: -1, ArrowRight: 1 }[key] ?? 0, turn = { ArrowUp: -1, ArrowDown: 1 }[key] ?? 0;
  const low = layout.first[column + side], high = layout.first[column + side + 1];
  if (low === undefined || high === undefined) return unit;
  if (!side) return Math.min(high - 1, Math.max(low, unit + turn));
  let nearest = low;
  for (let one = low; one < high; one += 1) {
    if (Math.abs(layout.units[one].y - y) < Math.abs(layout.units[nearest].y - y)) nearest = one;
  }
  return nearest;
}
