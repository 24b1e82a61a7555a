// The rows of an ensemble: their order, names, colours' range, and what lies under a pointer. Knows no DOM.
import { lowerBound } from "./curves.js";
import { logTicks, short } from "./numbers.js";

/** @typedef {Record<string, number>} Member its settings */
/** @typedef {{value: number, from: number, to: number}} RowGroup rows [from, to) that share a setting */

// A loss above this many times the first steps' median has the last colour, so that one that explodes hides no other.
const MOST_OVER_FIRST = 3;

/**
 * The members from the top row to the bottom one: the largest setting on top, within it as they were given.
 * @param {Member[]} members
 * @param {string} axis
 * @returns {number[]}
 */
export function rowOrder(members, axis) {
  return members.map((_, i) => i).sort((a, b) => members[b][axis] - members[a][axis] || b - a);
}

/**
 * Neighbouring rows that share a setting.
 * @param {number[]} order
 * @param {Member[]} members
 * @param {string} axis
 * @returns {RowGroup[]}
 */
export function rowGroups(order, members, axis) {
  /** @type {RowGroup[]} */ const groups = [];
  order.forEach((member, row) => {
    const value = members[member][axis], last = groups[groups.length - 1];
    if (last?.value === value) last.to = row + 1;
    else groups.push({ value, from: row, to: row + 1 });
  });
  return groups;
}

/**
 * Where the rows are named: each group where there is room for all; else round values of the setting, each at its place
 * among the rows (between two of them, in proportion to its logarithm); of seeds, evenly spread ones.
 * @param {RowGroup[]} groups from the top, descending
 * @param {number} height of all rows, in pixels
 * @param {boolean} round whether values between the rows' own mean something
 * @returns {{value: number, row: number}[]} `row` counts from the top, 0.5 is the middle of the first
 */
export function rowTicks(groups, height, round) {
  const middle = (/** @type {RowGroup} */ group) => (group.from + group.to) / 2;
  const least = groups[groups.length - 1].value, most = groups[0].value;
  if (groups.length * 20 <= height) return groups.map((group) => ({ value: group.value, row: middle(group) }));
  if (!round || !(least > 0)) {
    const every = Math.ceil((groups.length * 20) / height);
    return groups.filter((_, i) => i % every === 0).map((group) => ({ value: group.value, row: middle(group) }));
  }
  return logTicks(least, most).map((value) => {
    const below = Math.max(1, groups.findIndex((group) => group.value <= value * (1 + 1e-9)));
    const upper = groups[below - 1], lower = groups[below];
    const part = Math.log(upper.value / value) / Math.log(upper.value / lower.value);
    return { value, row: middle(upper) + part * (middle(lower) - middle(upper)) };
  });
}

/**
 * The values of the first and the last colour, and whether some lie above; null where there is nothing to colour.
 * @param {ArrayLike<number>} cells rows of `members` values
 * @param {number} count how many values there are
 * @param {number} members
 * @param {boolean} log
 * @returns {{low: number, high: number, above: boolean} | null}
 */
export function heatRange(cells, count, members, log) {
  let low = Infinity, most = -Infinity;
  for (let i = 0; i < count; i += 1) {
    const value = cells[i];
    if (!Number.isFinite(value) || (log && value <= 0)) continue;
    if (value < low) low = value;
    if (value > most) most = value;
  }
  if (low > most) return null;
  let high = most;
  if (log) {
    const first = Array.from({ length: members }, (_, i) => cells[i]).filter(Number.isFinite).sort((a, b) => a - b);
    if (first.length) high = Math.min(high, MOST_OVER_FIRST * first[first.length >> 1]);
    low = Math.min(low, high);
  }
  if (high <= low) high = log ? low * 1.1 : low + 1e-3;
  return { low, high, above: most > high };
}

/**
 * The column that holds a step: the first one that ends at it or later; the last one beyond.
 * @param {ArrayLike<number>} ends
 * @param {number} count
 * @param {number} step
 */
export function columnOf(ends, count, step) {
  return Math.min(count - 1, lowerBound(ends, count, step));
}

/** The steps that a column stands for, in words. @param {ArrayLike<number>} ends @param {number} column @param {boolean} means */
export function columnText(ends, column, means) {
  const end = ends[column], begin = means ? (column ? ends[column - 1] : 0) + 1 : end;
  return begin < end ? `steps ${begin} to ${end}` : `step ${end}`;
}

/** A member's settings in words. @param {Member} member @param {string[]} axes @param {Record<string, string>} words */
export function memberText(member, axes, words) {
  return axes.map((name) => `${words[name]} ${name === "seed" ? member[name] : short(member[name])}`).join(" · ");
}

/** One member's values out of the table. @param {ArrayLike<number>} cells @param {number} columns @param {number} members @param {number} member */
export function memberCurve(cells, columns, members, member) {
  return Float64Array.from({ length: columns }, (_, k) => cells[k * members + member]);
}
