// The controls of a convolution's view: picture, operation and its options, colours, kernel, and an own picture.
import { h, put } from "./lab.js";

/** @typedef {import("./lab.js").Stage} Stage */

const LARGEST = 192; // pixels along a side of a picture that is brought along
const COLOURS = /** @type {Record<string, string>} */ ({ grey: "Grey: 1 → 1", separate: "Each colour: 3 → 3", together: "All colours: 3 → 1" });
const MODES = /** @type {Record<string, string>} */ ({ zeros: "Zeros", reflect: "Reflect", circular: "Circular" });

/** The picture in a file, scaled down, as RGB bytes. @param {File} file */
async function readPicture(file) {
  const bitmap = await createImageBitmap(file);
  const scale = Math.min(1, LARGEST / Math.max(bitmap.width, bitmap.height));
  const width = Math.max(4, Math.round(bitmap.width * scale)), height = Math.max(4, Math.round(bitmap.height * scale));
  const pen = h("canvas", { width, height }).getContext("2d", { willReadFrequently: true });
  pen.imageSmoothingQuality = "high";
  pen.fillStyle = "#fff";
  pen.fillRect(0, 0, width, height);
  pen.drawImage(bitmap, 0, 0, width, height);
  bitmap.close();
  const all = pen.getImageData(0, 0, width, height).data;
  return { width, height, bytes: Uint8Array.from({ length: 3 * width * height }, (_, i) => all[4 * Math.floor(i / 3) + (i % 3)]) };
}

/** @param {Stage} stage */
export function convControls(stage) {
  const { link } = stage;
  const choice = (/** @type {string} */ word, /** @type {string} */ setting, /** @type {string} */ title) => {
    const select = h("select", { class: "lk-select", "aria-label": word, "data-needs-kernel": true, "data-setting": setting, 
      onchange: () => link.do("set", { [setting]: setting === "piece" ? Number(select.value) : select.value }) });
    let offered = "";
    return {
      select,
      element: h("label", { class: "lk-field", title }, h("span", {}, word), select),
      /** @param {[string, string][]} options @param {string} value @param {boolean} [off] */
      draw(options, value, off = false) {
        const key = options.map(([name]) => name).join("\n");
        if (key !== offered) select.replaceChildren(...options.map(([name, words]) => h("option", { value: name }, words)));
        offered = key;
        put(link, select, value);
        select.toggleAttribute("data-off", off);
      },
    };
  };
  const count = (/** @type {string} */ word, /** @type {string} */ setting, /** @type {string} */ title) => {
    const field = h("input", { type: "number", class: "lk-number conv-count", step: 1, "aria-label": word, "data-needs-kernel": true, "data-setting": setting, oninput: () => {
      const value = Number(field.value);
      if (field.value !== "" && Number.isInteger(value) && value >= Number(field.min) && value <= Number(field.max)) link.do("set", { [setting]: value });
    } });
    return {
      element: h("label", { class: "lk-field", title }, h("span", {}, word), field),
      draw(/** @type {number} */ value, /** @type {[number, number]} */ limits, off = false) {
        [field.min, field.max] = limits.map(String);
        if (document.activeElement !== field || Number(field.value) === value) put(link, field, String(value));
        field.toggleAttribute("data-off", off);
      },
    };
  };

  const picture = choice("Picture", "picture", "What the kernel slides over");
  const kind = choice("Operation", "operation", "What happens in the window");
  const colours = choice("Channels", "colours", "Grey: the mean of the colours. Each colour: a kernel and an output of its own (groups = 3). All colours: three kernels, one sum");
  const mode = choice("Padded with", "mode", "What stands around the picture");
  const piece = choice("Pixels", "piece", "The side of the piece that is shown large");
  const kernel = choice("Begin with", "kernel", "Kernels to begin with; then change their entries");
  const counts = [
    count("Size", "size", "Of the window, in pixels"), count("Stride", "stride", "How far the window moves each time"),
    count("Padding", "padding", "Pixels added on each side"), count("Dilation", "dilation", "Distance between the pixels in the window"),
  ];
  const slide = (/** @type {string} */ word, /** @type {string} */ setting, /** @type {number} */ min, /** @type {number} */ max, /** @type {number} */ step, /** @type {string} */ unit) => {
    const value = h("span", { class: "lk-value" });
    const slider = h("input", { type: "range", class: "lk-slider", min, max, step, "aria-label": word, "data-needs-kernel": true, oninput: () => { value.textContent = slider.value + unit; link.newest("set", { [setting]: Number(slider.value) }, setting); } });
    return { element: h("label", { class: "lk-field" }, h("span", {}, word), slider, value), draw(/** @type {number} */ at) { if (!slider.matches(":active") && !link.awaits(slider)) { slider.value = String(at); value.textContent = `${at}${unit}`; } } };
  };
  const angle = slide("Angle", "angle", 0, 175, 5, "°"), wave = slide("Wavelength", "wavelength", 2, 10, 0.5, " px");

  const file = h("input", { type: "file", accept: "image/*", class: "lk-hidden", tabindex: -1, "aria-label": "A picture of your own", onchange: async () => {
    const chosen = file.files[0];
    file.value = "";
    if (!chosen) return;
    try {
      const { width, height, bytes } = await readPicture(chosen);
      link.do("upload", { name: chosen.name.slice(0, 40), width, height }, [bytes.buffer]);
    } catch {
      link.do("unreadable", { name: chosen.name.slice(0, 40) });
    }
  } });
  const upload = h("button", { class: "lk-button", "data-needs-kernel": true, title: "Bring a picture of your own; it stays on this machine", onclick: () => file.click() }, "Your picture…");

  return {
    above: [picture.element, upload, file, piece.element, kind.element, colours.element],
    options: [...counts.map((one) => one.element), mode.element],
    kernel: [kernel.element, angle.element, wave.element],
    draw() {
      const state = link.state, pools = state.kind === "max" || state.kind === "average";
      const title = (/** @type {string} */ word) => word[0].toUpperCase() + word.slice(1);
      const named = state.pictures.includes(state.picture) ? state.pictures : [...state.pictures, state.picture];
      picture.draw(named.map((/** @type {string} */ one) => [one, title(one)]), state.picture);
      kind.draw(state.kinds, state.kind);
      colours.draw(Object.entries(COLOURS).filter(([one]) => (one !== "together" || !pools) && (state.coloured || one === "grey")), state.colours);
      mode.draw(state.modes.map((/** @type {string} */ one) => [one, MODES[one]]), state.mode, state.kind === "transposed" || state.padding === 0);
      const pieces = [...new Set([...state.pieces, state.piece])].sort((a, b) => a - b);
      piece.draw(pieces.map((one) => [String(one), `${one} × ${one}`]), String(state.piece));
      const own = state.kernel === "own" ? [["own", "Your own"]] : [];
      kernel.draw([...state.kernels.filter((/** @type {string[]} */ [one]) => state.size > 1 || state.singles.includes(one)), ...own], state.kernel);
      counts.forEach((one, i) => {
        const setting = ["size", "stride", "padding", "dilation"][i];
        one.draw(state[setting], state.limits[setting], setting === "dilation" && state.kind === "average");
      });
      for (const one of [angle, wave]) one.element.hidden = state.kernel !== "gabor";
      angle.draw(state.angle);
      wave.draw(state.wavelength);
    },
  };
}
