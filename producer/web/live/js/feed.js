import { start } from "../../kit/js/gallery.js";
import { morph } from "./live.js";

/** A look costs the server more the larger the job; so much of its time may go into this page. */
const SHARE = 10;
const LEAST_MS = 150;
const data = JSON.parse(document.getElementById("gallery-data").textContent);
const gallery = start({ ...data, images: { labels: [], rows: [], paths: {} } });
/** Blocks of images that will not change: where each begins, and the one after it. */
const settled = new Map();

/** Reads `read` whenever the job moved since, if the last time is long enough ago. */
function follower(read) {
  let [seen, busy, notBefore] = [null, false, 0];
  return async () => {
    const { moved, total } = document.getElementById("job").dataset;
    if (moved === seen || busy || performance.now() < notBefore) return;
    busy = true;
    const began = performance.now();
    try {
      await read(Number(total));
      seen = moved;
    } catch { /* the page says already that the connection is lost */ }
    notBefore = performance.now() + Math.max(LEAST_MS, SHARE * (performance.now() - began));
    busy = false;
  };
}

async function ask(path) {
  const answer = await fetch(`${data.at}/${path}`, { cache: "no-store" });
  if (!answer.ok) throw new Error(answer.status);
  return answer;
}

/** The pictures, block by block. */
const feed = follower(async (total) => {
  const most = Math.max(1, Math.min(total, data.most));
  for (let from = 0, next = 0; from < most; from = next) {
    next = settled.get(from);
    if (next) continue;
    const block = await (await ask(`images?from=${from}`)).json();
    next = block.next;
    if (block.settled) settled.set(from, next);
    gallery.put(from, block, next < most);
  }
  gallery.ready();
  await look();
});

/** What they say all together: only where somebody said what is right, or kept maps. */
const look = follower(async () => {
  if (!data.maps && !gallery.images.some((image) => image.row[7])) return;
  const text = await (await ask("answers")).text();
  morph(document.getElementById("answers"), new DOMParser().parseFromString(text, "text/html").getElementById("answers"));
  gallery.borders();
  gallery.load();
});
document.addEventListener("live", feed);
document.addEventListener("live", look);
feed();
