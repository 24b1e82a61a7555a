// The playground's network: features, layers and outputs as thumbnails of what they compute, joined by their weights.
import { h, icon, keepSharp, onForm, say } from "./lab.js";
import { netHeads } from "./netheads.js";
import { FEATURE_ROWS, biasBox, netCurve, netHit, netLayout, netNeighbour, onCurve } from "./netlayout.js";
import { NetPainter, isDense } from "./netpaint.js";
import { neuronCard, weightField } from "./neuron.js";
import { number } from "./numbers.js";
import { slowMotion } from "./micro.js";
import { wantedSettings } from "./settings.js";
import { ACTIVATION_WORDS, FEATURES, arithmetic, biasAt, changeText, isFrozen, sumLine, unitSymbol, unitTitle, weightAt, whereIs } from "./weights.js";

/** @typedef {import("./lab.js").Stage} Stage */
/** @typedef {import("./netlayout.js").NetHit} NetHit */

const DRAG_START = 3; // px that the pointer moves before a click becomes a drag
const DRAG_STEP = 0.01; // change of a weight for one px
const HINT = "Point at a unit to see its sum, click it to keep it open. Drag a line up or down to change its weight, click it to type one.";
const HINT_TOUCH = "Tap a unit to see its sum, tap a line to change its weight.";

/**
 * @param {Stage} stage
 * @param {{selected: {run: any, unit: number, pinned: boolean} | null, select: (unit: number | null, pinned: boolean) => void}} shared
 */
export function network(stage, shared) {
  const { link, signal } = stage;
  const canvas = h("canvas", { class: "lk-net-canvas", tabindex: 0, role: "application", "aria-roledescription": "network",
    "aria-label": "Network. Arrow keys move among the units, Enter opens a unit's sum and weights, Escape closes it." });
  const features = h("div", { class: "lk-net-features", role: "group", "aria-label": "Features" });
  const place = h("div", { class: "lk-net-stage" }, canvas, features);
  const line = h("p", { class: "lk-net-line" });
  const legend = h("p", { class: "lk-net-legend lk-note" }, h("i", { "data-sign": "positive" }), "weight above 0", h("i", { "data-sign": "negative" }), "below 0",
    h("span", {}, "wider is larger; the small squares are biases"));
  const heads = netHeads(stage), painter = new NetPainter(), micro = slowMotion(stage);
  const card = neuronCard(stage, () => close(true));
  const element = h("div", { class: "lk-net" }, heads.element, place, h("div", { class: "lk-net-foot" }, line, legend), card.element);

  let view = /** @type {any} */ (null), layout = /** @type {import("./netlayout.js").NetLayout | null} */ (null), layoutKey = "";
  let hover = /** @type {NetHit | null} */ (null), pinned = /** @type {number | null} */ (null), ring = /** @type {number | null} */ (null);
  let edited = /** @type {NetHit | null} */ (null); // the link or bias whose field is open
  let notice = "", fresh = /** @type {any[]} */ ([]), drawTime = 0;
  let drag = /** @type {any} */ (null), last = /** @type {number | null} */ (null); // the unit that the keyboard comes back to

  // ---- what a hit stands for
  const parameterOf = (/** @type {any} */ hit) => {
    const { layers } = view.run;
    if (hit.kind === "bias") {
      const { layer, row } = whereIs(layers, hit.unit);
      return {
        parameter: `${layers[layer].name}.bias`, index: [row], offset: biasAt(layers, layer, row), symbol: "b",
        words: `Bias of ${lower(unitTitle(view.run, hit.unit, classes()))}`,
      };
    }
    const unit = /** @type {any} */ (layout).first[hit.column] + hit.row, from = /** @type {any} */ (layout).first[hit.column - 1] + hit.from;
    return {
      parameter: `${layers[hit.column].name}.weight`, index: [hit.row, hit.from], offset: weightAt(layers, hit.column, hit.row, hit.from), symbol: "w",
      words: `Weight from ${hit.column === 1 ? unitSymbol(view.run, from) : `unit ${hit.from + 1}`} to ${lower(unitTitle(view.run, unit, classes()))}`,
    };
  };
  const lower = (/** @type {string} */ text) => text[0].toLowerCase() + text.slice(1);
  const addressOf = (/** @type {any} */ hit) => {
    const { parameter, index } = parameterOf(hit);
    return { parameter, index };
  };
  const classes = () => link.state.options?.classes ?? [];
  const valueOf = (/** @type {any} */ hit) => {
    const { parameter, index, offset } = parameterOf(hit), name = `${parameter} ${index}`;
    if (drag?.moved && same(drag.hit, hit)) return drag.value;
    return link.wished("edit").filter((one) => `${one.parameter} ${one.index}` === name).at(-1)?.value ?? view.parameters.data[offset];
  };
  const same = (/** @type {any} */ a, /** @type {any} */ b) => Boolean(a && b) && ["kind", "unit", "column", "row", "from"].every((part) => a[part] === b[part]);
  const hoverUnit = () => (hover?.kind === "unit" ? hover.unit : null);
  const values = () => (link.state.micro && link.arrays["micro.values"] ? link.arrays["micro.values"].data : view.values?.data ?? null);
  const dropout = () => (link.state.micro ? view.run.settings.dropout : 0);
  const placeText = () => {
    const { micro: step, probe } = link.state;
    const [x, y] = step && link.arrays["micro.inputs"] ? link.arrays["micro.inputs"].data : probe ?? [0, 0];
    return `${step ? `At example ${step.example + 1} of the batch` : "At the point marked in the plane"}, x₁ = ${number(x)}, x₂ = ${number(y)}`;
  };

  // ---- selecting
  const select = () => {
    const unit = hoverUnit() ?? (canvas.matches(":focus") ? ring : null);
    if (unit !== null) shared.select(unit, unit === pinned);
    else shared.select(pinned, pinned !== null);
    stage.draw();
  };
  const point = (/** @type {NetHit | null} */ next) => {
    notice = "";
    if (same(hover, next)) {
      if (next) hover = next;
      stage.draw();
      return;
    }
    const before = hoverUnit();
    hover = next;
    canvas.style.cursor = !next ? "" : next.kind === "unit" ? "pointer" : "ns-resize";
    if (before !== hoverUnit()) select();
    else stage.draw();
  };
  const pin = (/** @type {number | null} */ unit) => {
    pinned = unit;
    last = unit ?? last;
    select();
  };
  const close = (/** @type {boolean} */ back) => {
    if (pinned === null) return false;
    if (back && card.element.contains(document.activeElement)) canvas.focus({ preventScroll: true });
    pin(null);
    return true;
  };
  const speak = (/** @type {number} */ unit) => {
    const sum = view.parameters && values() && arithmetic(view.run, view.parameters.data, values(), unit, dropout());
    const title = unitTitle(view.run, unit, classes());
    stage.announce(sum ? `${title}, ${ACTIVATION_WORDS[sum.activation]}: sum ${number(sum.z)}, output ${number(sum.out)}` : title);
  };

  // ---- features
  const toggle = (/** @type {string} */ name) => {
    const all = link.state.options.features, now = wantedSettings(link, view.run).features;
    const next = all.filter((/** @type {string} */ one) => now.includes(one) !== (one === name));
    if (!next.length) {
      notice = "At least one feature must stay on: the network needs an input.";
      stage.announce(notice);
      stage.draw();
      return;
    }
    link.do("change", { settings: { features: next } });
  };
  const featureButtons = Object.entries(FEATURES).slice(0, FEATURE_ROWS).map(([name, [symbol, words]]) => {
    const unit = () => view?.run.settings.features.indexOf(name) ?? -1;
    const enter = () => point(unit() < 0 ? null : { kind: "unit", unit: unit() });
    return h("button", { class: "lk-net-feature", "aria-label": `Feature ${symbol}: ${words}`, "data-feature": name, "data-needs-kernel": true,
      onclick: () => toggle(name), onpointerenter: enter, onpointerleave: () => point(null), onfocus: enter, onblur: () => point(null) }, h("span", {}, symbol));
  });
  features.append(...featureButtons);

  // ---- the field at a link
  const what = h("b", {}), field = weightField(stage, "its value", () => addressOf(edited), () => edit(null));
  const editor = h("form", { class: "lk-popover lk-net-editor", hidden: true }, h("div", { class: "lk-row" }, what,
    h("button", { class: "lk-button lk-round", title: "Close (Esc)", "aria-label": "Close", onclick: () => edit(null) }, icon("close"))),
    h("div", { class: "lk-row" }, field.field, field.freeze));
  onForm(editor, () => edit(null), () => edit(null), signal);
  place.append(editor);
  const edit = (/** @type {NetHit | null} */ hit) => {
    const held = editor.contains(document.activeElement);
    edited = hit;
    if (hit && layout) last = hit.kind === "link" ? layout.first[hit.column] + hit.row : hit.unit;
    editor.hidden = !hit;
    if (!hit || !layout) {
      if (held) canvas.focus({ preventScroll: true });
      stage.draw();
      return Boolean(held);
    }
    say(what, parameterOf(hit).words);
    const [x, y] = spot(hit);
    editor.style.left = `${Math.max(0, Math.min(layout.width - 236, x - 118))}px`;
    editor.style.top = `${y + 14 + 84 > layout.height ? Math.max(0, y - 98) : y + 14}px`;
    field.draw(view.run, valueOf(hit));
    stage.draw();
    field.field.focus({ preventScroll: true });
    field.field.select();
    return true;
  };
  const spot = (/** @type {any} */ hit) => {
    if (hit.kind === "link") return onCurve(netCurve(/** @type {any} */ (layout), hit.column, hit.row, hit.from), hit.t);
    const box = biasBox(/** @type {any} */ (layout).units[hit.unit]);
    return [box.x, box.y + box.size];
  };

  // ---- the pointer
  const hitAt = (/** @type {PointerEvent} */ event) => {
    if (!layout) return null;
    const box = canvas.getBoundingClientRect();
    return netHit(layout, event.clientX - box.left, event.clientY - box.top, event.pointerType === "touch" ? 12 : 7);
  };
  const on = (/** @type {string} */ name, /** @type {(event: any) => void} */ run) => canvas.addEventListener(name, run, { signal });
  on("pointerdown", (event) => {
    ring = null;
    const hit = hitAt(event);
    point(hit);
    if (edited) edit(null);
    if (!hit || hit.kind === "unit" || !view.parameters || link.gone || event.button !== 0) return;
    drag = { hit, pointer: event.pointerId, from: event.clientY, start: valueOf(hit), value: 0, moved: false };
    if (event.pointerType !== "touch") canvas.setPointerCapture(event.pointerId);
  });
  on("pointermove", (event) => {
    if (!drag) {
      if (event.pointerType !== "touch") point(hitAt(event));
      return;
    }
    if (event.pointerId !== drag.pointer || event.pointerType === "touch") return;
    const way = drag.from - event.clientY;
    if (!drag.moved && Math.abs(way) < DRAG_START) return;
    drag.moved = true;
    drag.value = Math.round(1000 * (drag.start + DRAG_STEP * way)) / 1000;
    const at = addressOf(drag.hit);
    link.newest("edit", { ...at, value: drag.value }, `${at.parameter} ${at.index}`);
    stage.draw();
  });
  on("pointerup", (event) => {
    if (drag && event.pointerId === drag.pointer) {
      const { hit, moved } = drag;
      drag = null;
      if (moved) stage.draw();
      else edit(hit);
      return;
    }
    const hit = hitAt(event);
    if (hit?.kind === "unit") pin(hit.unit === pinned || /** @type {any} */ (layout).units[hit.unit].column === 0 ? null : hit.unit);
  });
  on("pointercancel", () => { drag = null; stage.draw(); });
  on("pointerleave", () => { if (!drag) point(null); });

  // ---- keys
  on("focus", () => {
    if (!canvas.matches(":focus-visible") || !layout) return;
    ring = pinned ?? last ?? layout.first[1];
    speak(ring);
    select();
  });
  on("blur", () => {
    ring = null;
    select();
  });
  on("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || ring === null || !layout) return;
    if (event.key.startsWith("Arrow")) {
      ring = netNeighbour(layout, ring, event.key);
      speak(ring);
      select();
    } else if (event.key === "Enter" || event.key === " ") {
      if (layout.units[ring].column === 0) toggle(view.run.settings.features[ring]);
      else {
        pin(ring);
        requestAnimationFrame(() => requestAnimationFrame(() => card.focus()));
      }
    } else return;
    event.preventDefault();
    event.stopPropagation();
  });
  element.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || !escape()) return;
    event.preventDefault();
    event.stopPropagation();
  }, { signal });
  const escape = () => {
    if (edited) {
      edit(null);
      return true;
    }
    return heads.close() || close(true);
  };

  // ---- drawing
  const texts = (/** @type {any} */ now) => {
    const { run, parameters } = view, { arrays } = link;
    const plain = values(), gradients = arrays["micro.gradients"]?.data, slopes = arrays["micro.parameter_gradients"]?.data, after = arrays["micro.after"]?.data;
    return {
      important: now?.kind === "backward" || now?.kind === "update" ? slopes : parameters?.data,
      weightText: (/** @type {number} */ column, /** @type {number} */ row, /** @type {number} */ from) => {
        const offset = weightAt(run.layers, column, row, from);
        if (now?.kind === "backward") return number(slopes[offset]);
        if (now?.kind === "update") return changeText(parameters.data[offset], after[offset]);
        return number(parameters.data[offset]);
      },
      unitText: (/** @type {number} */ unit) => {
        if (hover?.kind === "bias" && hover.unit === unit) return biasText(hover);
        if (!now || now.kind === "update") return "";
        if (now.kind === "backward") return unit < run.layers[0].width ? "" : number(gradients[unit]);
        return number(plain[plain.length / 2 + unit]);
      },
    };
  };
  const biasText = (/** @type {NetHit} */ hit) => `b = ${number(valueOf(hit))}${frozen(hit)}`;
  const frozen = (/** @type {NetHit} */ hit) => {
    const { parameter, index } = parameterOf(hit);
    return isFrozen(view.run, parameter, index) ? ", frozen" : "";
  };
  const paint = () => {
    const pen = canvas.getContext("2d");
    if (!pen || !layout || !view || !canvas.width) return;
    const now = micro.now(), link_ = hover?.kind === "link" ? hover : edited?.kind === "link" ? edited : null;
    painter.paint(pen, {
      layout, view, width: layout.width, classes: classes(), unit: hoverUnit() ?? ring ?? pinned, pinned, ring,
      link: link_ && !now && view.parameters ? { ...link_, text: `w = ${number(valueOf(link_))}${frozen(link_)}` } : null,
      bias: hover?.kind === "bias" && view.parameters ? hover.unit : null, stage: now, progress: micro.progress(), ...texts(now),
    });
  };
  keepSharp(canvas, () => { paint(); stage.draw(); }, signal);

  const drawLine = () => {
    const unit = hover ? hoverUnit() : ring;
    let text = matchMedia("(hover: none)").matches ? HINT_TOUCH : HINT;
    if (notice) text = notice;
    else if (unit !== null && view.parameters && values()) {
      const sum = arithmetic(view.run, view.parameters.data, values(), unit, dropout()), title = unitTitle(view.run, unit, classes());
      text = sum ? `${title}: ${sumLine(sum, 4)}` : `${title}, ${FEATURES[view.run.settings.features[unit]][1]}: ${number(values()[unit])}. Click to switch it off.`;
    } else if (hover && hover.kind !== "unit" && view.parameters) {
      const { words, symbol } = parameterOf(hover);
      text = `${words}: ${symbol} = ${number(valueOf(hover))}${frozen(hover)}. Drag up or down to change it, click to type it or to freeze it.`;
    }
    say(line, text);
    line.classList.toggle("lk-soft", unit === null && !hover && !notice);
  };

  return {
    element,
    escape,
    micro: { element: micro.element, active: micro.active, now: micro.now, next: micro.next, back: micro.back, toggle: micro.toggle, leave: micro.leave },
    /** How long the last drawing took, in ms. */
    drawTime: () => drawTime,
    draw(/** @type {any} */ next) {
      const start = performance.now();
      view = next;
      const { run } = view, all = link.state.options.features, width = place.clientWidth;
      if (!width) return;
      const inputs = run.settings.features.map((/** @type {string} */ name) => all.indexOf(name)), outputs = run.layers.at(-1).width;
      const key = JSON.stringify([run.id, width, inputs, run.settings.widths, outputs]);
      if (key !== layoutKey) {
        layoutKey = key;
        layout = netLayout({ width, inputs, widths: run.settings.widths, outputs });
        place.style.height = `${layout.height}px`;
        legend.dataset.dense = isDense(layout) ? "yes" : "no";
        drag = hover = edited = last = null;
        editor.hidden = true;
        if (pinned !== null && pinned >= layout.units.length) pin(null);
        ring = ring === null ? null : Math.min(ring, layout.units.length - 1);
      }
      // Closed from outside (Escape elsewhere in the view).
      if (pinned !== null && hoverUnit() === null && ring === null && !shared.selected) pinned = null;
      const net = /** @type {import("./netlayout.js").NetLayout} */ (layout);
      heads.draw(run, net);
      const settings = run.settings.features;
      for (const [row, button] of featureButtons.entries()) {
        const { x, y, size } = net.columns[0].nodes[row], on_ = settings.includes(button.dataset.feature);
        const left = net.wide ? 0 : x - 18, top = y - size / 2 - 2;
        button.style.cssText = `left: ${left}px; top: ${top}px; width: ${net.wide ? x + size / 2 + 2 : 36}px; height: ${net.wide ? size + 4 : size + 17}px`;
        button.setAttribute("aria-pressed", String(on_));
        button.title = `${FEATURES[button.dataset.feature][0]}: ${FEATURES[button.dataset.feature][1]}. Click to switch it ${on_ ? "off" : "on"}.`;
      }
      features.dataset.wide = net.wide ? "yes" : "no";
      const at = hoverUnit() ?? pinned;
      micro.draw(run, view.parameters, at === null ? null : whereIs(run.layers, at));
      const sweeping = micro.now() ? micro.progress() : 1;
      if (sweeping < 1) stage.draw();
      const parts = [view.maps, view.featureMaps, view.parameters, view.values, view.theme, view.discrete, run, net,
        hover, edited, pinned, ring, drag?.value, micro.now(), sweeping];
      if (parts.some((part, i) => part !== fresh[i])) {
        fresh = parts;
        paint();
      }
      drawLine();
      card.draw(view, pinned, values(), dropout(), placeText());
      if (edited && view.parameters) field.draw(run, valueOf(edited));
      drawTime = performance.now() - start;
    },
  };
}
