import assert from "node:assert/strict";
import test from "node:test";
import { contourLevels, contourLines, labelPlace, levelScale, onScale, readGrid, refineGrid } from "../../labkit/widgets/static/contours.js";

/** @param {(x: number, y: number) => number} f @param {number} n */
const grid = (f, n = 41) => {
  const at = (k) => -2 + (4 * k) / (n - 1);
  return { data: Float64Array.from({ length: n * n }, (_, k) => f(at(k % n), at(Math.floor(k / n)))), rows: n, columns: n };
};

test("levels are round, between the ends, and of a readable number", () => {
  for (const [low, high, log] of [[0.0012, 3.4, true], [0.2, 0.7, true], [1, 1e9, true], [-3, 4, false], [0.69, 0.71, false]]) {
    const levels = contourLevels(low, high, log);
    assert.ok(levels.length >= 5 && levels.length <= 14, `${low} ${high}: ${levels}`);
    assert.ok(levels.every((level, i) => level > low && level < high && (i === 0 || level > levels[i - 1])));
    assert.ok(levels.every((level) => Math.abs(level).toString().replace(/e.*/, "").replace(/[.0]/g, "").length <= 3), `${levels}`);
  }
  assert.deepEqual(contourLevels(0.002, 2, true), [0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1]);
  assert.deepEqual(contourLevels(1, 1, false), []);
});

test("the scale leaves out what is not finite, and is a log one only where it can be", () => {
  assert.deepEqual(levelScale([NaN, 1, 5, Infinity]).log, true);
  assert.deepEqual([levelScale([NaN, 1, 5, Infinity]).low, levelScale([NaN, 1, 5, Infinity]).high], [1, 5]);
  assert.equal(levelScale([0, 5]).log, false);
  assert.equal(levelScale([2, 5]).log, false);
  assert.deepEqual(levelScale([NaN]), { low: 0, high: 0, log: false, levels: [] });
  assert.deepEqual([...onScale([100, Infinity, NaN], true)], [2, NaN, NaN]);
});

test("a circle's contour is one closed line of its radius", () => {
  const lines = contourLines(grid((x, y) => x * x + y * y), 1);
  assert.equal(lines.length, 1);
  const [line] = lines;
  assert.deepEqual(line.slice(0, 2), line.slice(-2));
  for (let i = 0; i < line.length; i += 2) {
    const [x, y] = [line[i] / 10 - 2, line[i + 1] / 10 - 2];
    assert.ok(Math.abs(Math.hypot(x, y) - 1) < 0.003);
  }
});

test("a plane's contour is one straight open line; a level outside gives none; NaN squares are left out", () => {
  const plane = grid((x, y) => x + 0 * y, 5);
  assert.deepEqual(contourLines(plane, 0.5).length, 1);
  assert.ok(contourLines(plane, 0.5)[0].every((value, i) => i % 2 || value === 2.5));
  assert.deepEqual(contourLines(plane, 9), []);
  const holed = { ...plane, data: plane.data.slice() };
  holed.data[12] = NaN;
  assert.equal(contourLines(holed, 0.5).length, 2);
});

test("a saddle's lines do not cross", () => {
  const lines = contourLines(grid((x, y) => x * y), 0.05);
  assert.equal(lines.length, 2);
  for (const line of lines) for (let i = 0; i < line.length; i += 2) assert.equal(line[i] > 20, line[0] > 20);
});

test("refining keeps the points and follows a parabola between them", () => {
  const coarse = grid((x, y) => x * x + y, 9), fine = refineGrid(coarse, 4);
  assert.equal(fine.columns, 33);
  for (let i = 0; i < 9; i += 1) for (let j = 0; j < 9; j += 1) {
    assert.ok(Math.abs(fine.data[4 * i * 33 + 4 * j] - coarse.data[i * 9 + j]) < 1e-12);
  }
  const x = -2 + (4 * 14) / 32, y = -2 + (4 * 13) / 32;
  assert.ok(Math.abs(fine.data[13 * 33 + 14] - (x * x + y)) < 1e-9);
});

test("refining takes the nearest point's value beside a NaN and spreads no NaN further", () => {
  const coarse = grid((x) => x, 6);
  coarse.data[0] = NaN;
  const fine = refineGrid(coarse, 2);
  assert.ok(Number.isNaN(fine.data[0]));
  assert.equal(fine.data.filter(Number.isNaN).length, 1);
});

test("reading is bilinear, exact at the points, NaN outside", () => {
  const g = { data: [0, 1, 2, 7], rows: 2, columns: 2 };
  assert.equal(readGrid(g, 0, 1), 2);
  assert.equal(readGrid(g, 0.5, 0.5), 2.5);
  assert.ok(Number.isNaN(readGrid(g, 1.1, 0)));
  assert.equal(readGrid({ data: [1, NaN, 2, 3], rows: 2, columns: 2 }, 0, 0), 1);
});

test("labels stand on long lines only, apart from each other and upright", () => {
  const line = Array.from({ length: 101 }, (_, i) => [300 - 2 * i, 150]).flat();
  const place = labelPlace(line, 30, 400, []);
  assert.ok(place && place.y === 150 && Math.abs(place.angle) < 0.01);
  assert.equal(labelPlace(line.slice(0, 60), 30, 400, []), null);
  assert.notEqual(labelPlace(line, 30, 400, [[place.x, place.y]])?.x, place.x);
});
