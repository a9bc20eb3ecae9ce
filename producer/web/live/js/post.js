import { notice, refresh } from "./live.js";

// Forms are sent by script: under `no-referrer` a browser would send them without their origin, which is refused.
document.addEventListener("submit", async (event) => {
  const form = event.target.closest("form[data-post]");
  if (!form) return;
  event.preventDefault();
  if (form.dataset.confirm && !confirm(form.dataset.confirm)) return;
  const button = form.querySelector("button");
  button.disabled = true;
  try {
    const answer = await fetch(form.action, { method: "POST" });
    const told = await answer.json();
    notice(answer.ok ? null : told.error);
    await refresh();
  } catch {
    notice("The connection is lost. Is its server still running?");
  }
  button.disabled = false;
});
