import assert from "node:assert/strict";
import test from "node:test";
import { byteValue, classPalette, mapIndex, nearestPoint, paintClasses, paintMap, paletteFor, refine, toPixel, toPlane } from "../../labkit/widgets/static/surface.js";

/** Red, green, blue, alpha of a colour as it lies in a picture's buffer. */
const bytes = (colour) => [...new Uint8Array(Uint32Array.of(colour).buffer)];

test("bytes run from orange over the middle to blue", () => {
  const light = paletteFor({ dark: false, discrete: false });
  assert.deepEqual(bytes(light[0]), [245, 147, 34, 255]);
  assert.deepEqual(bytes(light[255]), [8, 119, 189, 255]);
  // byte 128 is 1 / 255 above the middle (232, 234, 235): 232 - 224 / 255, 234 - 115 / 255, 235 - 46 / 255
  assert.deepEqual(bytes(light[128]), [231, 234, 235, 255]);
  // byte 51 is at -0.6: 0.6 of orange and 0.4 of the middle
  assert.deepEqual(bytes(light[51]), [240, 182, 114, 255]);
  assert.deepEqual(bytes(paletteFor({ dark: true, discrete: false })[127]), [57, 58, 61, 255]);
});

test("discretised there are two colours, and zero (byte 128) counts as above", () => {
  const two = paletteFor({ dark: false, discrete: true });
  assert.deepEqual(bytes(two[0]), [245, 147, 34, 255]);
  assert.deepEqual(bytes(two[127]), [245, 147, 34, 255]);
  assert.deepEqual(bytes(two[128]), [8, 119, 189, 255]);
  assert.equal(new Set(two).size, 2);
});

test("a class goes from the background to three quarters of its colour", () => {
  const first = classPalette(0, { dark: false, discrete: false });
  assert.deepEqual(bytes(first[0]), [232, 234, 235, 255]);
  // (232, 234, 235) + 0.75 * ((230, 159, 0) - (232, 234, 235)) = (230.5, 177.75, 58.75); a half is rounded to even
  assert.deepEqual(bytes(first[255]), [230, 178, 59, 255]);
  const cut = classPalette(0, { dark: false, discrete: true });
  assert.equal(cut[127], first[0]);
  assert.equal(cut[128], first[255]);
});

test("a map is painted from its offset, and no more than asked", () => {
  const palette = Uint32Array.from({ length: 256 }, (_, i) => 1000 + i), out = new Uint32Array(3);
  paintMap(Uint8Array.of(9, 9, 0, 128, 255), 2, palette, out, 2);
  assert.deepEqual([...out], [1000, 1128, 0]);
});

test("the winning class is painted by its confidence, discretised at full colour", () => {
  const palettes = [0, 1].map((k) => Uint32Array.from({ length: 256 }, (_, i) => 1000 * k + i)), out = new Uint32Array(2);
  paintClasses(Uint8Array.of(1, 0), Uint8Array.of(200, 10), palettes, false, out);
  assert.deepEqual([...out], [1200, 10]);
  paintClasses(Uint8Array.of(1, 0), Uint8Array.of(200, 10), palettes, true, out);
  assert.deepEqual([...out], [1255, 255]);
});

test("a byte as a value", () => {
  assert.equal(byteValue(0, 2), -2);
  assert.equal(byteValue(255, 2), 2);
  assert.ok(Math.abs(byteValue(153, 5) - 1) < 1e-12);
});

test("the plane's corners and middle as pixels and back", () => {
  assert.deepEqual(toPixel(-6, 6, 300), [0, 0]);
  assert.deepEqual(toPixel(6, -6, 300), [300, 300]);
  assert.deepEqual(toPixel(3, 3, 300), [225, 75]);
  assert.deepEqual(toPlane(225, 75, 300), [3, 3]);
  assert.deepEqual(toPlane(150, 150, 300), [0, 0]);
  assert.deepEqual(toPlane(-20, 400, 300), [-6, -6]);
  assert.deepEqual(toPlane(101, 0, 300), [-1.96, 6]);
});

test("coarse maps are doubled, and fine ones taken as they are", () => {
  const coarse = { data: Uint8Array.from({ length: 2 * 2500 }, (_, i) => (i < 2500 ? i % 50 : 200)), shape: [2, 50, 50] };
  const fine = new Uint8Array(10000).fill(7);
  const full = refine(coarse, fine, [1]);
  assert.deepEqual(full.shape, [2, 100, 100]);
  assert.deepEqual([...full.data.slice(0, 6)], [0, 0, 1, 1, 2, 2]);
  assert.deepEqual([...full.data.slice(100, 106)], [0, 0, 1, 1, 2, 2]); // the second row is the first again
  assert.deepEqual([...full.data.slice(9998, 10000)], [49, 49]);
  assert.ok(full.data.subarray(10000).every((byte) => byte === 7));
  assert.equal(refine(full, fine, [1]), full); // a second view of the same maps
  const later = refine(full, new Uint8Array(10000).fill(9), [0]);
  assert.equal(later.data[5002], 9);
  assert.equal(later.data[15000], 7);
  assert.equal(full.data[5002], 1); // and the former ones are left alone
});

test("a place's index in a map: the upper left is first, the rows go down", () => {
  assert.equal(mapIndex(-6, 6), 0);
  assert.equal(mapIndex(6, 6), 99);
  assert.equal(mapIndex(-6, -6), 9900);
  assert.equal(mapIndex(9, -9), 9999);
  // squares are 0.12 wide: -5.87 is in the second column, y = 5.89 still in the first row, 5.87 in the second
  assert.equal(mapIndex(-5.87, 5.89), 1);
  assert.equal(mapIndex(-5.89, 5.87), 100);
});

test("the nearest point within reach", () => {
  const points = Float32Array.of(0, 0, 1, 1, 1, -1, 1.2, 1, 1);
  assert.equal(nearestPoint(points, 1.15, 1, 0.3), 2);
  assert.equal(nearestPoint(points, 0.9, 1, 0.3), 1);
  assert.equal(nearestPoint(points, -1, 0, 0.3), -1);
  assert.equal(nearestPoint(new Float32Array(0), 0, 0, 9), -1);
});
