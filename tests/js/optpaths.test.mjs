import assert from "node:assert/strict";
import { test } from "node:test";
import { LOOKS, lastStep, lossLimits, rounded, together } from "../../labkit/widgets/static/optpaths.js";

test("a path is where it last was, also after it has diverged", () => {
  const paths = [0, 0, 1, 1, 2, 2, 3, 3, /* the second ends after its first step */ 5, 5, 6, 6, NaN, NaN, NaN, NaN];
  assert.deepEqual([0, 1, 2, 3, 9].map((step) => lastStep(paths, 0, 3, step)), [0, 1, 2, 3, 3]);
  assert.deepEqual([0, 1, 2, 3].map((step) => lastStep(paths, 1, 3, step)), [0, 1, 1, 1]);
});

test("the chart of losses is no wider than it need be, and ends a millionth below and a hundred times above the first", () => {
  assert.deepEqual(lossLimits(10, [10, 5, 3, 15]), [2, 22.5]);
  assert.deepEqual(lossLimits(1e6, [1e-30, 0, NaN, 1e12, Infinity]), [1, 1e8]);
  assert.deepEqual(lossLimits(10, []), [10 / 1.5, 15]);
});

test("places have as many digits as their axis needs", () => {
  assert.equal(rounded(1.23456, 8), 1.23);
  assert.equal(rounded(-1.23456, 0.4), -1.235);
  assert.equal(rounded(1234.56, 8000), 1230);
  assert.equal(Object.is(rounded(-0.0001, 8), 0), true);
});

test("what lies close together makes one group", () => {
  assert.deepEqual(together([100, 5, 0, 102, 50], 10), [[2, 1], [4], [0, 3]]);
  assert.deepEqual(together([], 10), []);
});

test("no two looks are alike", () => {
  assert.equal(new Set(LOOKS.map(({ marker }) => marker)).size, LOOKS.length);
  assert.equal(new Set(LOOKS.map(({ light }) => light)).size, LOOKS.length);
  assert.equal(new Set(LOOKS.map(({ dark }) => dark)).size, LOOKS.length);
});

test("every line is seen and every name is read on its background: contrast of at least 4.5", () => {
  const linear = (part) => (part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
  const light = (hex) => [1, 3, 5].reduce((sum, at, k) => sum + [0.2126, 0.7152, 0.0722][k] * linear(parseInt(hex.slice(at, at + 2), 16) / 255), 0);
  const contrast = (a, b) => (Math.max(light(a), light(b)) + 0.05) / (Math.min(light(a), light(b)) + 0.05);
  for (const look of LOOKS) {
    assert.ok(contrast(look.light, "#ffffff") >= 4.5, look.light);
    assert.ok(contrast(look.dark, "#212121") >= 4.5, look.dark);
  }
});
