// Runs before the first paint, so that a page never flashes in the other theme.
{
  const KEY = "camq-theme";
  const recall = () => {
    try { return localStorage.getItem(KEY); } catch { return null; } // storage may be forbidden for files
  };
  const chosen = recall();
  if (chosen) document.documentElement.dataset.theme = chosen;

  const toggle = () => {
    const root = document.documentElement;
    const system = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
    root.dataset.theme = (root.dataset.theme ?? system) === "dark" ? "light" : "dark";
    try { localStorage.setItem(KEY, root.dataset.theme); } catch { /* then it lasts as long as the page */ }
  };
  document.addEventListener("click", (event) => {
    if (event.target.closest("#theme")) toggle();
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "t" && !event.ctrlKey && !event.metaKey && !event.altKey && !event.target.closest("input, select, textarea")) toggle();
  });
}
