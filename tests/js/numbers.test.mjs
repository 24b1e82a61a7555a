import assert from "node:assert/strict";
import test from "node:test";
import { logTicks, number, scale, short, ticks, tickStep, whole } from "../../labkit/widgets/static/numbers.js";

test("three significant digits, a true minus, units", () => {
  const cases = [[0, "0"], [1, "1.00"], [0.9412, "0.941"], [-12, "\u221212.0"], [0.00123, "0.00123"], [1.234e-5, "1.2e-5"],
    [-1e-7, "\u22121.0e-7"], [999.4, "999"], [999.6, "1.00 k"], [1234, "1.23 k"], [3.4e6, "3.40 M"], [2.5e9, "2.50 G"],
    [1e15, "1.0e15"], [NaN, "NaN"], [Infinity, "∞"], [-Infinity, "\u2212∞"]];
  for (const [value, text] of cases) assert.equal(number(value), text);
});

test("no value of any size comes out in another notation", () => {
  for (let power = -12; power <= 11; power += 0.01) assert.match(number(10 ** power), /^(\d\.\de-\d+|\d{1,3}|\d+\.\d+)( [kMG])?$/);
});

test("short drops trailing zeros only", () => {
  const cases = [[0.5, "0.5"], [1, "1"], [100, "100"], [0.001, "0.001"], [1200, "1.2 k"], [2000, "2 k"], [1e-5, "1e-5"], [0, "0"], [-0.2, "\u22120.2"]];
  for (const [value, text] of cases) assert.equal(short(value), text);
});

test("whole numbers have their thousands set apart", () => {
  assert.equal(whole(0), "0");
  assert.equal(whole(999), "999");
  assert.equal(whole(1234567), "1,234,567");
  assert.equal(whole(-1234), "\u22121,234");
});

test("ticks are round, within, and about as many as asked", () => {
  assert.deepEqual(ticks(0, 1, 5), [0, 0.2, 0.4, 0.6, 0.8, 1]);
  assert.deepEqual(ticks(-1, 1, 4), [-1, -0.5, 0, 0.5, 1]);
  assert.deepEqual(ticks(5, 5, 5), []);
  assert.deepEqual(ticks(0, NaN, 5), []);
  for (const high of [0.3, 7, 42, 999, 12345]) {
    const found = ticks(0, high, 6);
    assert.ok(found.length >= 3 && found.length <= 13, `${found}`);
    assert.ok(found.every((t) => t >= 0 && t <= high));
  }
  assert.deepEqual([10, 12, 20, 40, 80].map((span) => tickStep(span, 10)), [1, 1, 2, 5, 10]);
});

test("log ticks are powers of ten, with 2 and 5 where there are few", () => {
  assert.deepEqual(logTicks(0.001, 10), [0.001, 0.01, 0.1, 1, 10]);
  assert.deepEqual(logTicks(0.15, 3), [0.2, 0.5, 1, 2]);
  assert.deepEqual(logTicks(0, 10), []);
  assert.ok(logTicks(1e-12, 1e6).length <= 8);
});

test("a scale and its inverse agree, linear and log", () => {
  for (const log of [false, true]) {
    const at = scale([0.1, 10], [50, 450], log);
    assert.equal(Math.round(at(0.1)), 50);
    assert.equal(Math.round(at(10)), 450);
    for (const value of [0.2, 1, 7]) assert.ok(Math.abs(at.invert(at(value)) - value) < 1e-9);
  }
  assert.equal(Math.round(scale([0.1, 10], [0, 100], true)(1)), 50);
});
