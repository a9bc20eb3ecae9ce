import { byId } from "./dom.js";
import { Picture, bars, judged, mark } from "./picture.js";

/** One picture, large, with all its predictions. `dialog` brings the focus trap, Esc and the way back. */
export class Viewer {
  /** `full`: overlays are as they were stored, and worth a page of their own. `moved` is called when another picture shows. */
  constructor(fit, full, moved) {
    this.fit = fit;
    this.full = full;
    this.moved = moved;
    this.dialog = byId("viewer");
    byId("viewer-before").addEventListener("click", () => this.step(-1));
    byId("viewer-after").addEventListener("click", () => this.step(1));
    this.dialog.addEventListener("close", () => {
      this.left(this.place);
      this.moved();
    });
    /** Set by the gallery: gets the place of the last picture when the viewer closes. */
    this.left = () => {};
  }

  get isOpen() { return this.dialog.open; }

  /** The index of the picture that is shown. */
  get index() { return this.image.index; }

  /** Open on the image at this place among those found, with the overlay of this rank. */
  open(images, place, rank) {
    this.images = images;
    this.#show(place, rank);
    if (!this.isOpen) this.dialog.showModal();
    this.moved();
  }

  /** To the next (1) or previous (-1) picture, the same rank shown. */
  step(by) {
    const place = this.place + by;
    if (place >= 0 && place < this.images.length) {
      this.#show(place, this.picture.shown);
      this.moved();
    }
  }

  /** Show this overlay; the one that is shown already is taken away. */
  pick(place) {
    this.picture.show(place === this.picture.shown ? null : place);
    mark(this.list, this.picture.shown);
    this.#facts();
  }

  #show(place, rank) {
    this.place = place;
    const image = this.image = this.images[place].card();
    this.picture = new Picture(image, this.fit);
    byId("viewer-picture").replaceChildren(this.picture.element);
    const name = document.createElement("bdi");
    name.textContent = image.source;
    byId("viewer-title").replaceChildren(name);
    const look = (at) => { if (at !== undefined && at !== this.picture.shown) this.pick(at); };
    this.list = bars(image, Infinity, { tabindex: "0", pick: (at) => this.pick(at), look: () => {} });
    byId("viewer-predictions").replaceChildren(image.error ? this.#error(image.error) : this.list);
    look(image.predictions[rank] ? rank : undefined);
    this.#facts();
    byId("viewer-place").textContent = `${(place + 1).toLocaleString("en")} of ${this.images.length.toLocaleString("en")}`;
    byId("viewer-before").disabled = place === 0;
    byId("viewer-after").disabled = place === this.images.length - 1;
  }

  #error({ code, message }) {
    const text = document.createElement("p");
    text.className = "reason";
    text.textContent = `${code}: ${message}`;
    return text;
  }

  #facts() {
    const { index, id, width, height, state, predictions, warnings, border } = this.image;
    const box = predictions[this.picture.shown]?.box;
    const facts = [`#${index}`, id && `id ${id}`, width ? `${width} × ${height} px` : state, box && `box ${box[0]}, ${box[1]} to ${box[2]}, ${box[3]}`,
      judged(this.image), border !== null && `${border}% of the heat on the border`, ...(warnings ?? [])];
    byId("viewer-facts").textContent = facts.filter(Boolean).join(" · ");
    const overlay = this.full && predictions[this.picture.shown]?.overlay;
    byId("viewer-full").hidden = !overlay;
    if (overlay) byId("viewer-full").href = overlay;
  }
}
