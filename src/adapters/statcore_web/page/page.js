// The page: which view an address names, what happens when the user goes to another one, and what is shown of a view that fails.

import { html } from "htm/preact";
import { Component, render } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { HealthView } from "./health_view.js";
import { ObjectView } from "./object_view.js";
import { Agents, Endpoints, Kernels, Sessions } from "./overview.js";
import { QueryView } from "./query_view.js";
import { Shell } from "./shell.js";
import { usePlace } from "./state.js";
import { showTheme } from "./theme.js";

/**
 * The views by the first part of their path; each takes the parts after it as `rest`, and reads the parameters by `usePlace`.
 * @type {Record<string, {title: string, view: (props: {rest: string[]}) => any, isListed?: boolean}>}
 */
const VIEWS = {
  sessions: { title: "Sessions", view: Sessions, isListed: true },
  kernels: { title: "Kernels", view: Kernels, isListed: true },
  endpoints: { title: "Endpoints", view: Endpoints, isListed: true },
  agents: { title: "Agents", view: Agents, isListed: true },
  object: { title: "Object", view: ObjectView },
  query: { title: "Queries", view: QueryView, isListed: true },
  health: { title: "Health", view: HealthView, isListed: true },
};

const destinations = Object.entries(VIEWS).flatMap(([name, { title, isListed }]) =>
  isListed ? [{ path: [name], title }] : [],
);

function Page() {
  const { path } = usePlace();
  const [name = "", ...rest] = path;
  const known = VIEWS[name];
  useEffect(() => {
    document.title = [...rest.slice(-1), known?.title, "statcore"].filter(Boolean).join(" · ");
  });
  useArrival(path.join("/"));
  return html`<${Shell} destinations=${destinations}>
    <${Guard} key=${name}>
      ${known ? html`<${known.view} rest=${rest} />` : html`<p class="empty">There is no such view: ${name}</p>`}
    <//>
  <//>`;
}

/**
 * Show a new place from its top, with the focus on its title, as if it were another page (a hook). A field that chose the place
 * keeps the focus.
 * @param {string} path
 */
function useArrival(path) {
  const shown = useRef(path);
  useEffect(() => {
    if (path === shown.current) return;
    shown.current = path;
    document.querySelector("main")?.scrollTo(0, 0);
    if (document.activeElement?.matches("input, select")) return;
    /** @type {HTMLElement | null} */ (document.querySelector("main h2"))?.focus({ preventScroll: true });
  }, [path]);
}

/**
 * Shows a view, or that it has failed: an exception in a view leaves the rest of the page as it is.
 * @extends {Component<{children: any}, {error?: unknown}>}
 */
class Guard extends Component {
  /** @param {unknown} error */
  componentDidCatch(error) {
    console.error(error);
    this.setState({ error });
  }

  render() {
    const { error } = this.state;
    if (error === undefined) return this.props.children;
    return html`<section role="alert">
      <h2 tabindex="-1">This view has failed</h2>
      <p>${String(error)}</p>
      <button type="button" onClick=${() => location.reload()}>Load the page again</button>
    </section>`;
  }
}

showTheme();
const root = document.getElementById("page");
if (root) render(html`<${Page} />`, root);
