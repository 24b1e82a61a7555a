// The controls of a training view: learning rate, stop conditions, runs, fork.
import { settingsText } from "./history.js";
import { h, icon, onForm, put, say } from "./lab.js";
import { number, short, whole } from "./numbers.js";

/** @typedef {import("./lab.js").Stage} Stage */

/** What a person typed as a number; null for nothing or nonsense. @param {string} text */
const typed = (text) => (text.trim() === "" || !Number.isFinite(Number(text)) ? null : Number(text));

/** The learning rate, changed while it trains: a log slider and a number. @param {Stage} stage */
export function rateControl({ link, signal }) {
  const slider = h("input", { type: "range", min: -5, max: 1, step: 0.05, class: "lk-slider", "aria-label": "Learning rate, on a log scale", "data-needs-kernel": true });
  const field = h("input", { type: "text", inputmode: "decimal", class: "lk-number", "aria-label": "Learning rate", "data-needs-kernel": true });
  const set = (/** @type {number | null} */ lr) => { if (lr !== null && lr > 0) link.newest("set", { lr }, "lr"); };
  slider.addEventListener("input", () => {
    const lr = Number((10 ** Number(slider.value)).toPrecision(2));
    field.value = String(lr);
    set(lr);
  }, { signal });
  field.addEventListener("change", () => set(typed(field.value)), { signal });
  // The notebook takes Enter for itself, so that no change event comes.
  field.addEventListener("keydown", (event) => { if (event.key === "Enter") set(typed(field.value)); }, { signal });
  return {
    element: h("label", { class: "lk-field lk-rate" }, h("span", {}, "Learning rate"), slider, field),
    draw(/** @type {any} */ run) {
      const lr = run.settings.lr;
      if (lr == null) return;
      if (document.activeElement !== field) put(link, field, lr < 1e4 ? String(Number(lr.toPrecision(3))) : lr.toExponential(0).replace("+", ""));
      if (!slider.matches(":active")) put(link, slider, String(Math.log10(lr)));
      slider.setAttribute("aria-valuetext", short(lr));
    },
  };
}

/** When to stop by itself, at a step or, where `epochs`, at an epoch. @param {Stage} stage @param {boolean} [epochs] */
export function stopMenu({ link, signal }, epochs = false) {
  const unit = epochs ? "epoch" : "step";
  let perUnit = 1; // steps
  const rows = /** @type {[string, string, string][]} */ ([
    ["step", `at ${unit}`, epochs ? "e.g. 100" : "e.g. 500"], ["test_accuracy", "at test accuracy ≥", "e.g. 0.95"], ["test_loss", "at test loss ≤", "e.g. 0.1"]]);
  const fields = rows.map(([key, word, hint]) => h("input", { type: "text", inputmode: "decimal", class: "lk-number", placeholder: hint, "aria-label": `Stop ${word}`, "data-key": key, "data-needs-kernel": true }));
  const summary = h("span", {}, "Stop when…");
  const button = h("button", { class: "lk-button", "aria-expanded": "false", title: `Stop by itself at ${epochs ? "an epoch" : "a step"}, an accuracy or a loss` }, summary);
  const box = h("form", { class: "lk-popover", hidden: true }, h("b", {}, "Stop by itself"),
    ...rows.map(([, word], i) => h("label", { class: "lk-field" }, h("span", {}, word), fields[i])),
    h("div", { class: "lk-row" }, h("button", { class: "lk-button lk-primary", type: "submit", "data-needs-kernel": true }, "Set"),
      h("button", { class: "lk-button", onclick: () => { for (const field of fields) field.value = ""; submit(); } }, "Never")));
  const open = (/** @type {boolean} */ yes) => {
    box.hidden = !yes;
    button.setAttribute("aria-expanded", String(yes));
    if (yes) fields[0].focus();
  };
  button.addEventListener("click", () => open(box.hidden), { signal });
  const submit = () => {
    const conditions = Object.fromEntries(fields.map((field) => [field.dataset.key, typed(field.value)]).filter(([, value]) => Number(value) > 0));
    if (conditions.step) conditions.step = Math.round(conditions.step * perUnit);
    link.do("stop_when", { conditions });
    close();
  };
  const close = () => {
    open(false);
    button.focus();
  };
  onForm(box, submit, close, signal);
  const element = h("div", { class: "lk-menu" }, button, box);
  document.addEventListener("pointerdown", (event) => {
    if (!box.hidden && !element.contains(/** @type {Node} */ (event.target))) open(false);
  }, { signal });
  let last = "";
  return {
    element,
    close: () => open(false),
    draw(/** @type {any} */ run) {
      for (const field of fields) field.parentElement.hidden = field.dataset.key !== "step" && !link.columns[`${run.id}.${field.dataset.key}`];
      if (epochs) perUnit = run.steps_per_epoch;
      const { step, ...others } = run.stop_when ?? {}, when = step == null ? others : { ...others, step: step / perUnit };
      const key = JSON.stringify(when);
      if (key === last) return;
      last = key;
      for (const field of fields) field.value = when[field.dataset.key] ?? "";
      const parts = [when.step != null && `${unit} ${epochs ? short(when.step) : whole(when.step)}`, when.test_accuracy != null && `accuracy ${short(when.test_accuracy)}`,
        when.test_loss != null && `loss ${short(when.test_loss)}`].filter(Boolean);
      say(summary, parts.length ? `Stops at ${parts.join(" or ")}` : "Stop when…");
    },
  };
}

/** The runs of this view, when there is more than one. @param {Stage} stage */
export function runChips({ link, signal }) {
  const list = h("div", { class: "lk-chips", role: "group", "aria-label": "Runs" });
  const all = h("input", { type: "checkbox", "data-needs-kernel": true });
  all.addEventListener("change", () => link.do("play_all", { on: all.checked }), { signal });
  const note = h("span", { class: "lk-note" }, "They take turns: runs that play at once share this machine, so each is slower.");
  const element = h("div", { class: "lk-runs", hidden: true }, list,
    h("label", { class: "lk-field lk-check", title: "Play all runs in turn" }, all, h("span", {}, "Play all")), note);
  let built = "";
  return {
    element,
    draw() {
      const { runs, active, live } = link.state;
      element.hidden = runs.length < 2;
      put(link, all, Boolean(link.state.play_all));
      note.hidden = !link.state.play_all;
      const key = JSON.stringify(runs.map((/** @type {any} */ run) => [run.id, run.name, run.settings, run.forked_at])) + active;
      if (key !== built) {
        built = key;
        const focused = Number(document.activeElement?.closest?.("[data-run]")?.getAttribute("data-run") ?? -1);
        list.replaceChildren(...runs.map((/** @type {any} */ run) => {
          const chosen = run.id === active;
          return h("span", { class: "lk-chip", "data-chosen": chosen ? "yes" : "no" },
            h("button", { class: "lk-chip-name", "data-run": run.id, "aria-pressed": String(chosen), "data-needs-kernel": true,
              title: chosen ? "This run is in colour and has the controls" : "Give this run the controls",
              onclick: () => link.do("activate", { run: run.id }) },
            h("i", {}), h("b", {}, run.name), h("span", {}, settingsText(run.settings) + (run.forked_at != null ? ` · forked at ${whole(run.forked_at)}` : "")),
            h("span", { class: "lk-chip-step" })),
            runs.length > 1 && !chosen ? h("button", { class: "lk-chip-close", title: `Take run ${run.name} away`, "aria-label": `Take run ${run.name} away`, "data-needs-kernel": true,
              onclick: () => link.do("remove", { run: run.id }) }, icon("close")) : null);
        }));
        if (focused >= 0) list.querySelector(`[data-run="${focused}"]`)?.focus();
      }
      for (const chip of list.querySelectorAll(".lk-chip-name")) {
        say(chip.querySelector(".lk-chip-step"), `now at step ${whole(live?.[chip.dataset.run]?.step ?? 0)}`);
      }
    },
  };
}

/** The form that makes a second run with other settings. @param {Stage} stage @param {HTMLButtonElement} opener */
export function forkForm({ link, signal, draw }, opener) {
  const field = (/** @type {string} */ key, /** @type {string} */ word) => {
    const input = h("input", { type: "text", inputmode: "decimal", class: "lk-number", "data-key": key, "data-needs-kernel": true });
    return { input, element: h("label", { class: "lk-field" }, h("span", {}, word), input) };
  };
  const lr = field("lr", "Learning rate"), batch = field("batch_size", "Batch size"), seed = field("seed", "Seed");
  const optimizer = h("select", { class: "lk-select", "data-key": "optimizer", "aria-label": "Optimizer", "data-needs-kernel": true });
  const heading = h("b", {});
  const element = h("form", { class: "lk-form", hidden: true }, heading, lr.element, batch.element,
    h("label", { class: "lk-field" }, h("span", {}, "Optimizer"), optimizer), seed.element,
    h("div", { class: "lk-row" }, h("button", { class: "lk-button lk-primary", type: "submit", "data-action": "make-fork", "data-needs-kernel": true }, icon("fork"), "Make the fork"),
      h("button", { class: "lk-button", onclick: () => open(false) }, "Cancel")));
  let run = /** @type {any} */ (null), now = /** @type {any} */ (null);
  const open = (/** @type {boolean} */ yes) => {
    if (yes && run) {
      const settings = run.settings;
      lr.input.value = settings.lr ?? "";
      batch.input.value = settings.batch_size ?? "";
      seed.input.value = settings.seed ?? "";
      const names = [...new Set([...(link.state.optimizers ?? []), settings.optimizer].filter(Boolean))];
      optimizer.replaceChildren(...names.map((name) => h("option", { value: name, selected: name === settings.optimizer }, name)));
    }
    if (!yes && element.contains(document.activeElement)) opener.focus();
    element.hidden = !yes;
    opener.setAttribute("aria-expanded", String(yes));
    draw();
    if (yes) lr.input.select();
  };
  const submit = () => {
    const settings = /** @type {Record<string, any>} */ ({});
    for (const { input } of [lr, batch, seed]) {
      const value = typed(input.value);
      if (value !== null && value !== run.settings[input.dataset.key ?? ""]) settings[input.dataset.key ?? ""] = value;
    }
    if (optimizer.value && optimizer.value !== run.settings.optimizer) settings.optimizer = optimizer.value;
    link.do("fork", { step: now.position, settings });
    open(false);
  };
  onForm(element, submit, () => open(false), signal);
  return {
    element,
    toggle: () => open(element.hidden),
    close: () => open(false),
    draw(/** @type {any} */ nextRun, /** @type {any} */ nextNow) {
      run = nextRun;
      now = nextNow;
      if (!element.hidden) say(heading, `A second run from step ${whole(now.position)}`);
    },
  };
}
