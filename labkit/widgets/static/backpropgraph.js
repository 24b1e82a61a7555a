// Where the numbers of a scalar graph stand, and the lines between them. Knows no DOM. CSS pixels, y downwards.
import { number } from "./numbers.js";

/** @typedef {{id: string, label: string, kind: string, column: number, row: number, moves: boolean}} BpNode */
/** @typedef {{x: number, y: number}} BpPlace the left upper corner of a node's box */
/** @typedef {{width: number, height: number, box: number, tall: number, head: number, columns: number[], places: BpPlace[], links: string[]}} BpLayout */

const BP_TALL = 44; // height of a box
const BP_PITCH = 50; // from one row to the next
const BP_HEAD = 34; // room for the layers' names
const BP_LEAST = 62, BP_MOST = 88; // width of a box

/** The distance before a column: a weight and its product belong together, layers stand apart. */
const BP_GAPS = /** @type {Record<string, number>} */ ({ weight: 24, product: 0, sum: 16, activation: 14 });

/**
 * @param {BpNode[]} nodes
 * @param {[number, number][]} links numbers of nodes
 * @param {number} width that there is; less than `width` of the result where it does not fit
 * @returns {BpLayout}
 */
export function backpropLayout(nodes, links, width) {
  const last = Math.max(...nodes.map(({ column }) => column));
  const gaps = Array.from({ length: last + 1 }, (_, k) => {
    const kind = nodes.find(({ column }) => column === k)?.kind ?? "";
    return k === 0 ? 0 : BP_GAPS[kind] ?? 20;
  });
  const between = gaps.reduce((sum, gap) => sum + gap, 0), margin = 3;
  const box = Math.max(BP_LEAST, Math.min(BP_MOST, Math.floor((width - between - 2 * margin) / (last + 1))));
  const needed = between + box * (last + 1) + 2 * margin;
  // What is left over goes between the layers.
  const wide = gaps.filter((gap) => gap > 0).length, spare = Math.min(40, Math.max(0, (width - needed) / Math.max(1, wide)));
  const columns = /** @type {number[]} */ ([]);
  let x = margin;
  for (const [k, gap] of gaps.entries()) {
    x += gap + (gap ? spare : 0) + (k ? box : 0);
    columns.push(Math.round(x));
  }
  const top = Math.min(...nodes.map(({ row }) => row)), bottom = Math.max(...nodes.map(({ row }) => row));
  const places = nodes.map(({ column, row }) => ({ x: columns[column], y: Math.round(BP_HEAD + (row - top) * BP_PITCH) }));
  return {
    width: Math.ceil(columns[last] + box + margin), height: Math.ceil(BP_HEAD + (bottom - top) * BP_PITCH + BP_TALL + margin), box, tall: BP_TALL, head: BP_HEAD, columns, places,
    links: links.map(([from, to]) => backpropLink(nodes, places, links, from, to, box)),
  };
}

/** The weight that a product multiplies with, by its number; -1 for another node. @param {BpNode[]} nodes @param {[number, number][]} links @param {number} k */
export function backpropWeight(nodes, links, k) {
  if (nodes[k].kind !== "product") return -1;
  return links.find(([from, to]) => to === k && nodes[from].kind === "weight")?.[0] ?? -1;
}

/**
 * An SVG path. What a weight multiplies enters at the weight's left: weight and product are one.
 * @param {BpNode[]} nodes @param {BpPlace[]} places @param {[number, number][]} links @param {number} from @param {number} to @param {number} box
 */
function backpropLink(nodes, places, links, from, to, box) {
  const a = places[from], weight = backpropWeight(nodes, links, to);
  const b = weight >= 0 && nodes[from].kind !== "weight" ? places[weight] : places[to];
  if (nodes[from].column === nodes[to].column) {  // a bias or a target below
    const x = a.x + box / 2, up = a.y > b.y;
    return `M${x} ${up ? a.y : a.y + BP_TALL}V${up ? b.y + BP_TALL : b.y}`;
  }
  const x0 = a.x + box, y0 = a.y + BP_TALL / 2, x1 = b.x, y1 = b.y + BP_TALL / 2, middle = (x0 + x1) / 2;
  return y0 === y1 ? `M${x0} ${y0}H${x1}` : `M${x0} ${y0}C${middle} ${y0} ${middle} ${y1} ${x1} ${y1}`;
}

/** What a dragged number becomes: 0.01 for each pixel upwards (large ones faster), a tenth of that with `fine`. @param {number} start @param {number} pixels upwards @param {boolean} fine */
export function backpropDragged(start, pixels, fine) {
  const size = 10 ** Math.max(0, Math.floor(Math.log10(Math.max(1, Math.abs(start)))));
  const step = 0.01 * size * (fine ? 0.1 : 1);
  return Number((start + pixels * step).toFixed(6));
}

/** A number in a box: three digits, two where many zeros come before them. @param {number} value */
export const backpropBrief = (value) => (Math.abs(value) < 0.00995 && Math.abs(value) >= 9.95e-4 ? value.toPrecision(2).replace("-", "\u2212") : number(value));
