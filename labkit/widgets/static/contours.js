// Maps of a function over a grid: round levels, smoother pictures, contour lines, readings. Knows no DOM.
// A grid is row-major; row i, column j lies at (x = j, y = i).

/** @typedef {{data: ArrayLike<number>, rows: number, columns: number}} Grid */
/** @typedef {{low: number, high: number, log: boolean, levels: number[]}} LevelScale */

const LOG_FROM = 3; // values that span this factor are shown on a log scale, as in plots/landscape.py
const FEWEST_LEVELS = 7, MOST_LEVELS = 14;
const LEVEL_PARTS = [[1], [1, 3], [1, 2, 5], [1, 1.5, 2, 3, 5, 7]];

/**
 * How the finite values of a grid are shown: their range, whether on a log scale, and round levels for contour lines.
 * @param {ArrayLike<number>} values
 * @returns {LevelScale}
 */
export function levelScale(values) {
  let low = Infinity, high = -Infinity;
  for (let i = 0; i < values.length; i += 1) {
    if (!Number.isFinite(values[i])) continue;
    if (values[i] < low) low = values[i];
    if (values[i] > high) high = values[i];
  }
  if (low > high) return { low: 0, high: 0, log: false, levels: [] };
  const log = low > 0 && high >= LOG_FROM * low;
  return { low, high, log, levels: contourLevels(low, high, log) };
}

/**
 * Round values between low and high, 5 to 14 of them.
 * @param {number} low
 * @param {number} high
 * @param {boolean} log
 * @returns {number[]}
 */
export function contourLevels(low, high, log) {
  if (!(high > low)) return [];
  let found = /** @type {number[]} */ ([]);
  for (const parts of log ? LEVEL_PARTS : []) {
    found = [];
    for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power += 1) {
      for (const part of parts) found.push(Number((part * 10 ** power).toPrecision(6)));
    }
    found = found.filter((level) => level > low && level < high);
    if (found.length >= FEWEST_LEVELS) break;
  }
  if (found.length < FEWEST_LEVELS) {
    const rough = (high - low) / MOST_LEVELS, power = 10 ** Math.floor(Math.log10(rough));
    const step = power * /** @type {number} */ ([1, 2, 5, 10].find((size) => rough / power <= size));
    found = [];
    for (let k = Math.floor(low / step); k * step < high; k += 1) found.push(Number((k * step).toPrecision(12)));
    found = found.filter((level) => level > low && level < high);
  }
  const every = Math.ceil(found.length / MOST_LEVELS);
  return found.filter((_, i) => i % every === 0);
}

/** The logarithm of each value, or the values themselves. @param {ArrayLike<number>} values @param {boolean} log @returns {Float64Array} */
export function onScale(values, log) {
  return Float64Array.from(values, (value) => (Number.isFinite(value) ? (log ? Math.log10(value) : value) : NaN));
}

/**
 * A grid with `times` as many steps between its points, by Catmull-Rom splines through them. Where a neighbour is NaN, the
 * nearest point's own value.
 * @param {Grid} grid
 * @param {number} times
 * @returns {Grid}
 */
export function refineGrid({ data, rows, columns }, times) {
  const wide = (columns - 1) * times + 1, high = (rows - 1) * times + 1;
  const across = new Float64Array(rows * wide), out = new Float64Array(high * wide);
  for (let i = 0; i < rows; i += 1) splineRow(data, i * columns, 1, columns, times, across, i * wide, 1);
  for (let j = 0; j < wide; j += 1) splineRow(across, j, wide, rows, times, out, j, wide);
  return { data: out, rows: high, columns: wide };
}

/**
 * One row or column of `refineGrid`.
 * @param {ArrayLike<number>} from @param {number} start @param {number} stride @param {number} count @param {number} times
 * @param {Float64Array} to @param {number} toStart @param {number} toStride
 */
function splineRow(from, start, stride, count, times, to, toStart, toStride) {
  const at = (/** @type {number} */ k) => from[start + stride * Math.min(count - 1, Math.max(0, k))];
  for (let k = 0; k < count - 1; k += 1) {
    const [p, q, r, s] = [at(k - 1), at(k), at(k + 1), at(k + 2)];
    const whole = !Number.isNaN(p + q + r + s);
    for (let part = 0; part < times; part += 1) {
      const t = part / times;
      to[toStart + toStride * (k * times + part)] = whole
        ? q + 0.5 * t * (r - p + t * (2 * p - 5 * q + 4 * r - s + t * (3 * (q - r) + s - p)))
        : t < 0.5 ? q : r;
    }
  }
  to[toStart + toStride * (count - 1) * times] = at(count - 1);
}

/**
 * The value at (x, y) in grid coordinates, bilinear between the four points around it; NaN outside.
 * @param {Grid} grid
 * @param {number} x
 * @param {number} y
 * @returns {number}
 */
export function readGrid({ data, rows, columns }, x, y) {
  if (!(x >= 0 && x <= columns - 1 && y >= 0 && y <= rows - 1)) return NaN;
  const j = Math.min(columns - 2, Math.floor(x)), i = Math.min(rows - 2, Math.floor(y)), s = x - j, t = y - i;
  const mix = (/** @type {number} */ part, /** @type {number} */ a, /** @type {number} */ b) => (part === 0 ? a : part === 1 ? b : a + part * (b - a));
  const at = i * columns + j;
  return mix(t, mix(s, data[at], data[at + 1]), mix(s, data[at + columns], data[at + columns + 1]));
}

/**
 * The lines along which a grid has a value (marching squares), each as x, y, x, y, ... in grid coordinates; a closed one ends
 * where it begins. Squares with a NaN corner have none.
 * @param {Grid} grid
 * @param {number} level
 * @returns {number[][]}
 */
export function contourLines(grid, level) {
  const links = contourLinks(grid, level), lines = [];
  const follow = (/** @type {number} */ from, /** @type {number} */ next) => {
    const line = [from];
    for (let at = next, last = from; at !== undefined;) {
      line.push(at);
      unlink(links, last, at);
      last = at;
      at = /** @type {any} */ (links.get(at)?.[0]);
    }
    return line;
  };
  // Open lines from their ends first; what is left are rings.
  for (const ends of [true, false]) {
    for (const [edge, next] of links) {
      if (next.length && (next.length === 1 || !ends)) lines.push(follow(edge, next[0]));
    }
  }
  return lines.map((line) => line.flatMap((edge) => edgePoint(grid, level, edge)));
}

/** @param {Map<number, number[]>} links @param {number} a @param {number} b */
function unlink(links, a, b) {
  for (const [one, other] of [[a, b], [b, a]]) {
    const list = links.get(one) ?? [];
    list.splice(list.indexOf(other), 1);
  }
}

/**
 * Which edges of the grid a line joins. Edge 2 k goes from point k to its right, 2 k + 1 from point k upwards.
 * @param {Grid} grid @param {number} level @returns {Map<number, number[]>}
 */
function contourLinks({ data, rows, columns }, level) {
  const links = /** @type {Map<number, number[]>} */ (new Map());
  const join = (/** @type {number} */ a, /** @type {number} */ b) => {
    for (const [one, other] of [[a, b], [b, a]]) {
      const list = links.get(one);
      if (list) list.push(other);
      else links.set(one, [other]);
    }
  };
  for (let i = 0; i < rows - 1; i += 1) {
    for (let j = 0; j < columns - 1; j += 1) {
      const k = i * columns + j, [a, b, c, d] = [data[k], data[k + 1], data[k + columns + 1], data[k + columns]];
      if (Number.isNaN(a + b + c + d)) continue;
      const above = [a, b, c, d].map((value) => value >= level);
      const edges = [2 * k, 2 * (k + 1) + 1, 2 * (k + columns), 2 * k + 1].filter((_, e) => above[e] !== above[(e + 1) % 4]);
      if (edges.length === 2) join(edges[0], edges[1]);
      else if (edges.length === 4) { // a saddle: its middle says which corners belong together
        const together = ((a + b + c + d) / 4 >= level) === above[0];
        join(edges[0], edges[together ? 1 : 3]);
        join(edges[2], edges[together ? 3 : 1]);
      }
    }
  }
  return links;
}

/** Where the level lies on an edge. @param {Grid} grid @param {number} level @param {number} edge @returns {[number, number]} */
function edgePoint({ data, columns }, level, edge) {
  const k = edge >> 1, up = edge & 1, other = k + (up ? columns : 1);
  const part = (level - data[k]) / (data[other] - data[k]);
  const x = k % columns, y = Math.floor(k / columns);
  return up ? [x, y + part] : [x + part, y];
}

/**
 * A place for a line's label: near its middle, clear of the border and of other labels; null where there is none.
 * @param {number[]} line x, y, ... in pixels
 * @param {number} room the length that the label takes
 * @param {number} size of the square picture
 * @param {[number, number][]} taken places of other labels
 * @returns {{x: number, y: number, angle: number, from: number, to: number} | null} `from` and `to`: the points that it covers
 */
export function labelPlace(line, room, size, taken) {
  const lengths = [0];
  for (let i = 2; i < line.length; i += 2) lengths.push(lengths[lengths.length - 1] + Math.hypot(line[i] - line[i - 2], line[i + 1] - line[i - 1]));
  const whole = lengths[lengths.length - 1];
  if (whole < 3 * room) return null;
  const index = (/** @type {number} */ length) => Math.max(0, lengths.findIndex((at) => at >= length));
  for (const part of [0.5, 0.35, 0.65, 0.2, 0.8]) {
    const from = index(part * whole - room / 2), to = index(part * whole + room / 2), at = index(part * whole);
    const [x, y] = [line[2 * at], line[2 * at + 1]];
    const clear = x > room && x < size - room && y > 14 && y < size - 14 && taken.every(([a, b]) => Math.hypot(a - x, b - y) > 1.6 * room);
    const straight = Math.hypot(line[2 * to] - line[2 * from], line[2 * to + 1] - line[2 * from + 1]) > 0.85 * (lengths[to] - lengths[from]);
    if (!clear || !straight) continue;
    let angle = Math.atan2(line[2 * to + 1] - line[2 * from + 1], line[2 * to] - line[2 * from]);
    if (Math.abs(angle) > Math.PI / 2) angle -= Math.sign(angle) * Math.PI; // never upside down
    return { x, y, angle, from, to };
  }
  return null;
}
