// The arithmetic of one output pixel: window × kernel = products, and their sum; or where one input pixel goes.
import { markColour, shade } from "./convmap.js";
import { h, say } from "./lab.js";
import { number } from "./numbers.js";

/** @typedef {import("./lab.js").Stage} Stage */
/** @typedef {import("./convwindow.js").Sum} Sum */

const NAMES = ["red", "green", "blue"];

/** A number for a small cell: two decimals where there is room for no more. @param {number} value */
export function brief(value) {
  if (!Number.isFinite(value)) return number(value);
  const size = Math.abs(value), sign = value < 0 && size >= 0.005 ? "−" : "";
  if (Number.isInteger(value) && size < 100) return sign + size;
  return sign + (size >= 99.95 ? size.toFixed(0) : size >= 9.995 ? size.toFixed(1) : size.toFixed(2));
}

/** @param {Stage} stage */
export function sumCard(stage) {
  const rows = h("div", { class: "conv-rows" }), title = h("h4", {}), total = h("p", { class: "conv-total" }), code = h("code", { class: "conv-code" });
  const element = h("section", { class: "conv-sum", "aria-label": "Arithmetic of one pixel" }, title, rows, total, code);
  let built = "", grids = /** @type {HTMLElement[][][]} */ ([]);

  /** @param {string} key @param {number} size @param {string[][]} labels one list of grids a row, with signs between them */
  const build = (key, size, labels) => {
    if (key === built) return;
    built = key;
    grids = labels.map((row) => row.map(() => Array.from({ length: size * size }, () => h("span", {}))));
    rows.replaceChildren(...labels.map((row, r) => h("div", { class: "conv-product" }, ...row.flatMap((label, g) => [
      g ? h("b", { class: "conv-sign", "aria-hidden": "true" }, g === 1 ? "×" : "=") : null,
      h("figure", {}, h("figcaption", { class: "lk-note" }, label), h("div", { class: "conv-grid", style: `--conv-size: ${size}`, "aria-hidden": "true" }, ...grids[r][g])),
    ]))));
  };
  const fill = (/** @type {HTMLElement} */ cell, /** @type {number | null} */ value, /** @type {number | null} */ most, marked = false) => {
    const { dark } = stage.theme();
    say(cell, value === null ? "·" : brief(value));
    const [red, green, blue] = value === null ? [0, 0, 0] : shade(value, most, dark);
    cell.style.background = value === null ? "transparent" : `rgb(${red},${green},${blue})`;
    cell.style.color = value === null ? "var(--lk-soft)" : 0.299 * red + 0.587 * green + 0.114 * blue > 125 ? "#111" : "#fff";
    cell.style.boxShadow = marked ? `inset 0 0 0 2px ${markColour(dark)}` : "none";
  };

  return {
    element,
    /**
     * @param {{kind: string, size: number}} operation @param {Sum} sum @param {number[]} channels
     * @param {{row: number, column: number, value: number, coloured: boolean, line: string, most: number}} what
     */
    output({ kind, size }, sum, channels, { row, column, value, coloured, line, most }) {
      const pools = kind === "max" || kind === "average";
      const labels = channels.map((c) => {
        const colour = coloured ? ` (${NAMES[c]})` : "";
        return pools ? [`Window${colour}`] : [`Window${colour}`, "Kernel", "Products"];
      });
      build(`${kind} ${size} ${channels.join()} ${coloured}`, size, labels);
      const products = sum.channels.flat().map((one) => Math.abs(one.product ?? 0));
      const largest = Math.max(1e-12, ...products.filter(Number.isFinite));
      sum.channels.forEach((cells, r) => cells.forEach((cell, i) => {
        fill(grids[r][0][i], cell.value, null, kind === "max" && cell.value === sum.total);
        if (pools) return;
        fill(grids[r][1][i], cell.weight, most);
        if (cell.value === null) grids[r][1][i].style.opacity = "0.35";
        else grids[r][1][i].style.opacity = "";
        fill(grids[r][2][i], cell.product, largest);
      }));
      const met = sum.channels.flat().filter((one) => one.value !== null).length;
      const made = kind === "max" ? `the largest of ${met}` : kind === "average" ? `the mean of ${met}` : `the sum of ${met} product${met === 1 ? "" : "s"}`;
      say(title, `Output in row ${row}, column ${column}`);
      total.replaceChildren(h("b", {}, number(value)), ` is ${made}`);
      say(code, line);
    },
    /**
     * Where an input pixel goes: the kernel's entries, laid out as the outputs lie.
     * @param {{size: number}} operation
     * @param {{row: number, column: number, entry: number}[]} outputs
     * @param {{row: number, column: number, value: number, most: number}} what
     * @param {(entry: number) => number} weight
     */
    input(outputs, { row, column, value, most }, weight) {
      const list = [...new Set(outputs.map((one) => one.row))].sort((a, b) => a - b);
      const across = [...new Set(outputs.map((one) => one.column))].sort((a, b) => a - b);
      const side = Math.max(1, list.length, across.length);
      build(`input ${side}`, side, [["Weight with which each output takes it"]]);
      for (const cell of grids[0][0]) fill(cell, null, most);
      for (const one of outputs) fill(grids[0][0][list.indexOf(one.row) * side + across.indexOf(one.column)], weight(one.entry), most);
      const count = new Set(outputs.map((one) => `${one.row} ${one.column}`)).size;
      say(title, `Input in row ${row}, column ${column}`);
      total.replaceChildren(h("b", {}, number(value)), ` goes to ${count} output${count === 1 ? "" : "s"}`);
      say(code, "");
    },
  };
}
