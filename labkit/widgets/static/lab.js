// What all views share in the page: elements, theme, sharp canvases, tooltips, keys, the frame around a view.
import { Link } from "./link.js";

/**
 * An element: h("button", {class: "lk-button", onclick}, "Play"). Properties beginning with "on" are listeners;
 * what can take the focus keeps the notebook's single-letter shortcuts away.
 * @param {string} tag
 * @param {Record<string, any>} [properties]
 * @param {...(Node | string | null)} children
 * @returns {any}
 */
export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value != null) element.setAttribute(name, String(value));
  }
  if (["button", "input", "select", "summary"].includes(tag) || "tabindex" in properties) {
    element.setAttribute("data-lm-suppress-shortcuts", "true");
  }
  if (tag === "button" && !properties.type) element.setAttribute("type", "button");
  element.append(...children.filter((child) => child != null));
  return element;
}

const ICONS = /** @type {Record<string, string>} */ ({
  play: "M5 3.2v9.6L13 8z",
  pause: "M4.5 3.5h2.6v9H4.5zM8.9 3.5h2.6v9H8.9z",
  step: "M3.5 3.5v9l6-4.5zM10.5 3.5h2v9h-2z",
  back: "M12.5 3.5v9l-6-4.5zM3.5 3.5h2v9h-2z",
  rewind: "M8 3a5 5 0 1 1-4.8 6.4l1.5-.4A3.5 3.5 0 1 0 8 4.5H6.6l1.3 1.3-1 1L3.8 3.8 6.9.7l1 1L6.6 3z",
  fork: "M4 1.5a2 2 0 0 1 .75 3.85v5.3a2 2 0 1 1-1.5 0v-5.3A2 2 0 0 1 4 1.5zm8 0a2 2 0 0 1 .75 3.85C12.6 8 9.7 8.6 6.8 9.2L6 7.9"
    + "c3-.6 5.100-1 5.250-2.550A2 2 0 0 1 12 1.500z",
  close: "M4.200 3.100 8 6.900l3.800-3.800 1.100 1.100L9.100 8l3.800 3.800-1.100 1.100L8 9.100l-3.800 3.800-1.100-1.100L6.900 8 3.100 4.200z",
});

/** A small picture for a button, hidden from screen readers. @param {string} name @returns {SVGElement} */
export function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 16 16");
  svg.setAttribute("aria-hidden", "true");
  svg.setAttribute("class", "lk-icon");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.setAttribute("d", ICONS[name]);
  svg.append(path);
  return svg;
}

/** Set text only where it differs, so that a frame costs no layout. @param {Element} element @param {string} text */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/**
 * Show in a control what is in force. One in which a person has just chosen something else shows that until it is answered:
 * else the next key would go on from what was there before.
 * @param {Link} link
 * @param {HTMLInputElement | HTMLSelectElement} control
 * @param {string | boolean} value whether it is checked, for a checkbox
 */
export function put(link, control, value) {
  if (link.awaits(control)) return;
  if (typeof value === "string") control.value = value;
  else /** @type {HTMLInputElement} */ (control).checked = value;
}

/** @typedef {{dark: boolean, back: string, text: string, soft: string, line: string, accent: string, grey: string, font: string}} Theme */

/**
 * The colours in force at `root`, and marks it light or dark.
 * @param {HTMLElement} root
 * @returns {Theme}
 */
export function readTheme(root) {
  const probe = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const style = getComputedStyle(root);
  let dark = false;
  if (probe) {
    probe.fillStyle = style.backgroundColor;
    probe.fillRect(0, 0, 1, 1);
    const [red, green, blue] = probe.getImageData(0, 0, 1, 1).data;
    dark = 0.299 * red + 0.587 * green + 0.114 * blue < 128;
  }
  root.dataset.theme = dark ? "dark" : "light";
  const get = (/** @type {string} */ name) => getComputedStyle(root).getPropertyValue(name).trim();
  return {
    dark, back: style.backgroundColor, text: get("--lk-text"), soft: get("--lk-soft"), line: get("--lk-line"),
    accent: get("--lk-accent"), grey: get("--lk-grey"), font: style.fontFamily,
  };
}

/**
 * Call `changed` when the page's theme changes.
 * @param {() => void} changed
 * @param {AbortSignal} signal
 */
export function onTheme(changed, signal) {
  const later = () => requestAnimationFrame(() => { if (!signal.aborted) changed(); });
  const observer = new MutationObserver(later);
  for (const node of [document.documentElement, document.body]) {
    observer.observe(node, { attributes: true, attributeFilter: ["class", "style", "data-jp-theme-light", "data-vscode-theme-kind", "theme"] });
  }
  // JupyterLab changes the attribute before the theme's style sheet has loaded.
  const sheets = new MutationObserver(later);
  sheets.observe(document.head, { childList: true });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", later, { signal });
  signal.addEventListener("abort", () => { observer.disconnect(); sheets.disconnect(); });
}

/**
 * Keep a canvas as sharp as the screen: its backing store follows its size on the page and the pixel ratio (1 to 3).
 * @param {HTMLCanvasElement} canvas
 * @param {() => void} resized called after its backing store changed (it is then empty)
 * @param {AbortSignal} signal
 */
export function keepSharp(canvas, resized, signal) {
  const fit = () => {
    const ratio = Math.min(3, Math.max(1, devicePixelRatio));
    const width = Math.round(canvas.clientWidth * ratio), height = Math.round(canvas.clientHeight * ratio);
    if (!width || (canvas.width === width && canvas.height === height)) return;
    canvas.width = width;
    canvas.height = height;
    canvas.getContext("2d")?.setTransform(ratio, 0, 0, ratio, 0, 0);
    resized();
  };
  const observer = new ResizeObserver(fit);
  observer.observe(canvas);
  addEventListener("resize", fit, { signal });
  signal.addEventListener("abort", () => observer.disconnect());
}

/** One line for screen readers, said once it rests. @returns {{element: HTMLElement, say: (text: string) => void}} */
export function announcer() {
  const element = h("div", { class: "lk-hidden", role: "status", "aria-live": "polite" });
  let timer = 0;
  return {
    element,
    say(text) {
      clearTimeout(timer);
      timer = setTimeout(() => { if (element.isConnected) say(element, text); }, 250);
    },
  };
}

/**
 * What Enter and Escape do in a form. (The notebook takes Enter for itself, so that a form would not be sent.)
 * @param {HTMLFormElement} form
 * @param {() => void} submit
 * @param {() => void} cancel
 * @param {AbortSignal} signal
 */
export function onForm(form, submit, cancel, signal) {
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    submit();
  }, { signal });
  form.addEventListener("keydown", (event) => {
    const enter = event.key === "Enter" && /** @type {HTMLElement} */ (event.target).matches("input, select");
    if (!enter && event.key !== "Escape") return;
    event.preventDefault();
    event.stopPropagation();
    (enter ? submit : cancel)();
  }, { signal });
}

/**
 * Keys of a view. `keys` names each: {" ": ["Play or pause", run], ...}; "?" lists them. Keys typed into a field are left alone.
 * @param {HTMLElement} root
 * @param {Record<string, [string, () => void]>} keys
 * @returns {HTMLElement} the list, hidden until "?" is pressed
 */
export function keyboard(root, keys) {
  const names = /** @type {Record<string, string>} */ ({ " ": "Space", ArrowLeft: "←", ArrowRight: "→", Escape: "Esc" });
  const rows = Object.entries(keys).map(([key, [what]]) => h("div", {}, h("kbd", {}, names[key] ?? key), h("span", {}, what)));
  const list = h("div", { class: "lk-keys", hidden: true, "aria-label": "Keys" }, ...rows,
    h("div", {}, h("kbd", {}, "?"), h("span", {}, "Show or hide this list")));
  root.addEventListener("keydown", (event) => {
    const target = /** @type {HTMLElement} */ (event.target);
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    const field = target.matches("input:not([type=range]):not([type=checkbox]), select, textarea");
    if (field) return;
    const own = target.matches("button, summary, input[type=checkbox]") && (event.key === " " || event.key === "Enter");
    const slides = target.matches("input[type=range]") && /^Arrow|Home|End|Page/.test(event.key);
    if (own || slides) return;
    if (event.key === "?") list.hidden = !list.hidden;
    else if (event.key === "Escape" && !list.hidden) list.hidden = true;
    else if (keys[event.key]) keys[event.key][1]();
    else return;
    event.preventDefault();
    event.stopPropagation();
  });
  return list;
}

/**
 * @typedef {object} Stage what a view gets to work with
 * @property {Link} link
 * @property {HTMLElement} root
 * @property {AbortSignal} signal
 * @property {() => Theme} theme
 * @property {() => void} draw asks for a drawing at the next animation frame
 * @property {(text: string) => void} announce
 */

/**
 * A widget definition for anywidget. `build(stage)` makes the DOM once and returns `draw()`, which is called at most once a
 * screen frame after something changed. Errors in either are shown in the view and told to Python.
 * @param {string} name of the view, in data-view
 * @param {(stage: Stage) => () => void} build
 */
export function view(name, build) {
  return () => {
    /** @type {Link} */ let link;
    return {
      initialize(/** @type {any} */ { model, signal }) {
        link = new Link(model, signal);
      },
      render(/** @type {any} */ { model, el, signal }) {
        const root = h("section", { class: "labkit-view", "data-view": name });
        const notice = h("div", { class: "lk-notice", role: "alert", hidden: true });
        const text = h("p", { class: "lk-hidden", id: `lk-${crypto.randomUUID?.() ?? Math.random()}` });
        const voice = announcer();
        root.setAttribute("aria-describedby", text.id);
        root.append(notice, text, voice.element);
        el.append(root);
        let theme = readTheme(root);
        let asked = 0;
        let paint = () => {};
        const run = () => {
          asked = 0;
          link.guard(() => { if (!link.broken) paint(); });
          const problem = link.gone || link.state.error || (link.broken && `The picture could not be drawn: ${link.broken}`)
            || (link.waiting && "Waiting for the kernel: it is busy and will answer when the running cell is done.") || "";
          say(notice, problem);
          notice.hidden = !problem;
          notice.dataset.kind = link.gone ? "gone" : link.waiting && !link.state.error ? "waiting" : "error";
          root.classList.toggle("lk-gone", Boolean(link.gone));
          say(text, model.get("text") ?? "");
          for (const control of root.querySelectorAll("[data-needs-kernel]")) {
            /** @type {HTMLButtonElement} */ (control).disabled = Boolean(link.gone) || control.hasAttribute("data-off");
          }
        };
        const draw = () => { if (!asked && !signal.aborted) asked = requestAnimationFrame(run); };
        const stage = { link, root, signal, theme: () => theme, draw, announce: voice.say };
        link.guard(() => { paint = build(stage); });
        // For tests: whether all is answered, told at once and not with the next drawing.
        Object.defineProperty(/** @type {any} */ (root).labkit ??= {}, "unanswered", { get: () => link.wishes.length, enumerable: true });
        link.listen(draw, signal);
        for (const name of ["input", "change"]) {
          root.addEventListener(name, (event) => link.chose(/** @type {EventTarget} */ (event.target)), { signal });
        }
        root.addEventListener("focusout", draw, { signal }); // a field left with nonsense in it shows again what is in force
        onTheme(() => { theme = readTheme(root); draw(); }, signal);
        const disconnected = () => { if (el.closest(".jupyter-widgets-disconnected")) link.lose(); };
        const watcher = new MutationObserver(disconnected);
        watcher.observe(el, { attributes: true, attributeFilter: ["class"] });
        const size = new ResizeObserver(draw);
        size.observe(root);
        signal.addEventListener("abort", () => { watcher.disconnect(); size.disconnect(); cancelAnimationFrame(asked); root.remove(); });
        draw();
      },
    };
  };
}
