import assert from "node:assert/strict";
import test from "node:test";
import { Smoother, atOrBefore, decimate, lowerBound, nearest, quantile, spread } from "../../labkit/widgets/static/curves.js";

/** A generator of repeatable numbers in 0..1 (mulberry32). */
function random(seed) {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

test("the smoothed value is the weighted mean of all values so far", () => {
  const values = [3, 1, 4, 1, 5, 9], weight = 0.8;
  const out = new Smoother(weight).extend(values, 6);
  values.forEach((_, i) => {
    let sum = 0, weights = 0;
    for (let k = 0; k <= i; k += 1) {
      sum += weight ** (i - k) * values[k];
      weights += weight ** (i - k);
    }
    assert.ok(Math.abs(out[i] - sum / weights) < 1e-6);
  });
});

test("a constant stays what it is, from the first value on", () => {
  assert.deepEqual([...new Smoother(0.95).extend([2, 2, 2], 3).slice(0, 3)], [2, 2, 2]);
});

test("going on gives what the whole gives, also past the first thousand", () => {
  const draw = random(1), values = Float64Array.from({ length: 5000 }, draw);
  const once = new Smoother(0.9).extend(values, 5000);
  const parts = new Smoother(0.9);
  for (let n = 0; n <= 5000; n += 250) parts.extend(values, n);
  assert.deepEqual(parts.extend(values, 5000).slice(0, 5000), once.slice(0, 5000));
});

test("NaN leaves a gap and does not spread", () => {
  const out = new Smoother(0.5).extend([1, NaN, 1], 3);
  assert.ok(Number.isNaN(out[1]));
  assert.equal(out[2], 1);
});

test("bisection finds what a scan finds", () => {
  const draw = random(2);
  for (let trial = 0; trial < 200; trial += 1) {
    const values = Array.from({ length: Math.floor(draw() * 20) }, () => Math.floor(draw() * 30)).sort((a, b) => a - b);
    const value = Math.floor(draw() * 34) - 2, n = values.length;
    const first = values.findIndex((v) => v >= value);
    assert.equal(lowerBound(values, n, value), first < 0 ? n : first);
    const before = atOrBefore(values, n, value);
    assert.equal(before < 0 ? -Infinity : values[before], Math.max(-Infinity, ...values.filter((v) => v <= value)));
    const near = nearest(values, n, value);
    if (!n) assert.equal(near, -1);
    else assert.equal(Math.abs(values[near] - value), Math.min(...values.map((v) => Math.abs(v - value))));
  }
});

test("a short curve is not thinned, and one that is not finite gets a gap", () => {
  const { x, y } = decimate([0, 1, 2], [5, Infinity, 7], 3, [0, 2], 100);
  assert.deepEqual(x, [0, 1, 2]);
  assert.deepEqual([y[0], y[2]], [5, 7]);
  assert.ok(Number.isNaN(y[1]));
});

test("a thinned curve keeps each column's extremes and its ends, in at most five points a column", () => {
  const n = 20000, columns = 300, draw = random(3);
  const xs = Float64Array.from({ length: n }, (_, i) => i), ys = Float64Array.from({ length: n }, draw);
  const { x, y } = decimate(xs, ys, n, [0, n - 1], columns);
  assert.ok(x.length <= 5 * (columns + 1), `${x.length}`);
  assert.ok(x.every((v, i) => !i || v > x[i - 1]));
  const column = (v) => Math.floor((v * columns) / (n - 1));
  const extremes = (at, of) => {
    const found = new Map();
    at.forEach((v, i) => {
      const [low, high] = found.get(column(v)) ?? [Infinity, -Infinity];
      found.set(column(v), [Math.min(low, of[i]), Math.max(high, of[i])]);
    });
    return found;
  };
  assert.deepEqual(extremes(x, y), extremes(xs, ys));
  assert.equal(x[0], 0);
  assert.equal(x.at(-1), n - 1);
});

test("a gap inside a crowded column stays a gap", () => {
  const n = 10000, xs = Float64Array.from({ length: n }, (_, i) => i), ys = xs.map((v) => (v === 5003 ? NaN : 1));
  assert.equal(decimate(xs, ys, n, [0, n], 50).y.filter(Number.isNaN).length, 1);
});

test("quantiles leave out what is not finite", () => {
  assert.equal(quantile([3, 1, 2, NaN, Infinity], 0.5), 2);
  assert.ok(Number.isNaN(quantile([NaN], 0.5)));
});

test("labels move apart, keep their order, and stay inside", () => {
  assert.deepEqual(spread([10, 100], 15, 0, 200), [10, 100]);
  const out = spread([50, 50, 195, 190], 15, 0, 200);
  assert.deepEqual(out, [50, 65, 200, 185]);
});
