// Optimisers side by side on one function of two variables: their paths on a map of the loss, their losses, a film of the steps.
import { Chart } from "./chart.js";
import { h, keyboard, say, view } from "./lab.js";
import { optControls } from "./optcontrols.js";
import { optFilm } from "./optfilm.js";
import { optMap } from "./optmap.js";
import { LOOKS, lossLimits } from "./optpaths.js";
import { optTable } from "./opttable.js";

export default view("optimizers", (stage) => {
  const { link, root, signal } = stage;
  const shown = /** @type {any} */ ({ frames: 0, step: -1, playing: false, updates: -1 });
  const controls = optControls(stage);
  const map = optMap(stage, ({ x, y }) => link.newest("set", { start: [x, y] }, "start"));
  const film = optFilm(stage);
  const list = optTable(stage);
  let cursor = /** @type {number | null} */ (null), charted = /** @type {any[]} */ ([]);
  const chart = new Chart({
    title: "Loss by step", axis: true, className: "opt-chart", signal,
    read: (step) => { cursor = step; stage.draw(); },
    choose: (step) => film.show(step),
  });
  const tick = (/** @type {() => void} */ act) => () => { if (!link.gone) act(); };
  const keys = keyboard(root, {
    " ": ["Play or pause", film.toggle],
    ArrowLeft: ["One step back; on the map: move the crosshair", () => film.show(film.shown - 1)],
    ArrowRight: ["One step on; on the map: move the crosshair", () => film.show(film.shown + 1)],
    Home: ["The start", () => film.show(0)],
    End: ["The last step", () => film.show(Infinity)],
    Enter: ["On the map: start at the crosshair", () => {}],
    b: ["Best rates", tick(() => link.do("best"))],
    u: ["Usual rates", tick(() => link.do("usual"))],
  });
  const help = h("button", { class: "lk-button lk-round", title: "Keys (?)", "aria-label": "Keys", onclick: () => { keys.hidden = !keys.hidden; } }, "?");
  const title = h("h3", { class: "lk-title" }), formula = h("b", { class: "opt-formula" }), about = h("span", {});
  root.append(h("div", { class: "lk-card" },
    h("header", {}, title, h("p", { class: "lk-sub" }, formula, about)),
    h("div", { class: "lk-controls" }, ...controls.elements, help), keys,
    h("div", { class: "opt-body" }, h("div", { class: "opt-left" }, map.element, list.note), h("div", { class: "opt-right" }, chart.element, list.element)), film.element));
  /** @type {any} */ (root).labkit = shown;

  const curvesOf = (/** @type {import("./lab.js").Theme} */ theme) => {
    const { optimizers, steps, floor } = link.state, losses = link.arrays.losses.data, x = Array.from({ length: steps + 1 }, (_, k) => k);
    return optimizers.flatMap((/** @type {any} */ row, /** @type {number} */ i) => {
      const look = LOOKS[row.style], y = Array.from(losses.subarray(i * (steps + 1), (i + 1) * (steps + 1)), (loss) => loss - floor);
      return row.shown ? [{ x, y, count: steps + 1, colour: theme.dark ? look.dark : look.light, width: 1.5, dashed: look.dashed, label: row.label }] : [];
    });
  };

  const drawChart = () => {
    const { first, floor, steps } = link.state, theme = stage.theme(), key = [link.arrays.losses, link.state.optimizers, theme, film.shown];
    const curves = curvesOf(theme);
    if (key.some((part, i) => part !== charted[i])) {
      const limits = lossLimits(first - floor, curves.flatMap((/** @type {any} */ curve) => curve.y));
      chart.draw({ curves, domain: [0, steps], log: true, limits, shown: film.shown < steps ? film.shown : null, marks: [], right: 76 }, theme);
      charted = key;
    }
    const at = cursor ?? (film.shown < steps ? film.shown : null);
    chart.point(at === null ? null : { step: at, points: curves.map((/** @type {any} */ curve) => [curve.y[at], curve.colour]) });
    chart.stage.setAttribute("aria-label", "Loss of each optimiser by step, on a log scale. The table has the values. A click shows that step.");
  };

  return () => {
    const { finding, formula: written, about: sentence, steps } = link.state;
    say(title, finding);
    say(formula, written);
    say(about, sentence);
    controls.draw();
    film.draw(steps);
    map.draw(film.shown);
    list.draw(cursor ?? film.shown);
    drawChart();
    shown.frames += 1;
    Object.assign(shown, { step: film.shown, steps, playing: film.playing, updates: link.updates, function: link.state.function, start: link.state.start });
  };
});
