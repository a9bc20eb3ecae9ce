/** A picture that was just dropped is done in a fraction of a second. */
const FIRST_MS = 200;
const EVERY_MS = 1000;
const follows = document.querySelector("[data-live]") !== null;

/** A sentence at the foot of the page; nothing takes it away again. */
export function notice(text) {
  const place = document.getElementById("notice");
  place.hidden = !text;
  place.textContent = text ?? "";
}

/** Fetch the parts of the page that change, and change what differs. Says in `live` that it did. */
export async function refresh() {
  const answer = await fetch(`${location.pathname}?live`, { cache: "no-store" });
  if (answer.status === 401) return location.reload();
  if (!answer.ok) throw new Error(answer.status === 404 ? "This job is gone." : "A service does not answer; trying again.");
  for (const part of new DOMParser().parseFromString(await answer.text(), "text/html").body.children) {
    morph(document.getElementById(part.id), part);
  }
  return document.dispatchEvent(new Event("live"));
}

/** Make one node like another with as few changes as possible, so that focus, scroll and open details stay. */
export function morph(from, to) {
  if (from.isEqualNode(to)) return;
  if (from.nodeType !== to.nodeType || from.nodeName !== to.nodeName) return from.replaceWith(to);
  if (from.nodeType !== Node.ELEMENT_NODE) {
    from.data = to.data;
    return;
  }
  for (const { name, value } of to.attributes) if (from.getAttribute(name) !== value) from.setAttribute(name, value);
  for (const { name } of [...from.attributes]) if (!to.hasAttribute(name) && name !== "open") from.removeAttribute(name);
  const [old, fresh] = [solid(from), solid(to)];
  fresh.forEach((node, at) => (at < old.length ? morph(old[at], node) : from.append(node)));
  old.slice(fresh.length).forEach((node) => node.remove());
}

/** The children that show: a parser may drop the blanks between elements, which must not shift the others. */
const solid = (node) => [...node.childNodes].filter((child) => child.nodeType !== Node.TEXT_NODE || child.data.trim());

async function follow() {
  let lost = false;
  for (let wait = FIRST_MS; ; wait = Math.min(2 * wait, EVERY_MS)) {
    await new Promise((resolve) => setTimeout(resolve, wait));
    if (document.hidden) await new Promise((resolve) => document.addEventListener("visibilitychange", resolve, { once: true }));
    try {
      await refresh();
      if (lost) notice(null);
      lost = false;
    } catch (error) {
      lost = true;
      notice(error instanceof TypeError ? "The connection is lost; trying again. Is its server still running?" : error.message);
    }
  }
}
if (follows) follow();
