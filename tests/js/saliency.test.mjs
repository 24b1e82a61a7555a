// What SaliencyView works out in the page: wishes in order, scales, outlines.
import assert from "node:assert/strict";
import { test } from "node:test";
import { salAgainst, salEnd, salLevel, salOutline, salOverlay, salOwnEnd, salQueue, salTop } from "../../labkit/widgets/static/saliencyarith.js";

/** A kernel that answers when it is told to. */
function kernel() {
  const link = {
    state: /** @type {Record<string, any>} */ ({ settings: { index: 0, signed: true }, answered: 0 }), ticket: 0, sent: /** @type {any[]} */ ([]),
    do(action, details = {}, buffers = []) {
      link.ticket += 1;
      link.sent.push([action, details, ...buffers.map((buffer) => Array.from(new Float32Array(buffer)))]);
    },
  };
  return link;
}

test("a wish goes on from the last wish, not from the last answer", () => {
  const link = kernel(), queue = salQueue(link);
  for (let i = 0; i < 5; i += 1) queue.set({ index: queue.wish.index + 1 });
  queue.set({ signed: !queue.wish.signed });
  queue.set({ signed: !queue.wish.signed });
  assert.deepEqual(queue.wish, { index: 5, signed: true });
  assert.deepEqual(link.sent, [["set", { index: 1 }]]); // the kernel has not answered the first
  link.state.answered = 1;
  link.state.settings = { index: 1, signed: true };
  queue.flush();
  assert.deepEqual(link.sent[1], ["set", { index: 5, signed: true }]);
  assert.equal(queue.wish.index, 5);
  link.state.answered = 2;
  link.state.settings = { index: 4, signed: true }; // say, Python set it meanwhile
  queue.flush();
  assert.equal(queue.pending, false);
  assert.equal(queue.wish.index, 4);
  queue.set({ signed: false });
  assert.equal(queue.wish.index, 4); // earlier wishes are forgotten
});

test("strokes, undo and settings keep their order; points of a stroke that waits are joined", () => {
  const link = kernel(), queue = salQueue(link), brush = { tool: "erase", width: 0.25 };
  queue.stroke(brush, [0, 0], true);
  queue.stroke(brush, [0.25, 0], false);
  queue.stroke(brush, [0.5, 0], false);
  queue.push("undo");
  queue.push("undo");
  queue.set({ index: 2 });
  queue.stroke(brush, [1, 1], true);
  queue.stroke(brush, [1, 0.5], false);
  queue.stroke(brush, [0, 0.5], true);
  while (queue.pending) {
    link.state.answered = link.ticket;
    queue.flush();
  }
  assert.deepEqual(link.sent, [
    ["stroke", { ...brush, begin: true }, [0, 0]], ["stroke", { ...brush, begin: false }, [0.25, 0, 0.5, 0]], ["undo", {}], ["undo", {}],
    ["set", { index: 2 }], ["stroke", { ...brush, begin: true }, [1, 1, 1, 0.5]], ["stroke", { ...brush, begin: true }, [0, 0.5]]]);
});

test("an outline closes at the border of the picture", () => {
  const path = salOutline({ data: [1, 0, 0, 0], shape: [2, 2] });
  assert.equal((path.match(/M/g) ?? []).length, 1);
  const numbers = path.match(/-?[\d.]+/g).map(Number);
  assert.deepEqual(numbers.slice(0, 2), numbers.slice(-2));
  assert.equal(Math.min(...numbers), 0);
  assert.equal(Math.max(...numbers), 1);
  assert.equal(salOutline({ data: [0, 0, 0, 0], shape: [2, 2] }), "");
  assert.match(salLevel({ data: [0, 1, 0, 1], shape: [2, 2] }, 0.25), /^M0\.75 \d/);
});

test("a scale ends where one pixel in a hundred lies above; with one for all at the largest", () => {
  const values = Float32Array.from({ length: 200 }, (_, i) => (i % 2 ? -1 : 1) * (i / 199));
  assert.ok(Math.abs(salTop(values, 0.01) - 197 / 199) < 1e-6);
  assert.equal(Array.from(values).filter((value) => Math.abs(value) > salTop(values, 0.05)).length, 10);
  assert.equal(salOwnEnd(values), salTop(values, 0.01));
  assert.equal(salOwnEnd([0, 0, 0]), 1);
  const tiles = { a: { reach: 2 }, b: { reach: 8 }, c: { reach: null } }, ends = { a: 0.5, b: 0.25 };
  assert.equal(salEnd(tiles, ends, "a", false), 0.5);
  assert.equal(salEnd(tiles, ends, "a", true), 1); // the largest end is 0.25 * 8, as much as a's 1 * 2
  assert.equal(salEnd(tiles, ends, "b", true), 0.25);
  assert.equal(salEnd(tiles, ends, "c", true), 1);
});

test("the larger a value, the more its colour covers the picture", () => {
  const colours = new Uint8ClampedArray(1024);
  for (let i = 0; i < 256; i += 1) colours.set(i < 128 ? [200, 0, 0, 255] : [0, 0, 200, 255], 4 * i);
  const out = new Uint8ClampedArray(16);
  salOverlay({ data: [0, 0, 0, 255], shape: [2, 2] }, [0, 0.5, -1, 0], 0.5, colours, -0.5, out);
  assert.deepEqual(Array.from(out.slice(0, 12)), [255, 255, 255, 255, 0, 0, 200, 255, 200, 0, 0, 255]);
  assert.ok(out[12] > 70 && out[12] < 80 && out[12] === out[13]); // ink, lightened
});

test("what a score says beside the controls", () => {
  assert.equal(salAgainst(0.6, { edge: 0.5, random: 0.1 }, "higher"), "better than edge, random");
  assert.equal(salAgainst(0.3, { edge: 0.5, random: 0.1 }, "higher"), "better than random only");
  assert.equal(salAgainst(0.6, { edge: 0.5, random: NaN }, "lower"), "no better than edge");
  assert.equal(salAgainst(0.6, {}, "higher"), "");
});
