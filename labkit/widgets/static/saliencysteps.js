// What SaliencyView's sliders over nets work out: stops, bars above them, which maps are still the same. Knows no DOM.

/** The stop that many further on, at the ends the last. @param {any[]} stops @param {any} now @param {number} by @returns {any} */
export function salStop(stops, now, by) {
  const at = Math.max(0, stops.indexOf(now));
  return stops[Math.min(stops.length - 1, Math.max(0, at + by))];
}

/**
 * Bars above a slider's stops: where each stands, in parts of the way of the thumb, and how high it is; null where nothing is known yet.
 * @param {(number | null)[]} values 0 to 1
 * @returns {{at: number, height: number | null}[]}
 */
export function salBars(values) {
  const last = Math.max(1, values.length - 1);
  return values.map((value, i) => ({ at: i / last, height: value === null || !Number.isFinite(value) ? null : Math.min(1, Math.max(0, value)) }));
}

/**
 * Methods by how much their maps are like those compared with, the most first; those that cannot be compared are left out.
 * @param {Record<string, {like?: {rank: number | null, ssim: number | null} | null}>} tiles
 * @returns {{method: string, rank: number, ssim: number | null}[]}
 */
export function salAlike(tiles) {
  const found = [];
  for (const [method, { like }] of Object.entries(tiles)) if (like && like.rank !== null) found.push({ method, rank: like.rank, ssim: like.ssim });
  return found.sort((a, b) => b.rank - a.rank);
}
