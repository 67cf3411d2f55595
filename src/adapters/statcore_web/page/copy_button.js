// A button that copies a text, also where browsers have no clipboard for scripts.

import { html } from "htm/preact";
import { useEffect, useRef, useState } from "preact/hooks";

const COPIED_MS = 2000;

/**
 * A button that copies a text, and says that it did.
 * @param {{text: string, what: string, label?: string}} props
 */
export function CopyButton({ text, what, label = "Copy" }) {
  const [state, setState] = useState("");
  const timer = useRef(0);
  useEffect(() => () => clearTimeout(timer.current), []);
  const copy = async () => {
    const isCopied = isSecureContext
      ? await navigator.clipboard.writeText(text).then(
          () => true,
          () => false,
        )
      : copyBySelection(text);
    setState(isCopied ? "Copied" : "The browser does not allow it; select the text");
    clearTimeout(timer.current);
    timer.current = setTimeout(setState, COPIED_MS, "");
  };
  return html`<button type="button" class="small" onClick=${copy}>${label}${label === "Copy" && html`<span class="unseen"> ${what}</span>`}</button><span class="faint" role="status">${state}</span>`;
}

/**
 * Copy a text where browsers have no clipboard for scripts: on a page without TLS. Return whether it worked.
 * @param {string} text
 */
function copyBySelection(text) {
  const focused = document.activeElement;
  const area = Object.assign(document.createElement("textarea"), { value: text, className: "unseen" });
  document.body.append(area);
  area.select();
  const isCopied = document.execCommand("copy");
  area.remove();
  if (focused instanceof HTMLElement) focused.focus();
  return isCopied;
}
