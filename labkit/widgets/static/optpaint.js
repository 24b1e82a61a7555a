// Paints an optimisers' map: the loss in colour with contour lines and axes below, paths, start and minima above.
import { cividis, paint, table } from "./colours.js";
import { contourLevels, contourLines, labelPlace } from "./contours.js";
import { spread } from "./curves.js";
import { short, ticks } from "./numbers.js";
import { LOOKS, lastStep, together } from "./optpaths.js";

/** @typedef {import("./lab.js").Theme} Theme */
/**
 * @typedef {object} Frame where the map lies on its canvas, in pixels
 * @property {(value: number) => number} x
 * @property {(value: number) => number} y
 * @property {number} west
 * @property {number} east
 * @property {number} north
 * @property {number} south
 */

const WASH = 0.5; // of the map's colours, so that the paths stand out
const NAME = 34; // pixels of a contour line that its value takes
const ROOM_FOR_NAMES = 420; // pixels of width
const NEAR = 50, COLUMN = 110; // pixels: ends this close share a column of names, which is this wide
const STAR = "M0 -1L.27 -.37L.95 -.31L.43 .14L.59 .81L0 .45L-.59 .81L-.43 .14L-.95 -.31L-.27 -.37Z";

/**
 * The loss in colour, its contour lines, and the axes.
 * @param {CanvasRenderingContext2D} pen @param {Theme} theme @param {Frame} frame
 * @param {any} state floor, low, high, limits
 * @param {{data: Float32Array, shape: number[]}} map losses, the lowest row first
 */
export function paintUnder(pen, theme, frame, state, map) {
  const { floor, low, high } = state, [rows, columns] = map.shape, { west, east, north, south } = frame;
  const across = (east - west) / (columns - 1), down = (south - north) / (rows - 1);
  const logs = Float32Array.from(map.data, (loss) => Math.log(Math.min(high, Math.max(low, loss - floor))));
  pen.save();
  pen.beginPath();
  pen.rect(west, north, east - west, south - north);
  pen.clip();
  pen.globalAlpha = WASH;
  pen.imageSmoothingEnabled = true;
  pen.imageSmoothingQuality = "high";
  // The outermost values lie on the edges, so half a pixel of the picture lies outside.
  pen.drawImage(heat(logs, rows, columns, Math.log(low), Math.log(high)), west - across / 2, north - down / 2, columns * across, rows * down);
  pen.globalAlpha = 1;
  const grid = { data: logs, rows, columns };
  const lines = contourLevels(low, high, true).flatMap((level) => contourLines(grid, Math.log(level)).map((points) => ({
    name: short(level + floor), points: points.map((at, i) => (i % 2 ? south - at * down : west + at * across)),
  })));
  paintContours(pen, theme, frame, lines);
  pen.restore();
  paintAxes(pen, theme, frame, state.limits);
}

/** @param {Float32Array} values @param {number} rows @param {number} columns @param {number} low @param {number} high */
function heat(values, rows, columns, low, high) {
  const picture = document.createElement("canvas"), colours = table(cividis), pixels = new ImageData(columns, rows);
  const line = new Uint8ClampedArray(4 * columns);
  for (let row = 0; row < rows; row += 1) {
    paint(values, row * columns, columns, low, high, colours, line);
    pixels.data.set(line, 4 * columns * (rows - 1 - row));
  }
  Object.assign(picture, { width: columns, height: rows });
  picture.getContext("2d")?.putImageData(pixels, 0, 0);
  return picture;
}

/** @param {CanvasRenderingContext2D} pen @param {Theme} theme @param {Frame} frame @param {{name: string, points: number[]}[]} lines */
function paintContours(pen, theme, { west, east, north, south }, lines) {
  pen.strokeStyle = theme.text;
  pen.lineWidth = 1;
  pen.globalAlpha = 0.28;
  pen.beginPath();
  for (const { points } of lines) {
    for (let i = 0; i < points.length; i += 2) pen[i ? "lineTo" : "moveTo"](points[i], points[i + 1]);
  }
  pen.stroke();
  pen.globalAlpha = 1;
  pen.font = `11px ${theme.font}`;
  pen.textAlign = "center";
  const taken = /** @type {[number, number][]} */ ([]);
  for (const { name, points } of lines) {
    const place = labelPlace(points.map((at, i) => at - (i % 2 ? north : west)), NAME, Math.max(east - west, south - north), taken);
    if (!place || place.y > south - north - 14) continue;
    taken.push([place.x, place.y]);
    pen.save();
    pen.translate(west + place.x, north + place.y);
    pen.rotate(place.angle);
    halo(pen, theme, name, theme.text, 0, 0);
    pen.restore();
  }
}

/** @param {CanvasRenderingContext2D} pen @param {Theme} theme @param {Frame} frame @param {[[number, number], [number, number]]} limits */
function paintAxes(pen, theme, { x, y, west, east, north, south }, limits) {
  pen.font = `12px ${theme.font}`;
  pen.fillStyle = theme.soft;
  pen.strokeStyle = theme.line;
  pen.lineWidth = 1;
  pen.strokeRect(west + 0.5, north + 0.5, east - west - 1, south - north - 1);
  pen.textBaseline = "middle";
  pen.textAlign = "center";
  for (const tick of ticks(...limits[0], Math.max(2, (east - west) / 80))) pen.fillText(short(tick), Math.min(east - 6, Math.max(west + 4, x(tick))), south + 11);
  pen.fillText("x", (west + east) / 2, south + 27);
  pen.textAlign = "right";
  const rows = ticks(...limits[1], Math.max(2, (south - north) / 50)), middle = (north + south) / 2;
  for (const tick of rows) pen.fillText(short(tick), west - 6, Math.min(south - 5, Math.max(north + 6, y(tick))));
  pen.textAlign = "left";
  const taken = rows.find((tick) => Math.abs(y(tick) - middle) < 12); // a number is there: the name goes above it
  pen.fillText("y", 2, taken === undefined ? middle : y(taken) - 16);
}

/**
 * Minima, paths up to a step, the start, and a crosshair.
 * @param {CanvasRenderingContext2D} pen @param {Theme} theme @param {Frame} frame
 * @param {any} state minima, optimizers, steps
 * @param {ArrayLike<number>} paths
 * @param {{step: number, start: {x: number, y: number}, cross: {x: number, y: number} | null}} now
 */
export function paintOver(pen, theme, frame, state, paths, { step, start, cross }) {
  const { x, y, west, east, north, south } = frame;
  pen.save();
  pen.beginPath();
  pen.rect(west, north, east - west, south - north);
  pen.clip();
  for (const [atX, atY] of state.minima) mark(pen, STAR, x(atX), y(atY), 8, theme.back, theme.text);
  const tips = /** @type {any[]} */ ([]);
  state.optimizers.forEach((/** @type {any} */ row, /** @type {number} */ which) => {
    if (!row.shown) return;
    const places = placesOf(frame, paths, which, state.steps, lastStep(paths, which, state.steps, step));
    const look = LOOKS[row.style], colour = theme.dark ? look.dark : look.light;
    paintPath(pen, theme, places, colour, look.dashed);
    const [endX, endY] = places[places.length - 1];
    const name = row.diverged_at !== null && step >= row.diverged_at ? `${row.label} ✕` : row.label;
    tips.push({ name, look, colour, x: Math.min(east, Math.max(west, endX)), y: Math.min(south, Math.max(north, endY)) });
  });
  if (east - west >= ROOM_FOR_NAMES) paintNames(pen, theme, frame, tips);
  for (const tip of tips) mark(pen, tip.look.marker, tip.x, tip.y, 4.5, tip.colour, theme.back);
  pen.beginPath();
  pen.arc(x(start.x), y(start.y), 6, 0, 7);
  pen.fillStyle = theme.back;
  pen.fill();
  pen.lineWidth = 2.5;
  pen.strokeStyle = theme.text;
  pen.stroke();
  if (cross) {
    pen.lineWidth = 1;
    pen.beginPath();
    pen.moveTo(Math.round(x(cross.x)) + 0.5, north);
    pen.lineTo(Math.round(x(cross.x)) + 0.5, south);
    pen.moveTo(west, Math.round(y(cross.y)) + 0.5);
    pen.lineTo(east, Math.round(y(cross.y)) + 0.5);
    pen.stroke();
  }
  pen.restore();
}

/** The places of a path in pixels. @param {Frame} frame @param {ArrayLike<number>} paths @param {number} which @param {number} steps @param {number} last @returns {[number, number][]} */
function placesOf({ x, y }, paths, which, steps, last) {
  const near = (/** @type {number} */ pixel) => Math.min(1e5, Math.max(-1e5, pixel));
  return Array.from({ length: last + 1 }, (_, k) => {
    const at = 2 * (which * (steps + 1) + k);
    return [near(x(paths[at])), near(y(paths[at + 1]))];
  });
}

/** @param {CanvasRenderingContext2D} pen @param {Theme} theme @param {[number, number][]} places @param {string} colour @param {boolean} dashed */
function paintPath(pen, theme, places, colour, dashed) {
  const line = new Path2D();
  let length = 0;
  places.forEach((place, k) => {
    line.lineTo(...place);
    if (k) length += Math.min(40, Math.hypot(place[0] - places[k - 1][0], place[1] - places[k - 1][1]));
  });
  pen.lineJoin = "round";
  pen.strokeStyle = theme.back;
  pen.lineWidth = 4;
  pen.globalAlpha = 0.85;
  pen.stroke(line);
  pen.globalAlpha = 1;
  pen.strokeStyle = pen.fillStyle = colour;
  pen.lineWidth = 2;
  pen.setLineDash(dashed ? [5, 3] : []);
  pen.stroke(line);
  pen.setLineDash([]);
  if (length < 7 * places.length) return; // so many steps that their dots would meet
  for (const place of places.slice(1, -1)) {
    pen.beginPath();
    pen.arc(...place, 2.4, 0, 7);
    pen.fill();
  }
}

/**
 * Names beside where each is now. Those that end close together have theirs in one column: on the right of the rightmost,
 * on the left of the others, as far as there is room.
 * @param {CanvasRenderingContext2D} pen @param {Theme} theme @param {Frame} frame @param {any[]} tips
 */
function paintNames(pen, theme, { west, east, north, south }, tips) {
  pen.font = `600 12px ${theme.font}`;
  const groups = together(tips.map((tip) => tip.x), NEAR);
  groups.forEach((members, g) => {
    const here = members.map((i) => tips[i]), xs = here.map((tip) => tip.x);
    const right = g === groups.length - 1 ? Math.max(...xs) + COLUMN < east : Math.min(...xs) - COLUMN < west;
    const left = right ? Math.max(...xs) + 24 : Math.min(...xs) - 24;
    const heights = spread(here.map((tip) => tip.y), 16, north + 10, south - 10);
    here.forEach((tip, i) => {
      pen.strokeStyle = tip.colour;
      pen.lineWidth = 1;
      pen.beginPath();
      pen.moveTo(tip.x, tip.y);
      pen.lineTo(left + (right ? -4 : 4), heights[i]);
      pen.stroke();
      pen.textAlign = right ? "left" : "right";
      halo(pen, theme, tip.name, tip.colour, left, heights[i]);
    });
  });
}

/** Words that stay readable over the map. @param {CanvasRenderingContext2D} pen @param {Theme} theme @param {string} text @param {string} colour @param {number} x @param {number} y */
function halo(pen, theme, text, colour, x, y) {
  pen.textBaseline = "middle";
  pen.lineJoin = "round";
  pen.strokeStyle = theme.back;
  pen.lineWidth = 4;
  pen.globalAlpha = 0.8;
  pen.strokeText(text, x, y);
  pen.globalAlpha = 1;
  pen.fillStyle = colour;
  pen.fillText(text, x, y);
}

/** A shape within -1 to 1, with a rim. @param {CanvasRenderingContext2D} pen @param {string} shape @param {number} x @param {number} y @param {number} size @param {string} fill @param {string} rim */
function mark(pen, shape, x, y, size, fill, rim) {
  const path = new Path2D(shape);
  pen.save();
  pen.translate(x, y);
  pen.scale(size, size);
  pen.lineJoin = "round";
  pen.lineWidth = 3 / size;
  pen.strokeStyle = rim;
  pen.stroke(path);
  pen.fillStyle = fill;
  pen.fill(path);
  pen.restore();
}
