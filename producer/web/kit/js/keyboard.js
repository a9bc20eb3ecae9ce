import { byId } from "./dom.js";

const STEPS = { ArrowLeft: () => -1, ArrowRight: () => 1, ArrowUp: (columns) => -columns, ArrowDown: (columns) => columns };

/** Keys of the page. `gallery` does what they ask for. */
export function listen(gallery) {
  const inGrid = () => document.activeElement?.closest?.("#grid") !== null && document.activeElement !== document.body;

  const act = (key) => {
    const { grid, viewer } = gallery;
    if (key in STEPS) {
      if (viewer.isOpen) return viewer.step(Math.sign(STEPS[key](1)));
      // From elsewhere the first arrow only enters the grid, where the keyboard last was.
      return grid.focus(inGrid() ? grid.place + STEPS[key](grid.columns) : grid.place);
    }
    if (key >= "0" && key <= "9" && key.length === 1) return gallery.rank(Number(key) - 1);
    if (key === "Enter" && inGrid() && !viewer.isOpen) return gallery.open(grid.place);
    if (key === "[" || key === "]") return gallery.heat(key === "[" ? -10 : 10);
    if (key === "b") return gallery.boxes(!byId("boxes").checked);
    if (key === "?") return byId("help").showModal();
    if (key === "/") return byId("search").focus();
    if (key === "Home" && inGrid()) return grid.focus(0);
    if (key === "End" && inGrid()) return grid.focus(grid.images.length - 1);
    if (key === "Escape" && !viewer.isOpen && !byId("help").open) return gallery.clear();
    return false;
  };

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    const writing = event.target.matches("input, select, textarea");
    const control = event.target.matches("button, summary, a, [role=region]") && (event.key === "Enter" || event.key.startsWith("Arrow") && event.target.matches("[role=region]"));
    if ((writing && event.key !== "Escape") || control) return;
    if (byId("help").open && event.key !== "?") return;
    if (act(event.key) !== false) event.preventDefault();
  });
  for (const dialog of document.querySelectorAll("dialog")) {
    dialog.addEventListener("click", (event) => {
      // The dialog itself is hit only where its backdrop is.
      if (event.target === dialog || event.target.closest("[data-close]")) dialog.close();
    });
  }
  byId("help-open").addEventListener("click", () => byId("help").showModal());
}
