import assert from "node:assert/strict";
import test from "node:test";
import { moved, smooth, split, within } from "../../labkit/widgets/static/pen.js";

test("the smooth curve begins and ends where the stroke does, without a break", () => {
  const points = [[0, 0], [0.5, 0], [0.5, 0.5], [1, 0.5]], pieces = smooth(points);
  assert.deepEqual(pieces[0].from, points[0]);
  assert.deepEqual(pieces.at(-1).to, points.at(-1));
  for (let i = 1; i < pieces.length; i += 1) assert.deepEqual(pieces[i].from, pieces[i - 1].to);
});

test("one point is a dot, none is nothing", () => {
  assert.deepEqual(smooth([[0.2, 0.3]]), [{ from: [0.2, 0.3], bend: [0.2, 0.3], to: [0.2, 0.3] }]);
  assert.deepEqual(smooth([]), []);
});

test("strokes come apart by their lengths", () => {
  assert.deepEqual(split([0, 1, 2, 3, 4, 5], [1, 0, 2]), [[[0, 1]], [], [[2, 3], [4, 5]]]);
});

test("points that hardly moved are left out; all stay on the pad", () => {
  assert.ok(moved(undefined, [0, 0]));
  assert.ok(!moved([0.5, 0.5], [0.501, 0.501]));
  assert.ok(moved([0.5, 0.5], [0.51, 0.5]));
  assert.deepEqual(within([-0.2, 1.4]), [0, 1]);
});
