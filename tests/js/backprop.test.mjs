import assert from "node:assert/strict";
import test from "node:test";
import { backpropFilm, backpropSeen, backpropStage } from "../../labkit/widgets/static/backpropfilm.js";
import { backpropBrief, backpropDragged, backpropLayout, backpropWeight } from "../../labkit/widgets/static/backpropgraph.js";
import { backpropPlace, backpropTiles } from "../../labkit/widgets/static/backproptiles.js";

// x, w, w·x, b, z, y, z−y
const node = (kind, column, row) => ({ id: kind, label: kind, kind, column, row, moves: false });
const NODES = [node("input", 0, 0), node("weight", 1, 0), node("product", 2, 0), node("bias", 3, 1), node("sum", 3, 0), node("target", 4, 1), node("difference", 4, 0)];
const LINKS = [[1, 2], [0, 2], [2, 4], [3, 4], [4, 6], [5, 6]];
const BEATS = [["forward", [0]], ["forward", [2]], ["loss", [6]], ["backward", [6, 5]], ["backward", [1]], ["update", [1]]];

test("boxes stand apart at every width, and wide places are used", () => {
  for (const width of [300, 360, 700, 1050]) {
    const { places, box, tall, width: needed, height } = backpropLayout(NODES, LINKS, width);
    for (const [i, a] of places.entries()) {
      assert.ok(a.x >= 0 && a.x + box <= needed && a.y >= 0 && a.y + tall <= height);
      for (const b of places.slice(0, i)) assert.ok(Math.abs(a.x - b.x) >= box || Math.abs(a.y - b.y) >= tall, `${width}`);
    }
    if (width >= 700) assert.ok(needed <= width);
  }
  assert.ok(backpropLayout(NODES, LINKS, 1050).box > backpropLayout(NODES, LINKS, 360).box);
});

test("a weight and its product stand side by side; what it multiplies enters at the weight", () => {
  const { places, links, box } = backpropLayout(NODES, LINKS, 700);
  assert.equal(places[2].x, places[1].x + box);
  assert.equal(backpropWeight(NODES, LINKS, 2), 1);
  assert.equal(backpropWeight(NODES, LINKS, 4), -1);
  assert.ok(links[1].endsWith(`H${places[1].x}`));
  assert.ok(links[3].endsWith(`V${places[4].y + 44}`)); // the bias below its sum
});

test("a drag moves a hundredth a pixel, finer with shift, faster for large numbers", () => {
  assert.equal(backpropDragged(0.5, 10, false), 0.6);
  assert.equal(backpropDragged(0.5, -10, true), 0.49);
  assert.equal(backpropDragged(250, 10, false), 260);
});

test("a box shows three digits, two after many zeros", () => {
  assert.deepEqual([0.125, -0.00529, 12.345, 0.0123, 2e-5, 0].map(backpropBrief), ["0.125", "\u22120.0053", "12.3", "0.0123", "2.0e-5", "0"]);
});

test("what has appeared grows with the beats", () => {
  const at = (k) => {
    const { values, gradients, updated, lit, stage } = backpropSeen(BEATS, k);
    return [[...values], [...gradients], [...updated], [...lit], stage];
  };
  assert.deepEqual(at(0), [[0], [], [], [0], "forward"]);
  assert.deepEqual(at(3), [[0, 2, 6], [6, 5], [], [6, 5], "backward"]);
  assert.deepEqual(at(5), [[0, 2, 6], [6, 5, 1], [1], [1], "update"]);
  assert.deepEqual(backpropStage(BEATS, "backward"), [3, 4]);
  assert.deepEqual(backpropStage(BEATS, "nothing"), [-1, -1]);
});

test("the film plays to its end, and play at the end asks for the next step", (context) => {
  context.mock.timers.enable({ apis: ["setTimeout"] });
  let changed = 0, rested = 0, again = 0;
  const film = backpropFilm({ changed: () => { changed += 1; }, rested: () => { rested += 1; }, again: () => { again += 1; } });
  film.load(BEATS);
  film.toggle();
  assert.equal(film.at, 1);
  assert.equal(film.playing, true);
  for (let k = 0; k < 4; k += 1) context.mock.timers.tick(1200);
  assert.equal(film.at, 5);
  assert.equal(film.playing, false);
  context.mock.timers.tick(5000);
  assert.equal(film.at, 5);
  assert.equal(rested, 1);
  film.toggle();
  assert.equal(again, 1);
  film.put(0); // the kernel has taken the step
  context.mock.timers.tick(1200);
  assert.equal(film.at, 1);
  film.go(99);
  assert.equal(film.at, 5);
  assert.equal(film.playing, false);
  film.stop();
  assert.ok(changed > 6);
});

test("pictures of arrays: each entry has one cell, gaps have none", () => {
  for (const shape of [[], [5], [40], [3, 4], [5, 3, 2], [4, 2, 3, 3]]) {
    const { rows, columns, flat, cell } = backpropTiles(shape), seen = new Set();
    const count = shape.reduce((product, size) => product * size, 1);
    for (let row = 0; row < rows; row += 1) {
      for (let column = 0; column < columns; column += 1) {
        const at = flat(row, column);
        if (at < 0) continue;
        assert.ok(!seen.has(at) && at < count);
        assert.deepEqual(cell(at), [row, column]);
        seen.add(at);
      }
    }
    assert.equal(seen.size, count, String(shape));
  }
  assert.deepEqual([backpropTiles([10]).rows, backpropTiles([10]).columns], [1, 10]);
  assert.deepEqual([backpropTiles([4, 2, 3, 3]).rows, backpropTiles([4, 2, 3, 3]).columns], [15, 7]); // 4 rows of 2 tiles
  assert.equal(backpropTiles([2, 2, 2]).flat(0, 2), -1);
  assert.deepEqual(backpropPlace(11, [2, 3, 4]), [0, 2, 3]);
  assert.deepEqual(backpropPlace(0, []), []);
});
