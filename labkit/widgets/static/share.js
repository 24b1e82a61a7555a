// What one takes away: the code that rebuilds this network, and a string that another person can paste.
import { h, onForm, say } from "./lab.js";

/** @typedef {import("./lab.js").Stage} Stage */

/** A button that copies what `text` gives and says so. @param {() => string} text @param {HTMLElement} shown where it can be selected by hand */
function copyButton(text, shown) {
  const button = h("button", { class: "lk-button", "data-action": "copy", onclick: async () => {
    let done = true;
    try {
      await navigator.clipboard.writeText(text());
    } catch {
      // Without leave to write to the clipboard it is selected, to be copied by hand.
      getSelection()?.selectAllChildren(shown);
      if (shown instanceof HTMLInputElement) shown.select();
      done = document.execCommand("copy");
    }
    say(button, done ? "Copied" : "Press Ctrl+C");
    setTimeout(() => say(button, "Copy"), 1600);
  } }, "Copy");
  return button;
}

/**
 * A button and what it opens.
 * @param {string} name
 * @param {string} words
 * @param {string} title
 * @param {() => void} toggle
 */
function opener(name, words, title, toggle) {
  return h("button", { class: "lk-button", "data-action": name, "aria-expanded": "false", title, onclick: toggle }, words);
}

/**
 * The panels "Code" and "Share" with their buttons; one is open at a time.
 * @param {Stage} stage
 */
export function share(stage) {
  const { link, signal } = stage;
  let open = "", asked = false; // asked: for the code as it is now

  const code = h("code", {}), pre = h("pre", { class: "pg-code", tabindex: 0, "aria-label": "PyTorch program" }, code);
  const codePanel = h("section", { class: "pg-panel", hidden: true, "aria-label": "Code" },
    h("div", { class: "pg-panel-head" }, h("b", {}, "This network and its training in PyTorch"),
      h("span", { class: "lk-note" }, "In a cell it builds and trains exactly this, and ends with the same weights."),
      copyButton(() => code.textContent, pre)), pre);

  const own = h("input", { class: "lk-number pg-string", readonly: true, "aria-label": "This playground as a string", onfocus: () => own.select() });
  const pasted = h("input", { class: "lk-number pg-string", placeholder: "playground1?…", "aria-label": "A string to load",
    autocomplete: "off", spellcheck: "false", "data-needs-kernel": true });
  const form = h("form", { class: "pg-line" }, h("label", {}, h("span", {}, "Another person's"), pasted),
    h("button", { class: "lk-button lk-primary", type: "submit", "data-action": "paste", "data-needs-kernel": true }, "Load"));
  const sharePanel = h("section", { class: "pg-panel", hidden: true, "aria-label": "Share" },
    h("div", { class: "pg-line" }, h("label", {}, h("span", {}, "This playground"), own), copyButton(() => own.value, own)), form,
    h("p", { class: "lk-note" }, "The string holds every setting, your own points and the start weights set by hand: who loads it sees the very same run."));
  const load = () => { if (pasted.value.trim()) link.do("paste", { text: pasted.value.trim() }); };

  const panels = /** @type {Record<string, HTMLElement>} */ ({ code: codePanel, share: sharePanel });
  const toggle = (/** @type {string} */ name) => {
    open = open === name ? "" : name;
    for (const [key, panel] of Object.entries(panels)) panel.hidden = key !== open;
    for (const [key, button] of Object.entries(buttons)) button.setAttribute("aria-expanded", String(key === open));
    stage.draw();
  };
  const buttons = /** @type {Record<string, HTMLElement>} */ ({
    code: opener("code", "Code", "PyTorch that rebuilds exactly this network and its training", () => toggle("code")),
    share: opener("share", "Share", "The whole playground as a string, and loading another's", () => toggle("share")),
  });
  onForm(form, load, () => toggle(open), signal);

  return {
    buttons: [buttons.code, buttons.share],
    panels: [codePanel, sharePanel],
    close: () => { if (open) toggle(open); },
    draw() {
      if (link.state.code != null) asked = false;
      else if (open === "code" && !asked) {
        link.do("code");
        asked = true;
      }
      if (open === "code") say(code, link.state.code ?? "Writing it …");
      if (open === "share" && own.value !== link.state.share) own.value = link.state.share ?? "";
    },
  };
}
