// Runs before the page is painted, so that a chosen theme does not flash: hence no module.

(() => {
  const KEY = "reelseek.theme";
  const root = document.documentElement;
  const wishes = window.matchMedia("(prefers-color-scheme: dark)");

  function stored() {
    try {
      return localStorage.getItem(KEY);
    } catch {
      return null; // storage may be forbidden: the system's wish counts
    }
  }

  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : wishes.matches);
  if (stored()) root.dataset.theme = stored();

  document.addEventListener("DOMContentLoaded", () => {
    const button = document.getElementById("theme");
    const show = () => {
      button.setAttribute("aria-pressed", String(isDark()));
      button.title = isDark() ? "Use light colours" : "Use dark colours";
    };
    button.addEventListener("click", () => {
      root.dataset.theme = isDark() ? "light" : "dark";
      try {
        localStorage.setItem(KEY, root.dataset.theme);
      } catch {
        // it holds until the page is closed
      }
      show();
    });
    wishes.addEventListener("change", show);
    show();
  });
})();
