// Which net SaliencyView looks at: a step of its training, layers drawn anew, one that cheats; and a picture of one's own.
import { h, say } from "./lab.js";
import { lyCut } from "./layerarith.js";
import { number, whole } from "./numbers.js";
import { salAlike, salBars, salStop } from "./saliencysteps.js";

/** @typedef {import("./lab.js").Stage} Stage */
/** @typedef {ReturnType<import("./saliencyarith.js").salQueue>} SalQueue */

const SAL_ALIKE = 4; // methods named at either end

/**
 * A slider over stops, each a value of a setting, with buttons to the next and bars above where something is known of each.
 * @param {Stage} stage
 * @param {SalQueue} queue
 * @param {string} name of the setting
 * @param {string} word
 * @param {{before: string, next: string}} titles
 */
function salSlider({ signal }, queue, name, word, titles) {
  let stops = /** @type {any[]} */ ([]), built = "";
  const go = (/** @type {any} */ stop) => queue.set({ [name]: stop });
  const move = (/** @type {number} */ by) => { if (stops.length) go(salStop(stops, queue.wish[name], by)); };
  const button = (/** @type {string} */ text, /** @type {string} */ title, /** @type {number} */ by) =>
    h("button", { class: "lk-button", title, "aria-label": title.replace(/ \(.*/, ""), "data-needs-kernel": true, onclick: () => move(by) }, text);
  const earlier = button("‹", titles.before, -1), later = button("›", titles.next, 1);
  const slider = h("input", { type: "range", class: "lk-scrubber", min: 0, step: 1, "aria-label": word, "data-needs-kernel": true });
  slider.addEventListener("input", () => go(stops[Number(slider.value)]), { signal });
  const legend = h("span", { class: "lk-note" }), bars = h("div", { class: "sal-curve", "aria-hidden": "true" }), where = h("output", { class: "lk-where" }, h("b", {}), h("span", {}));
  const element = h("div", { class: "sal-axis", "data-axis": name }, h("span", { class: "sal-axis-word" }, word, legend), h("div", { class: "lk-transport" }, earlier, later),
    h("div", { class: "sal-way" }, bars, slider), where);
  return {
    element,
    move,
    /** @param {any[]} all @param {[string, string]} words @param {(number | null)[]} values above each stop, 0 to 1 @param {string} of what they are */
    draw(all, words, values, of) {
      stops = all;
      const i = Math.max(0, all.indexOf(queue.wish[name])), last = Math.max(1, all.length - 1), key = JSON.stringify([values, i]);
      slider.max = String(all.length - 1);
      slider.value = String(i);
      slider.style.setProperty("--lk-part", `${(100 * i) / last}%`);
      slider.setAttribute("aria-valuetext", words.join(", "));
      say(where.children[0], words[0]);
      say(where.children[1], words[1]);
      earlier.toggleAttribute("data-off", i <= 0);
      later.toggleAttribute("data-off", i >= all.length - 1);
      bars.hidden = legend.hidden = !values.some((value) => value !== null);
      say(legend, of);
      if (key !== built) {
        bars.replaceChildren(...salBars(values).map((bar, k) => h("i", { style: `--at: ${bar.at}; --height: ${bar.height ?? 0}`, "data-now": k === i ? "yes" : "no" })));
      }
      built = key;
    },
  };
}

/**
 * The nets: below the wall.
 * @param {Stage} stage
 * @param {SalQueue} queue
 */
export function salAxes(stage, queue) {
  const { link } = stage;
  const looking = h("p", { class: "sal-net" }, h("b", {}, "Looking at "), h("span", {})), right = h("span", { class: "lk-note" });
  const time = salSlider(stage, queue, "step", "Training", { before: "Checkpoint before ([)", next: "Next checkpoint (])" });
  const anew = salSlider(stage, queue, "random", "Layers drawn anew", { before: "One layer less ({)", next: "One layer more (})" });
  const order = h("select", { class: "lk-select", "aria-label": "Which layers are drawn anew", title: "Which layers are drawn anew (Adebayo et al. 2018)", "data-needs-kernel": true, onchange: () => queue.set({ order: order.value }) },
    h("option", { value: "cascading" }, "from the output down"), h("option", { value: "independent" }, "one alone"));
  anew.element.append(order);
  const told = h("p", { class: "lk-note sal-told" });
  const element = h("section", { class: "sal-axes", "aria-label": "Which net" }, h("div", { class: "sal-looking" }, looking, right), time.element, anew.element, told);
  return {
    element,
    /** @type {Record<string, [string, () => void]>} */
    keys: {
      "[": ["Checkpoint before", () => { if (!link.gone && !queue.wish.cheat) time.move(-1); }],
      "]": ["Next checkpoint", () => { if (!link.gone && !queue.wish.cheat) time.move(1); }],
      "{": ["One layer less drawn anew", () => { if (!link.gone) anew.move(-1); }],
      "}": ["One layer more drawn anew", () => { if (!link.gone) anew.move(1); }],
      w: ["Watermark on or off", () => { if (!link.gone && link.state.cheats.length) queue.set({ cue: !queue.wish.cue }); }],
    },
    draw() {
      const { axes, steps, stages, tiles, methods, settings } = link.state, wish = queue.wish;
      say(looking.children[1], `${axes.net}.`);
      say(right, axes.right ? `Right on ${axes.right[0]} of ${axes.right[1]} pictures${settings.cue ? " with the watermark" : ""}.` : "");
      time.element.hidden = steps.length < 2 || Boolean(wish.cheat);
      if (steps.length) {
        const chance = axes.curve[steps.indexOf(wish.step)];
        const about = chance === null || chance === undefined ? `of ${whole(steps[steps.length - 1])}` : `${salClass(link, link.state.target)} ${number(chance)}`;
        time.draw(steps, [wish.step === 0 ? "Untrained" : `Step ${whole(wish.step)}`, about], axes.curve, `bars: probability of ${salClass(link, link.state.target)}`);
      }
      anew.element.hidden = !stages.length;
      const layer = wish.random ? stages[wish.random - 1] : "";
      anew.draw([0, ...stages.map((/** @type {string} */ _, /** @type {number} */ k) => k + 1)],
        [wish.random ? `${wish.order === "cascading" ? wish.random : 1} of ${stages.length}` : "None", wish.random ? `${wish.order === "cascading" ? "down to " : ""}${layer}` : "as it learned"], [], "");
      order.value = wish.order;
      const alike = salAlike(tiles), label = (/** @type {string} */ method) => methods.find((/** @type {any} */ one) => one.name === method).label;
      const listed = (/** @type {any[]} */ some) => some.map(({ method, rank }) => `${label(method)} ${number(rank)}`).join(", ");
      told.hidden = !axes.compared;
      if (!axes.compared) return;
      const most = alike.slice(0, SAL_ALIKE), least = alike.slice(Math.max(SAL_ALIKE, alike.length - SAL_ALIKE)).reverse();
      say(told, `Each tile says how like its map is to that of ${axes.compared}: rank correlation ρ and structural similarity, 1 where nothing changed. `
        + `All maps are about ${salClass(link, link.state.target)}.${most.length ? ` Most alike: ${listed(most)}.` : ""}${least.length ? ` Least: ${listed(least)}.` : ""}`);
    },
  };
}

/** @param {import("./link.js").Link} link @param {number} k */
const salClass = (link, k) => link.state.classes?.[k] ?? `class ${k}`;

/** How like a tile's map is to that compared with, under its scores. @param {HTMLElement} element @param {{rank: number | null, ssim: number | null} | null} like */
export function salLike(element, like) {
  element.hidden = !like;
  if (!like) return;
  element.style.setProperty("--like", String(Math.min(1, Math.max(0, like.rank ?? 0))));
  say(element, like.rank === null ? "cannot be compared" : `ρ ${number(like.rank)}${like.ssim === null ? "" : `, SSIM ${number(like.ssim)}`}`);
}

/**
 * Under the picture's tools: a picture of one's own, and the watermark with the net that has learned it.
 * @param {Stage} stage
 * @param {SalQueue} queue
 */
export function salMore(stage, queue) {
  const { link, signal } = stage;
  const note = h("p", { class: "lk-note", hidden: true });
  const file = h("input", { type: "file", accept: "image/*", class: "lk-hidden", tabindex: -1, "aria-label": "A picture of your own" });
  const bring = h("button", { class: "lk-button", "data-action": "bring", title: "Show a picture of your own: its middle, in the size that the network takes. It stays on this machine", "data-needs-kernel": true, onclick: () => file.click() }, "Your picture…");
  const send = async () => {
    const chosen = file.files?.[0];
    file.value = "";
    if (!chosen) return;
    let picture;
    try {
      picture = await createImageBitmap(chosen);
    } catch {
      say(note, `${chosen.name} could not be read as a picture. Choose a PNG, JPEG, WebP or GIF.`);
      note.hidden = false;
      return;
    }
    note.hidden = true;
    const [height, width] = link.arrays.picture.shape, { x, y, width: w, height: tall } = lyCut(picture.width, picture.height, [height, width]);
    const pen = new OffscreenCanvas(width, height).getContext("2d");
    if (!pen) return;
    pen.fillStyle = "#fff";
    pen.fillRect(0, 0, width, height);
    pen.imageSmoothingQuality = "high";
    pen.drawImage(picture, x, y, w, tall, 0, 0, width, height);
    const { data } = pen.getImageData(0, 0, width, height), bytes = [];
    for (let i = 0; i < data.length; i += 4) bytes.push(data[i], data[i + 1], data[i + 2]);
    queue.push("bring", {}, bytes);
  };
  file.addEventListener("change", () => link.guard(() => { send(); }), { signal });
  const own = h("div", { class: "sal-own" }, bring, file, note), truth = h("p", { class: "lk-note sal-note-truth" });

  const mark = h("input", { type: "checkbox", "data-needs-kernel": true, "data-setting": "cue", onchange: () => queue.set({ cue: mark.checked }) });
  const which = h("select", { class: "lk-select", "aria-label": "Net", "data-setting": "cheat", "data-needs-kernel": true, onchange: () => queue.set({ cheat: which.value || null }) });
  const body = h("tbody", {});
  const table = h("table", { class: "sal-table" }, h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "says"), h("th", { scope: "col" }, "without"), h("th", { scope: "col" }, "with the mark"))), body);
  const about = h("p", { class: "lk-note" });
  const cue = h("section", { class: "sal-cue", "aria-label": "A spurious cue" }, h("h4", {}, "A spurious cue"),
    h("label", { class: "lk-field lk-check", title: "A watermark in the lower right corner (w)" }, mark, h("span", {}, "Watermark on the picture")),
    h("label", { class: "lk-field sal-field" }, h("span", {}, "Net"), which), table, about);
  let built = "";
  return {
    element: h("div", { class: "sal-more-in" }, own, truth, cue),
    draw() {
      const { state } = link, wish = queue.wish, { cheats } = state;
      own.hidden = ![1, 3].includes(state.channels);
      truth.hidden = state.masked || state.settings.index !== null;
      say(truth, "Your picture has no masks, so maps have no scores that need one.");
      cue.hidden = !cheats.length;
      if (!cheats.length) return;
      const key = cheats.join("\n");
      if (key !== built) {
        which.replaceChildren(h("option", { value: "" }, "as given"), ...cheats.map((/** @type {string} */ name) => h("option", { value: name }, `taught a mark on ${name}`)));
        body.replaceChildren(...state.axes.table.map(() => h("tr", {}, h("th", { scope: "row" }), h("td", {}), h("td", {}))));
      }
      built = key;
      mark.checked = wish.cue;
      which.value = wish.cheat ?? "";
      state.axes.table.forEach((/** @type {any} */ { cheat, says }, /** @type {number} */ row) => {
        const cells = body.children[row].children;
        say(cells[0], cheat === null ? "as given" : `taught ${cheat}`);
        says.forEach((/** @type {[number, number]} */ [k, chance], /** @type {number} */ i) => {
          say(cells[i + 1], `${salClass(link, k)} ${number(chance)}`);
          /** @type {HTMLElement} */ (cells[i + 1]).dataset.now = (wish.cheat ?? null) === cheat && wish.cue === Boolean(i) ? "yes" : "no";
          /** @type {HTMLElement} */ (cells[i + 1]).dataset.fooled = cheat !== null && i === 1 && salClass(link, k) === cheat && k !== state.true ? "yes" : "no";
        });
      });
      const masses = wish.cue && state.settings.part === "cue" ? Object.values(state.tiles).filter((tile) => tile.scores.mass != null) : [];
      say(about, wish.cue ? (masses.length ? "Mass on the tiles: the share of a map that lies on the watermark." : "") : "Switch it on: a net that has learned the mark sees its class in anything.");
    },
  };
}
