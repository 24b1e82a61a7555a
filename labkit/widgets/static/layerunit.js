// An opened unit of LayerView: input channels × kernels → sum + bias → activation, a sweep over it, and every value's arithmetic.
import { lyAdded, lyAround, lyLargest, lyPlace, lyProducts, lyReach, lyReached, lySwept, lyTaps, lyWindow } from "./layerarith.js";
import { lyMap, lyPaintNumbers, lyReachOf, lyUnder } from "./layermaps.js";
import { css, diverging, reach } from "./colours.js";
import { h, icon, put, say } from "./lab.js";
import { number, whole } from "./numbers.js";

/** @typedef {import("./lab.js").Stage} Stage */
/** @typedef {import("./frames.js").Field} Field */

const LY_SPEEDS = /** @type {[number, string][]} */ ([[2, "2 places/s"], [8, "8 places/s"], [32, "32 places/s"], [128, "128 places/s"], [512, "512 places/s"]]);
const LY_CELLS = 49; // of a window are written out, the largest kernel whose numbers are

/**
 * @param {Stage} stage
 * @param {{open: (layer: string | null, unit: number | null) => void}} actions
 */
export function layerUnit(stage, { open }) {
  const { link, signal } = stage;
  const calm = matchMedia("(prefers-reduced-motion: reduce)");
  let hover = /** @type {number[] | null} */ (null), from = /** @type {{channel: number, place: number[]} | null} */ (null);
  let at = -1, playing = false, began = 0, beganAt = 0, focused = 0, timer = 0;
  let built = "", rows = /** @type {any[]} */ ([]), later = /** @type {any[]} */ ([]);
  let key = "", place = [0, 0], sum = /** @type {any} */ (null), kept = /** @type {number[] | null} */ (null);

  // ---- the page
  const what = h("p", { class: "ly-what" });
  const off = h("button", { class: "lk-button", "data-needs-kernel": true, "data-action": "off", onclick: () => alter(wanted() === 0 ? 1 : 0) }, "Switch off");
  const slider = h("input", { type: "range", class: "lk-slider", min: 0, max: 3, step: 0.1, "aria-label": "Multiply the unit by", "data-needs-kernel": true });
  const times = h("span", { class: "lk-value" });
  const step = (/** @type {number} */ by, /** @type {string} */ word) => h("button", { class: "lk-button lk-round", title: `${word} unit`, "aria-label": `${word} unit`, "data-needs-kernel": true,
    onclick: () => { const { layer, unit } = link.wished("open").filter((one) => one.unit !== null).at(-1) ?? link.state.unit; open(layer, (unit + by + layers()[layer].units) % layers()[layer].units); } }, by < 0 ? "‹" : "›");
  const bar = h("div", { class: "ly-actions" }, step(-1, "Previous"), step(1, "Next"), off, h("label", { class: "lk-field" }, h("span", {}, "Multiply by"), slider, times));
  const inputs = h("div", { class: "ly-inputs" });
  const out = lyMap("ly-out");
  out.canvas.removeAttribute("aria-hidden");
  const plot = h("div", { class: "ly-plot lk-plot", tabindex: 0, role: "img", "data-map": "out" }, out.element);
  const outName = h("b", {}), outRange = h("span", { class: "lk-soft" }), bias = h("p", { class: "ly-bias" }), afters = h("div", { class: "ly-afters" });
  const total = h("div", { class: "ly-total" }, bias, h("figure", {}, h("figcaption", {}, outName, outRange), plot), afters);
  const play = h("button", { class: "lk-button lk-play", "data-action": "sweep", onclick: () => toggle() }, h("span", { class: "lk-swap" }, icon("play")), h("span", { class: "lk-word" }, "Sweep"));
  const scrub = h("input", { type: "range", class: "lk-scrubber", min: 0, max: 1, step: 1, value: 0, "aria-label": "Place of the window" });
  const speed = h("select", { class: "lk-select", "aria-label": "Speed of the sweep" }, ...LY_SPEEDS.map(([value, word]) => h("option", { value, selected: value === 32 }, word)));
  const where = h("output", { class: "lk-where" }, h("b", {}), h("span", {}));
  const sweep = h("div", { class: "lk-timeline ly-sweep" }, play, scrub, where, speed);
  const sums = h("p", { class: "ly-sums" }), cells = h("div", { class: "ly-cells" }), channelName = h("b", {});
  const text = h("div", { class: "ly-text" }), code = h("pre", { class: "ly-code", "aria-label": "PyTorch", tabindex: 0 });
  const pinned = h("section", { class: "ly-pinned", hidden: true, "aria-label": "The value that is pinned" }, text, code);
  const arithmetic = h("section", { class: "ly-arithmetic", "aria-label": "Arithmetic of one value" }, sums, h("div", { class: "ly-channel" }, channelName, cells), pinned);
  const element = h("div", { class: "ly-unitpage", hidden: true }, what, bar, h("div", { class: "ly-equation" }, inputs, total), sweep, arithmetic);

  const layers = () => /** @type {Record<string, any>} */ (Object.fromEntries(link.state.structure.layers.map((/** @type {any} */ one) => [one.name, one])));
  const factor = () => link.state.altered.find((/** @type {any[]} */ [layer, unit]) => layer === link.state.unit.layer && unit === link.state.unit.unit)?.[2] ?? 1;
  const alter = (/** @type {number} */ value) => {
    const { layer, unit } = link.state.unit;
    link.newest("alter", { layer, unit, factor: value }, `${layer} ${unit}`);
  };
  const wanted = () => link.wished("alter").filter(({ layer, unit }) => layer === link.state.unit.layer && unit === link.state.unit.unit).at(-1)?.factor ?? factor();
  slider.addEventListener("input", () => alter(Number(slider.value)), { signal });
  const size = () => link.arrays["unit.out"].shape;

  // ---- the place that is read
  const pin = (/** @type {number[] | null} */ next) => link.do("pin", next ? { row: next[0], column: next[1] } : { row: null });
  const point = (/** @type {number[] | null} */ next) => {
    hover = next;
    from = null;
    stage.draw();
  };
  plot.addEventListener("pointermove", (/** @type {PointerEvent} */ event) => point(lyUnder(event, out.canvas, size())), { signal });
  plot.addEventListener("pointerdown", (/** @type {PointerEvent} */ event) => point(lyUnder(event, out.canvas, size())), { signal });
  plot.addEventListener("pointerleave", () => point(null), { signal });
  plot.addEventListener("click", (/** @type {PointerEvent} */ event) => { event.stopPropagation(); kept = null; pin(lyUnder(event, out.canvas, size())); }, { signal });
  plot.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
    const move = /** @type {Record<string, number[]>} */ ({ ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] })[event.key];
    if (move) place = kept = [0, 1].map((d) => Math.min(size()[d] - 1, Math.max(0, place[d] + move[d])));
    else if (event.key === "Enter" || event.key === " ") pin(place);
    else return;
    hover = from = null;
    at = -1;
    stage.draw();
    event.preventDefault();
    event.stopPropagation();
  }, { signal });

  // ---- the sweep
  const stop = () => {
    playing = false;
    clearTimeout(timer);
  };
  const run = () => {
    const count = size()[0] * size()[1];
    at = lySwept(beganAt, Number(speed.value), performance.now() - began, count);
    if (at >= count - 1) stop();
    stage.draw();
    if (playing) timer = setTimeout(run, Math.max(16, 1000 / Number(speed.value)));
  };
  const toggle = () => {
    const count = size()[0] * size()[1];
    if (calm.matches) at = at >= count - 1 ? 0 : at + 1; // one place at a press: nothing moves by itself
    else if (playing) stop();
    else {
      playing = true;
      beganAt = at < 0 || at >= count - 1 ? 0 : at;
      began = performance.now();
      run();
    }
    stage.draw();
  };
  speed.addEventListener("change", () => {
    beganAt = Math.max(0, at);
    began = performance.now();
  }, { signal });
  scrub.addEventListener("input", () => {
    stop();
    at = Number(scrub.value);
    stage.draw();
  }, { signal });
  signal.addEventListener("abort", stop);

  // ---- building
  const build = (/** @type {any} */ unit) => {
    const shown = unit.channels;
    rows = shown.map((/** @type {number} */ channel, /** @type {number} */ i) => {
      const input = lyMap("ly-in"), kernel = lyMap("ly-kernel"), product = lyMap("ly-product");
      const source = unit.sources.length === 1 && unit.sources[0] !== "x" ? unit.sources[0] : null, there = source && layers()[source];
      const walks = there && channel < there.units;
      const name = walks ? h("button", { class: "ly-walk", title: `Open ${source} unit ${channel}`, "data-needs-kernel": true, onclick: () => open(source, channel) }, `channel ${channel}`) : h("span", {}, `channel ${channel}`);
      const range = h("span", { class: "lk-soft" });
      const row = h("div", { class: "ly-row", "data-channel": i }, h("span", { class: "ly-channelname" }, name, range), input.element);
      if (unit.summed) row.append(h("span", { class: "ly-sign" }, "×"), kernel.element, h("span", { class: "ly-sign" }, "="), product.element);
      input.element.addEventListener("pointermove", (/** @type {PointerEvent} */ event) => {
        hover = null;
        from = { channel: i, place: lyUnder(event, input.canvas, link.arrays["unit.inputs"].shape.slice(1)) };
        focused = i;
        stage.draw();
      });
      input.element.addEventListener("pointerleave", () => { from = null; stage.draw(); });
      row.addEventListener("pointerenter", () => { focused = i; stage.draw(); });
      return { channel, input, kernel, product, range, element: row };
    });
    const rest = unit.more ? lyMap("ly-product") : null;
    inputs.replaceChildren(...rows.map((row) => row.element), ...(rest ? [h("div", { class: "ly-row ly-restrow" }, h("span", { class: "ly-channelname" }, `${whole(unit.more)} more channels, with smaller products, together`), rest.element)] : []));
    if (rest) rows.push({ rest, element: null });
    later = unit.after.map((/** @type {any} */ one) => {
      const map = lyMap("ly-after"), range = h("span", { class: "lk-soft" });
      const figure = h("figure", {}, h("figcaption", {}, h("button", { class: "ly-walk", "data-needs-kernel": true, onclick: () => open(one.layer, unit.unit) }, `${one.layer.slice(one.layer.lastIndexOf(".") + 1)}`), range), map.element);
      return { map, range, element: figure };
    });
    afters.replaceChildren(...later.flatMap((one) => [h("span", { class: "ly-sign" }, "→"), one.element]));
    scrub.max = String(size()[0] * size()[1] - 1);
  };

  const words = (/** @type {any} */ unit, /** @type {any} */ layer) => {
    const count = unit.channels.length + unit.more;
    if (unit.summed) return `${layer.kind}: ${count === 1 ? "the input channel" : `each of ${whole(count)} input channels`} × its ${layer.kind.startsWith("Conv") ? "kernel" : "weights"}${unit.bias === null || unit.bias === 0 ? "" : ", plus the bias"}${count === 1 ? "" : ", summed"}${unit.more ? `; the ${unit.channels.length} with the largest products are shown one by one` : ""}.`;
    if (unit.channels.length) return `${layer.kind}${layer.options ? ` (${layer.options})` : ""}: made of one channel. Click a place for its arithmetic.`;
    return `${layer.kind}: ${unit.known ? "click a place for its arithmetic." : "its arithmetic is not opened here; this is what it gave."}`;
  };

  const draw = (/** @type {"unit" | "layer" | "network"} */ rule, /** @type {number} */ index) => {
    const { state, arrays } = link, { unit } = state, layer = state.structure.layers[index], { dark } = stage.theme();
    const next = `${unit.layer} ${unit.unit} ${unit.channels} ${unit.more}`;
    if (next !== built) {
      if (key !== `${unit.layer} ${unit.unit}`) {
        stop();
        at = -1;
        focused = 0;
        hover = from = kept = null;
      }
      key = `${unit.layer} ${unit.unit}`;
      built = next;
      build(unit);
    }
    const map = arrays["unit.out"], [height, width] = map.shape, one = height * width === 1;
    say(what, words(unit, layer));
    const value = factor();
    say(off, value === 0 ? "Switch on" : "Switch off");
    off.setAttribute("aria-pressed", String(value === 0));
    if (document.activeElement !== slider) put(link, slider, String(value));
    say(times, `× ${number(value)}`);
    place = hover ?? (at >= 0 ? lyPlace(at, map.shape) : kept ?? state.pinned ?? lyLargest(map));
    place = [Math.min(height - 1, place[0]), Math.min(width - 1, place[1])];
    const most = lyReach(rule, lyReachOf(map, 0), arrays.reach.data[index], arrays.reach.data);
    drawMaps(unit, map, most, dark);
    say(outName, `unit ${unit.unit}`);
    say(outRange, one ? number(map.data[0]) : `±${number(most)}`);
    later.forEach((part, k) => {
      const field = arrays[`unit.after ${k}`], own = lyReachOf(field, 0) || 1;
      part.map.canvas.style.aspectRatio = `${width} / ${height}`;
      lyPaintNumbers(part.map.canvas, field, 0, own, dark);
      part.map.mark(one ? null : { top: place[0], left: place[1], bottom: place[0] + 1, right: place[1] + 1 }, map.shape);
      say(part.range, one ? number(field.data[0]) : `±${number(own)}`);
    });
    say(bias, unit.bias === null ? "" : `Σ${unit.bias === 0 ? "" : ` + bias ${number(unit.bias)}`}${value === 1 ? "" : `, × ${number(value)} by hand`} =`);
    bias.hidden = unit.bias === null;
    drawSweep(map, one);
    drawArithmetic(unit, map, dark, value);
    const explained = state.explained;
    pinned.hidden = !explained;
    if (explained) {
      say(text, explained.text);
      say(code, explained.code);
    }
    plot.setAttribute("aria-label", `Map of ${unit.layer} unit ${unit.unit}. Row ${place[0]}, column ${place[1]}: ${number(map.data[place[0] * width + place[1]])}. Arrow keys move, Enter pins.`);
    if (document.activeElement === plot) stage.announce(`Row ${place[0]}, column ${place[1]}: ${number(map.data[place[0] * width + place[1]])}`);
  };

  const drawMaps = (/** @type {any} */ unit, /** @type {Field} */ map, /** @type {number} */ most, /** @type {boolean} */ dark) => {
    // What an earlier unit left in the page does not count.
    const { arrays } = link, given = arrays["unit.inputs"], kernels = unit.summed ? arrays["unit.kernels"] : null, products = unit.summed ? arrays["unit.products"] : null;
    const [height, width] = map.shape, one = height * width === 1;
    const goes = from && unit.windows ? lyAround(lyReached(unit.windows, from.place, map.shape)) : null;
    const spot = one ? null : { top: place[0], left: place[1], bottom: place[0] + 1, right: place[1] + 1 };
    plot.dataset.one = one ? "yes" : "no";
    out.canvas.style.aspectRatio = `${width} / ${height}`;
    lyPaintNumbers(out.canvas, map, 0, most, dark, at >= 0 ? at + 1 : Infinity);
    out.mark(from ? goes : spot, map.shape);
    if (!unit.channels.length) return;
    const shape = given.shape.slice(1), window_ = unit.windows && shape[0] * shape[1] > 1 && lyWindow(unit.windows, place);
    const widest = kernels ? reach(kernels.data) || 1 : 1, largest = products ? reach(products.data) || 1 : 1, all = reach(given.data) || 1;
    rows.forEach((row, i) => {
      if (row.rest) {
        const rest = arrays["unit.rest"];
        row.rest.canvas.style.aspectRatio = `${width} / ${height}`;
        lyPaintNumbers(row.rest.canvas, rest, 0, Math.max(largest, reach(rest.data)), dark);
        row.rest.mark(from ? goes : spot, map.shape);
        return;
      }
      row.element.dataset.focused = i === focused && rows.length > 1 ? "yes" : "no";
      row.input.canvas.style.aspectRatio = `${shape[1]} / ${shape[0]}`;
      lyPaintNumbers(row.input.canvas, given, i, all, dark);
      const pixel = from?.channel === i ? { top: from.place[0], left: from.place[1], bottom: from.place[0] + 1, right: from.place[1] + 1 } : null;
      row.input.mark(from ? pixel : window_ || (unit.place && { top: unit.place[0], left: unit.place[1], bottom: unit.place[0] + 1, right: unit.place[1] + 1 }), shape);
      say(row.range, `±${number(lyReachOf(given, i))}`);
      if (!kernels) return;
      row.kernel.canvas.style.aspectRatio = `${kernels.shape[2]} / ${kernels.shape[1]}`;
      lyPaintNumbers(row.kernel.canvas, kernels, i, widest, dark);
      row.product.canvas.style.aspectRatio = `${width} / ${height}`;
      lyPaintNumbers(row.product.canvas, products, i, largest, dark, at >= 0 ? at + 1 : Infinity);
      row.product.mark(from ? goes : spot, map.shape);
    });
  };

  const drawSweep = (/** @type {Field} */ map, /** @type {boolean} */ one) => {
    const count = map.shape[0] * map.shape[1];
    sweep.hidden = one || !link.state.unit.windows;
    play.querySelector(".lk-swap").replaceChildren(icon(calm.matches ? "step" : playing ? "pause" : "play"));
    say(play.querySelector(".lk-word"), calm.matches ? "Step" : playing ? "Pause" : "Sweep");
    if (document.activeElement !== scrub) scrub.value = String(at < 0 ? place[0] * map.shape[1] + place[1] : at);
    scrub.style.setProperty("--lk-part", `${(100 * Number(scrub.value)) / Math.max(1, count - 1)}%`);
    say(where.children[0], `row ${place[0]}, column ${place[1]}`);
    say(where.children[1], `place ${whole(place[0] * map.shape[1] + place[1] + 1)} of ${whole(count)}`);
    speed.hidden = calm.matches;
  };

  const drawArithmetic = (/** @type {any} */ unit, /** @type {Field} */ map, /** @type {boolean} */ dark, /** @type {number} */ value) => {
    const { arrays } = link, given = arrays["unit.inputs"], kernels = unit.summed ? arrays["unit.kernels"] : null, products = unit.summed ? arrays["unit.products"] : null;
    const cell = place[0] * map.shape[1] + place[1], result = map.data[cell];
    const channel = Math.min(focused, Math.max(0, unit.channels.length - 1));
    cells.parentElement.hidden = !unit.windows || !unit.channels.length;
    const at_ = map.data.length === 1 ? "" : `Row ${place[0]}, column ${place[1]}: `;
    sum = { place, total: result, channel, channel_sum: null };
    if (kernels && products) {
      const each = unit.channels.map((/** @type {number} */ _, /** @type {number} */ i) => products.data[i * map.shape[0] * map.shape[1] + cell]);
      const rest = unit.more ? arrays["unit.rest"].data[cell] : 0;
      const parts = each.map((/** @type {number} */ part, /** @type {number} */ i) => /** @type {[number, string]} */ ([part, `channel ${unit.channels[i]}`]));
      if (unit.more) parts.push([rest, `${whole(unit.more)} more`]);
      if (unit.bias) parts.push([unit.bias, "bias"]);
      say(sums, `${at_}${lyAdded(parts, number)}${value === 1 ? "" : `, × ${number(value)} by hand`} = ${number(result)}`);
    } else say(sums, `${at_}${number(result)}`);
    if (cells.parentElement.hidden) return;
    const taps = lyTaps(unit.windows, place, given.shape.slice(1));
    if (taps.length > LY_CELLS) {
      const found = kernels && lyProducts(taps, given, kernels, channel);
      sum.channel_sum = found ? found.sum : null;
      cells.replaceChildren(h("p", { class: "lk-note" }, `The window has ${whole(taps.length)} places${found ? `; its products add up to ${number(found.sum)}` : ""}. Click for the largest of them.`));
      cells.style.removeProperty("--ly-side");
    } else {
      cells.style.setProperty("--ly-side", String(unit.windows.kernel[1]));
      const found = kernels ? lyProducts(taps, given, kernels, channel) : null;
      sum.channel_sum = found?.sum ?? null;
      const largest = found ? Math.max(...found.cells.map(({ product }) => Math.abs(product))) || 1 : 1;
      cells.replaceChildren(...taps.map((tap, i) => {
        const x = tap.inside ? given.data[(channel * given.shape[1] + tap.row) * given.shape[2] + tap.column] : 0;
        const made = h("span", { class: "ly-cell", "data-inside": tap.inside ? "yes" : "no" }, h("b", {}, tap.inside ? number(x) : "0"), found ? h("span", {}, `× ${number(found.cells[i].weight)}`) : null);
        if (found) made.style.background = css(diverging((0.6 * found.cells[i].product) / largest, dark));
        return made;
      }));
    }
    say(channelName, `Channel ${unit.channels[channel]}${kernels ? `: window × kernel${sum.channel_sum === null ? "" : ` = ${number(sum.channel_sum)}`}` : ": the window"}`);
  };

  return {
    element, draw,
    get place() { return place; },
    get sum() { return sum; },
    get reached() { return from && link.state.unit?.windows ? lyReached(link.state.unit.windows, from.place, size()).length : null; },
    get sweep() { return { at, playing }; },
    toggle,
    stop,
    focus() { plot.focus({ preventScroll: true }); },
  };
}
