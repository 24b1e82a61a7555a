import assert from "node:assert/strict";
import test from "node:test";
import { BLUE, MIDDLE, ORANGE, along, cividis, css, diverging, paint, reach, table, viridis } from "../../labkit/widgets/static/colours.js";

const near = (a, b, off) => a.forEach((v, i) => assert.ok(Math.abs(v - b[i]) <= off, `${a} against ${b}`));

test("the diverging scale: orange, the background, blue", () => {
  assert.deepEqual(diverging(-1, false), ORANGE);
  assert.deepEqual(diverging(0, false), MIDDLE.light);
  assert.deepEqual(diverging(0, true), MIDDLE.dark);
  assert.deepEqual(diverging(1, false), BLUE);
  assert.deepEqual(diverging(7, false), BLUE);
});

test("cividis and viridis are Matplotlib's to the eye", () => {
  // matplotlib.colormaps["viridis"](0.3) and so on, times 255.
  near(viridis(0), [68, 1, 84], 1);
  near(viridis(0.3), [53, 95, 141], 6);
  near(viridis(0.75), [94, 201, 98], 6);
  near(viridis(1), [253, 231, 37], 1);
  near(cividis(0), [0, 34, 78], 1);
  near(cividis(0.5), [125, 124, 120], 6);
  near(cividis(1), [254, 232, 56], 1);
});

test("a place between two stops is between their colours, and outside it stays at the end", () => {
  assert.deepEqual(along([[0, 0, 0], [100, 200, 50]], 0.5), [50, 100, 25]);
  assert.deepEqual(along([[1, 1, 1], [2, 2, 2]], -3), [1, 1, 1]);
});

test("reach is the largest finite magnitude", () => {
  assert.equal(reach([1, -3, NaN, Infinity, 2]), 3);
  assert.equal(reach([]), 0);
});

test("painting puts the ends at the ends, clips, and shows what is not a number", () => {
  const colours = table((p) => [255 * p, 0, 0]), out = new Uint8ClampedArray(20);
  paint([9, -1, 0, 1, 5, NaN], 1, 5, -1, 1, colours, out);
  assert.deepEqual([out[0], out[4], out[8], out[12]], [0, 127, 255, 255]);
  assert.deepEqual([...out.slice(16, 20)], [217, 48, 37, 255]);
  assert.deepEqual([out[3], out[7]], [255, 255]);
});

test("painting a flat range does not divide by zero", () => {
  const out = new Uint8ClampedArray(4);
  paint([3], 0, 1, 3, 3, table((p) => [255 * p, 0, 0]), out);
  assert.deepEqual([...out], [0, 0, 0, 255]);
});

test("css", () => assert.equal(css([1, 2, 3], 0.5), "rgba(1,2,3,0.5)"));
