import assert from "node:assert/strict";
import test from "node:test";
import {
  lyAdded, lyAround, lyBrief, lyCut, lyIndices, lyLargest, lyLooking, lyMore, lyPlace, lyProducts, lyReach, lyReached, lySwept, lyTaps, lyWindow,
} from "../../labkit/widgets/static/layerarith.js";

const plain = { kernel: [3, 3], stride: [1, 1], padding: [1, 1], dilation: [1, 1] };
const odd = { kernel: [2, 3], stride: [2, 1], padding: [1, 0], dilation: [3, 2] };

test("a window's places, in the kernel's order, and which are in the padding", () => {
  const taps = lyTaps(plain, [0, 1], [4, 4]);
  assert.deepEqual(taps.map(({ row, column }) => [row, column]).slice(0, 4), [[-1, 0], [-1, 1], [-1, 2], [0, 0]]);
  assert.deepEqual(taps.map(({ inside }) => inside), [false, false, false, true, true, true, true, true, true]);
  assert.deepEqual(lyTaps(odd, [1, 2], [9, 9]).map(({ row, column }) => [row, column]), [[1, 2], [1, 4], [1, 6], [4, 2], [4, 4], [4, 6]]);
  assert.deepEqual(lyWindow(odd, [1, 2]), { top: 1, left: 2, bottom: 5, right: 7 });
});

test("a pixel goes where windows look at it, found the other way round by trying all", () => {
  for (const windows of [plain, odd, { kernel: [2, 2], stride: [2, 2], padding: [0, 0], dilation: [1, 1] }]) {
    const size = [5, 6];
    for (let row = 0; row < 8; row += 1) {
      for (let column = 0; column < 8; column += 1) {
        const expected = [];
        for (let i = 0; i < size[0]; i += 1) {
          for (let j = 0; j < size[1]; j += 1) if (lyTaps(windows, [i, j], [8, 8]).some((tap) => tap.row === row && tap.column === column)) expected.push([i, j]);
        }
        assert.deepEqual(lyReached(windows, [row, column], size), expected);
      }
    }
  }
  assert.deepEqual(lyAround([[1, 2], [3, 0]]), { top: 1, left: 0, bottom: 4, right: 3 });
  assert.equal(lyAround([]), null);
});

test("window times kernel, by hand", () => {
  const inputs = { shape: [2, 2, 2], data: [9, 9, 9, 9, 1, 2, 3, 4] }, kernels = { shape: [2, 2, 2], data: [0, 0, 0, 0, 10, -1, 2, 0.5] };
  const windows = { kernel: [2, 2], stride: [1, 1], padding: [0, 0], dilation: [1, 1] };
  const { cells, sum } = lyProducts(lyTaps(windows, [0, 0], [2, 2]), inputs, kernels, 1);
  assert.deepEqual(cells.map(({ product }) => product), [10, -2, 6, 2]);
  assert.equal(sum, 16);
  const edge = lyProducts(lyTaps({ ...windows, padding: [1, 1] }, [0, 0], [2, 2]), inputs, kernels, 1);
  assert.deepEqual(edge.cells.map(({ inside }) => inside), [false, false, false, true]);
  assert.equal(edge.sum, 0.5);
});

test("the colours' rule", () => {
  assert.equal(lyReach("unit", 2, 3, [3, 7]), 2);
  assert.equal(lyReach("layer", 2, 3, [3, 7]), 3);
  assert.equal(lyReach("network", 2, 3, [3, NaN, 7]), 7);
  assert.equal(lyReach("unit", 0, 3, [3]), 1);
  const own = lyIndices(2, 2), half = lyIndices(2, 4);
  assert.deepEqual([own[1], own[128], own[255]], [0, 128, 255]);
  assert.deepEqual([half[1], half[255]], [64, 191]);
});

test("places that look at a pixel", () => {
  const looks = [-1, 2, 0, 3, 1, 4, 2, 5];
  assert.deepEqual([0, 2, 4, 5].map((pixel) => lyLooking(looks, pixel)), [[0, 2], [1, 4], [3, 4], null]);
});

test("a sweep goes row by row at its speed and stays at the end", () => {
  assert.deepEqual([0, 4, 5].map((at) => lyPlace(at, [3, 5])), [[0, 0], [0, 4], [1, 0]]);
  assert.equal(lySwept(3, 10, 1000, 100), 13);
  assert.equal(lySwept(3, 10, 60000, 100), 99);
  assert.deepEqual(lyLargest({ shape: [2, 2], data: [1, -5, 2, 4] }), [0, 1]);
});

test("a picture is cut in its middle to fill another shape", () => {
  assert.deepEqual(lyCut(400, 200, [48, 48]), { x: 100, y: 0, width: 200, height: 200 });
  assert.deepEqual(lyCut(100, 300, [10, 20]), { x: 0, y: 125, width: 100, height: 50 });
});

test("names and counts", () => {
  assert.deepEqual([lyBrief("a.b.conv:2"), lyBrief("conv")], ["conv:2", "conv"]);
  assert.equal(lyAdded([[-0.5, "channel 0"], [-0.25, "channel 2"], [1, "bias"]], String), "-0.5 (channel 0) − 0.25 (channel 2) + 1 (bias)");
  assert.deepEqual([lyMore(8, 32), lyMore(8, 8)], ["+24 more", ""]);
});
