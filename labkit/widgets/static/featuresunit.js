// A unit of FeatureView from near: what excites it, the part it detects, its weights, its classes, and its absence.
import { fvBox, fvByClass, fvLosses, fvShort } from "./featuresarith.js";
import { lyPaintNumbers } from "./layermaps.js";
import { css, diverging, reach } from "./colours.js";
import { h, keepSharp, say } from "./lab.js";
import { INK, paintPicture } from "./pictures.js";
import { number, short, whole } from "./numbers.js";

/** @typedef {import("./lab.js").Stage} Stage */

const FV_ROW = 18; // pixels of a class's row of dots

/**
 * @param {Stage} stage
 * @param {(layer: string, unit: number | null) => void} open
 */
export function featureUnit(stage, open) {
  const { link } = stage;
  const now = () => link.state.unit;
  const short_ = (/** @type {string} */ layer) => fvShort(layer, link.state.layers.map((/** @type {any} */ one) => one.name));
  const step = (/** @type {number} */ by) => {
    const from = link.wished("open").filter((one) => one.unit !== null).at(-1) ?? now(), count = link.state.layers.find((/** @type {any} */ one) => one.name === from.layer).units;
    open(from.layer, (from.unit + by + count) % count);
  };
  const toggle = () => {
    const { layer, unit: k } = now(), wish = link.wished("off").filter((one) => one.layer === layer && one.unit === k).at(-1);
    link.do("off", { layer, unit: k, off: !(wish ?? now()).off });
  };
  const name = h("h4", { class: "fv-name", tabindex: -1 });
  const off = h("button", { class: "lk-button", "data-action": "off", "data-needs-kernel": true,
    onclick: toggle });
  const close = h("button", { class: "lk-button lk-round", title: "Close (Esc)", "aria-label": "Close the unit", "data-needs-kernel": true, onclick: () => open(now().layer, null) }, "×");
  const bar = h("div", { class: "fv-bar" }, name, h("div", { class: "fv-actions" },
    h("button", { class: "lk-button lk-round", title: "Previous unit", "aria-label": "Previous unit", "data-needs-kernel": true, onclick: () => step(-1) }, "‹"),
    h("button", { class: "lk-button lk-round", title: "Next unit", "aria-label": "Next unit", "data-needs-kernel": true, onclick: () => step(1) }, "›"), off, close));

  const image = h("canvas", { "aria-hidden": "true" }), imageNote = h("figcaption", { class: "lk-note" });
  const made = h("figure", { class: "fv-made" }, h("span", { class: "fv-frame" }, image), imageNote);
  const parts = h("div", { class: "fv-ious" }), partsNote = h("p", { class: "lk-note" });
  const detects = h("div", { class: "fv-detects" }, h("h5", {}, "The part it detects"), parts, partsNote);
  const patches = h("div", { class: "fv-patches" }), patchesNote = h("p", { class: "lk-note" });
  const incoming = connections("Fed by", "incoming"), outgoing = connections("Feeds", "outgoing");
  const weightsNote = h("p", { class: "lk-note" });
  const dots = h("canvas", { "aria-hidden": "true" }), plot = h("div", { class: "fv-dots", role: "img" }, dots);
  const names = h("div", { class: "fv-classes" }), axis = h("p", { class: "lk-note fv-axis" }, h("span", {}), h("span", {}), h("span", {}));
  const byClass = section("How strongly each class excites it", h("div", { class: "fv-strip" }, names, plot), axis);
  const rows = h("div", { class: "fv-losses" }), lossNote = h("p", { class: "lk-note" });
  const restore = h("button", { class: "lk-button", "data-action": "restore", "data-needs-kernel": true, onclick: () => link.do("restore") }, "Switch all on again");
  const losses = section("Without it", rows, lossNote, restore);
  const element = h("div", { class: "fv-unit", hidden: true }, bar, h("div", { class: "fv-top" }, made, detects),
    section("What excites it most", patches, patchesNote),
    h("section", { class: "fv-section" }, h("div", { class: "fv-wires" }, incoming.element, outgoing.element), weightsNote), losses, byClass);
  let painted = /** @type {Record<string, any>} */ ({});
  let tiles = /** @type {any[]} */ ([]), unit = "";

  /** @param {string} title @param {...any} inside */
  function section(title, ...inside) {
    return h("section", { class: "fv-section" }, h("h5", {}, title), ...inside);
  }

  /** One direction's list of units, weights and numbers. @param {string} title @param {"incoming" | "outgoing"} way */
  function connections(title, way) {
    const list = h("div", { class: "fv-list" }), empty = h("p", { class: "lk-note" });
    let key = "", lines = /** @type {any[]} */ ([]);
    return {
      element: h("div", { class: "fv-way", "data-way": way }, h("h5", {}, title), list, empty),
      /** @param {number} first index of the first kernel and thumbnail */
      draw(first) {
        const found = now()[way], { arrays } = link, { dark } = stage.theme();
        const next = JSON.stringify(found);
        if (next !== key) {
          lines = found.map((/** @type {any} */ one) => {
            const thumb = h("canvas", { class: "fv-thumb", "aria-hidden": "true" }), kernel = h("canvas", { class: "fv-kernel", "aria-hidden": "true" });
            const words = one.layer === "x" ? one.name : one.name ? `${one.name}` : `unit ${one.unit}`;
            const label = one.layer === "x" ? h("span", { class: "fv-go" }, h("b", {}, words), h("span", {}, "the picture"))
              : h("button", { class: "fv-go", "data-layer": one.layer, "data-unit": one.unit, "data-needs-kernel": true, title: `Go to ${one.layer} unit ${one.unit}`,
                onclick: () => open(one.layer, one.unit) }, h("b", {}, words), h("span", {}, short_(one.layer)));
            const value = h("span", { class: "fv-sum" }, one.carried ? "as it is" : number(one.sum));
            return { one, thumb, kernel, value, element: h("div", { class: "fv-line" }, thumb, label, kernel, value) };
          });
          list.replaceChildren(...lines.map(({ element: line }) => line));
        }
        key = next;
        const most = Math.max(...found.map((/** @type {any} */ _, /** @type {number} */ i) => reach(arrays[`kernel ${first + i}`].data))) || 1;
        lines.forEach(({ one, thumb, kernel, value }, i) => {
          if (arrays["unit.thumbs"] && one.layer !== "x") paintPicture(thumb, arrays["unit.thumbs"], first + i, INK);
          else if (one.layer === "x") paintChannel(thumb, one);
          const field = arrays[`kernel ${first + i}`];
          lyPaintNumbers(kernel, { data: field.data, shape: [1, ...field.shape] }, 0, most, dark);
          value.style.borderColor = css(diverging(one.sum > 0 ? 1 : one.sum < 0 ? -1 : 0, dark));
        });
        empty.hidden = found.length > 0;
        say(empty, way === "incoming" ? "What feeds it could not be followed." : "Nothing that it feeds could be followed; an output feeds nothing.");
      },
      count: () => now()[way].length,
    };
  }

  const paintChannel = (/** @type {HTMLCanvasElement} */ canvas, /** @type {any} */ one) => {
    Object.assign(canvas, { width: 1, height: 1 });
    const pen = canvas.getContext("2d");
    if (!pen) return;
    pen.fillStyle = /** @type {Record<string, string>} */ ({ red: "#d22f27", green: "#3a9e4f", blue: "#2463c7" })[one.name] ?? "#777";
    pen.fillRect(0, 0, 1, 1);
  };

  const drawImage = () => {
    const { arrays, state } = link, field = arrays["unit.image"], most = now().patches[0]?.[2];
    const has = Boolean(field?.shape[0]);
    made.dataset.empty = has ? "no" : "yes";
    image.hidden = !has;
    if (has && painted.image !== field) paintPicture(image, field, 0, INK);
    painted.image = field;
    say(imageNote, has ? `Made to excite it: ${number(now().excited)}${state.formed < state.formed_of ? `, step ${state.formed} of ${state.formed_of}` : `; in the data at most ${most === undefined ? "–" : number(most)}`}` : state.no_images || "Its picture forms when the patches are found");
  };

  const drawParts = () => {
    const found = now().parts, { state } = link;
    detects.hidden = !state.masks;
    const key = JSON.stringify(found);
    if (painted.parts !== key) {
      const most = Math.max(0.1, ...found.flatMap((/** @type {any[]} */ [, iou, control]) => [iou, control ?? 0]));
      parts.replaceChildren(...found.map((/** @type {any[]} */ [part, iou, control]) => h("div", { class: "fv-iou", "data-detects": iou >= state.detector ? "yes" : "no" },
        h("span", {}, part), h("span", { class: "fv-track" }, h("i", { style: `width: ${(100 * iou) / most}%` }), control === null ? null : h("b", { style: `left: ${(100 * control) / most}%` })),
        h("span", { class: "fv-score" }, number(iou), control === null ? null : h("small", {}, ` (${number(control)})`)))));
    }
    painted.parts = key;
    const control = found.some((/** @type {any[]} */ one) => one[2] !== null);
    say(partsNote, found.length ? `Intersection over union of where it fires and where the part is${control ? "; in brackets and as a line the untrained net" : ""}. A detector from ${short(state.detector)}.` : "Waiting for the comparison with the masks.");
  };

  const drawPatches = () => {
    const { state, arrays } = link, found = now().patches, field = arrays["unit.pictures"];
    if (tiles.length !== found.length) {
      tiles = found.map(() => {
        const canvas = h("canvas", { "aria-hidden": "true" }), box = h("i", { class: "fv-box" }), label = h("b", {}), value = h("span", {});
        return { canvas, box, label, value, element: h("figure", { class: "fv-patch" }, h("span", { class: "fv-frame" }, canvas, box), h("figcaption", {}, label, value)) };
      });
      patches.replaceChildren(...tiles.map((tile) => tile.element));
    }
    found.forEach((/** @type {any[]} */ [example, label, value, box], /** @type {number} */ i) => {
      const tile = tiles[i], place = fvBox(box, state.picture);
      if (painted.patches !== field) paintPicture(tile.canvas, field, i, INK);
      tile.box.hidden = !place;
      if (place) Object.assign(tile.box.style, Object.fromEntries(Object.entries(place).map(([side, share]) => [side, `${share}%`])));
      say(tile.label, label ?? `picture ${example + 1}`);
      say(tile.value, number(value));
    });
    painted.patches = field;
    const whole_ = found.length && found.every((/** @type {any[]} */ one) => one[3] && !fvBox(one[3], state.picture));
    const fields = !found.length || !found[0][3] ? "" : whole_ ? " It sees all of a picture." : " The frame is what it sees there.";
    say(patchesNote, found.length ? `The pictures with its highest activations among ${whole(state.seen)} of ${whole(state.total)}, one place each.${fields}` : "The pictures are being looked at.");
  };

  const drawClasses = () => {
    const { arrays, state } = link, values = arrays["unit.values"], classes = arrays["unit.classes"], theme = stage.theme();
    byClass.hidden = !values?.data.length || !classes;
    if (byClass.hidden) return;
    const count = Math.max(...classes.data) + 1, found = fvByClass(values.data, classes.data, count);
    const label = (/** @type {number} */ k) => state.classes?.[k] ?? `class ${k}`;
    if (names.children.length !== found.length) names.replaceChildren(...found.map(() => h("span", {})));
    found.forEach((row, i) => say(names.children[i], label(row.label)));
    plot.style.height = `${FV_ROW * found.length}px`;
    const low = Math.min(0, ...found.map((row) => row.values[0])), high = Math.max(...found.map((row) => row.values[row.values.length - 1])), span = high - low || 1;
    const pen = dots.getContext("2d"), wide = plot.clientWidth;
    if (!pen) return;
    pen.clearRect(0, 0, wide, plot.clientHeight);
    const x = (/** @type {number} */ value) => 4 + ((value - low) / span) * (wide - 8);
    found.forEach((row, i) => {
      const y = FV_ROW * (i + 0.5);
      pen.globalAlpha = 1;
      pen.fillStyle = theme.line;
      pen.fillRect(0, FV_ROW * (i + 1) - 1, wide, 1);
      pen.fillStyle = theme.accent;
      pen.globalAlpha = theme.dark ? 0.6 : 0.4;
      row.values.forEach((value, k) => {
        pen.beginPath();
        pen.arc(x(value), y + ((k * 0.618) % 1 - 0.5) * 8, 2.2, 0, 7); // set apart by the golden ratio, so that none covers all others
        pen.fill();
      });
      pen.globalAlpha = 1;
      pen.fillStyle = theme.text;
      pen.fillRect(x(row.mean) - 1, y - 7, 2, 14);
    });
    say(axis.children[0], number(low));
    say(axis.children[1], `highest activation in each of ${whole(values.data.length)} pictures; the line is the mean`);
    say(axis.children[2], number(high));
    plot.setAttribute("aria-label", `Mean activation by class: ${found.map((row) => `${label(row.label)} ${number(row.mean)}`).join(", ")}`);
  };

  const drawLosses = () => {
    const { arrays, state } = link, before = arrays.before.data, after = arrays.after.data;
    const any = state.off.length > 0;
    losses.hidden = !any;
    if (!any) return;
    const known = before.length > 0;
    const found = known ? fvLosses(before, after) : [];
    const key = JSON.stringify(found);
    if (painted.losses !== key) {
      rows.replaceChildren(...found.map((row) => {
        const word = state.classes?.[row.label] ?? `class ${row.label}`;
        const left = 100 * Math.min(row.before, row.after), width = 100 * Math.abs(row.change);
        return h("div", { class: "fv-loss", "data-change": row.change < 0 ? "less" : row.change > 0 ? "more" : "same" }, h("span", { class: "fv-word" }, word),
          h("span", { class: "fv-track" }, h("i", { style: `left: ${left}%; width: ${width}%` }), h("b", { style: `left: ${100 * row.before}%` }), h("u", { style: `left: ${100 * row.after}%` })),
          h("span", { class: "fv-score" }, `${number(row.before)} → ${number(row.after)}`));
      }));
    }
    painted.losses = key;
    const which = state.off.map((/** @type {any[]} */ [layer, k]) => `${short_(layer)} unit ${k}`).join(", ");
    say(lossNote, known ? `Accuracy of each class with ${which} set to 0, worst first; line: with all units, circle: without. On ${whole(state.count)} pictures.`
      : `Measuring each class’s accuracy without ${which}, on ${whole(state.count)} pictures.`);
  };
  keepSharp(dots, () => stage.draw(), stage.signal);

  return {
    element,
    toggle,
    focus() { name.focus({ preventScroll: true }); },
    draw() {
      const { state } = link, one = state.unit;
      element.hidden = !one;
      if (!one) return;
      const next = `${one.layer} ${one.unit}`;
      if (next !== unit) painted = {};
      unit = next;
      say(name, `${short_(one.layer)} › unit ${one.unit}${one.name ? `, ${one.name}` : ""}`);
      say(off, one.off ? "Switch on" : "Switch off");
      off.setAttribute("aria-pressed", String(one.off));
      drawImage();
      drawParts();
      drawPatches();
      incoming.draw(0);
      outgoing.draw(incoming.count());
      weightsNote.hidden = !incoming.count() && !outgoing.count();
      say(weightsNote, "Weights of the strongest connections as small maps, orange below zero, blue above; the number is their sum, times the factor of a batch normalisation behind. Click a unit to go to it.");
      drawLosses();
      drawClasses();
    },
  };
}
