import assert from "node:assert/strict";
import { test } from "node:test";
import { Link } from "../../labkit/widgets/static/link.js";

/** A kernel that answers when it is told to. */
function connected() {
  const heard = {}, signal = new AbortController().signal, sent = [];
  const model = { get: () => null, on: (name, run) => { heard[name] = run; }, off: () => {}, send: (content) => sent.push(content) };
  const link = new Link(model, signal);
  sent.length = 0; // the greeting
  let number = -1;
  const update = (state, more = {}) => {
    number += 1;
    const head = new TextEncoder().encode(JSON.stringify({ state, number, append: [], arrays: [], ...more }));
    const block = new Uint8Array(4 + head.length);
    new DataView(block.buffer).setUint32(0, head.length, true);
    block.set(head, 4);
    heard["msg:custom"]({ kind: "update" }, [new DataView(block.buffer)]);
  };
  update({ place: 0 }, { whole: true });
  const asked = () => sent.splice(0).map(({ action, ticket, kind, ...details }) => [action, details]);
  return { link, update, asked };
}

test("while one is on its way the newest waits, and goes when that is answered", () => {
  const { link, update, asked } = connected();
  for (const to of [1, 2, 3]) link.newest("move", { to });
  assert.deepEqual(asked(), [["move", { to: 1 }]]);
  update({ place: 1, answered: 1 });
  assert.deepEqual(asked(), [["move", { to: 3 }]]);
  update({ place: 3, answered: 2 });
  assert.deepEqual(asked(), []);
  link.newest("move", { to: 4 });
  assert.deepEqual(asked(), [["move", { to: 4 }]]);
});

test("what is about another thing takes nobody's place", () => {
  const { link, update, asked } = connected();
  for (const [entry, value] of [[0, 1], [0, 2], [1, 5], [1, 6]]) link.newest("edit", { entry, value }, entry);
  assert.deepEqual(asked(), [["edit", { entry: 0, value: 1 }], ["edit", { entry: 0, value: 2 }], ["edit", { entry: 1, value: 5 }]]);
  update({ answered: 3 });
  assert.deepEqual(asked(), [["edit", { entry: 1, value: 6 }]]);
});

test("what waits goes before what is asked later", () => {
  const { link, asked } = connected();
  link.newest("move", { to: 1 });
  link.newest("move", { to: 2 });
  link.do("reset");
  assert.deepEqual(asked(), [["move", { to: 1 }], ["move", { to: 2 }], ["reset", {}]]);
});

test("what is wanted is the state with all wishes that have no answer", () => {
  const { link, update } = connected();
  update({ size: 3, stride: 1 });
  link.do("set", { size: 5 });
  link.newest("set", { stride: 2 }, "stride");
  link.newest("set", { stride: 4 }, "stride");
  link.do("look", { size: 9 });
  assert.deepEqual([link.wanted("set").size, link.wanted("set").stride, link.state.size], [5, 4, 3]);
  assert.deepEqual(link.wished("look"), [{ size: 9 }]);
  update({ size: 4, answered: 1 }); // not what was asked for
  assert.deepEqual([link.wanted("set").size, link.wanted("set").stride], [4, 4]);
  update({ answered: 4 });
  assert.deepEqual([link.wanted("set").stride, link.wishes], [1, []]);
});

test("a control awaits the answer to what was chosen in it, and not to what was asked for later", () => {
  const { link, update } = connected(), slider = new EventTarget(), box = new EventTarget();
  link.chose(box); // nothing was asked for
  link.newest("set", { a: 1 }, "a");
  link.newest("set", { a: 2 }, "a");
  link.chose(slider);
  link.do("other");
  assert.deepEqual([link.awaits(slider), link.awaits(box)], [true, false]);
  update({ answered: 1 });
  assert.equal(link.awaits(slider), true);
  update({ answered: 2 });
  assert.equal(link.awaits(slider), false);
  assert.equal(link.wishes.length, 1);
  link.lose();
});

test("an answer to another page's message, with a lower ticket, takes nothing back; all that there is answers all", () => {
  const { link, update, asked } = connected();
  for (let i = 0; i < 3; i += 1) link.do("step");
  update({ answered: 3 });
  update({ answered: 1 });
  link.newest("move", { to: 1 });
  assert.equal(asked().length, 4);
  link.newest("move", { to: 2 });
  update({ place: 7 }, { whole: true });
  assert.deepEqual(asked(), [["move", { to: 2 }]]);
});

test("without a kernel nothing is wished for", () => {
  const { link, asked } = connected();
  link.do("step");
  link.lose();
  link.do("step");
  link.newest("move", { to: 1 });
  assert.deepEqual([asked().length, link.wishes], [1, []]);
});
