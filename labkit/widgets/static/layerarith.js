// The arithmetic and geometry of LayerView: windows, where a pixel goes, the colours' rule, the sweep. Knows no DOM.
// Places are [row, column]. A Windows is {kernel, stride, padding, dilation}, each [vertical, horizontal].

/** @typedef {{kernel: number[], stride: number[], padding: number[], dilation: number[]}} Windows */
/** @typedef {{top: number, left: number, bottom: number, right: number}} Box half-open: bottom and right are one past the last */
/** @typedef {{row: number, column: number, k: number, inside: boolean}} Tap one place of a window, and the kernel's entry over it */

/**
 * The places that the window of an output place looks at, in the kernel's order; those in the padding are not inside.
 * @param {Windows} windows
 * @param {number[]} place of the output
 * @param {number[]} size of the input
 * @returns {Tap[]}
 */
export function lyTaps({ kernel, stride, padding, dilation }, [i, j], [height, width]) {
  const taps = [];
  for (let a = 0; a < kernel[0]; a += 1) {
    for (let b = 0; b < kernel[1]; b += 1) {
      const row = i * stride[0] - padding[0] + a * dilation[0], column = j * stride[1] - padding[1] + b * dilation[1];
      taps.push({ row, column, k: a * kernel[1] + b, inside: row >= 0 && row < height && column >= 0 && column < width });
    }
  }
  return taps;
}

/** The window of an output place as a box, which may reach over the edge. @param {Windows} windows @param {number[]} place @returns {Box} */
export function lyWindow({ kernel, stride, padding, dilation }, [i, j]) {
  const top = i * stride[0] - padding[0], left = j * stride[1] - padding[1];
  return { top, left, bottom: top + (kernel[0] - 1) * dilation[0] + 1, right: left + (kernel[1] - 1) * dilation[1] + 1 };
}

/**
 * The output places whose window looks at an input place.
 * @param {Windows} windows
 * @param {number[]} place of the input
 * @param {number[]} size of the output
 * @returns {number[][]} places
 */
export function lyReached({ kernel, stride, padding, dilation }, [row, column], size) {
  const along = (/** @type {number} */ at, /** @type {number} */ d) => {
    const found = [];
    for (let k = 0; k < kernel[d]; k += 1) {
      const shifted = at + padding[d] - k * dilation[d];
      if (shifted % stride[d] === 0 && shifted >= 0 && shifted / stride[d] < size[d]) found.push(shifted / stride[d]);
    }
    return found.reverse();
  };
  const columns = along(column, 1);
  return along(row, 0).flatMap((i) => columns.map((j) => [i, j]));
}

/** The box around places; null around none. @param {number[][]} places @returns {Box | null} */
export function lyAround(places) {
  if (!places.length) return null;
  const rows = places.map(([row]) => row), columns = places.map(([, column]) => column);
  return { top: Math.min(...rows), left: Math.min(...columns), bottom: Math.max(...rows) + 1, right: Math.max(...columns) + 1 };
}

/**
 * Window × kernel for one channel: what each place of the window adds, and their sum.
 * @param {Tap[]} taps
 * @param {{data: ArrayLike<number>, shape: number[]}} inputs (channels, H, W)
 * @param {{data: ArrayLike<number>, shape: number[]}} kernels (channels, h, w)
 * @param {number} channel
 * @returns {{cells: {value: number, weight: number, product: number, inside: boolean}[], sum: number}}
 */
export function lyProducts(taps, inputs, kernels, channel) {
  const [, height, width] = inputs.shape, size = kernels.shape[1] * kernels.shape[2];
  let sum = 0;
  const cells = taps.map(({ row, column, k, inside }) => {
    const value = inside ? inputs.data[(channel * height + row) * width + column] : 0, weight = kernels.data[channel * size + k];
    sum += value * weight;
    return { value, weight, product: value * weight, inside };
  });
  return { cells, sum };
}

/**
 * Half the width of a map's colour scale: a unit's own reach, its layer's, or the whole network's.
 * @param {"unit" | "layer" | "network"} rule
 * @param {number} unit
 * @param {number} layer
 * @param {ArrayLike<number>} layers
 */
export function lyReach(rule, unit, layer, layers) {
  const most = rule === "unit" ? unit : rule === "layer" ? layer : Math.max(...Array.from(layers).filter(Number.isFinite));
  return most > 0 ? most : 1;
}

/**
 * For each byte of a map the index of a 256-colour table: bytes are on the unit's own reach, the colours on `most`.
 * @param {number} reach of the unit
 * @param {number} most half the width of the scale
 * @returns {Uint8Array} 256 indices; that of byte 0, which is no number, does not count
 */
export function lyIndices(reach, most) {
  return Uint8Array.from({ length: 256 }, (_, byte) => {
    const share = ((byte - 128) / 127) * (reach / most);
    return Math.min(255, Math.max(0, Math.round(127.5 + 127.5 * share)));
  });
}

/**
 * Which places of a layer look at a pixel: the range along one side.
 * @param {ArrayLike<number>} looks (n, 2): the first and one past the last pixel that each place looks at
 * @param {number} pixel
 * @returns {[number, number] | null} the first and one past the last of these places
 */
export function lyLooking(looks, pixel) {
  let first = -1, last = -1;
  for (let i = 0; i < looks.length / 2; i += 1) {
    if (looks[2 * i] <= pixel && pixel < looks[2 * i + 1]) {
      if (first < 0) first = i;
      last = i;
    }
  }
  return first < 0 ? null : [first, last + 1];
}

/** The place that a sweep stands at, row by row. @param {number} at @param {number[]} size @returns {number[]} */
export const lyPlace = (at, [, width]) => [Math.floor(at / width), at % width];

/**
 * How far a sweep has come after some time.
 * @param {number} from
 * @param {number} speed places a second
 * @param {number} milliseconds
 * @param {number} count of all places
 */
export const lySwept = (from, speed, milliseconds, count) => Math.min(count - 1, Math.floor(from + (speed * milliseconds) / 1000));

/** The place with the value of largest size. @param {{data: ArrayLike<number>, shape: number[]}} map (H, W) @returns {number[]} */
export function lyLargest({ data, shape }) {
  let best = 0;
  for (let i = 1; i < data.length; i += 1) if (Math.abs(data[i]) > Math.abs(data[best])) best = i;
  return lyPlace(best, shape);
}

/**
 * How a picture is cut so that it fills another shape: the middle part of it.
 * @param {number} width of the picture
 * @param {number} height
 * @param {number[]} size [height, width] to fill
 * @returns {{x: number, y: number, width: number, height: number}}
 */
export function lyCut(width, height, size) {
  const scale = Math.min(width / size[1], height / size[0]);
  const w = size[1] * scale, h = size[0] * scale;
  return { x: (width - w) / 2, y: (height - h) / 2, width: w, height: h };
}

/** The last part of a layer's name, with the number of its call. @param {string} name */
export const lyBrief = (name) => name.slice(name.lastIndexOf(".") + 1);

/** How many units are shown of how many, in words. @param {number} shown @param {number} all */
export const lyMore = (shown, all) => (all > shown ? `+${all - shown} more` : "");

/**
 * A sum in words: "0.5 (channel 0) − 0.2 (channel 3) + 0.1 (bias)".
 * @param {[number, string][]} parts
 * @param {(value: number) => string} number
 */
export function lyAdded(parts, number) {
  return parts.map(([value, name], i) => `${i ? (value < 0 ? " − " : " + ") : ""}${number(i ? Math.abs(value) : value)} (${name})`).join("");
}
