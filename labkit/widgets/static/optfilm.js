// The film of an optimisers' view: play, step and scrub through steps that are all known. Its clock runs in the page.
import { h, icon, say } from "./lab.js";
import { whole } from "./numbers.js";

/** @typedef {import("./lab.js").Stage} Stage */

const SPEEDS = [60, 20, 5];

/** @param {Stage} stage @param {string} [noun] of what is played, one by one @param {number} [first] the number of the first */
export function optFilm(stage, noun = "step", first = 0) {
  const { signal } = stage, name = noun[0].toUpperCase() + noun.slice(1);
  let last = 0, shown = -1, playing = false, part = 0, clock = 0; // part: of a step, passed since the step shown
  const button = (/** @type {string} */ action, /** @type {string} */ title, /** @type {() => void} */ run, /** @type {any[]} */ ...inside) =>
    h("button", { class: `lk-button lk-${action}`, title, "aria-label": title, "data-action": action, onclick: run }, ...inside);
  const play = button("play", "Play (space)", () => toggle(), h("span", { class: "lk-swap" }, icon("play")), h("span", { class: "lk-word" }, "Play"));
  const back = button("back", `One ${noun} back (←)`, () => show(shown - 1), icon("back"));
  const on = button("step", `One ${noun} on (→)`, () => show(shown + 1), icon("step"));
  const scrubber = h("input", { type: "range", class: "lk-scrubber", min: 0, max: 1, value: 0, step: 1, "aria-label": `${name} shown`, oninput: () => show(Number(scrubber.value)) });
  const where = h("output", { class: "lk-where" }, h("b", {}), h("span", {}));
  const speed = h("select", { class: "lk-select", "aria-label": "Speed" }, ...SPEEDS.map((value) => h("option", { value, selected: value === 20 }, `${value} ${noun}s/s`)));
  const element = h("div", { class: "lk-timeline", role: "group", "aria-label": "Timeline" },
    h("div", { class: "lk-transport" }, back, play, on), scrubber, where, h("div", { class: "lk-later" }, speed));

  const stop = () => {
    playing = false;
    cancelAnimationFrame(clock);
  };
  const show = (/** @type {number} */ step) => {
    stop();
    shown = Math.min(last, Math.max(0, step));
    stage.draw();
  };
  const toggle = () => {
    if (playing) stop();
    else {
      if (shown >= last) shown = 0;
      [playing, part] = [true, 0];
      let before = performance.now();
      const tick = (/** @type {number} */ now) => {
        part += (Math.max(0, now - before) / 1000) * Number(speed.value);
        before = now;
        shown = Math.min(last, shown + Math.floor(part));
        part -= Math.floor(part);
        if (shown >= last) stop();
        else clock = requestAnimationFrame(tick);
        stage.draw();
      };
      clock = requestAnimationFrame(tick);
    }
    stage.draw();
  };
  signal.addEventListener("abort", stop);

  return {
    element,
    toggle,
    show,
    get playing() { return playing; },
    get shown() { return shown; },
    /** @param {number} steps of the paths; at first the last one is shown, and it stays shown when their number changes */
    draw(steps) {
      if (shown < 0 || shown === last) shown = steps;
      last = steps;
      shown = Math.min(shown, last);
      if (play.dataset.shows !== String(playing)) {
        play.dataset.shows = String(playing);
        const words = playing ? "Pause" : "Play";
        play.title = `${words} (space)`;
        play.setAttribute("aria-label", play.title);
        play.children[0].replaceChildren(icon(words.toLowerCase()));
        say(play.children[1], words);
      }
      scrubber.max = String(last);
      scrubber.value = String(shown);
      scrubber.style.setProperty("--lk-part", `${(100 * shown) / last}%`);
      scrubber.setAttribute("aria-valuetext", `${name} ${shown + first} of ${last + first}`);
      say(where.children[0], `${name} ${whole(shown + first)}`);
      say(where.children[1], `of ${whole(last + first)}`);
      back.disabled = shown <= 0;
      on.disabled = shown >= last;
    },
  };
}
