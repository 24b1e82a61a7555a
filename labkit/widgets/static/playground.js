// The neural-network playground: data, network and output side by side, its settings, one or two runs.
import { stopMenu } from "./controls.js";
import { datasets } from "./datasets.js";
import { h, icon, keyboard, say, view } from "./lab.js";
import { losses } from "./losses.js";
import { network } from "./network.js";
import { number, whole } from "./numbers.js";
import { plane } from "./plane.js";
import { changes, differences, settings } from "./settings.js";
import { share } from "./share.js";
import { refine } from "./surface.js";
import { timeline } from "./timeline.js";

const STATES = /** @type {Record<string, string>} */ ({
  ready: "Ready", playing: "Playing", paused: "Paused", finished: "Finished", failed: "Stopped by an error",
});

/** "1 epoch", "120 epochs", "0.4 epochs". @param {number} count */
const epochWords = (count) => `${Number.isInteger(count) ? whole(count) : number(count)} epoch${count === 1 ? "" : "s"}`;

export default view("playground", (stage) => {
  const { link, root, signal } = stage;
  let frames = 0, updates = -1, promoted = /** @type {number | null} */ (null);

  const live = (/** @type {number} */ id) => link.state.live?.[id] ?? { position: 0, following: true, step: 0, epoch: 0, rate: 0 };
  const active = () => link.state.runs?.find((/** @type {any} */ run) => run.id === link.state.active);
  const other = () => link.state.runs.find((/** @type {any} */ run) => run.id !== link.state.active);

  // What the pointer or the focus is on, in the network or the plane, and what both show of it.
  const shared = {
    selected: /** @type {{run: number, unit: number, pinned: boolean} | null} */ (null), discrete: false, showTest: false,
    select(/** @type {number | null} */ unit, /** @type {boolean} */ pinned) {
      shared.selected = unit === null ? null : { run: link.state.active, unit, pinned };
      // The maps of hidden units come coarse while it plays, but that of the one that is looked at.
      const map = unit === null ? -1 : unit - active().settings.features.length, wanted = map < 0 ? null : map;
      if (wanted !== promoted) link.do("promote", { unit: wanted });
      promoted = wanted;
      stage.draw();
    },
  };

  const change = changes(stage);
  const stop = stopMenu(stage, true);
  const controls = settings(stage, change);
  const data = datasets(stage, change);
  const net = network(stage, shared);
  const output = plane(stage, shared);
  const how = losses(stage);
  const taken = share(stage);
  const clock = timeline(stage, { openFork: () => link.do("fork"), epochs: true });

  // ---- the head
  const title = h("h3", { class: "lk-title" });
  const status = h("span", { class: "lk-status" });
  const pace = h("span", { class: "lk-pace" });
  const compare = h("button", { class: "lk-button", "data-action": "compare", "data-needs-kernel": true,
    title: "A second run from the same start: change one thing and watch both (c)", onclick: () => versus() }, "Compare");
  const slow = h("button", { class: "lk-button", "data-action": "micro", "aria-pressed": "false", "data-needs-kernel": true,
    title: "One step in slow motion: forward, loss, backward, update (s)", onclick: () => slowly() }, "Slow motion");
  // As all is answered: a second press takes back the first, however fast it comes.
  const micro = () => link.wishes.reduce((on, { action, details }) => (action === "micro" ? details.on : on && action !== "play"), Boolean(link.state.micro));
  const versus = () => {
    const two = link.wishes.reduce((yes, { action }) => (action === "compare" ? true : yes && action !== "remove"), Boolean(other()));
    if (two) link.do("remove", { run: link.state.runs[1]?.id ?? 1 - link.state.runs[0].id }); // one of them is number 0, the other 1
    else link.do("compare");
  };
  const slowly = () => link.do("micro", { on: !micro() });

  const tick = (/** @type {() => void} */ act) => () => { if (!link.gone) act(); };
  const flip = (/** @type {"discrete" | "showTest"} */ what) => () => {
    shared[what] = !shared[what];
    stage.draw();
  };
  // In slow motion the same keys move through the stages of one step.
  const either = (/** @type {() => void} */ inside, /** @type {() => void} */ else_) => tick(() => (micro() ? inside() : else_()));
  const keys = keyboard(root, {
    " ": ["Play or pause", either(() => net.micro.toggle(), () => clock.toggle())],
    ArrowLeft: ["One epoch back (slow motion: one stage)", either(() => net.micro.back(), () => link.do("back"))],
    ArrowRight: ["One epoch on (slow motion: one stage)", either(() => net.micro.next(), () => link.do("step"))],
    Home: ["The start", tick(() => link.do("seek", { step: 0 }))],
    End: ["The newest step (live)", tick(() => link.do("seek", { step: null }))],
    r: ["Reset: the same start again", tick(() => link.do("reset"))],
    s: ["Slow motion", tick(slowly)],
    c: ["Compare with a second run, or end that", tick(versus)],
    t: ["Show test data", flip("showTest")],
    d: ["Discretise the output", flip("discrete")],
    Escape: ["Close what is open, or leave slow motion", () => {
      if (net.escape()) return;
      if (micro()) link.do("micro", { on: false });
      stop.close();
      taken.close();
      shared.select(null, false);
    }],
  });
  const help = h("button", { class: "lk-button lk-round", title: "Keys (?)", "aria-label": "Keys", onclick: () => { keys.hidden = !keys.hidden; } }, "?");

  // Reading the losses with the keyboard: a focused chart moves its cursor; the view's own arrows step elsewhere.
  how.stage.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
    const way = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10 }[event.key];
    if (!way) return;
    how.read(way);
    event.preventDefault();
    event.stopPropagation();
  }, { signal });

  // ---- two runs
  const chips = h("div", { class: "lk-chips", role: "group", "aria-label": "Runs" });
  const differ = h("p", { class: "pg-differ" });
  const bar = h("div", { class: "pg-compare", hidden: true }, chips, differ);
  let barSays = "";
  const drawBar = () => {
    const { runs, active: id } = link.state;
    bar.hidden = runs.length < 2;
    compare.setAttribute("aria-pressed", String(runs.length > 1));
    if (bar.hidden) return;
    // By what it says: built anew under a pointer that is down, it would lose the click.
    const says = JSON.stringify([id, runs.map((/** @type {any} */ run) => [run.id, run.name, run.settings, run.forked_at])]);
    if (says !== barSays) {
      barSays = says;
      const focused = /** @type {HTMLElement | null} */ (document.activeElement)?.dataset?.run;
      chips.replaceChildren(...runs.map((/** @type {any} */ run) => h("span", { class: "lk-chip", "data-chosen": run.id === id ? "yes" : "no" },
        h("button", { class: "lk-chip-name", "data-run": run.id, "aria-pressed": String(run.id === id), "data-needs-kernel": true,
          title: run.id === id ? "The network and the controls are this run's" : "Show this run's network and give it the controls",
          onclick: () => link.do("activate", { run: run.id }) }, h("i", {}), h("b", {}, run.name), h("span", { class: "lk-chip-step" })),
        h("button", { class: "lk-chip-close", title: `Take run ${run.name} away`, "aria-label": `Take run ${run.name} away`, "data-needs-kernel": true,
          onclick: () => link.do("remove", { run: run.id }) }, icon("close")))));
      if (focused) chips.querySelector(`[data-run="${focused}"]`)?.focus();
      const [a, b] = runs, found = differences(a.settings, b.settings);
      const forked = b.forked_at == null ? "" : ` ${b.name} left ${a.name} after ${epochWords(b.forked_at / b.steps_per_epoch)}.`;
      const list = found.map(({ name, one, other: two }) => `${name} ${one} in ${a.name}, ${two} in ${b.name}`).join("; ");
      say(differ, `${found.length === 0 ? `Both are the same: change a setting of ${runs.find((/** @type {any} */ run) => run.id === id).name}, which the controls act on.`
        : `${found.length === 1 ? "One setting differs" : `${found.length} settings differ`}: ${list}.`}${forked}`);
    }
    for (const chip of chips.querySelectorAll(".lk-chip-name")) {
      const run = runs.find((/** @type {any} */ one) => String(one.id) === chip.dataset.run);
      say(chip.querySelector(".lk-chip-step"), epochWords(live(run.id).step / run.steps_per_epoch));
    }
  };

  // ---- failure
  const why = h("p", {});
  const undo = h("button", { class: "lk-button", "data-action": "last-good", "data-needs-kernel": true,
    onclick: () => link.do("rewind", { step: active().last_good }) }, icon("rewind"), "");
  const failure = h("div", { class: "lk-failure", role: "alert", hidden: true }, why, h("div", { class: "lk-row" }, undo,
    h("button", { class: "lk-button", "data-action": "reset-failed", "data-needs-kernel": true, onclick: () => link.do("reset") }, "Reset")));

  const waits = h("p", { class: "pg-waits" }, "Waiting for the kernel: the network comes with its first message.");
  const body = h("div", { class: "pg-body" }, data.element, h("div", { class: "pg-network" }, net.micro.element, net.element), h("div", { class: "pg-right" }, output.element, how.element));
  const card = h("div", { class: "lk-card", hidden: true },
    h("header", { class: "lk-head" }, h("div", {}, title, h("div", { class: "lk-sub" }, status, pace)),
      h("div", { class: "pg-actions" }, compare, slow, stop.element, ...taken.buttons, help)),
    keys, ...taken.panels, controls.element, failure, bar, body, clock.element);
  root.append(waits, card);
  const shownState = /** @type {any} */ ({ frames: 0, shown: 0, status: "ready", draw_ms: 0 });
  /** @type {any} */ (root).labkit = shownState;

  const drawHead = (/** @type {any} */ run, /** @type {any} */ now) => {
    const epochs = now.position / run.steps_per_epoch, kind = now.test_loss != null ? "Test" : "Training";
    const loss = now.test_loss ?? now.train_loss, accuracy = now.test_loss != null ? now.test_accuracy : now.train_accuracy;
    say(title, run.status === "failed" && now.following ? `The training broke down after ${epochWords(epochs)}`
      : now.step === 0 || loss == null ? "A network that has not learned yet"
      : `${kind} loss ${number(loss)}${accuracy != null ? `, accuracy ${number(accuracy)}` : ""} after ${epochWords(epochs)}`);
    const state = link.state.busy ?? (link.state.micro ? "Slow motion" : now.following || run.status === "playing" ? STATES[run.status] : "Looking back");
    say(status, link.gone ? "No kernel" : link.waiting ? "Waiting" : state);
    root.dataset.status = status.dataset.status = link.gone ? "gone" : link.state.busy ? "busy" : run.status;
    const speed = now.rate ? `${number(now.rate / run.steps_per_epoch)} epochs/s` : run.status === "finished" ? run.reason
      : now.step === 0 && run.status === "ready" ? "Press Play, or the space bar" : "";
    say(pace, link.gone || link.state.micro ? "" : run.status === "playing" && !now.following ? `Looking back at epoch ${number(epochs)} while it trains · ${speed}` : speed);
  };

  return () => {
    const run = active();
    waits.hidden = Boolean(run);
    card.hidden = !run;
    if (!run) return;
    const began = performance.now(), now = live(run.id), { arrays } = link, { id } = run;
    for (const { id: each } of link.state.runs) {
      const { fine } = live(each);
      if (fine) arrays[`maps.${each}`] = refine(arrays[`maps.${each}`], arrays[`fine.${each}`].data, fine);
    }
    const theme = stage.theme();
    if (shared.selected && shared.selected.run !== id) shared.selected = null;
    drawHead(run, now);
    drawBar();
    controls.draw(run, now);
    data.draw(run);
    const scene = { run, live: now, maps: arrays[`maps.${id}`], reach: arrays[`reach.${id}`], featureMaps: arrays.feature_maps, featureReach: arrays.feature_reach,
      parameters: arrays[`parameters.${id}`], values: arrays[`values.${id}`], theme, discrete: shared.discrete };
    body.dataset.runs = link.state.runs.length > 1 ? "2" : "1";
    net.draw(scene);
    output.draw(scene);
    how.draw();
    stop.draw(run);
    taken.draw();
    slow.setAttribute("aria-pressed", String(Boolean(link.state.micro)));
    failure.hidden = run.status !== "failed";
    say(why, run.reason ?? "");
    undo.hidden = run.last_good == null;
    if (run.last_good != null) undo.lastChild.textContent = `Rewind to the last good step (${whole(run.last_good)})`;
    clock.draw({ status: link.gone ? "paused" : run.status, position: now.position, last: now.step, epoch: (step) => step / run.steps_per_epoch, following: now.following,
      speed: run.speed, busy: Boolean(link.state.busy), stepsPerEpoch: run.steps_per_epoch });
    if (link.updates !== updates) frames += 1;
    updates = link.updates;
    Object.assign(shownState, { frames, shown: now.position, status: run.status, step: now.step, epoch: now.position / run.steps_per_epoch, following: now.following,
      runs: link.state.runs.length, active: id, updates, answered: link.state.answered ?? 0, asked: link.ticket, selected: shared.selected,
      draw_ms: performance.now() - began });
  };
});
