const form = document.getElementById("drop");
const pictures = document.getElementById("pictures");
const bar = document.getElementById("drop-progress");
const told = document.getElementById("drop-told");

const say = (title, hint) => {
  document.getElementById("drop-title").textContent = title;
  document.getElementById("drop-hint").textContent = hint;
  told.hidden = !title;
};

/** Why these files cannot go through the browser; nothing when they can. */
function refusal(files) {
  const [most, bytes] = [Number(form.dataset.mostFiles), Number(form.dataset.mostBytes)];
  const remedy = "`camq submit FOLDER` in a terminal takes any number.";
  if (files.length > most) return `${files.length.toLocaleString("en")} pictures are more than the ${most.toLocaleString("en")} of one upload: ${remedy}`;
  const size = [...files].reduce((sum, file) => sum + file.size, 0);
  if (size > bytes) return `${Math.ceil(size / 1e6).toLocaleString("en")} MB are more than the ${(bytes / 1e6).toLocaleString("en")} MB of one upload: ${remedy}`;
  return null;
}

const failed = (reason) => {
  bar.hidden = true;
  pictures.value = "";
  say("This did not work.", reason);
};

/** Send the chosen pictures; `fetch` cannot tell how much has gone, so the older request does it. */
function send() {
  if (!pictures.files.length || !bar.hidden || !open()) return;
  const reason = refusal(pictures.files);
  if (reason) return failed(reason);
  const body = new FormData(form);
  const request = new XMLHttpRequest();
  request.upload.onprogress = (event) => {
    bar.value = event.loaded / event.total;
    if (event.loaded === event.total) say("Submitting…", "The pictures are on their way into storage.");
  };
  request.onerror = () => failed("The connection is lost. Is its server still running?");
  request.onload = () => {
    let answer = {};
    try { answer = JSON.parse(request.responseText); } catch { /* not from our server */ }
    if (request.status === 201) location.assign(answer.url);
    else failed(answer.error ?? `The server answered ${request.status}.`);
  };
  const number = pictures.files.length;
  say(`Uploading ${number === 1 ? "1 picture" : `${number.toLocaleString("en")} pictures`}…`, "Stay on this page until they are there.");
  bar.value = 0;
  bar.hidden = false;
  request.open("POST", form.action);
  request.send(body);
}

/** Whether a worker would take pictures now; the page follows as workers come and go. */
const open = () => document.getElementById("drop-words").dataset.open !== "";
const keepUp = () => { pictures.disabled = !open() && bar.hidden; };
document.addEventListener("live", keepUp);
keepUp();

pictures.addEventListener("change", send);
form.addEventListener("submit", (event) => event.preventDefault());
// A file dropped beside the zone would replace the page, so the whole window takes it.
addEventListener("dragover", (event) => {
  event.preventDefault();
  form.classList.toggle("over", open());
});
addEventListener("dragleave", (event) => event.relatedTarget === null && form.classList.remove("over"));
addEventListener("drop", (event) => {
  event.preventDefault();
  form.classList.remove("over");
  if (!event.dataTransfer.files.length || !bar.hidden || !open()) return;
  pictures.files = event.dataTransfer.files;
  send();
});
// Coming back by the browser's button shows the zone as new.
addEventListener("pageshow", () => {
  bar.hidden = true;
  form.reset();
  say("", "");
});
