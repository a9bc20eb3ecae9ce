import { el, percent, svg } from "./dom.js";

/** An original with the overlay of one prediction over it. Only what is shown is loaded. */
export class Picture {
  /** `fit` says how an overlay lies over its original: see `producer/web/kit/cards.py`. */
  constructor(image, fit) {
    this.image = image;
    this.shown = null;
    this.frame = el("div", { class: `frame fit-${fit}` }, this.#original());
    if (image.width && image.height) this.frame.style.setProperty("--ratio", image.width / image.height);
    this.element = el("div", { class: "stage" }, this.frame);
  }

  #original() {
    const { original, source, state, error } = this.image;
    if (!original) {
      const words = error ? error.code : state === "succeeded" ? "no preview" : state;
      return el("div", { class: "tile" }, words.replaceAll("_", " "));
    }
    const words = () => el("div", { class: "tile" }, "no preview");
    return el("img", {
      src: original, alt: source, loading: "lazy", decoding: "async", draggable: "false",
      onerror: (event) => event.target.replaceWith(words()),
    });
  }

  /** Show the overlay at this place of the predictions, or with null the original alone. */
  show(place) {
    const line = place === null ? null : this.image.predictions[place];
    this.shown = line ? place : null;
    this.frame.querySelectorAll(".over").forEach((layer) => layer.remove());
    this.frame.classList.toggle("heated", Boolean(line));
    if (!line) return;
    if (line.overlay) {
      const alt = `Where the network looked for ${line.label}`;
      this.frame.append(el("img", { class: "over overlay", src: line.overlay, alt, loading: "lazy", decoding: "async", draggable: "false" }));
    }
    if (line.box) this.frame.append(this.#box(line.box));
  }

  #box([x0, y0, x1, y1]) {
    const { width, height } = this.image;
    const box = el("div", { class: "over box", "aria-hidden": "true" });
    const at = { left: x0 / width, top: y0 / height, width: (x1 - x0) / width, height: (y1 - y0) / height };
    for (const [side, share] of Object.entries(at)) box.style[side] = `${100 * share}%`;
    return box;
  }
}

/** The predictions as bars. `act` gets the place that was pointed at (`look`) or chosen (`pick`). */
export function bars(image, most, act) {
  const list = el("ol", { class: "ranks" });
  image.predictions.slice(0, most).forEach((line, place) => {
    const bar = svg("svg", { viewBox: "0 0 100 1", preserveAspectRatio: "none", "aria-hidden": "true" },
      svg("rect", { class: "bar-value", width: 100 * line.probability, height: 1 }));
    const flat = line.flat && el("span", { class: "flat", title: "The map is flat: no place stands out" }, "flat map");
    list.append(el("li", {},
      el("button", {
        type: "button", class: "rank", tabindex: act.tabindex, "aria-pressed": "false",
        "aria-label": `Rank ${line.rank}: ${line.label}, ${percent(line.probability)}`,
        onclick: () => act.pick(place), onpointerenter: () => act.look(place), onpointerleave: () => act.look(undefined),
      }, el("span", { class: "rank-number" }, String(line.rank)), el("span", { class: "rank-label", title: line.label }, line.label),
      flat, el("span", { class: "rank-share" }, percent(line.probability)), bar)));
  });
  return list;
}

/** Mark the bar whose overlay is shown. */
export function mark(list, place) {
  list.querySelectorAll(".rank").forEach((button, at) => button.setAttribute("aria-pressed", String(at === place)));
}

/** What is right, and whether the answer was; null where nobody said. */
export function judged({ truth, correct }) {
  if (correct === null) return null;
  const said = truth.length ? truth.map(({ label, rank }) => (correct ? label : `${label}, rank ${rank}`)).join("; ") : "none of the classes";
  return `${correct ? "✓ right" : "✕ wrong, truth"}: ${said}`;
}
