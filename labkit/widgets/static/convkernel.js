// The kernel one edits: type into an entry, drag it up and down, or use the arrow keys.
import { shade } from "./convmap.js";
import { reach } from "./colours.js";
import { brief } from "./convsum.js";
import { h } from "./lab.js";
import { short } from "./numbers.js";

/** @typedef {import("./lab.js").Stage} Stage */

const PIXELS = 6; // of a drag that make one step

/**
 * @param {Stage} stage
 * @param {() => number} channel whose entries are shown
 * @param {() => boolean} all whether the others are edited with it
 */
export function kernelTable(stage, channel, all) {
  const { link, signal } = stage;
  const table = h("div", { class: "conv-kernel", role: "group", "aria-label": "Entries of the kernel" });
  let fields = /** @type {HTMLInputElement[]} */ ([]), size = 0;

  const set = (/** @type {number} */ index, /** @type {number} */ value) => {
    const only = all() ? null : channel();
    link.newest("edit", { row: Math.floor(index / size), column: index % size, value: Number(value.toPrecision(6)), channel: only }, `${index} ${only}`);
  };
  const take = (/** @type {number} */ index) => {
    const typed = Number(fields[index].value.replace("−", "-"));
    if (fields[index].value.trim() !== "" && Number.isFinite(typed)) set(index, typed);
  };
  const now = (/** @type {number} */ index) => {
    const wish = link.wished("edit").filter((one) => one.row * size + one.column === index && (one.channel ?? channel()) === channel()).at(-1);
    return wish ? wish.value : link.arrays.weight.data[channel() * size * size + index];
  };
  const nudge = (/** @type {number} */ index, /** @type {number} */ steps) => {
    const value = Math.round((now(index) + steps * link.state.step) * 1e4) / 1e4;
    fields[index].value = short(value);
    set(index, value);
  };

  const entry = (/** @type {number} */ index) => {
    const name = `Row ${Math.floor(index / size) + 1}, column ${index % size + 1}`;
    const field = h("input", { type: "text", inputmode: "decimal", class: "conv-entry", "aria-label": name, title: `${name}: type, drag up or down, or use ↑ and ↓`, "data-needs-kernel": true });
    field.addEventListener("change", () => take(index), { signal });
    field.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
      if (event.key === "Enter") take(index); // the notebook takes Enter for itself, so that no change event comes
      const steps = ({ ArrowUp: 1, ArrowDown: -1 })[event.key];
      if (!steps) return;
      nudge(index, event.shiftKey ? 10 * steps : steps);
      event.preventDefault();
      event.stopPropagation();
    }, { signal });
    field.addEventListener("focus", () => { field.value = short(now(index)); }, { signal });
    let from = /** @type {{y: number, value: number} | null} */ (null);
    field.addEventListener("pointerdown", (/** @type {PointerEvent} */ event) => {
      if (field.disabled || document.activeElement === field) return; // it is being typed into
      from = { y: event.clientY, value: now(index) };
      field.setPointerCapture(event.pointerId);
    }, { signal });
    field.addEventListener("pointermove", (/** @type {PointerEvent} */ event) => {
      if (!from) return;
      const steps = Math.round((from.y - event.clientY) / PIXELS);
      if (!steps && field.dataset.dragged !== "yes") return;
      field.dataset.dragged = "yes";
      set(index, from.value + steps * link.state.step);
      event.preventDefault();
    }, { signal });
    for (const name_ of ["pointerup", "pointercancel"]) {
      field.addEventListener(name_, () => {
        if (field.dataset.dragged === "yes") field.blur();
        from = null;
        delete field.dataset.dragged;
      }, { signal });
    }
    return field;
  };

  return {
    element: table,
    draw() {
      const { weight } = link.arrays, shown = Math.min(link.state.channel, weight.shape[0] - 1);
      if (weight.shape[1] !== size) {
        size = weight.shape[1];
        fields = Array.from({ length: size * size }, (_, index) => entry(index));
        table.replaceChildren(...fields);
        table.style.setProperty("--conv-size", String(size));
      }
      const values = weight.data.subarray(shown * size * size, (shown + 1) * size * size), most = reach(weight.data) || 1;
      const { dark } = stage.theme();
      fields.forEach((field, index) => {
        const typing = document.activeElement === field && field.dataset.dragged !== "yes";
        const [red, green, blue] = shade(values[index], most, dark);
        if (!typing) field.value = size > 3 ? brief(values[index]) : short(values[index]);
        field.style.background = `rgb(${red},${green},${blue})`;
        field.style.color = 0.299 * red + 0.587 * green + 0.114 * blue > 125 ? "#111" : "#fff";
      });
    },
  };
}
