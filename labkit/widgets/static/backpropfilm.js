// The film of a training step: where it stands, what has appeared by then, and its clock. Knows no DOM.

/** @typedef {[stage: string, nodes: (number | string)[]]} BpBeat */
/** @typedef {{values: Set<number | string>, gradients: Set<number | string>, updated: Set<number | string>, lit: Set<number | string>, stage: string}} BpSeen */

export const BP_STAGES = /** @type {[string, string][]} */ ([["forward", "Forward"], ["loss", "Loss"], ["backward", "Backward"], ["update", "Update"]]);

/**
 * What has appeared when the film stands at beat `at`.
 * @param {BpBeat[]} beats
 * @param {number} at
 * @returns {BpSeen}
 */
export function backpropSeen(beats, at) {
  const seen = { values: new Set(), gradients: new Set(), updated: new Set(), lit: new Set(beats[at]?.[1] ?? []), stage: beats[at]?.[0] ?? "" };
  for (const [stage, nodes] of beats.slice(0, at + 1)) {
    const into = stage === "backward" ? seen.gradients : stage === "update" ? seen.updated : seen.values;
    for (const node of nodes) into.add(node);
  }
  return seen;
}

/** The first and the last beat of a stage; [-1, -1] where there is none. @param {BpBeat[]} beats @param {string} stage @returns {[number, number]} */
export function backpropStage(beats, stage) {
  const places = beats.flatMap(([name], k) => (name === stage ? [k] : []));
  return places.length ? [places[0], places[places.length - 1]] : [-1, -1];
}

/**
 * @param {{changed: () => void, rested: () => void, again: () => void}} heard `changed`: another beat is shown; `rested`: it
 *   stands there now; `again`: play was pressed at the end
 */
export function backpropFilm({ changed, rested, again }) {
  let beats = /** @type {BpBeat[]} */ ([]), at = 0, playing = false, pace = 1200, timer = 0, resting = 0;
  const rest = () => {
    clearTimeout(resting);
    if (!playing) resting = setTimeout(rested, 300);
  };
  const halt = () => {
    clearTimeout(timer);
    playing = false;
  };
  const arm = () => {
    clearTimeout(timer);
    if (playing) timer = setTimeout(tick, pace);
  };
  const go = (/** @type {number} */ beat) => {
    at = Math.max(0, Math.min(beats.length - 1, beat));
    changed();
    rest();
  };
  const tick = () => {
    if (at >= beats.length - 1) halt();
    else at += 1;
    if (at >= beats.length - 1) halt();
    changed();
    rest();
    arm();
  };
  return {
    get at() { return at; },
    get playing() { return playing; },
    get beats() { return beats; },
    get last() { return beats.length - 1; },
    /** Other beats; where it stands is kept. @param {BpBeat[]} next */
    load(next) {
      beats = next;
      at = Math.max(0, Math.min(at, beats.length - 1));
    },
    go(/** @type {number} */ beat) {
      halt();
      go(beat);
    },
    /** From Python: go there, playing or not. @param {number} beat */
    put(beat) {
      at = Math.max(0, Math.min(beats.length - 1, beat));
      arm();
    },
    toggle() {
      if (playing) halt();
      else {
        playing = true;
        if (at >= beats.length - 1) again();
        else tick();
      }
      changed();
      rest();
    },
    speed(/** @type {number} */ factor) {
      pace = 1200 / factor;
      arm();
    },
    stop() {
      halt();
      clearTimeout(resting);
    },
  };
}
