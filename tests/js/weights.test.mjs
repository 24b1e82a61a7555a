import assert from "node:assert/strict";
import test from "node:test";
import { microCaption, microStages } from "../../labkit/widgets/static/micro.js";
import {
  activationText, arithmetic, biasAt, bySize, changeText, firstUnit, isFrozen, subscript, sumLine, sumNumbers, sumSymbols, unitSymbol, unitTitle, weightAt, whereIs,
} from "../../labkit/widgets/static/weights.js";

// Two features, a hidden layer of three, one output; each parameter is 100·layer + 10·row + from, a bias ends in 9.
const LAYERS = [
  { name: "input", width: 2, activation: null, weight: null, bias: null },
  { name: "linear1", width: 3, activation: "tanh", weight: 0, bias: 6 },
  { name: "output", width: 1, activation: "tanh", weight: 9, bias: 12 },
];
const FLAT = [100, 101, 110, 111, 120, 121, 109, 119, 129, 200, 201, 202, 209];
const run = (changes = {}) => ({ kind: "binary", layers: LAYERS, settings: { features: ["x2", "x1_x2"], optimizer: "sgd", frozen: [], dropout: 0 }, ...changes });

test("offsets find each weight and bias in the flat array", () => {
  assert.equal(FLAT[weightAt(LAYERS, 1, 0, 0)], 100);
  assert.equal(FLAT[weightAt(LAYERS, 1, 2, 1)], 121);
  assert.equal(FLAT[weightAt(LAYERS, 2, 0, 2)], 202);
  assert.equal(FLAT[biasAt(LAYERS, 1, 1)], 119);
  assert.equal(FLAT[biasAt(LAYERS, 2, 0)], 209);
});

test("units count the features first, then layer by layer", () => {
  assert.deepEqual([0, 1, 2, 4, 5].map((unit) => whereIs(LAYERS, unit)), [
    { layer: 0, row: 0 }, { layer: 0, row: 1 }, { layer: 1, row: 0 }, { layer: 1, row: 2 }, { layer: 2, row: 0 }]);
  assert.deepEqual([0, 1, 2].map((layer) => firstUnit(LAYERS, layer)), [0, 2, 5]);
});

test("names", () => {
  assert.deepEqual([0, 1, 2, 4].map((unit) => unitSymbol(run(), unit)), ["x₂", "x₁x₂", "h₁", "h₃"]);
  assert.equal(subscript(12), "₁₂");
  assert.equal(unitTitle(run(), 1, []), "Feature x₁x₂");
  assert.equal(unitTitle(run(), 3, []), "Hidden layer 1, unit 2");
  assert.equal(unitTitle(run(), 5, []), "Output");
  assert.equal(unitTitle(run({ kind: "classes" }), 5, ["A"]), "Output for class A");
});

// z = 0.23·1.5 - 0.54·(-2) + 0.1 = 1.525 at x₂ = 1.5, x₁x₂ = -2
const PARAMETERS = [0.23, -0.54, 0, 0, 0, 0, 0.1, 0, 0, 0, 0, 0, 0];
const VALUES = [1.5, -2, 1.525, 0, 0, 0, 1.5, -2, Math.tanh(1.525), 0, 0, 0];

test("a unit's sum with its numbers: true minus signs, three digits, negative values in brackets", () => {
  const sum = arithmetic(run(), PARAMETERS, VALUES, 2);
  assert.deepEqual(sum.terms.map(({ name, from, offset, weight, value }) => [name, from, offset, weight, value]), [["x₂", 0, 0, 0.23, 1.5], ["x₁x₂", 1, 1, -0.54, -2]]);
  assert.ok(Math.abs(sum.terms.reduce((total, { product }) => total + product, sum.bias) - sum.z) < 1e-12);
  assert.equal(sumSymbols(sum), "0.230·x₂ − 0.540·x₁x₂ + 0.100");
  assert.equal(sumNumbers(sum), "0.230·1.50 − 0.540·(−2.00) + 0.100");
  assert.equal(sumLine(sum, 4), "z = 0.230·1.50 − 0.540·(−2.00) + 0.100 = 1.52, tanh(1.52) = 0.910");
  assert.deepEqual(bySize(sum.terms).map(({ from }) => from), [1, 0]);
});

test("a sum that begins below zero begins with a minus; of many terms the small ones are put together", () => {
  const term = (weight, value, from) => ({ name: `h${from}`, from, offset: from, weight, value, product: weight * value });
  const sum = { terms: [term(-1, 0.5, 0), term(0.01, -1, 1), term(0.02, 1, 2), term(2, 1, 3)], bias: -0.25 };
  assert.equal(sumNumbers(sum), "−1.00·0.500 + 0.0100·(−1.00) + 0.0200·1.00 + 2.00·1.00 − 0.250");
  assert.equal(sumNumbers(sum, 2), "2.00·1.00 − 1.00·0.500 + 0.0100 (2 smaller) − 0.250");
});

test("a feature has no sum", () => assert.equal(arithmetic(run(), PARAMETERS, VALUES, 1), null));

test("what each activation does is written as it is done", () => {
  const text = (activation, z, out, more = {}) => activationText({ activation, z, out, ...more });
  assert.equal(text("tanh", -0.635, Math.tanh(-0.635)), "tanh(−0.635) = −0.561");
  assert.equal(text("relu", -0.635, 0), "max(0, −0.635) = 0");
  assert.equal(text("sigmoid", 0, 0.5), "σ(0) = 0.500");
  assert.equal(text("linear", 2, 2), "no activation: 2.00");
  assert.equal(text("leaky_relu", -1, -0.01), "leaky ReLU(−1.00) = −0.0100");
  assert.equal(text("tanh", 0.5, 0, { dropped: true }), "tanh and dropout make 0 of it");
  const layers = [LAYERS[0], { name: "output", width: 2, activation: "linear", weight: 0, bias: 4 }];
  const sum = arithmetic(run({ kind: "classes", layers }), [1, 0, 0, 1, 0, 0], [0, Math.log(3), 0, Math.log(3), 0, Math.log(3), 0.25, 0.75], 3);
  assert.equal(activationText(sum), "softmax: exp(1.10) / 4.00 = 0.750, where 4.00 is the sum of exp(z) over the 2 classes");
});

test("an update is written with both values, or with what it added where they look the same", () => {
  assert.equal(changeText(0.231, 0.227), "0.231 → 0.227");
  assert.equal(changeText(0.2311, 0.23105), "0.231 − 5.0e-5");
  assert.equal(changeText(-0.5, -0.4999), "−0.500 + 1.0e-4");
  assert.equal(changeText(0.5, 0.5), "0.500 → 0.500");
});

test("frozen entries are found by name and index", () => {
  const frozen = run({ settings: { frozen: [["linear1.weight", [0, 1]], ["linear1.bias", [2]]] } });
  assert.ok(isFrozen(frozen, "linear1.weight", [0, 1]) && isFrozen(frozen, "linear1.bias", [2]));
  assert.ok(!isFrozen(frozen, "linear1.weight", [1, 0]) && !isFrozen(frozen, "output.bias", [2]));
});

test("slow motion goes forward, to the loss, backward and to the update", () => {
  assert.deepEqual(microStages(3).map(({ kind, layer }) => [kind, layer]), [
    ["forward", 0], ["forward", 1], ["forward", 2], ["loss", 2], ["backward", 2], ["backward", 1], ["update", 0]]);
});

test("each stage says its numbers", () => {
  const micro = { example: 0, size: 10, loss: 0.31, example_loss: 0.238, target: 1, output: 0.31, lr: 0.03 };
  const gradients = PARAMETERS.map((_, i) => (i === 1 ? 2 : 0.5)), after = PARAMETERS.map((value, i) => value - 0.03 * gradients[i]);
  const data = { inputs: [1.2, -0.4], values: VALUES, slopes: [0, 0, -0.5, 0, 0, 0.25], parameters: PARAMETERS, gradients, after };
  const say = (stage, changes = {}, unit = null) => microCaption(stage, run(changes), { ...micro, ...changes.micro }, { ...data, ...changes.data }, unit, ["A", "B", "C"]);
  assert.equal(say({ kind: "forward", layer: 0 }), "Forward: example 1 of 10 at x₁ = 1.20, x₂ = −0.400");
  assert.equal(say({ kind: "forward", layer: 1 }), "Forward, hidden layer 1: unit 1: z = 0.230·1.50 − 0.540·(−2.00) + 0.100 = 1.52, tanh(1.52) = 0.910");
  assert.equal(say({ kind: "loss", layer: 2 }), "Loss: ½(ŷ − y)² = ½(0.310 − 1)² = 0.238; mean over the batch 0.310");
  assert.equal(say({ kind: "loss", layer: 2 }, { micro: { target: -1 } }), "Loss: ½(ŷ − y)² = ½(0.310 − (−1))² = 0.238; mean over the batch 0.310");
  assert.equal(say({ kind: "loss", layer: 2 }, { kind: "classes", micro: { target: 0, example_loss: 1.2 }, data: { values: [...VALUES.slice(0, -1), 0.3] } }),
    "Loss: −log p(A) = −log 0.300 = 1.20; mean over the batch 0.310");
  assert.equal(say({ kind: "backward", layer: 1 }), "Backward, hidden layer 1: unit 1: ∂L/∂z = −0.500 for this example; at the links ∂L/∂w of the batch's mean loss (10 examples)");
  assert.equal(say({ kind: "backward", layer: 1 }, { data: { slopes: [9, 9, 0, 0.1, -0.2, 9] } }).slice(0, 48), "Backward, hidden layer 1: unit 3: ∂L/∂z = −0.200");
  assert.equal(say({ kind: "backward", layer: 2 }), "Backward, the output: ∂L/∂z = 0.250 for this example; at the links ∂L/∂w of the batch's mean loss (10 examples)");
  const update = { kind: "update", layer: 0 };
  assert.equal(say(update), "Update: w − 0.03 · ∂L/∂w, the weight from x₁x₂ to unit 1 of hidden layer 1: −0.540 − 0.03 · 2.00 = −0.600");
  assert.equal(say(update, {}, { layer: 2, row: 0 }), "Update: w − 0.03 · ∂L/∂w, the weight from h₁ to the output: 0 − 0.03 · 0.500 = −0.0150");
  assert.equal(say(update, { settings: { ...run().settings, optimizer: "adam" } }), "Update: the optimiser's step (adam), the weight from x₁x₂ to unit 1 of hidden layer 1: −0.540 → −0.600");
});
