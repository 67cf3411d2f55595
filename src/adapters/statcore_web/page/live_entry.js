// The live entry of an object, as it is stored: a table of its metrics, and its JSON.

import { html } from "htm/preact";
import { useMemo } from "preact/hooks";
import { CopyButton } from "./copy_button.js";
import { toJson } from "./json.js";
import { kindOf, Mark } from "./problems.js";
import { format } from "./units.js";

const NO_STATISTICS = { kind: "missing", message: "It has no live statistics." };

/**
 * The live entry as a table, and as the JSON that is stored.
 * @param {{item: any, error?: import("./client.js").GraphQLError}} props `error`: why its entry cannot be read now
 */
export function LiveEntry({ item, error }) {
  const entry = useMemo(() => entryOf(item), [item]);
  const rows = useMemo(() => (entry ? rowsOf(entry) : []), [entry]);
  if (!item) return null;
  const lacking = error ? { kind: kindOf(error.extensions?.code ?? ""), message: error.message } : NO_STATISTICS;
  const text = toJson(entry, 2);
  const names = [...new Set(rows.flatMap(({ fields }) => Object.keys(fields)))];
  return html`<section aria-labelledby="entry-title">
    <h3 id="entry-title" class="part-title">Live entry, as stored</h3>
    ${
      !entry
        ? html`<p><${Mark} wrong=${lacking} /> ${lacking.message}</p>`
        : html`<div class="scrolling" tabindex="0" role="region" aria-label="Live entry">
              <table>
                <thead><tr><th scope="col">Metric</th>${names.map((name) => html`<th key=${name} scope="col">${name}</th>`)}</tr></thead>
                <tbody>
                  ${rows.map(
                    ({ metric, fields }) => html`<tr key=${metric}>
                      <th scope="row">${metric}</th>${names.map((name) => html`<td key=${name}>${cell(fields[name], name, fields)}</td>`)}
                    </tr>`,
                  )}
                </tbody>
              </table>
            </div>
            <details><summary>JSON</summary><${CopyButton} text=${text} what="JSON" /><pre class="scrolling" tabindex="0">${text}</pre></details>`
    }
  </section>`;
}

/**
 * Return the live entry of an object, or null if it has none. The entry of an endpoint contains the entries of its replicas.
 * @param {any} item
 */
function entryOf(item) {
  const replicas = (item?.replicas ?? []).filter((/** @type {any} */ { live_stat }) => live_stat);
  if (!replicas.length) return item?.live_stat ?? null;
  return {
    ...item.live_stat,
    ...Object.fromEntries(
      replicas.map((/** @type {any} */ { replica_id, live_stat }) => [`replica ${replica_id}`, live_stat]),
    ),
  };
}

/**
 * Return the metrics of an entry and of its parts, such as the devices of an agent.
 * @param {Record<string, any>} entry
 * @param {string} [within]
 * @returns {{metric: string, fields: Record<string, any>}[]}
 */
function rowsOf(entry, within = "") {
  return Object.entries(entry).flatMap(([name, value]) => {
    const metric = `${within}${name}`;
    if (typeof value !== "object" || value === null) return [{ metric, fields: { current: value } }];
    const isMetric = Object.values(value).every((field) => typeof field !== "object" || field === null);
    return isMetric ? [{ metric, fields: value }] : rowsOf(value, `${metric} / `);
  });
}

/**
 * @param {any} value
 * @param {string} name
 * @param {Record<string, any>} fields
 */
function cell(value, name, { unit_hint }) {
  if (value === undefined || value === null)
    return html`<span class="faint" title=${value === null ? "Not meaningful for this metric, or unreadable" : "Not stored"}>—</span>`;
  const isBytes = unit_hint === "bytes" && name !== "pct" && !Number.isNaN(Number(value));
  return isBytes ? html`<span title=${format(Number(value), "bytes")}>${value}</span>` : String(value);
}
