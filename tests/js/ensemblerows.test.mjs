import assert from "node:assert/strict";
import test from "node:test";
import { bestEntry } from "../../labkit/widgets/static/ensemblecurve.js";
import { columnOf, columnText, heatRange, memberCurve, memberText, rowGroups, rowOrder, rowTicks } from "../../labkit/widgets/static/ensemblerows.js";

const MEMBERS = [{ lr: 0.1, seed: 0 }, { lr: 10, seed: 0 }, { lr: 0.1, seed: 1 }, { lr: 10, seed: 1 }, { lr: 1, seed: 0 }];

test("the largest setting is on top, equal ones upwards in their order", () => {
  assert.deepEqual(rowOrder(MEMBERS, "lr"), [3, 1, 4, 2, 0]);
  assert.deepEqual(rowGroups([3, 1, 4, 2, 0], MEMBERS, "lr"), [
    { value: 10, from: 0, to: 2 }, { value: 1, from: 2, to: 3 }, { value: 0.1, from: 3, to: 5 }]);
});

test("every group is named where there is room, else round values at their places", () => {
  const groups = rowGroups([3, 1, 4, 2, 0], MEMBERS, "lr");
  assert.deepEqual(rowTicks(groups, 200, true), [{ value: 10, row: 1 }, { value: 1, row: 2.5 }, { value: 0.1, row: 4 }]);
  const many = Array.from({ length: 31 }, (_, i) => ({ value: 10 ** (1 - i / 10), from: i, to: i + 1 })); // 10 down to 0.01
  const named = rowTicks(many, 300, true);
  assert.deepEqual(named.map(({ value }) => value), [0.01, 0.1, 1, 10]);
  named.forEach(({ row }, i) => assert.ok(Math.abs(row - [30.5, 20.5, 10.5, 0.5][i]) < 1e-9));
  const seeds = Array.from({ length: 40 }, (_, i) => ({ value: 39 - i, from: i, to: i + 1 }));
  assert.deepEqual(rowTicks(seeds, 400, false).slice(0, 3), [{ value: 39, row: 0.5 }, { value: 37, row: 2.5 }, { value: 35, row: 4.5 }]);
});

test("a round value between two rows stands between them, in proportion to its logarithm", () => {
  const groups = [{ value: 1e6, from: 0, to: 1 }, { value: 1e3, from: 1, to: 2 }, { value: 1, from: 2, to: 3 }];
  const row = Object.fromEntries(rowTicks(groups, 30, true).map((tick) => [tick.value, tick.row]));
  assert.ok(Math.abs(row[1e4] - (0.5 + 2 / 3)) < 1e-9);
});

test("the colours reach from the least loss to three times where the losses began", () => {
  assert.deepEqual(heatRange([2, 2.2, 1.8, 0.5, 1e9, NaN], 6, 3, true), { low: 0.5, high: 6, above: true });
  assert.deepEqual(heatRange([2, 2.2, 1.8, 0.5, 3, 0], 6, 3, true), { low: 0.5, high: 3, above: false });
  assert.deepEqual(heatRange([0.2, 0, 1], 3, 3, false), { low: 0, high: 1, above: false });
  assert.equal(heatRange([NaN, Infinity], 2, 2, true), null);
  assert.equal(heatRange([1], 0, 1, true), null);
});

test("a column is found by step and named by its steps", () => {
  const ends = [4, 8, 12];
  assert.deepEqual([1, 4, 5, 12, 99].map((step) => columnOf(ends, 3, step)), [0, 0, 1, 2, 2]);
  assert.equal(columnText(ends, 1, true), "steps 5 to 8");
  assert.equal(columnText([1, 2], 1, true), "step 2");
  assert.equal(columnText(ends, 1, false), "step 8");
});

test("a member in words, and its own values", () => {
  assert.equal(memberText(MEMBERS[2], ["lr", "seed"], { lr: "learning rate", seed: "seed" }), "learning rate 0.1 · seed 1");
  assert.deepEqual([...memberCurve([1, 2, 3, 4, 5, 6], 2, 3, 1)], [2, 5]);
});

test("the best median leaves diverged settings out", () => {
  assert.equal(bestEntry([3, 1, Infinity, 2], false), 1);
  assert.equal(bestEntry([0.3, -Infinity, 0.9], true), 2);
  assert.equal(bestEntry([Infinity, NaN], false), -1);
});
