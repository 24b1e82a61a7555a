// The timeline of every live view: play, steps, the scrubber, rewind, fork, speed.
import { h, icon, say } from "./lab.js";
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
 */

const SPEEDS = [["", "Full speed"], ["100", "100 steps/s"], ["10", "10 steps/s"], ["1", "1 step/s"]];

/**
 * @param {Stage} stage
 * @param {{openFork: () => void}} actions
 * @returns {{element: HTMLElement, draw: (clock: Clock) => void, toggle: () => void, fork: HTMLButtonElement}}
 */
export function timeline({ link, signal }, actions) {
  /** @type {Clock} */ let clock = { status: "ready", position: 0, last: 0, epoch: () => 0, following: true, speed: null, busy: false };
  let wanted = /** @type {number | null} */ (null); // the step under the finger while it scrubs
  let asked = 0;

  const toggle = () => link.do(clock.status === "playing" ? "pause" : "play");
  const button = (/** @type {string} */ name, /** @type {string} */ title, /** @type {() => void} */ run, /** @type {any[]} */ ...inside) =>
    h("button", { class: `lk-button lk-${name}`, title, "aria-label": title, "data-action": name, "data-needs-kernel": true, onclick: run }, ...inside);

  const play = button("play", "Play (space)", toggle, h("span", { class: "lk-swap" }, icon("play")), h("span", { class: "lk-word" }, "Play"));
  const back = button("back", "One step back: show the recorded step before (←)", () => link.do("back"), icon("back"));
  const step = button("step", "One step on (→): trains one step, or shows the next recorded one", () => link.do("step"), icon("step"));
  const rewind = button("rewind", "Rewind here: put the model back to the step shown", () => link.do("rewind", { step: clock.position }),
    icon("rewind"), "Rewind here");
  const fork = button("fork", "Fork here: a second run from the step shown, with other settings", () => actions.openFork(), icon("fork"), "Fork here");
  fork.setAttribute("aria-expanded", "false");
  const live = button("live", "Show the newest step as it comes", () => link.do("seek", { step: null }), h("span", { class: "lk-dot" }), "Live");
  const scrubber = h("input", { type: "range", class: "lk-scrubber", min: 0, max: 1, value: 0, step: 1, "aria-label": "Step shown", "data-needs-kernel": true });
  const where = h("output", { class: "lk-where" }, h("b", {}), h("span", {}));
  const speed = h("select", { class: "lk-select", "aria-label": "Speed", title: "The most steps a second", "data-needs-kernel": true },
    ...SPEEDS.map(([value, label]) => h("option", { value }, label)));

  const flush = () => {
    asked = 0;
    if (wanted !== null) link.do("seek", { step: wanted >= clock.last ? null : wanted });
  };
  scrubber.addEventListener("input", () => {
    wanted = Number(scrubber.value);
    label(wanted);
    if (!asked) asked = requestAnimationFrame(flush);
  }, { signal });
  scrubber.addEventListener("change", () => {
    if (asked) {  // an arrow key or a fast click: input and change come in one go
      cancelAnimationFrame(asked);
      flush();
    }
    wanted = null;
  }, { signal });
  speed.addEventListener("change", () => link.do("speed", { value: speed.value ? Number(speed.value) : null }), { signal });

  const label = (/** @type {number} */ at) => {
    say(where.children[0], `Step ${whole(at)}`);
    say(where.children[1], `epoch ${number(clock.epoch(at))}`);
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
      const playing = clock.status === "playing";
      if ((play.dataset.shows === "pause") !== playing || !play.dataset.shows) {
        play.dataset.shows = playing ? "pause" : "play";
        play.setAttribute("aria-label", playing ? "Pause (space)" : "Play (space)");
        play.title = playing ? "Pause (space)" : "Play (space)";
        play.children[0].replaceChildren(icon(playing ? "pause" : "play"));
        say(play.children[1], playing ? "Pause" : "Play");
      }
      scrubber.max = String(Math.max(1, clock.last));
      const at = wanted ?? clock.position;
      if (wanted === null) scrubber.value = String(clock.position);
      scrubber.style.setProperty("--lk-part", `${(100 * at) / Math.max(1, clock.last)}%`);
      label(at);
      live.setAttribute("aria-pressed", String(clock.following));
      const value = clock.speed ? String(clock.speed) : "";
      if (![...speed.options].some((option) => option.value === value)) {
        speed.append(h("option", { value }, `${short(Number(value))} steps/s`));
      }
      if (document.activeElement !== speed) speed.value = value;
      const off = (/** @type {HTMLElement} */ control, /** @type {boolean} */ yes) => control.toggleAttribute("data-off", yes);
      off(play, clock.busy);
      off(back, clock.busy || clock.position <= 0);
      off(step, clock.busy || (playing && clock.following));
      off(rewind, clock.busy || (clock.following && clock.position >= clock.last));
      off(fork, clock.busy);
      off(scrubber, clock.last === 0);
    },
  };
}
