// The view of many models that train at once: a row of colours for each, and how they depend on a setting.
import { Chart } from "./chart.js";
import { MemberHeat, HEAT_COLOURS } from "./ensembleheat.js";
import { SettingCurve } from "./ensemblecurve.js";
import { columnText, heatRange, memberCurve, memberText, rowGroups, rowOrder } from "./ensemblerows.js";
import { atOrBefore } from "./curves.js";
import { h, icon, keyboard, put, say, view } from "./lab.js";
import { number, whole } from "./numbers.js";
import { legend } from "./pictures.js";
import { stopMenu } from "./controls.js";
import { timeline } from "./timeline.js";

const RACE_STATUS = /** @type {Record<string, string>} */ ({
  ready: "Ready", playing: "Playing", paused: "Paused", finished: "Finished", failed: "Stopped by an error",
});
const NO_COLUMN = { data: new Float64Array(0), length: 0 };

export default view("ensemble", (stage) => {
  const { link, root, signal } = stage;
  let cursor = /** @type {import("./ensembleheat.js").Cell | null} */ (null);
  let lit = /** @type {number | null} */ (null); // the value of the setting that is pointed at
  let chosen = /** @type {number | null} */ (null), frames = 0, updates = -1;

  const run = () => link.state.runs[0];
  const now = () => link.state.live[run().id];
  const column = (/** @type {string} */ name) => link.columns[`${run().id}.${name}`] ?? NO_COLUMN;
  const array = (/** @type {string} */ name) => link.arrays[name]?.data ?? [];
  const metricWord = () => link.state.metric_words[link.state.metric];

  // ---- controls on top
  const title = h("h3", { class: "lk-title" });
  const status = h("span", { class: "lk-status" }), pace = h("span", { class: "lk-pace" });
  const metric = h("select", { class: "lk-select", "aria-label": "Colour", "data-needs-kernel": true });
  metric.addEventListener("change", () => link.do("metric", { name: metric.value }), { signal });
  const stop = stopMenu(stage);
  const clock = timeline(stage, { openFork: () => {} });
  clock.fork.hidden = true;

  // ---- the picture
  const order = () => rowOrder(link.state.members, link.state.axis);
  const choose = (/** @type {number} */ member) => {
    chosen = member;
    link.do("open", { member });
    stage.draw();
  };
  const heat = new MemberHeat({ signal, read: (cell) => { cursor = cell; stage.draw(); }, choose: (row) => choose(order()[row]) });
  const curve = new SettingCurve({
    signal,
    read: (value) => { lit = value; stage.draw(); },
    choose: (value) => choose(bestOf(value)),
  });
  const bestOf = (/** @type {number} */ value) => {
    const { members, axis, metric: name } = link.state, values = array("now");
    const sign = name.endsWith("accuracy") ? -1 : 1;
    const rank = (/** @type {number} */ i) => (Number.isFinite(values[i]) ? sign * values[i] : Infinity);
    const sharing = members.map((/** @type {any} */ _, /** @type {number} */ i) => i).filter((/** @type {number} */ i) => members[i][axis] === value);
    return sharing.reduce((/** @type {number} */ a, /** @type {number} */ b) => (rank(b) < rank(a) ? b : a));
  };
  const rowsTitle = h("b", {}), key = legend();
  const fallenText = h("span", {}), fallenKey = h("span", { class: "lk-fallen-key" }, h("i", {}), fallenText);
  const tip = h("div", { class: "lk-tip", hidden: true });
  const empty = h("div", { class: "lk-empty" }, h("div", {}, h("p", {}, "Press Play to train them all."),
    h("p", { class: "lk-note" }, "Space plays and pauses, the arrow keys step, ? lists the keys.")));
  const picture = h("div", { class: "lk-picture" },
    h("div", { class: "lk-rows-head" }, rowsTitle, h("div", { class: "lk-rows-key" }, fallenKey, key.element)), heat.stage, empty, tip);

  // ---- beside it
  const curveTitle = h("b", {}), curveNote = h("p", { class: "lk-note" });
  const memberTitle = h("h4", {}), told = h("p", { class: "lk-note" });
  const chart = new Chart({ title: "", axis: true, className: "lk-chart-member", read: () => {}, choose: () => {}, signal });
  const again = h("button", { class: "lk-button", "data-action": "open", "data-needs-kernel": true, onclick: () => { if (chosen !== null) choose(chosen); } },
    icon("fork"), h("span", {}));
  const hint = h("p", { class: "lk-note" }, "Click a row (or press Enter on it) to open that model as a run of its own.");
  const member = h("div", { class: "lk-member" }, memberTitle, hint, chart.element, told, again);
  const side = h("div", { class: "lk-aside-panel" }, h("div", { class: "lk-setting" }, curveTitle, curve.stage, curveNote), member);

  const failure = h("div", { class: "lk-failure", role: "alert", hidden: true });
  const why = h("p", {});
  const undo = h("button", { class: "lk-button", "data-action": "last-good", "data-needs-kernel": true,
    onclick: () => link.do("rewind", { step: run().last_good }) }, icon("rewind"), "Rewind to the last good step");
  failure.append(why, undo);

  const keys = keyboard(root, {
    " ": ["Play or pause", () => { if (!link.gone) clock.toggle(); }],
    ArrowLeft: ["One step back; on the rows: earlier", () => link.do("back")],
    ArrowRight: ["One step on; on the rows: later", () => link.do("step")],
    ArrowUp: ["On the rows: the next row up", () => heat.stage.focus()],
    ArrowDown: ["On the rows: the next row down", () => heat.stage.focus()],
    Enter: ["On a row: open this model", () => {}],
    Home: ["First step", () => link.do("seek", { step: 0 })],
    End: ["Newest step (live)", () => link.do("seek", { step: null })],
    r: ["Rewind here", () => link.do("rewind")],
    Escape: ["Close what is open", () => { stop.close(); chosen = null; stage.draw(); }],
  });
  const help = h("button", { class: "lk-button lk-round", title: "Keys (?)", "aria-label": "Keys", onclick: () => { keys.hidden = !keys.hidden; } }, "?");

  root.append(h("div", { class: "lk-card" },
    h("header", { class: "lk-head" }, title, h("div", { class: "lk-sub" }, status, pace)),
    h("div", { class: "lk-controls" }, h("label", { class: "lk-field" }, h("span", {}, "Colour"), metric), stop.element, help),
    keys, failure, h("div", { class: "lk-body" }, picture, side), clock.element));
  const shownState = /** @type {any} */ ({ frames: 0, shown: 0, status: "ready", draw_ms: 0 });
  /** @type {any} */ (root).labkit = shownState;

  // ---- drawing
  const drawHead = () => {
    const { status: state } = run(), at = now();
    say(title, link.state.finding);
    const word = link.state.busy ?? (at.following || state === "playing" ? RACE_STATUS[state] : "Looking back");
    say(status, link.gone ? "No kernel" : link.waiting ? "Waiting" : word);
    root.dataset.status = status.dataset.status = link.gone ? "gone" : link.state.busy ? "busy" : state;
    const rate = at.rate ? `${number(at.rate)} steps/s · ${number(at.rate * link.state.members.length)} models' steps/s` : "";
    say(pace, link.gone ? "" : rate || (state === "finished" ? run().reason : ""));
    const options = link.state.metrics.map((/** @type {string} */ name) => link.state.metric_words[name]);
    if (metric.dataset.options !== options.join()) {
      metric.dataset.options = options.join();
      metric.replaceChildren(...link.state.metrics.map((/** @type {string} */ name, /** @type {number} */ i) => h("option", { value: name }, options[i])));
    }
    put(link, metric, link.state.metric);
  };

  /** Where the columns begin, and the end of the last: a loss stands for the steps before it, a score for those after. */
  const edgesOf = (/** @type {any} */ ends, /** @type {boolean} */ means, /** @type {number} */ last) => {
    const steps = Array.from(ends.data.subarray(0, ends.length));
    return means ? [0, ...steps] : [...steps, Math.max(last, (steps[steps.length - 1] ?? 0) + 1e-6)];
  };

  const drawHeat = () => {
    const { members, axis, words, best } = link.state, at = now(), theme = stage.theme();
    const rows = order(), groups = rowGroups(rows, members, axis), ends = column("cell_step"), cells = column("cells");
    const means = link.state.metric === "loss", log = !link.state.metric.endsWith("accuracy");
    const range = heatRange(cells.data, cells.length, members.length, log);
    const high = Math.max(170, Math.min(440, 26 * rows.length)) + 38;
    if (heat.stage.style.height !== `${high}px`) heat.stage.style.height = `${high}px`;
    if (cursor && cursor.row >= rows.length) cursor = null;
    const pointed = lit === null ? null : groups.find(({ value }) => value === lit) ?? null;
    heat.cursor = cursor;
    heat.draw({ order: rows, groups, cells: cells.data, ends: ends.data, edges: edgesOf(ends, means, at.step), columns: ends.length, range, log, last: at.step,
      shown: at.following ? null : at.position, fallen: array("diverged_at"), best, chosen, lit: pointed, name: words[axis] }, theme);
    const by = words[axis];
    say(rowsTitle, `${capitalised(metricWord())}, a row for each ${by}`);
    const fallen = array("diverged_at").filter((/** @type {number} */ step) => step > 0).length;
    fallenKey.hidden = !fallen;
    say(fallenText, `diverged (${fallen})`);
    key.element.hidden = !range;
    if (range) key.draw({ low: 0, high: 1, colours: HEAT_COLOURS }, number(range.low), `${range.above ? "≥ " : ""}${number(range.high)}${log ? ", log scale" : ""}`);
    empty.hidden = at.step > 0;
    heat.stage.setAttribute("aria-label", `${metricWord()} of ${members.length} models over the training steps, sorted by ${by}. ${link.model.get("text") ?? ""} Arrow keys read, Enter opens a model.`);
  };

  const drawTip = () => {
    const { members, axes, words } = link.state, ends = column("cell_step"), cells = column("cells");
    const which = cursor ? order()[cursor.row] : null;
    tip.hidden = which === null;
    if (which === null || !cursor) return;
    const rows = /** @type {[string, string][]} */ ([]);
    const fallen = array("diverged_at")[which], means = link.state.metric === "loss";
    if (cursor.column >= 0 && cursor.column < ends.length) {
      const value = cells.data[cursor.column * members.length + which];
      rows.push([columnText(ends.data, cursor.column, means), Number.isNaN(value) ? "diverged" : number(value)]);
    }
    if (fallen) rows.push(["diverged at step", whole(fallen)]);
    tip.replaceChildren(h("b", {}, capitalised(memberText(members[which], axes, words))),
      ...rows.map(([word, value]) => h("div", { class: "lk-tip-row lk-tip-two" }, h("span", {}, word), h("b", {}, value))));
    const x = ends.length && cursor.column >= 0 ? heat.x(ends.data[cursor.column]) : heat.left;
    const y = heat.stage.offsetTop + 4 + (cursor.row + 1) * heat.high + 8;
    tip.style.left = `${Math.max(0, Math.min(picture.clientWidth - tip.offsetWidth, x + 12))}px`;
    tip.style.top = `${y + tip.offsetHeight > picture.clientHeight ? y - tip.offsetHeight - heat.high - 16 : y}px`;
    if (document.activeElement === heat.stage) stage.announce(tip.innerText.replaceAll("\n", " "));
  };

  const drawCurve = () => {
    const { axis, words, members } = link.state, log = !link.state.metric.endsWith("accuracy");
    const setting = array("curve.setting"), several = setting.length < members.length;
    const pointed = cursor ? members[order()[cursor.row]][axis] : lit;
    const fallen = array("diverged_at").some((/** @type {number} */ step) => step > 0);
    curve.draw({ setting, median: array("curve.median"), low: array("curve.low"), high: array("curve.high"), diverged: fallen ? array("curve.diverged") : [],
      log, largest: !log, name: words[axis], several, lit: pointed }, stage.theme());
    const others = link.state.axes.filter((/** @type {string} */ name) => name !== axis).map((/** @type {string} */ name) => words[name]).join(" and ");
    say(curveTitle, `${capitalised(metricWord())} by ${words[axis]}${now().position ? ` after ${whole(now().position)} steps` : ""}`);
    const measured = link.state.metric === "loss" ? `Mean of the last ${whole(link.state.over)} steps, an epoch.` : "As last evaluated.";
    say(curveNote, `${measured}${several ? ` Line: median over ${others}; bars: least to greatest.` : ""}`);
    const i = setting.indexOf(pointed), values = ["median", "low", "high"].map((name) => array(`curve.${name}`)[i]);
    const read = i < 0 ? "" : ` ${memberText({ [axis]: setting[i] }, [axis], words)}: ${Number.isFinite(values[0]) ? number(values[0]) : "diverged"}`
      + `${several && Number.isFinite(values[1]) ? `, ${number(values[1])} to ${number(values[2])}` : ""}.`;
    if (read) say(curveNote, capitalised(read.trim()));
    curve.stage.setAttribute("aria-label", `${curveTitle.textContent}. ${curveNote.textContent} Arrow keys read, Enter opens the best of a setting.`);
    if (document.activeElement === curve.stage && lit !== null) stage.announce(curveNote.textContent);
  };

  const drawMember = () => {
    const { members, axes, words, best, opened } = link.state, at = now();
    const known = chosen !== null && at.step > 0;
    hint.hidden = known;
    for (const part of [chart.element, told, again]) part.hidden = !known;
    say(memberTitle, chosen === null ? "One of them" : `Model ${chosen + 1} of ${members.length}: ${memberText(members[chosen], axes, words)}`);
    if (chosen === null || !known) return;
    const ends = column("cell_step"), cells = column("cells"), theme = stage.theme(), log = !link.state.metric.endsWith("accuracy");
    const line = (/** @type {number} */ which) => memberCurve(cells.data, ends.length, members.length, which);
    const mine = { x: ends.data, y: line(chosen), count: ends.length, colour: theme.accent, width: 2, label: "this" };
    const other = best == null || best === chosen ? [] : [{ x: ends.data, y: line(best), count: ends.length, colour: theme.grey, width: 1.5, label: "best" }];
    say(chart.title, capitalised(metricWord()) + (log ? ", log scale" : ""));
    chart.draw({ curves: [...other, mine], domain: [0, Math.max(1, at.step)], log, limits: null, shown: at.following ? null : at.position, marks: [], right: 40 }, theme);
    const k = atOrBefore(ends.data, ends.length, at.position);
    chart.stage.setAttribute("aria-label", `${metricWord()} of this model, ${k >= 0 ? number(mine.y[k]) : "not measured yet"} at step ${at.position}`);
    const here = opened?.member === chosen, fallen = array("diverged_at")[chosen];
    told.replaceChildren(...(here ? [`Opened as a run of its own at step ${whole(opened.step)}${fallen ? ", before the step that made it diverge" : ""}. In the next cell: `,
      h("code", {}, "labkit.widgets.TrainingView(view.opened)")] : ["Being opened…"]));
    say(again.lastChild, `Open again at step ${whole(at.step)}`);
    again.hidden = !here || Boolean(fallen) || opened.step === at.step;
  };

  return () => {
    if (!link.state.runs) return;
    const began = performance.now(), state = run(), at = now();
    drawHead();
    drawHeat();
    drawTip();
    drawCurve();
    drawMember();
    stop.draw(state);
    failure.hidden = state.status !== "failed";
    say(why, state.reason ?? "");
    undo.hidden = state.last_good == null;
    clock.draw({ status: link.gone ? "paused" : state.status, position: at.position, last: at.step, epoch: (step) => step / state.steps_per_epoch,
      following: at.following, speed: state.speed, busy: Boolean(link.state.busy) });
    if (link.updates !== updates) frames += 1;
    updates = link.updates;
    Object.assign(shownState, { frames, shown: at.position, status: state.status, step: at.step, following: at.following, metric: link.state.metric,
      rows: link.state.members.length, columns: column("cell_step").length, best: link.state.best, chosen, opened: link.state.opened,
      diverged: array("diverged_at").filter((/** @type {number} */ step) => step > 0).length, updates, draw_ms: performance.now() - began });
  };
});

/** @param {string} words */
function capitalised(words) {
  return words[0].toUpperCase() + words.slice(1);
}
