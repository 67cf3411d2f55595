// The frame of every view: navigation, the connection, the token, the theme, the version.

import { html } from "htm/preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { token } from "./client.js";
import { refreshAll, useConnection, useLive } from "./live.js";
import { hrefOf, usePlace } from "./state.js";
import { chooseTheme, THEMES, theme } from "./theme.js";
import { clock } from "./units.js";

/** @typedef {{path: string[], title: string}} Destination */

/**
 * @param {{destinations: Destination[], children: any}} props
 */
export function Shell({ destinations, children }) {
  const { path } = usePlace();
  return html`
    <a class="skip" href="#content" onClick=${skip}>Skip to the content</a>
    <header>
      <h1><a href=${hrefOf(["sessions"])}>statcore</a></h1>
      <nav aria-label="Views">
        ${destinations.map(
          ({ path: to, title }) =>
            html`<a href=${hrefOf(to)} aria-current=${to[0] === path[0] ? "page" : undefined}>${title}</a>`,
        )}
        <a href="explorer">Explorer</a>
      </nav>
      <${Connected} />
      <${Token} />
      <${ThemeChoice} />
    </header>
    <main id="content" tabindex="-1">${children}</main>
    <footer><${Version} /></footer>
  `;
}

/** @param {Event} event */
function skip(event) {
  event.preventDefault(); // the fragment of the address is the state of the page
  document.getElementById("content")?.focus();
}

/** The state of the connection, in words. */
function Connected() {
  const { state, failure, since_ms } = useConnection();
  const since = `since ${clock(new Date(since_ms))}`;
  const texts = {
    connecting: "Connecting…",
    ok: "Live",
    refused: "A token is needed",
    down: "The service does not answer",
    offline: "This machine is offline",
  };
  return html`<p class=${`connection ${state}`} role="status" title=${failure ? `${failure} (${since})` : since}>
    <span class="dot" aria-hidden="true"></span>${texts[state]}
    ${(state === "down" || state === "offline") && html` <button type="button" onClick=${refreshAll}>Try again</button>`}
  </p>`;
}

/** The dialog of the token, which opens by itself when the service refuses to answer without one. */
function Token() {
  const { state } = useConnection();
  const dialog = useRef(/** @type {HTMLDialogElement | null} */ (null));
  const input = useRef(/** @type {HTMLInputElement | null} */ (null));
  const [isKept, setIsKept] = useState(token.get() !== null);
  const [wasKept] = useState(isKept);
  useEffect(() => {
    if (state === "refused") {
      token.remove();
      setIsKept(false);
      if (!dialog.current?.open) dialog.current?.showModal();
    } else if (state === "ok") {
      dialog.current?.close();
    }
  }, [state]);
  const submit = (/** @type {Event} */ event) => {
    event.preventDefault();
    const secret = input.current?.value.trim();
    if (!secret) return;
    token.set(secret);
    location.reload(); // leaves nothing of what another token could see
  };
  const signOut = () => {
    token.remove();
    location.reload(); // leaves nothing of what the token could see
  };
  return html`
    ${state === "refused" && html`<button type="button" onClick=${() => dialog.current?.showModal()}>Sign in</button>`}
    ${isKept && html`<button type="button" onClick=${signOut} title="Removes the token from this browser">Sign out</button>`}
    <dialog ref=${dialog} aria-labelledby="token-title">
      <form onSubmit=${submit}>
        <h2 id="token-title">${wasKept ? "The token is not valid" : "This service needs a token"}</h2>
        <p>Get one from the operator, who makes it with <code>statcore token new</code>. It is kept in this tab until the tab is closed.</p>
        <label>Token <input ref=${input} type="password" autocomplete="off" spellcheck=${false} required
          pattern="[!-~]+" title="A token has no spaces and only ASCII characters; copy it again" /></label>
        <button class="main">Sign in</button>
      </form>
    </dialog>
  `;
}

/** The choice of the theme. */
function ThemeChoice() {
  const choose = (/** @type {Event} */ { currentTarget }) =>
    chooseTheme(/** @type {HTMLSelectElement} */ (currentTarget).value);
  const chosen = theme();
  return html`<select aria-label="Theme" onChange=${choose}>
    ${Object.keys(THEMES).map((name) => html`<option value=${name} selected=${name === chosen}>${THEMES[name]}</option>`)}
  </select>`;
}

/** The version of the service. */
function Version() {
  const { response } = useLive({ query: "{ version }" }, { every_ms: 0 });
  return html`statcore ${response?.data.version}`;
}
