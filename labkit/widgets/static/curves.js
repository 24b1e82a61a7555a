// Mathematics of long curves: smoothing, thinning to what a screen can show, finding the nearest point. Knows no DOM.

/**
 * The exponential moving average with bias correction (Kingma and Ba 2015, section 3), continued as values arrive.
 * NaN stays out of the average and leaves a gap.
 */
export class Smoother {
  /** @param {number} weight 0 (none) to below 1: how much of the former average is kept at each step */
  constructor(weight) {
    this.weight = weight;
    this.sum = 0;
    this.kept = 1;
    this.done = 0;
    this.out = new Float32Array(1024);
  }

  /**
   * Take in values[done..count) and return the averages of all `count`.
   * @param {ArrayLike<number>} values
   * @param {number} count
   * @returns {Float32Array} the first `count` entries hold the averages
   */
  extend(values, count) {
    if (this.out.length < count) {
      const larger = new Float32Array(2 * count);
      larger.set(this.out);
      this.out = larger;
    }
    for (let i = this.done; i < count; i += 1) {
      const value = values[i];
      if (Number.isFinite(value)) {
        this.sum = this.weight * this.sum + (1 - this.weight) * value;
        this.kept *= this.weight;
        this.out[i] = this.sum / (1 - this.kept);
      } else {
        this.out[i] = NaN;
      }
    }
    this.done = Math.max(this.done, count);
    return this.out;
  }
}

/**
 * The index of the first of `count` ascending values that is >= value (count where there is none).
 * @param {ArrayLike<number>} values
 * @param {number} count
 * @param {number} value
 * @returns {number}
 */
export function lowerBound(values, count, value) {
  let low = 0, high = count;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (values[middle] < value) low = middle + 1;
    else high = middle;
  }
  return low;
}

/**
 * The index of the ascending value nearest to `value`; -1 where there is none.
 * @param {ArrayLike<number>} values
 * @param {number} count
 * @param {number} value
 * @returns {number}
 */
export function nearest(values, count, value) {
  if (!count) return -1;
  const after = lowerBound(values, count, value);
  if (after === 0) return 0;
  if (after === count) return count - 1;
  return value - values[after - 1] <= values[after] - value ? after - 1 : after;
}

/**
 * The index of the last ascending value <= `value`; -1 where there is none.
 * @param {ArrayLike<number>} values
 * @param {number} count
 * @param {number} value
 * @returns {number}
 */
export function atOrBefore(values, count, value) {
  const i = lowerBound(values, count, value);
  return i < count && values[i] === value ? i : i - 1;
}

/**
 * A curve thinned to first, least, greatest and last value of each column of the screen, so that it looks the same
 * (M4: Jugel et al. 2014). Short curves come back whole. A value that is not finite comes back as NaN: a gap.
 * @param {ArrayLike<number>} xs ascending
 * @param {ArrayLike<number>} ys
 * @param {number} count how many points there are
 * @param {[number, number]} domain of x
 * @param {number} columns
 * @returns {{x: number[], y: number[]}}
 */
export function decimate(xs, ys, count, domain, columns) {
  const from = Math.max(0, atOrBefore(xs, count, domain[0]));
  const to = Math.min(count, lowerBound(xs, count, domain[1]) + 1);
  /** @type {number[]} */ const x = [];
  /** @type {number[]} */ const y = [];
  if (to - from <= 4 * columns) {
    for (let i = from; i < to; i += 1) {
      x.push(xs[i]);
      y.push(Number.isFinite(ys[i]) ? ys[i] : NaN);
    }
    return { x, y };
  }
  const width = (domain[1] - domain[0]) / columns;
  let i = from;
  while (i < to) {
    const column = Math.floor((xs[i] - domain[0]) / width);
    const end = domain[0] + (column + 1) * width;
    const first = i;
    let least = -1, most = -1, gap = -1;
    for (; i < to && (xs[i] < end || i === first); i += 1) {
      const value = ys[i];
      if (!Number.isFinite(value)) gap = i;
      else {
        if (least < 0 || value < ys[least]) least = i;
        if (most < 0 || value > ys[most]) most = i;
      }
    }
    const picks = [...new Set([first, least, most, gap, i - 1])].filter((k) => k >= 0).sort((a, b) => a - b);
    for (const k of picks) {
      x.push(xs[k]);
      y.push(Number.isFinite(ys[k]) ? ys[k] : NaN);
    }
  }
  return { x, y };
}

/**
 * The value below which `part` of the finite values lie; NaN where there is none.
 * @param {ArrayLike<number>} values
 * @param {number} part 0 to 1
 * @returns {number}
 */
export function quantile(values, part) {
  const sorted = Float64Array.from(values).filter(Number.isFinite).sort();
  return sorted.length ? sorted[Math.round(part * (sorted.length - 1))] : NaN;
}

/**
 * Move labels apart that would overlap, as little as possible, and keep them within [low, high].
 * @param {number[]} places where each would like to be
 * @param {number} gap the least distance between two
 * @param {number} low
 * @param {number} high
 * @returns {number[]} in the order given
 */
export function spread(places, gap, low, high) {
  const order = places.map((_, i) => i).sort((a, b) => places[a] - places[b]);
  const out = [...places];
  let floor = low;
  for (const i of order) {
    out[i] = Math.max(out[i], floor);
    floor = out[i] + gap;
  }
  let ceiling = high;
  for (const i of order.reverse()) {
    out[i] = Math.min(out[i], ceiling);
    ceiling = out[i] - gap;
  }
  return out;
}
