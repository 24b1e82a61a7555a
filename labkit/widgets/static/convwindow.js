// Which input pixel meets which entry of the kernel. Knows no DOM. The same as labkit/activations/operation.py, along one side.

/** @typedef {{kind: string, size: number, stride: number, padding: number, mode: string, dilation: number}} Operation */

/**
 * For each entry of the kernel, the input's place that meets it at an output position; below 0 or past the end it lies in the
 * padding, and null is none (in a transposed convolution).
 * @param {Operation} operation
 * @param {number} position
 * @returns {(number | null)[]}
 */
export function places({ kind, size, stride, padding, dilation }, position) {
  return Array.from({ length: size }, (_, k) => {
    if (kind !== "transposed") return position * stride - padding + k * dilation;
    const at = position + padding - k * dilation;
    return at % stride === 0 ? at / stride : null;
  });
}

/**
 * The pixel whose value stands at a place; null where the padding holds no pixel's value.
 * @param {string} mode
 * @param {number} place
 * @param {number} length of the input
 */
export function source(mode, place, length) {
  if (place >= 0 && place < length) return place;
  if (mode === "circular") return ((place % length) + length) % length;
  if (mode === "reflect") return place < 0 ? -place : 2 * (length - 1) - place;
  return null;
}

/**
 * The output positions that an input pixel reaches along one side, with the entry of the kernel by which it does.
 * @param {Operation} operation
 * @param {number} pixel
 * @param {number} length of the input
 * @param {number} outputs
 * @returns {{at: number, entry: number}[]}
 */
export function reached(operation, pixel, length, outputs) {
  const found = [];
  for (let at = 0; at < outputs; at += 1) {
    for (const [entry, place] of places(operation, at).entries()) {
      if (place !== null && source(operation.mode, place, length) === pixel) found.push({ at, entry });
    }
  }
  return found;
}

/**
 * @typedef {object} Sum one output value, taken apart
 * @property {{value: number | null, weight: number, product: number | null, row: number | null, column: number | null}[][]} channels
 *   for each channel that is summed, the kernel's entries row by row; value is null where no pixel meets the entry
 * @property {number} total in double precision
 */

/**
 * What meets the kernel at an output position.
 * @param {Operation} operation
 * @param {{data: ArrayLike<number>, shape: number[]}} input (channels, H, W)
 * @param {{data: ArrayLike<number>, shape: number[]}} weight (channels, size, size); of no meaning in pooling
 * @param {number[]} channels that are summed
 * @param {number} row
 * @param {number} column
 * @returns {Sum}
 */
export function sumAt(operation, input, weight, channels, row, column) {
  const [, height, width] = input.shape, { kind, size, mode } = operation;
  const rows = places(operation, row), columns = places(operation, column);
  const outside = kind === "max" ? -Infinity : 0;
  const parts = channels.map((channel) => rows.flatMap((y, i) => columns.map((x, j) => {
    const factor = weight.data[(channel * size + i) * size + j];
    if (y === null || x === null) return { value: null, weight: factor, product: null, row: null, column: null };
    const from = [source(mode, y, height), source(mode, x, width)];
    const beyond = kind === "transposed" ? null : outside;
    const value = from[0] === null || from[1] === null ? beyond : input.data[(channel * height + from[0]) * width + from[1]];
    return { value, weight: factor, product: value === null ? null : value * factor, row: y, column: x };
  })));
  const values = parts.flat().map((one) => one.value ?? 0);
  let total = parts.flat().reduce((sum, one) => sum + (one.product ?? 0), 0);
  if (kind === "max") total = Math.max(...values);
  if (kind === "average") total = values.reduce((sum, value) => sum + value, 0) / values.length;
  return { channels: parts, total };
}

/**
 * Where an input pixel goes: the outputs it reaches, each with the kernel's entry.
 * @param {Operation} operation
 * @param {number} row
 * @param {number} column
 * @param {number[]} input height and width
 * @param {number[]} output height and width
 */
export function outputsOf(operation, row, column, input, output) {
  const columns = reached(operation, column, input[1], output[1]);
  return reached(operation, row, input[0], output[0]).flatMap((down) => columns.map((across) =>
    ({ row: down.at, column: across.at, entry: down.entry * operation.size + across.entry })));
}
