import assert from "node:assert/strict";
import { test } from "node:test";
import { brief } from "../../labkit/widgets/static/convsum.js";
import { outputsOf, places, source, sumAt } from "../../labkit/widgets/static/convwindow.js";

const plain = { kind: "convolution", size: 3, stride: 1, padding: 1, mode: "zeros", dilation: 1 };

test("a window begins before the input by the padding, and moves by the stride", () => {
  assert.deepEqual(places(plain, 0), [-1, 0, 1]);
  assert.deepEqual(places({ ...plain, stride: 2, padding: 0 }, 3), [6, 7, 8]);
  assert.deepEqual(places({ ...plain, dilation: 3, padding: 2 }, 1), [-1, 2, 5]);
});

test("a transposed convolution meets only the entries whose pixel is there", () => {
  const transposed = { ...plain, kind: "transposed", stride: 2 };
  assert.deepEqual(places(transposed, 0), [null, 0, null]);
  assert.deepEqual(places(transposed, 1), [1, null, 0]);
  assert.deepEqual(places(transposed, 4), [null, 2, null]);
});

test("the padding repeats, mirrors, or holds nothing", () => {
  assert.deepEqual([-2, -1, 0, 4, 5].map((at) => source("reflect", at, 5)), [2, 1, 0, 4, 3]);
  assert.deepEqual([-2, -1, 0, 4, 5].map((at) => source("circular", at, 5)), [3, 4, 0, 4, 0]);
  assert.deepEqual([-1, 0, 4, 5].map((at) => source("zeros", at, 5)), [null, 0, 4, null]);
});

const input = { data: [1, 2, 3, 4, 5, 6, 7, 8, 9], shape: [1, 3, 3] };
const weight = { data: [0, 1, 0, 0, 0, -1, 2, 0, 0], shape: [1, 3, 3] };

test("the sum is that of window times kernel", () => {
  const middle = sumAt(plain, input, weight, [0], 1, 1);
  assert.equal(middle.total, 2 - 6 + 14);
  assert.deepEqual(middle.channels[0].map((one) => one.product), [0, 2, 0, 0, 0, -6, 14, 0, 0]);
  assert.equal(sumAt(plain, input, weight, [0], 0, 0).total, -2); // above and to the left stand zeros
  assert.equal(sumAt({ ...plain, mode: "circular" }, input, weight, [0], 0, 0).total, 7 - 2 + 2 * 6);
  assert.equal(sumAt({ ...plain, mode: "reflect" }, input, weight, [0], 0, 0).total, 4 - 2 + 2 * 5);
});

test("several channels are summed", () => {
  const both = { data: [...input.data, ...input.data.map((value) => 10 * value)], shape: [2, 3, 3] };
  const kernels = { data: [...weight.data, 0, 0, 0, 0, 1, 0, 0, 0, 0], shape: [2, 3, 3] };
  assert.equal(sumAt(plain, both, kernels, [0, 1], 1, 1).total, 10 + 50);
  assert.equal(sumAt(plain, both, kernels, [1], 1, 1).total, 50);
});

test("pooling takes the largest, or the mean with the zeros around", () => {
  const pool = { ...plain, kind: "max", size: 2, stride: 2 };
  assert.equal(sumAt(pool, input, weight, [0], 0, 0).total, 1); // the padding is minus infinity
  assert.equal(sumAt(pool, { ...input, data: input.data.map((value) => -value) }, weight, [0], 1, 1).total, -5);
  assert.equal(sumAt({ ...pool, kind: "average" }, input, weight, [0], 0, 0).total, 0.25);
});

test("a transposed convolution spreads the kernel", () => {
  const transposed = { ...plain, kind: "transposed", stride: 2, padding: 0 };
  const one = { data: [0, 0, 0, 0, 1, 0, 0, 0, 0], shape: [1, 3, 3] };
  const drawn = [2, 3, 4].flatMap((row) => [2, 3, 4].map((column) => sumAt(transposed, one, weight, [0], row, column).total));
  assert.deepEqual(drawn, weight.data);
});

test("an input pixel reaches exactly the outputs that have it in their window", () => {
  for (const change of [{}, { stride: 2 }, { dilation: 2 }, { mode: "circular" }, { mode: "reflect" }, { kind: "transposed", stride: 2 }]) {
    const operation = { ...plain, ...change };
    const length = operation.kind === "transposed" ? 9 : Math.floor((5 + 2 - operation.dilation * 2 - 1) / operation.stride) + 1;
    const forward = [];
    for (let row = 0; row < length; row += 1) {
      for (let column = 0; column < length; column += 1) {
        const [down, across] = [places(operation, row), places(operation, column)];
        down.forEach((y, i) => across.forEach((x, j) => {
          if (y === null || x === null) return;
          if (source(operation.mode, y, 5) === 1 && source(operation.mode, x, 5) === 0) forward.push({ row, column, entry: 3 * i + j });
        }));
      }
    }
    const key = (one) => `${one.row} ${one.column} ${one.entry}`;
    assert.ok(forward.length > 0);
    assert.deepEqual(outputsOf(operation, 1, 0, [5, 5], [length, length]).map(key).sort(), forward.map(key).sort());
  }
});

test("numbers in small cells are short", () => {
  assert.deepEqual([0, 1, -2, 0.534, -0.0625, 12.34, -123.4, -0.0001, -Infinity].map(brief), ["0", "1", "−2", "0.53", "−0.06", "12.3", "−123", "0.00", "−∞"]);
});
