import assert from "node:assert/strict";
import test from "node:test";
import { briefName, flowColumns, flowHeadline, flowLabels, flowRange, flowTicks, flowZeros, percent, tenTo } from "../../labkit/widgets/static/flowlayout.js";

test("columns share the width, and a place belongs to the column it is in", () => {
  const columns = flowColumns(4, 50, 450);
  assert.equal(columns.width, 100);
  assert.deepEqual([columns.left(0), columns.middle(3)], [50, 400]);
  assert.deepEqual([-5, 50, 149, 150, 449, 900].map(columns.at), [0, 0, 0, 1, 3, 3]);
});

test("the range holds what is occupied, the lines, and what it held before", () => {
  const histogram = { shape: [2, 6], data: [0, 0, 0.5, 0, 0, 0, 0, 0, 0, 0.25, 0, 0] };
  assert.deepEqual(flowRange(histogram, -10, [], null), [-8, -6]);
  assert.deepEqual(flowRange(histogram, -10, [[0.5, 0, NaN, Infinity]], null), [-8, -1]);
  assert.deepEqual(flowRange(histogram, -10, [], [-20, -7]), [-20, -6]);
  assert.deepEqual(flowRange({ shape: [1, 2], data: [0, 0] }, 0, [[NaN]], null), [-10, 3]);
});

test("ticks are powers of ten within the range, few enough", () => {
  assert.deepEqual(flowTicks([-10, 4], 10).map(({ label }) => label), ["10⁻³", "10⁻²", "10⁻¹", "1", "10"]);
  assert.deepEqual(flowTicks([-10, 4], 3).map(({ label }) => label), ["10⁻²", "1"]);
  const [tick] = flowTicks([6, 7], 5);
  assert.ok(Math.abs(tick.power - Math.log2(100)) < 1e-9);
  assert.deepEqual(["1", "10", "10⁻¹²", "10³"], [0, 1, -12, 3].map(tenTo));
});

test("layers are named where the names fit, else numbered and thinned", () => {
  const measure = (/** @type {string} */ text) => 6 * text.length;
  assert.deepEqual(flowLabels(["block1.conv1", "output"], 60, measure), [{ place: 0, label: "conv1" }, { place: 1, label: "output" }]);
  const many = Array.from({ length: 100 }, (_, i) => `linear${i}`);
  assert.deepEqual(flowLabels(many, 4, measure).map(({ label }) => label), ["1", "10", "20", "30", "40", "50", "60", "70", "80", "90", "100"]);
  assert.deepEqual(flowLabels(["a.b"], 1, measure).map(({ label }) => label), ["1"]);
  assert.equal(briefName("a.b.c"), "c");
});

test("what no bin holds are zeros", () => {
  const histogram = { shape: [2, 3], data: [0.5, 0.25, 0, 0.5, 0.5, 0.001] };
  assert.deepEqual([flowZeros(histogram, 0), flowZeros(histogram, 1)], [0.25, 0]);
});

test("the headline says what gradients do", () => {
  assert.equal(flowHeadline([1e-3, 5, 1]), "Gradients shrink 1.00 k-fold from the last layer to the first");
  assert.equal(flowHeadline([1e-9, 5, 1]), "Gradients shrink 1.0 × 10⁹-fold from the last layer to the first");
  assert.equal(flowHeadline([3, 1]), "Gradients grow 3.00-fold from the last layer to the first");
  assert.equal(flowHeadline([1, 1]), "Gradients reach the first layer about as large as the last");
  assert.equal(flowHeadline([0, 1]), "No gradient reaches the first layer");
  assert.equal(flowHeadline([NaN, 1]), "Activations and gradients by layer");
  assert.equal(flowHeadline([0.25]), "The gradient of the layer is 0.250");
});

test("shares as percentages", () => {
  assert.deepEqual([0, 0.004, 0.526, 1].map(percent), ["0 %", "0.4 %", "53 %", "100 %"]);
});
