import assert from "node:assert/strict";
import test from "node:test";
import { FEATURE_ROWS, biasBox, curveTime, netCurve, netHit, netLayout, netNeighbour, onCurve } from "../../labkit/widgets/static/netlayout.js";

const WIDTHS = [300, 320, 360, 420, 519, 520, 588, 700, 900, 1100];
const nets = function* () {
  for (const width of WIDTHS) {
    for (let layers = 0; layers <= 8; layers += 1) {
      for (const units of [1, 2, 4, 7, 11, 16]) {
        for (const outputs of [1, 6]) yield { width, inputs: [0, 1], widths: Array(layers).fill(units), outputs };
      }
    }
  }
};
const box = ({ x, y, size }) => [x - size / 2, y - size / 2, x + size / 2, y + size / 2];
const apart = (a, b) => a[2] <= b[0] || b[2] <= a[0] || a[3] <= b[1] || b[3] <= a[1];

test("all units and biases stay inside and apart, for every depth, width and size", () => {
  for (const net of nets()) {
    const layout = netLayout(net), name = JSON.stringify(net);
    const nodes = layout.columns.flatMap((column) => column.nodes), boxes = nodes.map(box);
    const biases = layout.units.slice(layout.first[1]).map(biasBox).map(({ x, y, size }) => [x, y, x + size, y + size]);
    for (const [left, top, right, bottom] of [...boxes, ...biases]) {
      assert.ok(left >= 0 && top >= 0 && right <= net.width - 14 && bottom <= layout.height, name);
    }
    for (const [k, column] of layout.columns.entries()) {
      assert.ok(column.size >= 18, name);
      const gap = layout.columns[k + 1] && layout.columns[k + 1].x - layout.columns[k + 1].size / 2 - column.x - column.size / 2;
      assert.ok(gap === undefined || gap >= 8, `${name}: ${gap} px for the links`);
      for (let i = 1; i < column.nodes.length; i += 1) assert.ok(apart(box(column.nodes[i - 1]), box(column.nodes[i])), name);
    }
    for (const [i, bias] of biases.entries()) {
      const { column } = layout.units[layout.first[1] + i];
      for (const node of [...layout.columns[column].nodes, ...layout.columns[column - 1].nodes]) assert.ok(apart(bias, box(node)), name);
    }
  }
});

test("wide, each unit has a row of at least 27 px; under a feature there is room for its name where it is narrow", () => {
  for (const net of nets()) {
    const { wide, columns } = netLayout(net);
    for (const column of columns) if (wide) assert.ok(column.pitch >= 27, JSON.stringify(net));
    if (!wide) assert.ok(columns[0].pitch - columns[0].size >= 13, JSON.stringify(net));
  }
});

test("the default network is generous", () => {
  const layout = netLayout({ width: 588, inputs: [0, 1], widths: [4, 2], outputs: 1 });
  assert.ok(layout.wide && !layout.slim);
  assert.ok(layout.columns.every(({ size }) => size === 40));
  assert.equal(layout.height, 396);
});

test("units are numbered along the features that are on, then by layers", () => {
  const layout = netLayout({ width: 700, inputs: [1, 4], widths: [3], outputs: 2 });
  assert.deepEqual(layout.first, [0, 2, 5, 7]);
  assert.equal(layout.columns[0].nodes.length, FEATURE_ROWS);
  assert.deepEqual(layout.columns[0].nodes.map(({ unit }) => unit), [null, 0, null, null, 1, null, null]);
  assert.deepEqual(layout.units.map(({ column, row }) => [column, row]), [[0, 1], [0, 4], [1, 0], [1, 1], [1, 2], [2, 0], [2, 1]]);
});

test("a curve begins and ends level; half way it is in the middle; its handles are half way", () => {
  const curve = { x0: 10, y0: 0, x1: 110, y1: 80 };
  assert.deepEqual(onCurve(curve, 0), [10, 0]);
  assert.deepEqual(onCurve(curve, 1), [110, 80]);
  assert.deepEqual(onCurve(curve, 0.5), [60, 40]);
  // t = 1/4, by hand: handles at (60, 0) and (60, 80); x = 10 + 100 (1.5/4·3/4 + 1/64), y = 80 (3/16 - 2/64)
  assert.deepEqual(onCurve(curve, 0.25), [39.6875, 12.5]);
  assert.ok(Math.abs(curveTime(0.296875) - 0.25) < 1e-5);
});

test("a unit's links end spread over its left edge, in the order of their inputs", () => {
  const layout = netLayout({ width: 700, inputs: [0, 1, 2], widths: [2], outputs: 1 });
  const [a, b, c] = [0, 1, 2].map((from) => netCurve(layout, 1, 0, from)), node = layout.columns[1].nodes[0];
  assert.equal(b.y1, node.y);
  assert.ok(Math.abs(a.y1 - (node.y - 0.2 * node.size)) < 1e-9 && Math.abs(c.y1 - (node.y + 0.2 * node.size)) < 1e-9);
  assert.equal(a.x1, node.x - node.size / 2);
  assert.equal(a.x0, layout.units[0].x + layout.units[0].size / 2);
});

test("a point on or next to a curve hits that link, and nothing far from all", () => {
  const layout = netLayout({ width: 588, inputs: [0, 1], widths: [4, 2], outputs: 1 });
  for (const [column, row, from] of [[1, 0, 0], [1, 3, 0], [2, 0, 3], [2, 1, 1], [3, 0, 1]]) {
    for (const t of [0.2, 0.33, 0.8]) {
      const [x, y] = onCurve(netCurve(layout, column, row, from), t), hit = netHit(layout, x, y + 0.4);
      assert.deepEqual([hit.kind, hit.column, hit.row, hit.from], ["link", column, row, from], `${column} ${row} ${from} ${t}`);
      assert.ok(Math.abs(hit.t - t) < 1e-4);
    }
  }
  assert.equal(netHit(layout, layout.columns[2].x + 80, 8), null);
});

test("of two links the nearer one is hit, by its distance across the curve", () => {
  const layout = netLayout({ width: 588, inputs: [0], widths: [2], outputs: 1 });
  const upper = netCurve(layout, 1, 0, 0), lower = netCurve(layout, 1, 1, 0), t = 0.3;
  const [x, above] = onCurve(upper, t), below = onCurve(lower, t)[1];
  assert.ok(below - above > 6);
  assert.equal(netHit(layout, x, above + 0.4 * (below - above), 60).row, 0);
  // The lower curve is the steeper one: a little above the middle between both is still nearer to it.
  assert.equal(netHit(layout, x, above + 0.48 * (below - above), 60).row, 1);
});

test("a point in a unit hits it, below at its left its bias, in a feature that is off nothing", () => {
  const layout = netLayout({ width: 588, inputs: [0, 1], widths: [4, 2], outputs: 1 }), node = layout.units[3];
  assert.deepEqual(netHit(layout, node.x, node.y), { kind: "unit", unit: 3 });
  assert.deepEqual(netHit(layout, node.x + 19, node.y - 19), { kind: "unit", unit: 3 });
  const bias = biasBox(node);
  assert.deepEqual(netHit(layout, bias.x + 1, bias.y + 1), { kind: "bias", unit: 3 });
  const off = layout.columns[0].nodes[5];
  assert.equal(netHit(layout, off.x, off.y), null);
});

test("small units are hit in their whole cell", () => {
  const layout = netLayout({ width: 320, inputs: [0, 1], widths: Array(8).fill(16), outputs: 1 });
  const node = layout.columns[3].nodes[7], { pitch, size } = layout.columns[3];
  assert.equal(size, 18);
  assert.deepEqual(netHit(layout, node.x, node.y + pitch / 2 - 1), { kind: "unit", unit: node.unit });
  assert.deepEqual(netHit(layout, node.x + 11, node.y), { kind: "unit", unit: node.unit });
});

test("arrow keys go up and down in a layer, left and right to the nearest unit, and stay at the edges", () => {
  const layout = netLayout({ width: 588, inputs: [0, 1], widths: [4, 2], outputs: 1 });
  assert.equal(netNeighbour(layout, 2, "ArrowDown"), 3);
  assert.equal(netNeighbour(layout, 5, "ArrowDown"), 5);
  assert.equal(netNeighbour(layout, 2, "ArrowUp"), 2);
  assert.equal(netNeighbour(layout, 2, "ArrowRight"), 6);
  assert.equal(netNeighbour(layout, 5, "ArrowRight"), 7);
  assert.equal(netNeighbour(layout, 8, "ArrowRight"), 8);
  assert.equal(netNeighbour(layout, 3, "ArrowLeft"), 1);
  assert.equal(netNeighbour(layout, 0, "ArrowLeft"), 0);
});
