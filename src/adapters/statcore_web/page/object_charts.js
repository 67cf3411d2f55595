// The charts of one object: every kind of querier that selects by its id, with every metric that the backend has.

import { html } from "htm/preact";
import { useLive } from "./live.js";
import { fieldOf, METRIC, QUERIER, useMetrics } from "./queriers.js";
import { ResultChart, utilizationPart } from "./result_chart.js";
import { change, hrefOf, usePlace } from "./state.js";
import { RangeBar, rangeParams, useTimeRange, wrongWith } from "./time_range.js";

/** @typedef {import("./result_chart.js").Part} Part */
/** @typedef {import("./queriers.js").Querier} Querier */
/** @typedef {import("./time_range.js").TimeRange} TimeRange */
/**
 * An id that the charts select, such as a session of an endpoint. `name` begins the names of its lines, and is "" if there is only
 * one id.
 * @typedef {{name: string, value: string}} Selected
 */

const NO_PERCENT = "this kind of querier answers no percent";
const VALUE_TYPE = "value_type";
const FIRST_METRICS = ["cpu_util", "mem"];

/** Return whether a querier answers percent. @param {Querier} querier */
const hasPct = (querier) => Boolean(fieldOf(querier, VALUE_TYPE)?.choices.includes("pct"));

/**
 * @param {{label: string, selected: Selected[], stored: string[]}} props `label`: the field of queriers that selects the object;
 *   `stored`: the metrics of its live entry, which are shown while the backend does not say which it has
 */
export function ObjectCharts({ label, selected, stored }) {
  const range = useTimeRange();
  const isPct = usePlace().params.get("as") === "pct";
  const { response, failure } = useLive({ query: `{ queriers ${QUERIER} }` }, { every_ms: 0 });
  /** @type {Querier[]} */
  const all = response?.data.queriers ?? [];
  const queriers = all.filter(
    (querier) =>
      fieldOf(querier, label) &&
      querier.fields?.every(({ name, required }) => !required || [METRIC, VALUE_TYPE, label].includes(name)),
  );
  const isWrong = Object.keys(wrongWith(range)).length > 0;
  const show = (/** @type {string | undefined} */ as) => () => change({ as });
  return html`<div class="charts-bar">
      <${RangeBar} />
      ${
        queriers.some(hasPct) &&
        html`<div class="choices" role="group" aria-label="Values">
          <button type="button" aria-pressed=${!isPct} onClick=${show(undefined)}>Value</button>
          <button type="button" aria-pressed=${isPct} onClick=${show("pct")} title="Percent of the capacity; of CPU, percent of one core">Percent</button>
        </div>`
      }
    </div>
    ${failure && html`<p class="notice" role="status">${failure}</p>`}
    ${
      !isWrong &&
      selected.length > 0 &&
      queriers.map(
        (querier) =>
          html`<${QuerierCharts} key=${querier.name} querier=${querier} label=${label} selected=${selected} stored=${stored} range=${range} isPct=${isPct} />`,
      )
    }`;
}

/** @param {{querier: Querier, label: string, selected: Selected[], stored: string[], range: TimeRange, isPct: boolean}} props */
function QuerierCharts({ querier, label, selected, stored, range, isPct }) {
  const { metrics, failure } = useMetrics(querier);
  const [first] = selected; // a form has one value for a field
  const titles = fieldOf(querier, METRIC) ? ordered(metrics ?? stored) : [""];
  const charts = titles.map((metric) => {
    const parts = partsOf(querier, metric, selected, label, isPct);
    const fields = { [`field.${METRIC}`]: metric, [`field.${label}`]: first?.value };
    const link = {
      href: hrefOf(["query", "querier", querier.name], { ...fields, ...rangeParams() }),
      text: first?.name ? `Query of ${first.name}` : "Query",
    };
    return html`<${ResultChart}
      key=${metric} title=${metric || querier.name} parts=${parts} range=${range} link=${link}
      otherwise=${isPct ? partsOf(querier, metric, selected, label, false) : undefined}
      remark=${isPct && !hasPct(querier) ? NO_PERCENT : undefined}
    />`;
  });
  return html`<section aria-label=${querier.summary}>
    <h3 class="part-title" title=${querier.name}>${querier.summary}</h3>
    ${failure && html`<p class="notice" role="status">Its metrics are not known: ${failure}</p>`}
    ${metrics?.length === 0 && html`<p class="faint">The metric backend has no metrics of this kind.</p>`}
    <div class="charts">${charts}</div>
  </section>`;
}

/** Return metrics, beginning with the metrics that people look for first. @param {string[]} metrics */
function ordered(metrics) {
  return [...new Set([...FIRST_METRICS.filter((name) => metrics.includes(name)), ...metrics.toSorted()])];
}

/**
 * Return what a chart of a metric queries: current values against the capacity, or percent, of each selected value.
 * @param {Querier} querier
 * @param {string} metric
 * @param {Selected[]} selected
 * @param {string} label
 * @param {boolean} isPct
 * @returns {Part[]}
 */
function partsOf(querier, metric, selected, label, isPct) {
  const choices = fieldOf(querier, VALUE_TYPE)?.choices ?? [];
  const types =
    isPct && choices.includes("pct") ? ["pct"] : ["current", "capacity"].filter((type) => choices.includes(type));
  return selected.flatMap(({ name, value }) =>
    (types.length ? types : [""]).map((type) =>
      utilizationPart(
        querier.name,
        { ...(metric && { [METRIC]: metric }), ...(type && { [VALUE_TYPE]: type }), [label]: value },
        { name: [name, type || metric].filter(Boolean).join(", "), isDashed: type === "capacity" },
      ),
    ),
  );
}
