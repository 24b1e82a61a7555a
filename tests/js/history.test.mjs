import assert from "node:assert/strict";
import test from "node:test";
import { Column } from "../../labkit/widgets/static/frames.js";
import { History, lastOf, settingsText } from "../../labkit/widgets/static/history.js";

function columns(values) {
  return Object.fromEntries(Object.entries(values).map(([name, data]) => {
    const column = new Column();
    column.append(data);
    return [name, column];
  }));
}

const RUN = { id: 0, name: "A", settings: {}, status: "paused", forked_at: null, steps_per_epoch: 4 };
const DATA = { "0.step": [1, 2, 3, 4, 5], "0.loss": [5, 4, 3, 2, 1], "0.eval_step": [0, 4], "0.test_loss": [6, 2.5], "0.test_accuracy": [0.1, 0.9],
  "0.lr": [0.1, 0.1, 0.2, 0.2, 0.4] };

function history(weight = 0) {
  const made = new History();
  made.refresh(columns(DATA), 1, weight);
  return made;
}

test("a reading gives the row of the step and the evaluation before it", () => {
  const { step, rows } = history().reading(RUN, 3.2);
  assert.equal(step, 3);
  assert.deepEqual(rows.map(({ word, value }) => [word, value]), [["loss of the batch", 3], ["test loss", 6], ["test accuracy", 0.1]]);
  assert.equal(history().reading(RUN, 5).rows[1].value, 2.5);
  assert.equal(history().reading({ ...RUN, id: 7 }, 3), null);
});

test("the active run is drawn last, in the accent, with the batches' loss faint; others grey", () => {
  const made = new History();
  made.refresh(columns({ ...DATA, ...Object.fromEntries(Object.entries(DATA).map(([k, v]) => [k.replace("0.", "1."), v])) }), 1, 0.9);
  const curves = made.curves("loss", [RUN, { ...RUN, id: 1, name: "B" }], 0, { accent: "blue", grey: "grey", brief: false });
  assert.deepEqual(curves.map((c) => [c.colour, Boolean(c.dashed), Boolean(c.faint)]),
    [["grey", false, false], ["grey", true, false], ["blue", false, true], ["blue", false, false], ["blue", true, false]]);
  assert.match(curves[1].label, /^B test 2\.50$/);
  assert.match(curves[4].label, /^A test 2\.50$/);
});

test("smoothing follows its weight, and none is the loss itself", () => {
  assert.deepEqual([...history(0).smoothed(0).slice(0, 5)], [5, 4, 3, 2, 1]);
  assert.ok(history(0.9).smoothed(0)[4] > 2.5);
});

test("epochs come from the column, the run itself, or the steps", () => {
  assert.equal(history().epoch(RUN, 2), 0.5);
  assert.equal(history().epoch({ ...RUN, now: { step: 2, epoch: 0.48 } }, 2), 0.48);
  const made = new History();
  made.refresh(columns({ ...DATA, "0.epoch": [0.3, 0.6, 0.9, 1, 1.3] }), 1, 0);
  assert.equal(made.epoch(RUN, 4), 1);
});

test("changes of the learning rate are found, also as rows arrive, and near ones merged", () => {
  const made = history();
  assert.deepEqual(made.rateChanges(0, 0), [{ step: 2, rate: 0.2 }, { step: 4, rate: 0.4 }]);
  assert.deepEqual(made.rateChanges(0, 2), [{ step: 4, rate: 0.4 }]);
  made.columns["0.step"].append([6]);
  made.columns["0.lr"].append([0.1]);
  assert.equal(made.rateChanges(0, 0).length, 3);
});

test("small things", () => {
  assert.equal(lastOf([1, 2, NaN], 3), 2);
  assert.ok(Number.isNaN(lastOf([], 0)));
  assert.equal(settingsText({ optimizer: "adam", lr: 0.001, batch_size: 64, seed: 0 }), "adam · rate 0.001 · batch 64 · seed 0");
});
