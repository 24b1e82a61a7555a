import assert from "node:assert/strict";
import test from "node:test";
import { Column, fromHalf, unpack } from "../../labkit/widgets/static/frames.js";

/** What labkit/widgets/wire.py makes, written by hand here: header | padding | arrays. */
function packed(header, parts) {
  const head = new TextEncoder().encode(JSON.stringify(header));
  const pad = (n) => (8 - (n % 8)) % 8;
  const size = 4 + head.length + pad(4 + head.length) + parts.reduce((sum, p) => sum + p.byteLength + pad(p.byteLength), 0);
  const out = new Uint8Array(size);
  new DataView(out.buffer).setUint32(0, head.length, true);
  out.set(head, 4);
  let at = 4 + head.length + pad(4 + head.length);
  for (const part of parts) {
    out.set(new Uint8Array(part.buffer, part.byteOffset, part.byteLength), at);
    at += part.byteLength + pad(part.byteLength);
  }
  return out;
}

test("arrays come back with type and shape", () => {
  const block = packed({ state: { a: 1 }, arrays: [["w", "f4", [2, 3]], ["n", "u1", [5]], ["e", "f8", [0]], ["s", "i4", []]] },
    [Float32Array.of(1, 2, 3, 4, 5, 6), Uint8Array.of(9, 8, 7, 6, 5), new Float64Array(0), Int32Array.of(-3)]);
  const { header, arrays } = unpack(block);
  assert.deepEqual(header, { state: { a: 1 } });
  assert.deepEqual([...arrays.w.data], [1, 2, 3, 4, 5, 6]);
  assert.deepEqual(arrays.w.shape, [2, 3]);
  assert.ok(arrays.n.data instanceof Uint8Array);
  assert.equal(arrays.e.data.length, 0);
  assert.deepEqual([...arrays.s.data], [-3]);
});

test("a block at an odd place in its buffer, as the websocket gives it, is read all the same", () => {
  const block = packed({ arrays: [["x", "f8", [2]]] }, [Float64Array.of(0.5, -2)]);
  for (let shift = 0; shift < 9; shift += 1) {
    const larger = new Uint8Array(block.length + 16);
    larger.set(block, shift);
    const { arrays } = unpack(new DataView(larger.buffer, shift, block.length));
    assert.deepEqual([...arrays.x.data], [0.5, -2]);
  }
});

test("half precision", () => {
  const bits = Uint16Array.of(0x3c00, 0xc000, 0x0001, 0x0400, 0x7bff, 0x7c00, 0xfc00, 0x3555, 0x8000);
  assert.deepEqual([...fromHalf(bits)], [1, -2, 2 ** -24, 2 ** -14, 65504, Infinity, -Infinity, Math.fround(0.333251953125), -0]);
  assert.ok(Number.isNaN(fromHalf(Uint16Array.of(0x7e00))[0]));
});

test("a column grows", () => {
  const column = new Column();
  for (let i = 0; i < 100; i += 1) column.append(Float32Array.from({ length: 37 }, (_, k) => 37 * i + k));
  assert.equal(column.length, 3700);
  assert.ok(column.data.slice(0, 3700).every((v, i) => v === i));
});
