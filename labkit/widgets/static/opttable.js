// The optimisers as a table: the line that is theirs, learning rate, loss at the step shown, and when each arrives.
import { h, put, say } from "./lab.js";
import { number, short, whole } from "./numbers.js";
import { LOOKS } from "./optpaths.js";

/** @typedef {import("./lab.js").Stage} Stage */

/** A piece of an optimiser's line with its marker. @param {number} style */
function swatch(style) {
  const { dashed, marker } = LOOKS[style], svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "-14 -6 28 12");
  svg.setAttribute("class", "opt-swatch");
  svg.setAttribute("aria-hidden", "true");
  const shapes = /** @type {[string, string, string][]} */ ([["M-14 0H14", "", "stroke"], [marker, "scale(4.5)", "fill"]]);
  for (const [d, transform, kind] of shapes) {
    const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
    path.setAttribute("d", d);
    path.setAttribute("class", `opt-${kind}`);
    if (transform) path.setAttribute("transform", transform);
    if (kind === "stroke" && dashed) path.setAttribute("stroke-dasharray", "5 3");
    svg.append(path);
  }
  return svg;
}

/** @param {Stage} stage */
export function optTable({ link, theme }) {
  const at = h("th", { scope: "col" }), body = h("tbody", {}), note = h("p", { class: "lk-note" });
  const arrives = h("th", { scope: "col", title: "The step from which on all but a thousandth of the way down is done" }, "Arrives at");
  const element = h("section", { class: "opt-table", "aria-label": "Optimisers" },
    h("table", {}, h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Optimiser"), h("th", { scope: "col" }, "Rate"), at, arrives)), body));
  let rows = /** @type {any[]} */ ([]), built = "";

  const build = (/** @type {any[]} */ optimizers) => {
    rows = optimizers.map(({ name, label, style }) => {
      const box = h("input", { type: "checkbox", "data-needs-kernel": true, "data-optimizer": name, onchange: () => link.do("show", { name, on: box.checked }) });
      const head = h("th", { scope: "row" }, h("label", { class: "lk-check" }, box, swatch(style), h("span", {}, label)));
      const cells = [h("td", {}), h("td", {}), h("td", {})];
      return { box, cells, style, element: h("tr", {}, head, ...cells) };
    });
    body.replaceChildren(...rows.map((row) => row.element));
  };

  return {
    element,
    note,
    /** @param {number} step the step shown */
    draw(step) {
      const { optimizers, steps, tuned, tried } = link.state, losses = link.arrays.losses.data, key = optimizers.map((/** @type {any} */ one) => one.name).join();
      if (key !== built) build(optimizers);
      built = key;
      say(at, `Loss at ${whole(step)}`);
      optimizers.forEach((/** @type {any} */ one, /** @type {number} */ i) => {
        const { box, cells, style, element: row } = rows[i], loss = losses[i * (steps + 1) + step];
        put(link, box, one.shown);
        row.dataset.shown = one.shown ? "yes" : "no";
        row.style.setProperty("--opt-colour", theme().dark ? LOOKS[style].dark : LOOKS[style].light);
        say(cells[0], short(one.lr));
        say(cells[1], Number.isFinite(loss) ? number(loss) : "–");
        const gone = one.diverged_at !== null;
        say(cells[2], gone ? `✕ ${whole(one.diverged_at)}` : one.reached === null ? "not yet" : whole(one.reached));
        cells[2].title = gone ? `Diverges at step ${one.diverged_at}` : "";
        row.dataset.came = gone ? "gone" : one.reached !== null && step >= one.reached ? "yes" : "no";
      });
      say(note, tuned ? `Each has the best of ${tried[2]} rates from ${short(tried[0])} to ${short(tried[1])}, tried from this start.`
        : "Arrives: the step from which on all but a thousandth of the way down is done. ✕: diverges at that step.");
    },
  };
}
