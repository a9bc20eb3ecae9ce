/** The states of images, in the order of their numbers in a row; `producer/web/kit/packed.py` has the same. */
export const STATES = ["succeeded", "failed", "running", "queued", "cancelled"];
/** Values of one prediction in a row. */
const WIDTH = 9;

/**
 * One image: what it is found and sorted by. All else is made when it is shown, for a page may have a hundred thousand.
 * The best prediction is the most probable, whatever was asked for.
 */
export class Entry {
  constructor(row, labels, paths) {
    this.row = row;
    this.labels = labels;
    this.paths = paths;
    this.index = row[0];
    this.state = STATES[row[2]];
    let [best, second] = [-1, -1];
    const lines = row[6];
    for (let at = 0; at < lines.length; at += WIDTH) {
      if (best < 0 || lines[at + 2] > lines[best + 2]) [best, second] = [at, best];
      else if (second < 0 || lines[at + 2] > lines[second + 2]) second = at;
    }
    this.label = best < 0 ? null : labels[lines[best + 1]];
    this.second = second < 0 ? null : labels[lines[second + 1]];
    this.confidence = best < 0 ? null : lines[best + 2];
    this.margin = second < 0 ? null : lines[best + 2] - lines[second + 2];
    /** true, false, or null where nobody knows. */
    this.correct = row[7] && row[7][0] !== null ? row[7][0] === 1 : null;
    /** Percent of the heat on the border of the picture, null where it is not known. */
    this.border = null;
  }

  /** The names of the true classes, and the rank of each. */
  get truth() {
    const said = this.row[7] || [];
    return Array.from({ length: (said.length - 1) >> 1 }, (_, at) => ({ label: this.labels[said[2 * at + 1]], rank: said[2 * at + 2] }));
  }

  /** Whether this is a true class of the image. */
  is(label) {
    const said = this.row[7] || [];
    for (let at = 1; at < said.length; at += 2) if (this.labels[said[at]] === label) return true;
    return false;
  }

  /** What the search looks in. */
  get text() {
    if (this.words === undefined) {
      const { id } = this.row[8] ?? {};
      const labels = this.row[6].filter((_, at) => at % WIDTH === 1).map((number) => this.labels[number]);
      this.words = [this.row[1], id ?? "", ...labels, ...this.truth.map((one) => one.label)].join("\n").toLowerCase();
    }
    return this.words;
  }

  /** All of it, as cards and the viewer show it. */
  card() {
    const [index, source, , width, height, original, lines, , more] = this.row;
    const at = (address, kind, rank) => (address === 1 ? this.paths[kind].replace("{index}", index).replace("{rank}", rank) : address || null);
    const predictions = [];
    for (let from = 0; from < lines.length; from += WIDTH) {
      const [rank, label, probability, overlay, flat, ...box] = lines.slice(from, from + WIDTH);
      predictions.push({ rank, label: this.labels[label], probability, overlay: at(overlay, "overlay", rank), flat: flat === 1, box: box[0] === null ? null : box });
    }
    return { index, source, state: this.state, width, height, original: at(original, "original"), predictions, truth: this.truth, correct: this.correct, border: this.border, ...more };
  }
}

/** All images of the page, in the order of their indices; they come in blocks, and a block may come again. */
export class Album {
  #blocks = new Map();

  constructor() { this.entries = []; }

  /** A block of images, known by the place of its first one. */
  put(from, { labels, rows, paths }) {
    this.#blocks.set(from, rows.map((row) => new Entry(row, labels, paths)));
    const places = [...this.#blocks.keys()].sort((a, b) => a - b);
    this.entries = places.flatMap((place) => this.#blocks.get(place));
    this.#mark();
  }

  /** Take the shares of heat on the border: for each index a byte, percent plus 1, 0 where it is not known. */
  borders(bytes) {
    this.known = bytes;
    this.#mark();
  }

  /** The image with this index. */
  find(index) {
    let [low, high] = [0, this.entries.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.entries[middle].index < index) low = middle + 1;
      else high = middle;
    }
    return this.entries[low]?.index === index ? this.entries[low] : null;
  }

  #mark() {
    if (!this.known) return;
    for (const entry of this.entries) entry.border = this.known[entry.index] ? this.known[entry.index] - 1 : null;
  }
}
