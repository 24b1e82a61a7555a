// The overview of LayerView: a column for each layer, its strongest units as thumbnails, and the links between them.
import { lyBrief, lyLooking, lyMore, lyReach } from "./layerarith.js";
import { LyAtlas, lyMark, lyUnder } from "./layermaps.js";
import { h, keepSharp, say } from "./lab.js";
import { number } from "./numbers.js";

/** @typedef {import("./lab.js").Stage} Stage */
/** @typedef {{layer: number, unit: number, place: number[] | null}} LayerSpot a unit, and a place in its map */

/**
 * @param {Stage} stage
 * @param {{open: (layer: string | null, unit: number | null) => void, spot: (spot: LayerSpot | null) => void}} actions
 */
export function layerNet(stage, { open, spot }) {
  const { signal } = stage;
  const canvas = h("canvas", { class: "ly-links", "aria-hidden": "true" }), maps = h("canvas", { class: "ly-links", "aria-hidden": "true" });
  const sheet = h("div", { class: "ly-sheet" }, canvas, maps), atlas = new LyAtlas();
  const element = h("div", { class: "ly-scroll" }, sheet);
  let structure = /** @type {any} */ (null), columns = /** @type {any[]} */ ([]), chosen = "", lit = /** @type {LayerSpot | null} */ (null);
  let boxes = /** @type {any[]} */ ([]), laid = "", linked = "";

  const point = (/** @type {LayerSpot | null} */ next) => {
    lit = next;
    spot(next);
    stage.draw();
  };
  const build = () => {
    const { layers } = structure;
    columns = layers.map((/** @type {any} */ layer, /** @type {number} */ k) => {
      const units = stage.link.state.chosen[k].map((/** @type {number} */ unit) => {
        const [height, width] = layer.size, map = lyMark();
        map.element.style.aspectRatio = `${width} / ${height}`;
        const button = h("button", { class: "ly-unit", tabindex: -1, "data-layer": k, "data-unit": unit, "data-small": height * width === 1 ? "yes" : "no",
          onclick: () => open(layer.name, unit),
          onpointermove: (/** @type {PointerEvent} */ event) => point({ layer: k, unit, place: lyUnder(event, map.element, layer.size) }),
          onpointerleave: () => point(null), onfocus: () => point({ layer: k, unit, place: null }), onblur: () => point(null) }, map.element);
        return { unit, map, button };
      });
      const head = h("button", { class: "ly-head", title: `${layer.name}: ${layer.kind}. Open the layer`, tabindex: -1, "data-layer": k, onclick: () => open(layer.name, null) },
        h("b", {}, lyBrief(layer.name)), h("span", {}, layer.kind));
      const range = h("span", { class: "ly-range" });
      const more = lyMore(units.length, layer.units);
      const element_ = h("section", { class: "ly-column", "aria-label": `${layer.name}, ${layer.kind}, ${layer.units} units`, "data-mixing": "no" }, head,
        h("div", { class: "ly-units" }, ...units.map((/** @type {any} */ one) => one.button),
          more ? h("button", { class: "ly-more", tabindex: -1, title: `The ${units.length} units with the largest values are shown. See all ${layer.units}`, onclick: () => open(layer.name, null) }, more) : null), range);
      return { layer, units, head, range, element: element_ };
    });
    sheet.replaceChildren(canvas, maps, ...columns.map((column) => column.element));
    sheet.style.setProperty("--ly-columns", String(columns.length));
    const first = columns[0]?.head;
    if (first) first.tabIndex = 0;
    laid = "";
  };

  // ---- arrow keys go from tile to tile, and only one is in the page's tab order
  const tiles = (/** @type {number} */ k) => [columns[k].head, ...columns[k].units.map((/** @type {any} */ one) => one.button)];
  element.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
    const k = columns.findIndex((_, i) => tiles(i).includes(event.target));
    if (k < 0) return;
    const row = tiles(k).indexOf(event.target), flat = getComputedStyle(sheet).flexDirection === "column";
    const [across, down] = flat ? ["ArrowUp ArrowDown", "ArrowLeft ArrowRight"] : ["ArrowLeft ArrowRight", "ArrowUp ArrowDown"];
    const side = across.split(" ").indexOf(event.key), turn = down.split(" ").indexOf(event.key);
    if (side < 0 && turn < 0) return;
    event.preventDefault();
    event.stopPropagation();
    const column = Math.min(columns.length - 1, Math.max(0, k + (side < 0 ? 0 : 2 * side - 1)));
    const there = tiles(column), next = there[Math.min(there.length - 1, Math.max(0, row + (turn < 0 ? 0 : 2 * turn - 1)))];
    for (const one of element.querySelectorAll("[tabindex='0']")) one.tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
  }, { signal });

  // ---- links
  const layOut = () => {
    const base = sheet.getBoundingClientRect();
    boxes = columns.map(({ head, units, element: whole }) => {
      const of = (/** @type {Element} */ one) => {
        const box = one.getBoundingClientRect();
        return { left: box.left - base.left, right: box.right - base.left, top: box.top - base.top, bottom: box.bottom - base.top };
      };
      return { head: of(head), all: of(whole), units: units.map((/** @type {any} */ one) => of(one.map.element)) };
    });
  };
  const drawMaps = (/** @type {Map<string, number>} */ off) => {
    const pen = maps.getContext("2d");
    if (!pen || !maps.clientWidth) return;
    pen.clearRect(0, 0, maps.clientWidth, maps.clientHeight);
    const from = atlas.end();
    columns.forEach(({ layer, units }, k) => {
      const [height, width] = stage.link.arrays[`maps ${k}`].shape.slice(1);
      units.forEach((/** @type {any} */ one, /** @type {number} */ i) => {
        const { left, top, right, bottom } = boxes[k].units[i];
        pen.globalAlpha = off.get(`${layer.name} ${one.unit}`) === 0 ? 0.45 : 1;
        pen.imageSmoothingEnabled = width > (right - left) * devicePixelRatio; // averaged where it shrinks, else sharp
        pen.drawImage(from, ...atlas.at(k, i), width, height, left, top, right - left, bottom - top);
      });
    });
    pen.globalAlpha = 1;
  };
  const drawLinks = () => {
    const pen = canvas.getContext("2d");
    if (!pen || !canvas.clientWidth) return;
    const theme = stage.theme(), flat = getComputedStyle(sheet).flexDirection === "column";
    pen.clearRect(0, 0, canvas.clientWidth, canvas.clientHeight);
    pen.font = `11px ${theme.font}`;
    let lane = 0;
    for (const [from, to, through] of structure.links) {
      if (from < 0) continue;
      const isLit = lit && (lit.layer === to || lit.layer === from);
      const far = to !== from + 1;
      pen.strokeStyle = isLit ? theme.accent : theme.grey;
      pen.globalAlpha = far ? (isLit ? 1 : 0.75) : 1;
      pen.lineWidth = isLit ? 2 : 1.25;
      if (flat) drawFlat(pen, from, to, through, far, lane);
      else if (far) drawArc(pen, from, to, through, lane, theme);
      else drawNear(pen, from, to, theme);
      if (far) lane += 1;
    }
    pen.globalAlpha = 1;
  };
  const drawArc = (/** @type {CanvasRenderingContext2D} */ pen, /** @type {number} */ from, /** @type {number} */ to, /** @type {string[]} */ through, /** @type {number} */ lane, /** @type {any} */ theme) => {
    const a = boxes[from].all, b = boxes[to].all, floor = sheet.clientHeight - 26 + (lane % 2) * 12;
    const x0 = (a.left + a.right) / 2, x1 = (b.left + b.right) / 2;
    pen.setLineDash([5, 3]);
    pen.beginPath();
    pen.moveTo(x0, a.bottom + 2);
    pen.bezierCurveTo(x0, floor, x0, floor, x0 + Math.min(24, (x1 - x0) / 2), floor);
    pen.lineTo(x1 - Math.min(24, (x1 - x0) / 2), floor);
    pen.bezierCurveTo(x1, floor, x1, floor, x1, b.bottom + 2);
    pen.stroke();
    pen.setLineDash([]);
    const words = through.join(", ");
    if (!words) return;
    const wide = pen.measureText(words).width + 8;
    if (wide > x1 - x0) return;
    pen.globalAlpha = 1;
    pen.fillStyle = theme.back;
    pen.fillRect((x0 + x1 - wide) / 2, floor - 7, wide, 14);
    pen.fillStyle = theme.text;
    pen.textAlign = "center";
    pen.textBaseline = "middle";
    pen.fillText(words, (x0 + x1) / 2, floor);
  };
  const drawFlat = (/** @type {CanvasRenderingContext2D} */ pen, /** @type {number} */ from, /** @type {number} */ to, /** @type {string[]} */ through, /** @type {boolean} */ far, /** @type {number} */ lane) => {
    const a = boxes[from].head, b = boxes[to].head, x = 14, y0 = (a.top + a.bottom) / 2, y1 = (b.top + b.bottom) / 2;
    pen.setLineDash(far ? [5, 3] : []);
    pen.beginPath();
    if (far) {
      const left = 3 + (lane % 2) * 4;
      pen.moveTo(x, y0);
      pen.bezierCurveTo(left, y0, left, y0 + 8, left, y0 + 14);
      pen.lineTo(left, y1 - 14);
      pen.bezierCurveTo(left, y1 - 8, left, y1, x, y1);
    } else {
      pen.moveTo(x, y0);
      pen.lineTo(x, y1);
    }
    pen.stroke();
    pen.setLineDash([]);
  };
  const drawNear = (/** @type {CanvasRenderingContext2D} */ pen, /** @type {number} */ from, /** @type {number} */ to, /** @type {any} */ theme) => {
    const same = columns[from].layer.units === columns[to].layer.units && !columns[to].layer.mixing;
    columns[to].units.forEach((/** @type {any} */ one, /** @type {number} */ j) => {
      columns[from].units.forEach((/** @type {any} */ other, /** @type {number} */ i) => {
        if (same && other.unit !== one.unit) return;
        const strong = lit && ((lit.layer === to && lit.unit === one.unit) || (lit.layer === from && lit.unit === other.unit));
        const a = boxes[from].units[i], b = boxes[to].units[j], y0 = (a.top + a.bottom) / 2, y1 = (b.top + b.bottom) / 2;
        pen.strokeStyle = strong ? theme.accent : theme.grey;
        pen.globalAlpha = strong ? 1 : same ? 0.7 : 0.16;
        pen.lineWidth = strong ? 1.5 : 1;
        pen.beginPath();
        pen.moveTo(a.right, y0);
        pen.bezierCurveTo((a.right + b.left) / 2, y0, (a.right + b.left) / 2, y1, b.left, y1);
        pen.stroke();
      });
    });
  };
  keepSharp(canvas, () => {
    linked = "";
    stage.draw();
  }, signal);
  keepSharp(maps, () => stage.draw(), signal);

  return {
    element,
    /** Whether it is wider than the page. */
    get wide() { return element.scrollWidth > element.clientWidth + 8; },
    focus() { element.querySelector("[tabindex='0']")?.focus({ preventScroll: true }); },
    /** @param {"unit" | "layer" | "network"} rule @param {number[] | null} pixel of the picture that is pointed at */
    draw(rule, pixel) {
      const { state, arrays } = stage.link, { dark } = stage.theme();
      const key = JSON.stringify(state.chosen);
      if (state.structure !== structure || key !== chosen) {
        structure = state.structure;
        chosen = key;
        build();
      }
      sheet.dataset.skips = structure.links.some((/** @type {any[]} */ [from, to]) => from >= 0 && to !== from + 1) ? "yes" : "no";
      const off = new Map(state.altered.map((/** @type {any[]} */ [layer, unit, factor]) => [`${layer} ${unit}`, factor]));
      const size = `${sheet.clientWidth} ${sheet.clientHeight} ${columns.length} ${chosen}`;
      if (size !== laid || boxes.length !== columns.length) layOut();
      laid = size;
      atlas.begin(columns.map(({ units }) => units.length));
      columns.forEach(({ layer, units, range }, k) => {
        const field = arrays[`maps ${k}`], reaches = arrays[`reach ${k}`].data, whole = arrays.reach.data[k];
        const rows = arrays[`rows ${k}`], across = arrays[`columns ${k}`];
        const down = pixel && rows && lyLooking(rows.data, pixel[0]), right = pixel && across && lyLooking(across.data, pixel[1]);
        const box = down && right ? { top: down[0], bottom: down[1], left: right[0], right: right[1] } : null;
        units.forEach(({ unit, map, button }, /** @type {number} */ i) => {
          atlas.put(k, i, field, reaches[i], lyReach(rule, reaches[i], whole, arrays.reach.data), dark);
          map.mark(box, layer.size);
          const factor = off.get(`${layer.name} ${unit}`);
          button.dataset.altered = factor === undefined ? "no" : factor === 0 ? "off" : "yes";
          const words = `${layer.name} unit ${unit}, ±${number(reaches[i])}${factor === undefined ? "" : factor === 0 ? ", switched off" : `, × ${number(factor)}`}`;
          if (button.title !== words) {
            button.title = words;
            button.setAttribute("aria-label", `${words}. Open the unit`);
          }
        });
        range.hidden = rule !== "layer";
        say(range, `±${number(whole)}`);
      });
      drawMaps(off);
      const drawn = `${size} ${canvas.width} ${dark} ${lit?.layer} ${lit?.unit}`;
      if (drawn !== linked) drawLinks();
      linked = drawn;
    },
  };
}
