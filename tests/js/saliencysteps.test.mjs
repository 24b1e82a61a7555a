// What SaliencyView's sliders over nets work out.
import assert from "node:assert/strict";
import { test } from "node:test";
import { salAlike, salBars, salStop } from "../../labkit/widgets/static/saliencysteps.js";

test("a stop further on, and no further than the ends", () => {
  const steps = [0, 4, 16, 62];
  assert.equal(salStop(steps, 4, 1), 16);
  assert.equal(salStop(steps, 4, -1), 0);
  assert.equal(salStop(steps, 0, -1), 0);
  assert.equal(salStop(steps, 62, 3), 62);
  assert.equal(salStop(steps, 5, 1), 4);
});

test("bars stand over the stops, and an unknown value has none", () => {
  assert.deepEqual(salBars([0.25, null, 1.5, NaN]), [
    { at: 0, height: 0.25 }, { at: 1 / 3, height: null }, { at: 2 / 3, height: 1 }, { at: 1, height: null }]);
  assert.deepEqual(salBars([0.5]), [{ at: 0, height: 0.5 }]);
});

test("methods stand by how alike their maps are; what cannot be compared is left out", () => {
  const tiles = { edge: { like: { rank: 1, ssim: 1 } }, cam: { like: { rank: null, ssim: null } }, lrp: {}, gradient: { like: { rank: -0.1, ssim: 0.2 } },
    guided: { like: { rank: 0.8, ssim: null } } };
  assert.deepEqual(salAlike(tiles).map(({ method }) => method), ["edge", "guided", "gradient"]);
  assert.deepEqual(salAlike({}), []);
});
