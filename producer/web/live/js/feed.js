import { start } from "../../report/js/gallery.js";

/** A look costs the server more the larger the job; so much of its time may go into this page. */
const SHARE = 10;
const LEAST_MS = 1000;
const data = JSON.parse(document.getElementById("gallery-data").textContent);
const gallery = start({ ...data, images: [] });
let [seen, busy, notBefore] = [null, false, 0];

/** Load the pictures anew whenever the job moved. */
async function feed() {
  const now = document.getElementById("job").dataset.moved;
  if (now === seen || busy || performance.now() < notBefore) return;
  busy = true;
  const began = performance.now();
  try {
    const answer = await fetch(data.images, { cache: "no-store" });
    if (answer.ok) {
      gallery.load(await answer.json());
      seen = now;
    }
  } catch { /* the page says already that the connection is lost */ }
  notBefore = performance.now() + Math.max(LEAST_MS, SHARE * (performance.now() - began));
  busy = false;
}
document.addEventListener("live", feed);
feed();
