import { asked, tell } from "./address.js";
import { Album } from "./album.js";
import { byId, counted, el } from "./dom.js";
import { Filters, NONE } from "./filters.js";
import { Grid } from "./grid.js";
import { listen } from "./keyboard.js";
import { showLabels } from "./labels.js";
import { passing, sorted } from "./model.js";
import { Viewer } from "./viewer.js";

/** Overlays that have a segment and a number key of their own. */
const SEGMENTS = 5;

/** Whether the prediction at this place is the true class, which `--explain truth` adds behind the best. */
function isTruth(cards, at) {
  const there = cards.filter(({ predictions }) => predictions.length > at);
  return there.some(({ predictions }) => predictions[at].rank > at + 1)
    && there.every(({ predictions, truth }) => truth.some(({ label }) => label === predictions[at].label));
}

/** The gallery: what is shown follows from the images and the view, and from nothing else. */
class Gallery {
  constructor({ images, fit, full }) {
    this.view = { ...NONE, sort: "index" };
    /** The overlay on every picture: where the network looked is what the page is for, so it begins with that. */
    this.pinned = 0;
    this.album = new Album();
    this.next = 0;
    this.viewer = new Viewer(fit, full, () => this.#tell());
    this.grid = new Grid(fit, (place) => this.open(place), () => this.#tell());
    this.viewer.left = (place) => this.grid.focus(place);
    this.fit = fit;
    this.filters = new Filters((change) => this.update(change));
    this.#controls();
    listen(this);
    this.#go(asked() ?? {});
    this.borders();
    this.put(0, images);
    addEventListener("hashchange", () => this.#arrive());
  }

  /** Take a block of images that begins at this place; `more`: others follow. What was chosen, typed and focused stays. */
  put(from, block, more = false) {
    this.album.put(from, block);
    this.more = more;
    // Each look at all of them takes a while when there are many.
    if (!more || performance.now() > this.next) this.load();
  }

  /** No more blocks come for now. */
  ready() {
    if (!this.more) return;
    this.more = false;
    this.load();
  }

  /** Take what the page says of the heat on the border of its pictures. */
  borders() {
    const said = byId("answers")?.dataset.border;
    if (said) this.album.borders(Uint8Array.from(atob(said), (sign) => sign.charCodeAt(0)));
  }

  /** Show the images as they are now. */
  load() {
    const began = performance.now();
    this.#ranks();
    this.filters.show(this.images, this.view);
    this.#examples();
    this.update({}, true);
    this.next = performance.now() + 5 * (performance.now() - began);
  }

  get images() { return this.album.entries; }

  /** Change the view and show what it means. */
  update(change, stay = false) {
    Object.assign(this.view, change);
    // Counts ignore the chosen label, so that another one can be chosen from the same list.
    const others = passing(this.images, { ...this.view, label: null });
    const found = this.view.label ? others.filter((image) => image.label === this.view.label) : others;
    this.grid.set(sorted(found, this.view), this.pinned, stay);
    showLabels(others, this.view.label, (label) => this.update({ label }));
    const filtered = Filters.any(this.view);
    const said = filtered ? `${found.length.toLocaleString("en")} of ${counted(this.images.length, "picture")}` : counted(found.length, "picture");
    byId("found").textContent = this.more ? `${said}; more are being read` : said;
    byId("clear").hidden = !filtered;
    byId("empty").hidden = found.length > 0;
    byId("empty").textContent = this.images.length ? "No picture matches these filters." : "Nothing to show yet: pictures appear here as they are explained.";
    this.#reach();
    this.#tell();
  }

  /** The picture at this place among those found, large, with the overlay that all cards show. */
  open(place) {
    this.viewer.open(this.grid.images, place, this.pinned ?? 0);
  }

  /** No filters. */
  clear() {
    this.update(NONE);
    this.filters.show(this.images, this.view);
  }

  /** The overlay of this prediction where the keyboard is: in the viewer, on a card, or else on every card. */
  rank(place) {
    const chosen = place < 0 ? null : place;
    if (this.viewer.isOpen) return this.viewer.pick(chosen);
    const card = document.activeElement?.closest?.(".card") && this.grid.at();
    if (card) return card.pin(card.pinned === chosen ? null : chosen);
    return this.#pin(chosen);
  }

  /** More or less heat, in percent. */
  heat(change) {
    this.#heat(Math.max(0, Math.min(100, Number(byId("heat").value) + change)));
  }

  /** Boxes or none. */
  boxes(shown) {
    for (const box of document.querySelectorAll("[data-boxes]")) box.checked = shown;
    byId("gallery").classList.toggle("no-boxes", !shown);
    this.#showSome();
  }

  #pin(place) {
    this.pinned = place;
    this.grid.pin(place);
    this.#mark();
    this.#tell();
  }

  #mark() {
    const button = byId("ranks").querySelector(`[value="${this.pinned ?? ""}"]`);
    if (button) button.checked = true;
    const pointed = this.pinned === null ? "Hover a picture or press 1 to see the heat" : "Hover a picture to see its original, a label to see its heat";
    byId("hint").textContent = matchMedia("(hover: none)").matches ? "Tap a label to see its heat, a picture to open it" : pointed;
  }

  #heat(value) {
    for (const slider of document.querySelectorAll("[data-heat]")) slider.value = value;
    for (const told of document.querySelectorAll("[data-heat-value]")) told.textContent = `${value}%`;
    document.documentElement.style.setProperty("--heat", value / 100);
    this.#showSome();
  }

  /** A control of the overlays shows what it does: where none is seen, it brings the first. */
  #showSome() {
    if (!this.viewer.isOpen && !byId("grid").querySelector(".overlay")) this.#pin(0);
  }

  #controls() {
    byId("search").addEventListener("keydown", (event) => event.key === "Enter" && this.grid.focus(0));
    byId("sort").addEventListener("change", (event) => this.update({ sort: event.target.value }));
    for (const slider of document.querySelectorAll("[data-heat]")) slider.addEventListener("input", () => this.#heat(slider.value));
    for (const box of document.querySelectorAll("[data-boxes]")) box.addEventListener("change", () => this.boxes(box.checked));
    byId("clear").addEventListener("click", () => this.clear());
    byId("ranks").addEventListener("change", (event) => this.#pin(event.target.value === "" ? null : Number(event.target.value)));
    byId("more-controls").addEventListener("click", ({ target }) => {
      target.setAttribute("aria-expanded", String(byId("toolbar").classList.toggle("whole")));
    });
    // On a narrow screen the list of labels would push the pictures out of sight.
    if (matchMedia("(max-width: 60rem)").matches) byId("labels-panel").open = false;
  }

  #ranks() {
    const cards = this.images.slice(0, 1000).map((image) => image.card());
    const most = Math.min(SEGMENTS, Math.max(0, ...cards.map((card) => card.predictions.length)));
    const names = Array.from({ length: most }, (_, at) => (isTruth(cards, at) ? "truth" : String(at + 1)));
    const said = names.join();
    if (byId("ranks").dataset.names !== said) {
      byId("ranks").dataset.names = said;
      const choice = (value, text, name) => el("label", { title: name }, el("input", { type: "radio", name: "rank", value, "aria-label": name }), el("span", {}, text));
      const numbers = names.map((name, at) => choice(String(at), name, name === "truth" ? "Overlay of the true class, where it is not among the best" : `Overlay of prediction ${name}`));
      byId("ranks").replaceChildren(choice("", "none", "No overlay: the originals"), ...numbers);
    }
    for (const part of [byId("ranks").parentElement, byId("hint")]) part.hidden = !most;
    // An overlay that lies beside its original has nothing to fade, and its box no place.
    for (const control of document.querySelectorAll(".heat, .check")) control.hidden = !most || this.fit === "apart";
    this.#mark();
  }

  /** Small pictures in place of the numbers that the summary gives as examples. */
  #examples() {
    for (const place of document.querySelectorAll("[data-example]")) {
      const image = this.album.find(Number(place.dataset.example))?.card();
      const src = image && (image.predictions[0]?.overlay ?? image.original);
      if (!src) continue;
      const onerror = () => place.replaceChildren(`#${image.index}`);
      place.replaceChildren(el("img", { src, alt: image.source, title: image.source, loading: "lazy", decoding: "async", onerror }));
      delete place.dataset.example;
    }
  }

  /** Take the view that an address asks for. Its page and picture wait until there are pictures. */
  #go({ q = "", state = "", label = "", answer = "", truth = "", above = "", below = "", border = "", sort = "index", rank = "1", page = "1", image = "" }) {
    byId("sort").value = sort;
    this.view = { ...Filters.asked({ q, state, label, answer, truth, above, below, border }), sort: byId("sort").value || "index" };
    byId("sort").value = this.view.sort;
    this.pinned = Number(rank) > 0 ? Math.min(Number(rank), SEGMENTS) - 1 : null;
    this.wanted = { page: Number(page) - 1 || 0, image };
  }

  /** The address was changed by hand or by a link: to one picture, or to another view. */
  #arrive() {
    const view = asked();
    if (!view) return this.#tell();
    if (location.hash === `#image=${view.image}`) this.wanted = { image: view.image };
    else this.#go(view);
    this.load();
  }

  #reach() {
    const { page, image } = this.wanted ?? {};
    if (!this.images.length || !this.wanted) return;
    // What comes with a later block is waited for.
    if (this.more && (image ? !this.album.find(Number(image)) : page >= this.grid.pages)) return;
    this.wanted = null;
    if (page > 0) this.grid.turn(page);
    if (!image) return;
    if (!this.grid.images.some((one) => String(one.index) === image)) this.clear();
    const place = this.grid.images.findIndex((one) => String(one.index) === image);
    if (place >= 0) this.open(place);
  }

  #tell() {
    if (this.wanted) return; // not before what the address asks for is shown
    const image = this.viewer.isOpen ? String(this.viewer.index) : "";
    tell({ ...Filters.said(this.view), sort: this.view.sort, rank: String((this.pinned ?? -1) + 1), page: String(this.grid.page + 1), image });
  }
}

/** Begin; the page calls this with its data. */
export const start = (data) => new Gallery(data);
