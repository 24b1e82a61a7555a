// How each optimiser's path looks, and where its steps are. Knows no DOM.

/**
 * One look for each optimiser, as in plots/descent.py: relatives have the same hue, and the second is dashed.
 * Markers are paths within -1 to 1.
 * @type {{light: string, dark: string, dashed: boolean, marker: string}[]}
 */
export const LOOKS = [
  { light: "#212121", dark: "#f1f3f4", dashed: false, marker: "M1 0A1 1 0 1 1 -1 0A1 1 0 1 1 1 0Z" },
  { light: "#b25400", dark: "#ff9a4d", dashed: false, marker: "M-.9 -.9H.9V.9H-.9Z" },
  { light: "#8a6a00", dark: "#e3c14a", dashed: true, marker: "M0 -1.2L1.2 0L0 1.2L-1.2 0Z" },
  { light: "#00754f", dark: "#42cba0", dashed: false, marker: "M0 -1.15L1.1 .85H-1.1Z" },
  { light: "#a3457c", dark: "#e892c3", dashed: false, marker: "M0 1.15L1.1 -.85H-1.1Z" },
  { light: "#0a62a8", dark: "#5aa9f0", dashed: false, marker: "M-.4 -1.1H.4V-.4H1.1V.4H.4V1.1H-.4V.4H-1.1V-.4H-.4Z" },
  { light: "#0a79ad", dark: "#8fd6ff", dashed: true, marker: "M0 -.6L.6 -1.2L1.2 -.6L.6 0L1.2 .6L.6 1.2L0 .6L-.6 1.2L-1.2 .6L-.6 0L-1.2 -.6L-.6 -1.2Z" },
];

/**
 * The last step up to `step` at which a path is somewhere: those that diverge end early.
 * @param {ArrayLike<number>} paths x, y of each step of each path, NaN after a path's end
 * @param {number} which
 * @param {number} steps of each path, without the start
 * @param {number} step
 * @returns {number}
 */
export function lastStep(paths, which, steps, step) {
  const from = which * (steps + 1);
  let last = Math.min(step, steps);
  while (last > 0 && !Number.isFinite(paths[2 * (from + last)])) last -= 1;
  return last;
}

/**
 * The limits of the chart of losses: down to a millionth of the first, up to a hundred times it, no wider than needed.
 * @param {number} first loss at the start, above the floor
 * @param {number[]} met all losses shown, above the floor
 * @returns {[number, number]}
 */
export function lossLimits(first, met) {
  const positive = met.filter((value) => value > 0 && Number.isFinite(value));
  const low = positive.reduce((least, value) => Math.min(least, value), first);
  const high = positive.reduce((most, value) => Math.max(most, value), first);
  return [Math.max(low / 1.5, 1e-6 * first), Math.min(high * 1.5, 100 * first)];
}

/**
 * A number with as many digits as a place on an axis of this length needs.
 * @param {number} value
 * @param {number} length
 * @returns {number}
 */
export function rounded(value, length) {
  const step = 10 ** (Math.floor(Math.log10(length)) - 2);
  return Number((Math.round(value / step) * step).toPrecision(12)) + 0;
}

/**
 * Numbers in groups, where the next begins after a gap. @param {number[]} values @param {number} gap
 * @returns {number[][]} the indices of each group's members, ascending by value
 */
export function together(values, gap) {
  const order = values.map((_, i) => i).sort((a, b) => values[a] - values[b]);
  /** @type {number[][]} */ const groups = [];
  order.forEach((i, k) => {
    if (k && values[i] - values[order[k - 1]] <= gap) groups[groups.length - 1].push(i);
    else groups.push([i]);
  });
  return groups;
}
