// The page: which view an address names.

import { html } from "htm/preact";
import { render } from "preact";
import { useEffect } from "preact/hooks";
import { HealthView } from "./health_view.js";
import { ObjectView } from "./object_view.js";
import { Agents, Endpoints, Kernels, Sessions } from "./overview.js";
import { QueryView } from "./query_view.js";
import { Shell } from "./shell.js";
import { usePlace } from "./state.js";

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
  const {
    path: [name = "", ...rest],
  } = usePlace();
  const known = VIEWS[name];
  useEffect(() => {
    document.title = [...rest.slice(-1), known?.title, "statcore"].filter(Boolean).join(" · ");
  });
  return html`<${Shell} destinations=${destinations}>
    ${known ? html`<${known.view} key=${name} rest=${rest} />` : html`<p class="empty">There is no such view: ${name}</p>`}
  <//>`;
}

const root = document.getElementById("page");
if (root) render(html`<${Page} />`, root);
