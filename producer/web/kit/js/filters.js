import { STATES } from "./album.js";
import { byId, el } from "./dom.js";

/** A filter of the view, and the control that says it. The chosen label has a list of its own. */
const CONTROLS = { query: "search", state: "filter-state", answer: "filter-answer", truth: "filter-truth", above: "above", below: "below", border: "border" };
/** No filter. */
export const NONE = { query: "", state: "", label: null, answer: "", truth: "", above: "", below: "", border: "" };

/** The controls of the filters. `changed` gets what became of one of them. */
export class Filters {
  constructor(changed) {
    for (const [name, id] of Object.entries(CONTROLS)) {
      byId(id).addEventListener("input", (event) => changed({ [name]: event.target.value }));
    }
  }

  /** Whether the view leaves any image out. */
  static any(view) { return Object.entries(NONE).some(([name, none]) => view[name] !== none); }

  /** The filters that an address asks for, as far as there are such. */
  static asked({ q, state, label, answer, truth, above, below, border }) {
    const number = (text) => (text !== "" && Number.isFinite(Number(text)) ? text : "");
    return {
      query: q, state: STATES.includes(state) ? state : "", label: label || null, answer: ["right", "wrong"].includes(answer) ? answer : "",
      truth, above: number(above), below: number(below), border: number(border),
    };
  }

  /** The same for the address. */
  static said({ query, label, ...others }) {
    const { state, answer, truth, above, below, border } = others;
    return { q: query, label: label ?? "", state, answer, truth, above, below, border };
  }

  /** Make the controls offer what these images have, and say what the view is. */
  show(images, view) {
    const states = STATES.filter((state) => state === view.state || images.some((image) => image.state === state));
    this.#offer("filter-state", "All", states, states.length > 1);
    const truths = new Map();
    for (const image of images) for (const { label } of image.row[7] ? image.truth : []) truths.set(label, (truths.get(label) ?? 0) + 1);
    if (view.truth && !truths.has(view.truth)) truths.set(view.truth, 0);
    this.#offer("filter-truth", "Any", [...truths.keys()].sort(new Intl.Collator().compare), truths.size > 0);
    byId("filter-answer").closest("label").hidden = !truths.size && !view.answer;
    byId("border").closest(".field").hidden = !view.border && !images.some((image) => image.border !== null);
    byId("sort").querySelector("[value=border]").hidden = byId("border").closest(".field").hidden;
    byId("filters").hidden = !images.length;
    byId("filters").classList.toggle("few", !truths.size && !Filters.any({ ...view, query: "", state: "", label: null }));
    for (const [name, id] of Object.entries(CONTROLS)) if (byId(id).value !== view[name]) byId(id).value = view[name];
  }

  #offer(id, all, values, useful) {
    const select = byId(id);
    const same = select.options.length === values.length + 1 && values.every((value, at) => select.options[at + 1].value === value);
    if (!same) select.replaceChildren(el("option", { value: "" }, all), ...values.map((value) => el("option", { value }, value)));
    select.closest("label").hidden = !useful;
  }
}
