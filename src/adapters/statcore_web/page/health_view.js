// The health of the service: its ports, its plugins, its limits, and its version.

import { html } from "htm/preact";
import { useLive } from "./live.js";
import { Mark, sentence, since } from "./problems.js";
import { hrefOf } from "./state.js";

/** @typedef {{name: string, healthy: boolean, error: string | null}} Port */
/** @typedef {{name: string, distribution: string, version: string, status: string, offers: string[], error: string | null,
 *   remedy: string | null}} Plugin */

const QUERY = `{ version schema_version health { healthy ports { name healthy error } } limits { name value }
  plugins { name distribution version status offers error remedy } }`;
const HIDDEN = "the reason is in the log of the service";

/** The view of the service's health. */
export function HealthView() {
  const { response, failure, at_ms } = useLive({ query: QUERY });
  const data = response?.data;
  return html`<section class="health" aria-labelledby="view-title">
    <h2 id="view-title" tabindex="-1">Health</h2>
    ${
      failure &&
      html`<p class="notice" role="status">
        <${Mark} wrong=${{ kind: data ? "outdated" : "unavailable", message: failure }} /> ${sentence(failure)} ${since(at_ms)}
      </p>`
    }
    ${data ? html`<${Answer} data=${data} />` : !failure && html`<p class="faint">Loading…</p>`}
  </section>`;
}

/** @param {{data: any}} props */
function Answer({ data: { version, schema_version, health, limits, plugins } }) {
  return html`
    <p>statcore ${version}, schema ${schema_version} · <a href="metrics">Metrics of the service</a> · <a href="explorer">Query explorer</a></p>
    <h3 class="part-title">Ports</h3>
    <div role="status">
    <ul class="cards">
      ${(health?.ports ?? []).map(
        (/** @type {Port} */ { name, healthy, error }) => html`<li key=${name}>
          <b>${name}</b> ${healthy ? html`<span class="good"><span aria-hidden="true">●</span> answers</span>` : html`<${Mark} wrong=${{ kind: "unavailable", message: error ?? HIDDEN }} />`}
          ${!healthy && html`<p>${error ?? HIDDEN}</p>`}
        </li>`,
      )}
    </ul>
    </div>
    <h3 class="part-title">Plugins</h3>
    <ul class="cards">
      ${(plugins ?? []).map(
        (
          /** @type {Plugin} */ { name, distribution, version: installed, status, offers, error, remedy },
        ) => html`<li key=${`${distribution} ${name}`}>
          <b>${name}</b> <span class="faint">${distribution} ${installed}</span>
          ${status === "ok" ? html` <span class="good"><span aria-hidden="true">●</span> ok</span>` : html` <${Mark} wrong=${{ kind: status, message: error ?? HIDDEN }} />`}
          ${[...Map.groupBy(offers, (text) => text.slice(0, text.lastIndexOf(" ")))].map(offered)}
          ${status !== "ok" && html`<p>${error ?? HIDDEN} ${remedy}</p>`}
        </li>`,
      )}
    </ul>
    <h3 class="part-title">Limits</h3>
    <table>
      <thead><tr><th scope="col">Limit</th><th scope="col">Value</th></tr></thead>
      <tbody>
        ${(limits ?? []).map((/** @type {{name: string, value: number}} */ { name, value }) => html`<tr key=${name}><th scope="row">${name}</th><td>${value.toLocaleString("en")}</td></tr>`)}
      </tbody>
    </table>
  `;
}

/**
 * What a plugin offers of a kind; queriers and presets are links.
 * @param {[what: string, texts: string[]]} offers texts such as "querier container"
 */
function offered([what, texts]) {
  const isQuery = what === "querier" || what === "preset";
  const names = texts.map((text) => text.slice(what.length).trim());
  return html`<p key=${what}>
    ${what}: ${names.map((name, number) => [number ? ", " : "", isQuery ? html`<a href=${hrefOf(["query", what, name])}>${name}</a>` : name])}
  </p>`;
}
