import { byId, counted, el } from "./dom.js";
import { Grid } from "./grid.js";
import { listen } from "./keyboard.js";
import { showLabels } from "./labels.js";
import { prepare, select } from "./model.js";
import { Viewer } from "./viewer.js";

const STATES = ["succeeded", "failed", "running", "queued", "cancelled"];

/** The gallery: what is shown follows from the images and the view, and from nothing else. */
class Gallery {
  constructor({ images, fit }) {
    this.view = { query: "", state: "", label: null, sort: "index" };
    this.viewer = new Viewer(fit);
    this.grid = new Grid(fit, (place) => this.viewer.open(this.grid.images, place));
    this.viewer.left = (place) => this.grid.focus(place);
    this.#controls();
    listen(this);
    this.load(images);
  }

  /** Take these images; what was chosen, typed and focused stays. */
  load(images) {
    this.images = prepare(images);
    this.#ranks();
    this.#states();
    this.update({}, true);
  }

  /** Change the view and show what it means. */
  update(change, stay = false) {
    Object.assign(this.view, change);
    const found = select(this.images, this.view);
    this.grid.set(found, this.pinned ?? null, stay);
    // Counts ignore the chosen label, so that another one can be chosen from the same list.
    showLabels(select(this.images, { ...this.view, label: null }), this.view.label, (label) => this.update({ label }));
    const filtered = this.view.query || this.view.state || this.view.label;
    byId("found").textContent = filtered ? `${found.length.toLocaleString("en")} of ${counted(this.images.length, "picture")}` : counted(found.length, "picture");
    byId("clear").hidden = !filtered;
    byId("empty").hidden = found.length > 0;
    byId("empty").textContent = this.images.length ? "No picture matches these filters." : "Nothing to show yet: pictures appear here as they are explained.";
  }

  /** No filters. */
  clear() {
    byId("search").value = "";
    byId("filter-state").value = "";
    this.update({ query: "", state: "", label: null });
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

  #pin(place) {
    this.pinned = place;
    this.grid.pin(place);
    const button = byId("ranks").querySelector(`[value="${place ?? ""}"]`);
    if (button) button.checked = true;
  }

  #heat(value) {
    for (const slider of document.querySelectorAll("[data-heat]")) slider.value = value;
    document.documentElement.style.setProperty("--heat", value / 100);
    byId("heat-value").textContent = `${value} %`;
  }

  #controls() {
    byId("search").addEventListener("input", (event) => this.update({ query: event.target.value }));
    byId("search").addEventListener("keydown", (event) => event.key === "Enter" && this.grid.focus(0));
    byId("filter-state").addEventListener("change", (event) => this.update({ state: event.target.value }));
    byId("sort").addEventListener("change", (event) => this.update({ sort: event.target.value }));
    for (const slider of document.querySelectorAll("[data-heat]")) slider.addEventListener("input", () => this.#heat(slider.value));
    byId("boxes").addEventListener("change", (event) => byId("gallery").classList.toggle("no-boxes", !event.target.checked));
    byId("clear").addEventListener("click", () => this.clear());
    byId("ranks").addEventListener("change", (event) => this.#pin(event.target.value === "" ? null : Number(event.target.value)));
    // On a narrow screen the list of labels would push the pictures out of sight.
    if (matchMedia("(max-width: 60rem)").matches) byId("labels-panel").open = false;
  }

  #ranks() {
    const most = Math.min(5, Math.max(0, ...this.images.slice(0, 1000).map((image) => image.predictions.length)));
    if (byId("ranks").childElementCount === most + 2) return;
    const choice = (value, text, name) => el("label", { title: name }, el("input", { type: "radio", name: "rank", value, checked: value === "", "aria-label": name }), el("span", {}, text));
    const numbers = Array.from({ length: most }, (_, at) => choice(String(at), String(at + 1), `Overlay of prediction ${at + 1}`));
    byId("ranks").replaceChildren(byId("ranks").firstElementChild, choice("", "Original", "The originals"), ...numbers);
  }

  #states() {
    const present = STATES.filter((state) => this.images.some((image) => image.state === state));
    const option = (value, text) => el("option", { value, selected: value === this.view.state }, text);
    byId("filter-state").replaceChildren(option("", "All"), ...present.map((state) => option(state, state)));
    byId("filter-state").closest("label").hidden = present.length < 2;
  }
}

/** Begin; the page calls this with its data. */
export const start = (data) => new Gallery(data);
