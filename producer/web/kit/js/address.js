/** What the address says of the view: its names, and what they are when they are left out. */
const PLAIN = {
  q: "", state: "", label: "", answer: "", truth: "", above: "", below: "", border: "", sort: "index", rank: "1", page: "1", image: "",
};

/** The view that the address asks for, with what it leaves out; null when its fragment is none of ours. */
export function asked() {
  const said = new URLSearchParams(location.hash.slice(1));
  if (location.hash.length > 1 && ![...said.keys()].some((name) => name in PLAIN && location.hash.includes(`${name}=`))) return null;
  return Object.fromEntries(Object.entries(PLAIN).map(([name, plain]) => [name, said.get(name) ?? plain]));
}

/** Write the view into the address, so that it can be shared; nothing is added to the browser's history. */
export function tell(view) {
  const said = Object.entries(view).filter(([name, value]) => value !== PLAIN[name]);
  const fragment = new URLSearchParams(said).toString();
  history.replaceState(null, "", location.pathname + location.search + (fragment && `#${fragment}`));
}
