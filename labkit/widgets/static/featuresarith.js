// What FeatureView works out from what it is sent. Knows no DOM.

const FV_LONG = 22; // characters of a name that is shown in full

/**
 * A layer's name, of a long one its end, as much of it as tells it from all others:
 * "encoder.stages.0.layers.1.activation" -> "…1.activation".
 * @param {string} name
 * @param {string[]} names of all layers
 */
export function fvShort(name, names) {
  const parts = name.split(".");
  if (name.length <= FV_LONG) return name;
  for (let count = 2; count < parts.length; count += 1) {
    const tail = parts.slice(-count).join(".");
    if (names.filter((other) => other === tail || other.endsWith(`.${tail}`)).length <= 1) return `…${tail}`;
  }
  return name;
}

/**
 * Units by the part that they detect, the part with most units first, within it the best unit first.
 * @param {string[]} parts
 * @param {ArrayLike<number>} part of each unit, an index into `parts` or −1
 * @param {ArrayLike<number>} iou
 * @param {number} least from which a unit counts as a detector
 * @param {number} first number of the first unit
 * @returns {{part: string, units: number[], best: number}[]}
 */
export function fvDetectors(parts, part, iou, least, first) {
  const found = /** @type {Map<number, number[]>} */ (new Map());
  for (let i = 0; i < part.length; i += 1) {
    if (part[i] < 0 || iou[i] < least) continue;
    found.set(part[i], [...(found.get(part[i]) ?? []), i]);
  }
  return [...found].map(([k, units]) => {
    units.sort((a, b) => iou[b] - iou[a]);
    return { part: parts[k], units: units.map((i) => first + i), best: iou[units[0]] };
  }).sort((a, b) => b.units.length - a.units.length || b.best - a.best);
}

/**
 * Activations sorted by class, for a row of dots each, the class with the highest mean first.
 * @param {ArrayLike<number>} values
 * @param {ArrayLike<number>} classes of each value
 * @param {number} count of classes
 * @returns {{label: number, values: number[], mean: number}[]}
 */
export function fvByClass(values, classes, count) {
  const rows = Array.from({ length: count }, (_, label) => ({ label, values: /** @type {number[]} */ ([]), mean: -Infinity }));
  for (let i = 0; i < classes.length; i += 1) rows[classes[i]].values.push(values[i]);
  for (const row of rows) {
    row.values.sort((a, b) => a - b);
    if (row.values.length) row.mean = row.values.reduce((a, b) => a + b, 0) / row.values.length;
  }
  return rows.filter((row) => row.values.length).sort((a, b) => b.mean - a.mean);
}

/**
 * The classes by what they lose, the greatest loss first; classes without examples are left out.
 * @param {ArrayLike<number>} before accuracies
 * @param {ArrayLike<number>} after
 * @returns {{label: number, before: number, after: number, change: number}[]}
 */
export function fvLosses(before, after) {
  return Array.from(before, (value, label) => ({ label, before: value, after: after[label], change: after[label] - value }))
    .filter((row) => Number.isFinite(row.change)).sort((a, b) => a.change - b.change || a.label - b.label);
}

/**
 * Where a receptive field lies in its picture, in percent of its sides, cut at the edges; null for one that is all of it.
 * @param {number[] | null} box top, left, bottom, right in pixels
 * @param {number[]} size height, width
 */
export function fvBox(box, [height, width]) {
  if (!box) return null;
  const top = Math.max(0, box[0]), left = Math.max(0, box[1]), bottom = Math.min(height, box[2]), right = Math.min(width, box[3]);
  if (top === 0 && left === 0 && bottom === height && right === width) return null;
  return { top: (100 * top) / height, left: (100 * left) / width, height: (100 * (bottom - top)) / height, width: (100 * (right - left)) / width };
}
