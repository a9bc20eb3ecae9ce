import { byId, counted, el } from "./dom.js";
import { Card } from "./card.js";

/** Cards on a page: a page of any size stays quick, and rows of 2 to 6 come out even. */
const PAGE = 60;

/** The pages of cards, and which card has the keyboard. */
export class Grid {
  /** `open` gets the place of the picture that was clicked; `moved` is called when another page shows. */
  constructor(fit, open, moved) {
    this.fit = fit;
    this.open = open;
    this.moved = moved;
    this.images = [];
    this.cards = [];
    this.page = 0;
    this.current = 0;
    byId("grid").addEventListener("focusin", (event) => {
      const card = event.target.closest(".card");
      if (card) this.#mark(this.cards.findIndex((one) => one.element === card));
    });
  }

  /** Other images. With `stay`, page and place are kept as far as they still exist. */
  set(images, pinned, stay) {
    const held = document.activeElement?.closest?.(".card") ? this.at()?.image.index : undefined;
    this.images = images;
    this.pinned = pinned;
    this.page = stay ? Math.min(this.page, this.pages - 1) : 0;
    this.#draw(stay ? this.current : 0);
    const again = this.cards.findIndex((card) => card.image.index === held);
    if (again >= 0) this.focus(this.page * PAGE + again);
  }

  /** How many pages there are. */
  get pages() { return Math.max(1, Math.ceil(this.images.length / PAGE)); }

  /** The card that has the keyboard. */
  at() { return this.cards[this.current]; }

  /** Its place among all images that are found. */
  get place() { return this.page * PAGE + this.current; }

  /** How many cards stand beside each other. */
  get columns() { return getComputedStyle(byId("grid")).gridTemplateColumns.split(" ").length; }

  /** Give the keyboard to the image at this place among those found, turning the page if need be. */
  focus(place) {
    const wanted = Math.max(0, Math.min(place, this.images.length - 1));
    if (Math.floor(wanted / PAGE) !== this.page) {
      this.page = Math.floor(wanted / PAGE);
      this.#draw(wanted % PAGE);
      this.moved();
    }
    this.#mark(wanted % PAGE);
    this.at()?.element.focus();
  }

  /** Show this overlay on every card. */
  pin(place) {
    this.pinned = place;
    this.cards.forEach((card) => card.pin(place));
  }

  #draw(current) {
    const start = this.page * PAGE;
    // A card that still says the same is kept, so that a page that fills does not flicker.
    const kept = new Map(this.cards.map((card) => [card.image.index, card]));
    const before = this.cards;
    this.cards = this.images.slice(start, start + PAGE).map((image) => {
      const card = kept.get(image.index);
      return card?.image.state === image.state ? card : this.#card(image);
    });
    if (before.length !== this.cards.length || before.some((card, at) => card !== this.cards[at])) {
      byId("grid").replaceChildren(...this.cards.map((card) => card.element));
    }
    this.#mark(Math.max(0, Math.min(current, this.cards.length - 1)));
    this.#pager();
  }

  #card(image) {
    return new Card(image.card(), this.fit, this.pinned, () => this.open(this.images.findIndex((one) => one.index === image.index)));
  }

  #mark(at) {
    this.at()?.element.setAttribute("tabindex", "-1");
    this.current = at;
    this.at()?.element.setAttribute("tabindex", "0");
  }

  /** Show this page, or the last one. */
  turn(page) {
    this.page = Math.max(0, Math.min(page, this.pages - 1));
    this.#draw(0);
    this.moved();
  }

  #flip(page) {
    this.turn(page);
    byId("gallery").scrollIntoView();
    this.focus(page * PAGE);
  }

  #pager() {
    const last = this.pages - 1;
    byId("pager").hidden = last < 1;
    const from = this.page * PAGE + 1;
    const to = from + this.cards.length - 1;
    const step = (text, page) => el("button", { type: "button", disabled: page < 0 || page > last, onclick: () => this.#flip(page) }, text);
    byId("pager").replaceChildren(step("First", this.page ? 0 : -1), step("← Previous", this.page - 1),
      el("span", {}, `${from.toLocaleString("en")} – ${to.toLocaleString("en")} of ${counted(this.images.length, "picture")}`),
      step("Next →", this.page + 1), step("Last", this.page === last ? last + 1 : last));
  }
}
