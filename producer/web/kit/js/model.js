/** Images with what they are searched and sorted by. The best prediction is the most probable, whatever was asked for. */
export function prepare(images) {
  return images.map((image) => {
    const best = [...image.predictions].sort((a, b) => b.probability - a.probability);
    return {
      ...image,
      label: best[0]?.label ?? null,
      second: best[1]?.label ?? null,
      confidence: best[0]?.probability ?? null,
      margin: best.length > 1 ? best[0].probability - best[1].probability : null,
      text: [image.source, image.id ?? "", ...image.predictions.map((one) => one.label)].join("\n").toLowerCase(),
    };
  });
}

/** Images without a value come last, whichever way the others go; equal ones stay in the order of submission. */
const by = (value, sign) => (a, b) => {
  const [x, y] = [value(a), value(b)];
  if (x === null || y === null) return (x === null) - (y === null) || a.index - b.index;
  return sign * (typeof x === "string" ? x.localeCompare(y) : x - y) || a.index - b.index;
};

const ORDERS = {
  index: (a, b) => a.index - b.index,
  confident: by((image) => image.confidence, -1),
  unsure: by((image) => image.confidence, 1),
  close: by((image) => image.margin, 1),
  clear: by((image) => image.margin, -1),
  label: by((image) => image.label, 1),
};

/** The images that pass every filter of the view, in its order. Each word of the query must be found. */
export function select(images, view) {
  const words = view.query.toLowerCase().split(/\s+/).filter(Boolean);
  return images
    .filter((image) => (!view.state || image.state === view.state)
      && (!view.label || image.label === view.label)
      && words.every((word) => image.text.includes(word)))
    .sort(ORDERS[view.sort]);
}

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
    .sort((a, b) => b.count - a.count || a.label.localeCompare(b.label));
}
