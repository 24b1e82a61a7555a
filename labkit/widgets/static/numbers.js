// Numbers as people read them: three significant digits, a true minus sign, units, and few round ticks. Knows no DOM.

const MINUS = "\u2212";

/**
 * Three significant digits: 0.941, −12.0, 1.23 k, 3.40 M, 1.2e-5.
 * @param {number} value
 * @returns {string}
 */
export function number(value) {
  if (value === 0) return "0";
  if (Number.isNaN(value)) return "NaN";
  const sign = value < 0 ? MINUS : "";
  const size = Math.abs(value);
  if (size === Infinity) return `${sign}∞`;
  if (size < 9.995e-4) return sign + size.toExponential(1);
  if (size < 999.5) return sign + size.toPrecision(3);
  for (const [unit, letter] of [[1e3, "k"], [1e6, "M"], [1e9, "G"]]) {
    if (size < 999.5 * unit) return `${sign}${(size / unit).toPrecision(3)} ${letter}`;
  }
  return sign + size.toExponential(1).replace("+", "");
}

/**
 * The same without trailing zeros, for settings and ticks: 0.001, 0.1, 64, 1.2 k.
 * @param {number} value
 * @returns {string}
 */
export function short(value) {
  return number(value).replace(/^([^ e]*\.\d*?)0+(?=$| |e)/, "$1").replace(/\.(?=$| |e)/, "");
}

/**
 * A whole number with thousands set apart: 12,480.
 * @param {number} value
 * @returns {string}
 */
export function whole(value) {
  const digits = String(Math.abs(Math.round(value))).replace(/\B(?=(\d{3})+$)/g, ",");
  return (Math.round(value) < 0 ? MINUS : "") + digits;
}

/**
 * The distance between round ticks (1, 2 or 5 times a power of ten) that gives about `count` of them over `span`.
 * @param {number} span
 * @param {number} count
 * @returns {number}
 */
export function tickStep(span, count) {
  const rough = span / Math.max(1, count);
  const power = 10 ** Math.floor(Math.log10(rough));
  const part = rough / power;
  return power * (part < 1.5 ? 1 : part < 3.5 ? 2 : part < 7.5 ? 5 : 10);
}

/**
 * Round values within [low, high].
 * @param {number} low
 * @param {number} high
 * @param {number} count about how many
 * @returns {number[]}
 */
export function ticks(low, high, count) {
  if (!(high > low) || !Number.isFinite(high - low)) return [];
  const step = tickStep(high - low, count);
  const first = Math.ceil(low / step - 1e-9);
  const last = Math.floor(high / step + 1e-9);
  return Array.from({ length: last - first + 1 }, (_, i) => Number(((first + i) * step).toPrecision(12)) + 0);
}

/**
 * Powers of ten within [low, high], with 2 and 5 between them where there would be fewer than three.
 * @param {number} low above zero
 * @param {number} high
 * @returns {number[]}
 */
export function logTicks(low, high) {
  if (!(low > 0) || !(high > low)) return [];
  const from = Math.floor(Math.log10(low)), to = Math.ceil(Math.log10(high));
  const values = (/** @type {number[]} */ parts) => {
    const found = [];
    for (let power = from; power <= to; power += 1) {
      for (const part of parts) {
        const value = Number((part * 10 ** power).toPrecision(6));
        if (value >= low * (1 - 1e-9) && value <= high * (1 + 1e-9)) found.push(value);
      }
    }
    return found;
  };
  const tens = values([1]);
  if (tens.length >= 3) {
    const every = Math.ceil(tens.length / 6);
    return tens.filter((_, i) => i % every === 0);
  }
  return values([1, 2, 5]);
}

/**
 * A linear scale from a domain to a range.
 * @param {[number, number]} domain
 * @param {[number, number]} range
 * @param {boolean} [log]
 * @returns {((value: number) => number) & {invert: (at: number) => number}}
 */
export function scale(domain, range, log = false) {
  const forward = log ? Math.log : (/** @type {number} */ v) => v;
  const back = log ? Math.exp : (/** @type {number} */ v) => v;
  const low = forward(domain[0]), width = forward(domain[1]) - low || 1;
  const at = (/** @type {number} */ value) => range[0] + ((forward(value) - low) / width) * (range[1] - range[0]);
  at.invert = (/** @type {number} */ place) => back(low + ((place - range[0]) / (range[1] - range[0])) * width);
  return at;
}
