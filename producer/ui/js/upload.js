const form = document.getElementById("drop");
const pictures = document.getElementById("pictures");
const bar = document.getElementById("drop-progress");
const title = document.getElementById("drop-title");
const hint = document.getElementById("drop-hint");
const words = [title.textContent, hint.textContent];

const say = (first, second) => {
  title.textContent = first;
  hint.textContent = second;
};

/** Send the chosen pictures; `fetch` cannot tell how much has gone, so the older request does it. */
function send() {
  if (!pictures.files.length || !bar.hidden) return;
  const body = new FormData(form);
  const request = new XMLHttpRequest();
  const failed = (reason) => {
    bar.hidden = true;
    form.reset();
    say("This did not work", reason);
  };
  request.upload.onprogress = (event) => {
    bar.value = event.loaded / event.total;
    if (event.loaded === event.total) say("Submitting…", "The pictures are on their way into storage.");
  };
  request.onerror = () => failed("The connection is lost. Is `camq ui` still running?");
  request.onload = () => {
    let told = {};
    try { told = JSON.parse(request.responseText); } catch { /* not from our server */ }
    if (request.status === 201) location.assign(told.url);
    else failed(told.error ?? `The server answered ${request.status}.`);
  };
  const number = pictures.files.length;
  say(`Uploading ${number === 1 ? "1 picture" : `${number.toLocaleString("en")} pictures`}…`, "Stay on this page until they are there.");
  bar.value = 0;
  bar.hidden = false;
  request.open("POST", form.action);
  request.send(body);
}

pictures.addEventListener("change", send);
form.addEventListener("submit", (event) => event.preventDefault());
// A file dropped beside the zone would replace the page, so the whole window takes it.
addEventListener("dragover", (event) => {
  event.preventDefault();
  form.classList.add("over");
});
addEventListener("dragleave", (event) => event.relatedTarget === null && form.classList.remove("over"));
addEventListener("drop", (event) => {
  event.preventDefault();
  form.classList.remove("over");
  if (!event.dataTransfer.files.length || !bar.hidden) return;
  pictures.files = event.dataTransfer.files;
  send();
});
// Coming back by the browser's button shows the zone as new.
addEventListener("pageshow", () => {
  bar.hidden = true;
  form.reset();
  say(...words);
});
