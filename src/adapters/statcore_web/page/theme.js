// The theme: light, dark, or the theme of the system. The choice is kept in this browser, for all pages of the service.

/** The choices, with their texts. @type {Record<string, string>} */
export const THEMES = { auto: "System theme", light: "Light theme", dark: "Dark theme" };
const KEY = "statcore.theme";
const CHANGED = "statcore-theme";

/** Return the chosen theme. */
export const theme = () => localStorage.getItem(KEY) ?? "auto";

/** Give the page the chosen theme. */
export function showTheme() {
  document.documentElement.dataset.theme = theme();
  dispatchEvent(new Event(CHANGED));
}

/** Keep a choice and show it. @param {string} chosen */
export function chooseTheme(chosen) {
  if (chosen === "auto") localStorage.removeItem(KEY);
  else localStorage.setItem(KEY, chosen);
  showTheme();
}

/**
 * Call a function when the page gets other colours, by the user's choice or by the system.
 * @param {() => void} onChange
 * @returns {() => void} stops it
 */
export function watchTheme(onChange) {
  const scheme = matchMedia("(prefers-color-scheme: dark)");
  scheme.addEventListener("change", onChange);
  addEventListener(CHANGED, onChange);
  return () => {
    scheme.removeEventListener("change", onChange);
    removeEventListener(CHANGED, onChange);
  };
}
