import { el } from "./dom.js";
import { Picture, bars, judged, mark } from "./picture.js";

const BARS_ON_A_CARD = 5;

/** One picture of the grid. `pinned` is the overlay it shows while nothing points at it. */
export class Card {
  constructor(image, fit, pinned, open) {
    this.image = image;
    this.picture = new Picture(image, fit);
    this.bars = bars(image, BARS_ON_A_CARD, {
      tabindex: "-1", // a card is one stop of the Tab key; its overlays have the number keys
      pick: (place) => this.pin(this.pinned === place ? null : place),
      look: (place) => this.look(place),
    });
    const stage = this.picture.element;
    stage.addEventListener("pointerenter", (event) => event.pointerType === "mouse" && this.look(this.#other()));
    stage.addEventListener("pointerleave", () => this.look(undefined));
    stage.addEventListener("click", open);
    this.element = el("article", {
      class: `card card-${image.state}`, role: "listitem", tabindex: "-1", "data-index": image.index, "aria-label": this.#name(),
    }, stage, el("div", { class: "caption" },
      el("h3", { title: image.source }, el("bdi", {}, image.source.split("/").at(-1) || image.source)), el("span", { class: "number" }, `#${image.index}`)),
    image.error ? this.#error() : this.bars, this.#more(), this.#judged());
    this.pin(pinned);
  }

  /** Show this overlay (null: the original) until told otherwise. */
  pin(place) {
    this.pinned = place !== null && this.image.predictions[place] ? place : null;
    this.look(undefined);
  }

  /** Show this overlay while it is pointed at; undefined goes back to the pinned one. */
  look(place) {
    const wanted = place === undefined ? this.pinned : place;
    if (wanted !== this.picture.shown) this.picture.show(wanted);
    mark(this.bars, this.picture.shown);
  }

  /** What pointing at the picture shows: its original where there is heat, and heat where there is none. */
  #other() {
    return this.pinned === null && this.image.predictions.length ? 0 : null;
  }

  #name() {
    const { source, state, predictions, error } = this.image;
    if (error) return `${source}: failed, ${error.code}`;
    return predictions.length ? `${source}: ${predictions[0].label}` : `${source}: ${state}`;
  }

  #error() {
    const { code, message } = this.image.error;
    return el("p", { class: "reason", title: message }, el("code", {}, code), " ", message);
  }

  #judged() {
    const said = judged(this.image);
    return said && el("p", { class: `judged ${this.image.correct ? "right" : "wrong"}`, title: said }, said);
  }

  #more() {
    const left = this.image.predictions.length - BARS_ON_A_CARD;
    return left > 0 && el("p", { class: "quiet more" }, `and ${left} more`);
  }
}
