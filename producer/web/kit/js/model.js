const { compare } = new Intl.Collator();

/** Images without a value come last, whichever way the others go; equal ones stay in the order of submission. */
const by = (value, sign) => (a, b) => {
  const [x, y] = [value(a), value(b)];
  if (x === null || y === null) return (x === null) - (y === null) || a.index - b.index;
  return sign * (typeof x === "string" ? compare(x, y) : x - y) || a.index - b.index;
};

const ORDERS = {
  confident: by((image) => image.confidence, -1),
  unsure: by((image) => image.confidence, 1),
  close: by((image) => image.margin, 1),
  clear: by((image) => image.margin, -1),
  label: by((image) => image.label, 1),
  border: by((image) => image.border, -1),
};

/** The images, in the order of their indices, that pass every filter of the view. Each word of the query must be found. */
export function passing(images, view) {
  const words = view.query.toLowerCase().split(/\s+/).filter(Boolean);
  const least = (value, text) => text === "" || (value !== null && value >= Number(text));
  const percent = (image) => (image.confidence === null ? null : 100 * image.confidence);
  return images.filter((image) => (!view.state || image.state === view.state)
    && (!view.label || image.label === view.label)
    && (!view.answer || image.correct === (view.answer === "right"))
    && (!view.truth || image.is(view.truth))
    && least(percent(image), view.above)
    && (view.below === "" || (image.confidence !== null && percent(image) < Number(view.below)))
    && least(image.border, view.border)
    && words.every((word) => image.text.includes(word)));
}

/** The same images in the view's order. */
export const sorted = (images, view) => (view.sort in ORDERS ? [...images].sort(ORDERS[view.sort]) : images);

/** Best labels, most frequent first, each with the label that most often came second. */
export function tally(images) {
  const found = new Map();
  for (const { label, second } of images) {
    if (label === null) continue;
    if (!found.has(label)) found.set(label, { label, count: 0, seconds: new Map() });
    const entry = found.get(label);
    entry.count += 1;
    if (second !== null) entry.seconds.set(second, (entry.seconds.get(second) ?? 0) + 1);
  }
  return [...found.values()]
    .map(({ label, count, seconds }) => ({ label, count, rival: [...seconds].sort((a, b) => b[1] - a[1])[0] ?? null }))
    .sort((a, b) => b.count - a.count || compare(a.label, b.label));
}
