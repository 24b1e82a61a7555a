// What FeatureView works out from what it is sent.
import assert from "node:assert/strict";
import { test } from "node:test";
import { fvBox, fvByClass, fvDetectors, fvLosses, fvShort } from "../../labkit/widgets/static/featuresarith.js";

test("long names keep the end that tells them from others", () => {
  assert.equal(fvShort("relu3_2", ["relu3_2"]), "relu3_2");
  assert.equal(fvShort("block1_1.body.relu1", []), "block1_1.body.relu1");
  const names = [0, 1].flatMap((stage) => [0, 1].map((layer) => `encoder.stages.${stage}.layers.${layer}.activation`));
  assert.equal(fvShort(names[1], names), "…0.layers.1.activation");
  assert.equal(fvShort(names[1], names.slice(0, 2)), "…1.activation");
  assert.equal(fvShort("a_very_long_name_without_dots", []), "a_very_long_name_without_dots");
});

test("units are listed by the part they detect, most units first, the best unit first", () => {
  const found = fvDetectors(["wheel", "sail", "eye"], [0, 1, 0, -1, 2, 1], [0.1, 0.2, 0.3, 0.9, 0.01, 0.05], 0.04, 64);
  assert.deepEqual(found, [{ part: "wheel", units: [66, 64], best: 0.3 }, { part: "sail", units: [65, 69], best: 0.2 }]);
});

test("classes stand by their mean activation", () => {
  const found = fvByClass([3, 1, 10, 2], [0, 0, 2, 0], 4);
  assert.deepEqual(found, [{ label: 2, values: [10], mean: 10 }, { label: 0, values: [1, 2, 3], mean: 2 }]);
});

test("the class that loses most comes first, one without examples not at all", () => {
  assert.deepEqual(fvLosses([1, NaN, 0.5], [0.75, NaN, 0.75]).map(({ label, change }) => [label, change]), [[0, -0.25], [2, 0.25]]);
});

test("a field is cut at the picture's edges, and is no frame where it sees all", () => {
  assert.deepEqual(fvBox([-4, 10, 10, 30], [20, 20]), { top: 0, left: 50, height: 50, width: 50 });
  assert.equal(fvBox([-4, -4, 24, 24], [20, 20]), null);
  assert.equal(fvBox(null, [20, 20]), null);
});
