// How an array of any shape is laid out as one picture. Knows no DOM.

/** @typedef {{rows: number, columns: number, flat: (row: number, column: number) => number, cell: (flat: number) => [number, number]}} BpTiles */

/**
 * A vector up to 16 is one row, a longer one wraps; a matrix is as it is; (C, H, W) tiles its C pictures, (O, I, H, W) has a
 * row of tiles for each O. Between tiles is one empty cell, for which `flat` is -1.
 * @param {number[]} shape
 * @returns {BpTiles}
 */
export function backpropTiles(shape) {
  const sizes = shape.length ? shape : [1];
  if (sizes.length === 1) {
    const [n] = sizes, columns = n <= 16 ? n : Math.ceil(Math.sqrt(2 * n));
    return {
      rows: Math.ceil(n / columns), columns,
      flat: (row, column) => (row * columns + column < n ? row * columns + column : -1),
      cell: (flat) => [Math.floor(flat / columns), flat % columns],
    };
  }
  const width = sizes[sizes.length - 1], height = sizes[sizes.length - 2];
  const tiles = sizes.slice(0, -2).reduce((product, size) => product * size, 1);
  const across = sizes.length === 2 ? 1 : sizes.length === 3 ? Math.ceil(Math.sqrt(tiles)) : sizes[sizes.length - 3];
  const down = Math.ceil(tiles / across);
  return {
    rows: down * (height + 1) - 1, columns: across * (width + 1) - 1,
    flat(row, column) {
      const [y, i] = [row % (height + 1), Math.floor(row / (height + 1))], [x, j] = [column % (width + 1), Math.floor(column / (width + 1))];
      const tile = i * across + j;
      return y === height || x === width || tile >= tiles ? -1 : (tile * height + y) * width + x;
    },
    cell(flat) {
      const x = flat % width, y = Math.floor(flat / width) % height, tile = Math.floor(flat / (width * height));
      return [Math.floor(tile / across) * (height + 1) + y, (tile % across) * (width + 1) + x];
    },
  };
}

/** The place of an entry: 5 in (2, 3) is [1, 2]. @param {number} flat @param {number[]} shape @returns {number[]} */
export function backpropPlace(flat, shape) {
  const place = [];
  for (let k = shape.length - 1, rest = flat; k >= 0; rest = Math.floor(rest / shape[k]), k -= 1) place.unshift(rest % shape[k]);
  return place;
}
