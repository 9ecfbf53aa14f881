// Light or dark. A classic script in the head, so that the first paint already has the right colours.

{
  const system = matchMedia("(prefers-color-scheme: dark)");
  const read = () => {
    try {
      return localStorage.getItem("theme");
    } catch {
      return null; // the browser forbids storage; the switch then lasts until the page is closed
    }
  };
  const show = (chosen) => (document.documentElement.dataset.theme = chosen ?? (system.matches ? "dark" : "light"));

  show(read());
  system.addEventListener("change", () => show(read()));
  window.switchTheme = () => {
    const next = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
    try {
      localStorage.setItem("theme", next);
    } catch {
      // shown all the same
    }
    show(next);
  };
}
