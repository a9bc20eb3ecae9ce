import { byId, counted, el, svg } from "./dom.js";
import { tally } from "./model.js";

/** Labels in the list at most; a model may know thousands, and the search finds the others. */
const MOST = 200;

/** The list of best labels with counts; `choose` gets the label that was clicked, or null for none. */
export function showLabels(images, chosen, choose) {
  const entries = tally(images);
  const largest = entries[0]?.count ?? 1;
  const shown = entries.slice(0, MOST);
  if (chosen && !shown.some((entry) => entry.label === chosen)) shown.unshift({ label: chosen, count: 0, rival: null });
  byId("labels-total").textContent = entries.length ? entries.length.toLocaleString("en") : "";
  byId("labels").replaceChildren(...shown.map((entry) => row(entry, largest, chosen, choose)));
  if (entries.length > MOST) byId("labels").append(el("li", { class: "quiet note" }, `and ${counted(entries.length - MOST, "label")} more: search for them`));
  byId("labels-panel").hidden = !entries.length;
}

function row({ label, count, rival }, largest, chosen, choose) {
  const isChosen = label === chosen;
  const bar = svg("svg", { viewBox: "0 0 100 1", preserveAspectRatio: "none", "aria-hidden": "true" },
    svg("rect", { class: "bar-value", width: (100 * count) / largest, height: 1 }));
  return el("li", {},
    el("button", { type: "button", class: "label", "aria-pressed": String(isChosen), onclick: () => choose(isChosen ? null : label) },
      el("span", { class: "label-name" }, label), el("span", { class: "label-count" }, count.toLocaleString("en")), bar,
      rival && el("span", { class: "label-rival quiet" }, `runner-up ${rival[0]} · ${rival[1].toLocaleString("en")}`)));
}
