// The timeline of every live view: play, steps, the scrubber, rewind, fork, speed.
import { h, icon, put, say } from "./lab.js";
import { number, short, whole } from "./numbers.js";

/** @typedef {import("./lab.js").Stage} Stage */
/**
 * @typedef {object} Clock what the timeline shows
 * @property {string} status ready | playing | paused | finished | failed
 * @property {number} position the step that is shown
 * @property {number} last the newest step
 * @property {(step: number) => number} epoch epochs done after that many steps
 * @property {boolean} following whether the newest step is shown as it comes
 * @property {number | null} speed most steps a second; null is as fast as it goes
 * @property {boolean} busy a rewind or fork is under way
 * @property {number} [stepsPerEpoch] of a timeline in epochs
 */

const SPEEDS = /** @type {[number, string][]} */ ([[100, "100 steps/s"], [10, "10 steps/s"], [1, "1 step/s"]]);
const EPOCH_SPEEDS = /** @type {[number, string][]} */ ([[60, "60 epochs/s"], [10, "10 epochs/s"], [1, "1 epoch/s"]]);

/**
 * @param {Stage} stage
 * @param {{openFork: () => void, epochs?: boolean}} actions `epochs`: it counts in epochs, and a step on is one epoch
 * @returns {{element: HTMLElement, draw: (clock: Clock) => void, toggle: () => void, fork: HTMLButtonElement}}
 */
export function timeline({ link, signal }, { openFork, epochs = false }) {
  /** @type {Clock} */ let clock = { status: "ready", position: 0, last: 0, epoch: () => 0, following: true, speed: null, busy: false };
  // What was asked for last counts, not what is there until it is answered: a hand is faster.
  const playing = () => (link.wishes.findLast(({ action }) => action === "play" || action === "pause")?.action ?? (clock.status === "playing" ? "play" : "pause")) === "play";
  const sought = () => link.wished("seek").at(-1);
  const position = () => {
    const wish = sought();
    return wish ? wish.step ?? clock.last : clock.position;
  };
  const following = () => {
    const wish = sought();
    return wish ? wish.step === null : clock.following;
  };

  const toggle = () => link.do(playing() ? "pause" : "play");
  const button = (/** @type {string} */ name, /** @type {string} */ title, /** @type {() => void} */ run, /** @type {any[]} */ ...inside) =>
    h("button", { class: `lk-button lk-${name}`, title, "aria-label": title, "data-action": name, "data-needs-kernel": true, onclick: run }, ...inside);

  const play = button("play", "Play (space)", toggle, h("span", { class: "lk-swap" }, icon("play")), h("span", { class: "lk-word" }, "Play"));
  const unit = epochs ? "epoch" : "step";
  const back = button("back", `One ${unit} back: show the recorded ${unit} before (←)`, () => link.do("back"), icon("back"));
  const step = button("step", `One ${unit} on (→): trains one ${unit}, or shows the next recorded one`, () => link.do("step"), icon("step"));
  const rewind = button("rewind", "Rewind here: put the model back to the step shown", () => link.do("rewind"),
    icon("rewind"), "Rewind here");
  const fork = button("fork", "Fork here: a second run from the step shown, with other settings", openFork, icon("fork"), "Fork here");
  if (!epochs) fork.setAttribute("aria-expanded", "false");
  const live = button("live", "Show the newest step as it comes", () => link.do("seek", { step: null }), h("span", { class: "lk-dot" }), "Live");
  const scrubber = h("input", { type: "range", class: "lk-scrubber", min: 0, max: 1, value: 0, step: 1, "aria-label": "Step shown", "data-needs-kernel": true });
  const where = h("output", { class: "lk-where" }, h("b", {}), h("span", {}));
  const speed = h("select", { class: "lk-select", "aria-label": "Speed", title: "The most steps a second", "data-needs-kernel": true },
    h("option", { value: "" }, "Full speed"));

  scrubber.addEventListener("input", () => {
    const step = Number(scrubber.value);
    label(step);
    link.newest("seek", { step: step >= clock.last ? null : step });
  }, { signal });
  speed.addEventListener("change", () => link.do("speed", { value: speed.value ? Number(speed.value) : null }), { signal });

  let offered = 0; // the steps of an epoch for which the speeds are offered
  const offer = (/** @type {number} */ perEpoch) => {
    if (offered === perEpoch) return;
    offered = perEpoch;
    const speeds = epochs ? [...EPOCH_SPEEDS.map(([value, words]) => [value * perEpoch, words]), [1, "1 step/s"]] : SPEEDS;
    speed.replaceChildren(h("option", { value: "" }, "Full speed"), ...speeds.map(([value, words]) => h("option", { value }, words)));
  };

  const label = (/** @type {number} */ at) => {
    const epoch = clock.epoch(at);
    const words = [`Step ${whole(at)}`, `epoch ${epochs && Number.isInteger(epoch) ? whole(epoch) : number(epoch)}`];
    if (epochs) words.reverse();
    say(where.children[0], words[0][0].toUpperCase() + words[0].slice(1));
    say(where.children[1], words[1][0].toLowerCase() + words[1].slice(1));
    scrubber.setAttribute("aria-valuetext", `Step ${at} of ${clock.last}, epoch ${number(clock.epoch(at))}`);
  };

  const element = h("div", { class: "lk-timeline", role: "group", "aria-label": "Timeline" },
    h("div", { class: "lk-transport" }, back, play, step), scrubber, where, live,
    h("div", { class: "lk-later" }, rewind, fork, speed));

  return {
    element,
    toggle,
    fork,
    draw(next) {
      clock = next;
      const plays = playing(), at = position(), follows = following();
      if ((play.dataset.shows === "pause") !== plays || !play.dataset.shows) {
        play.dataset.shows = plays ? "pause" : "play";
        play.setAttribute("aria-label", plays ? "Pause (space)" : "Play (space)");
        play.title = plays ? "Pause (space)" : "Play (space)";
        play.children[0].replaceChildren(icon(plays ? "pause" : "play"));
        say(play.children[1], plays ? "Pause" : "Play");
      }
      scrubber.max = String(Math.max(1, clock.last));
      if (!scrubber.matches(":active")) scrubber.value = String(at); // else it is under the finger
      scrubber.style.setProperty("--lk-part", `${(100 * Number(scrubber.value)) / Math.max(1, clock.last)}%`);
      label(at);
      live.setAttribute("aria-pressed", String(follows));
      offer(clock.stepsPerEpoch ?? 1);
      const value = clock.speed ? String(clock.speed) : "";
      if (![...speed.options].some((option) => option.value === value)) {
        speed.append(h("option", { value }, `${short(Number(value))} steps/s`));
      }
      if (document.activeElement !== speed) put(link, speed, value);
      const off = (/** @type {HTMLElement} */ control, /** @type {boolean} */ yes) => control.toggleAttribute("data-off", yes);
      off(play, clock.busy);
      off(back, clock.busy || at <= 0);
      off(step, clock.busy || (plays && follows));
      off(rewind, clock.busy || (follows && at >= clock.last));
      off(fork, clock.busy);
      off(scrubber, clock.last === 0);
    },
  };
}
