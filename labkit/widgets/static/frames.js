// Binary frames: what labkit/widgets/wire.py packs, taken apart again. Knows no DOM.
// uint32 length of the header | header (JSON, padded to 8) | the arrays, each padded to 8.

/** @typedef {{data: any, shape: number[]}} Field an array with its shape, row-major */

const KINDS = /** @type {Record<string, any>} */ ({
  u1: Uint8Array, i1: Int8Array, u2: Uint16Array, i2: Int16Array, u4: Uint32Array, i4: Int32Array,
  f4: Float32Array, f8: Float64Array,
});

/**
 * IEEE half precision as float32.
 * @param {Uint16Array} halves
 * @returns {Float32Array}
 */
export function fromHalf(halves) {
  const out = new Float32Array(halves.length);
  for (let i = 0; i < halves.length; i += 1) {
    const sign = halves[i] & 0x8000 ? -1 : 1, power = (halves[i] >> 10) & 31, part = halves[i] & 1023;
    if (power === 31) out[i] = part ? NaN : sign * Infinity;
    else out[i] = sign * (power ? 2 ** (power - 15) * (1 + part / 1024) : 2 ** -14 * (part / 1024));
  }
  return out;
}

/**
 * @param {DataView | ArrayBuffer | Uint8Array} message
 * @returns {{header: any, arrays: Record<string, Field>}}
 */
export function unpack(message) {
  let bytes = ArrayBuffer.isView(message)
    ? new Uint8Array(message.buffer, message.byteOffset, message.byteLength)
    : new Uint8Array(message);
  if (bytes.byteOffset % 8) bytes = bytes.slice();
  const length = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(bytes.subarray(4, 4 + length)));
  /** @type {Record<string, Field>} */ const arrays = {};
  let at = 8 * Math.ceil((4 + length) / 8);
  for (const [name, kind, shape] of header.arrays) {
    const count = shape.reduce((/** @type {number} */ a, /** @type {number} */ b) => a * b, 1);
    const Kind = kind === "f2" ? Uint16Array : KINDS[kind];
    const data = new Kind(bytes.buffer, bytes.byteOffset + at, count);
    arrays[name] = { data: kind === "f2" ? fromHalf(data) : data, shape };
    at += 8 * Math.ceil(data.byteLength / 8);
  }
  delete header.arrays;
  return { header, arrays };
}

/** A column of numbers that grows at the end without copying each time. */
export class Column {
  constructor() {
    this.length = 0;
    this.data = new Float64Array(1024);
  }

  /** @param {ArrayLike<number>} values */
  append(values) {
    const length = this.length + values.length;
    if (length > this.data.length) {
      const larger = new Float64Array(2 * length);
      larger.set(this.data);
      this.data = larger;
    }
    this.data.set(values, this.length);
    this.length = length;
  }
}
