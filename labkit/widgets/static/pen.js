// Strokes of a pen in 0..1 coordinates. Knows no DOM.

/** @typedef {[number, number]} Point */

/**
 * The parts of a smooth curve through a stroke: quadratic pieces that meet at the middles of its segments.
 * @param {Point[]} points
 * @returns {{from: Point, bend: Point, to: Point}[]}
 */
export function smooth(points) {
  if (points.length < 2) return points.map((p) => ({ from: p, bend: p, to: p }));
  const middle = (/** @type {Point} */ a, /** @type {Point} */ b) => /** @type {Point} */ ([(a[0] + b[0]) / 2, (a[1] + b[1]) / 2]);
  const pieces = [{ from: points[0], bend: points[0], to: middle(points[0], points[1]) }];
  for (let i = 1; i < points.length - 1; i += 1) {
    pieces.push({ from: middle(points[i - 1], points[i]), bend: points[i], to: middle(points[i], points[i + 1]) });
  }
  const last = points[points.length - 1];
  pieces.push({ from: middle(points[points.length - 2], last), bend: last, to: last });
  return pieces;
}

/**
 * Whether a new point lies far enough from the last one to be kept.
 * @param {Point | undefined} last
 * @param {Point} next
 * @returns {boolean}
 */
export const moved = (last, next) => !last || Math.hypot(next[0] - last[0], next[1] - last[1]) >= 0.004;

/** @param {Point} point @returns {Point} within the pad */
export const within = ([x, y]) => [Math.min(1, Math.max(0, x)), Math.min(1, Math.max(0, y))];

/**
 * Strokes from the flat points and lengths that Python sends.
 * @param {ArrayLike<number>} points x, y, x, y, ...
 * @param {number[]} lengths
 * @returns {Point[][]}
 */
export function split(points, lengths) {
  let at = 0;
  return lengths.map((length) => Array.from({ length }, () => {
    const point = /** @type {Point} */ ([points[at], points[at + 1]]);
    at += 2;
    return point;
  }));
}
