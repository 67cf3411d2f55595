// The answer to a query over time: its chart, what is wrong with it, its PromQL, and its numbers as a table and as CSV.

import { html } from "htm/preact";
import { useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import { Chart, ChartTable, useNearness } from "./chart.js";
import { CopyButton } from "./copy_button.js";
import { useLive } from "./live.js";
import { kindOfFailure, Mark, sentence, since, wrongAt } from "./problems.js";
import { ANSWER, csvOf, linesOf, wrongWithAnswers } from "./results.js";
import { refreshOf, remarkOnEnd, spanOf, zoomBy, zoomTo } from "./time_range.js";

/** @typedef {import("./results.js").Answer} Answer */
/** @typedef {import("./chart.js").Line} Line */
/** @typedef {import("./live.js").Live} Live */
/** @typedef {import("./problems.js").Wrong} Wrong */
/** @typedef {import("./time_range.js").TimeRange} TimeRange */
/**
 * A field of the schema that answers with series: its name, its arguments by name with their type and value, what its lines are
 * called, and whether they are dashed.
 * @typedef {{field: "utilization" | "preset_result", args: Record<string, [type: string, value: unknown]>, name?: string,
 *   isDashed?: boolean}} Part
 */
/** Where the query of a chart can be changed. @typedef {{href: string, text: string}} Link */

const MOST_LINES = 30;

/**
 * Return the field that queries a kind of querier.
 * @param {string} querier
 * @param {Record<string, unknown>} selector
 * @param {{name?: string, isDashed?: boolean}} [options]
 * @returns {Part}
 */
export function utilizationPart(querier, selector, options) {
  return { field: "utilization", args: { querier: ["String!", querier], selector: ["JSON!", selector] }, ...options };
}

/** Return the name of a part in a response. @param {number} number */
const partName = (number) => `part${number}`;

/**
 * Return the request for some fields over the same range, whose ends are replaced by times when it is sent.
 * @param {Part[]} parts
 * @param {TimeRange} range
 */
function requestOf(parts, { from, to, step }) {
  /** @type {Record<string, unknown>} */
  const variables = { start: from, end: to, step };
  const declared = ["$start: String!", "$end: String!", "$step: String!"];
  const fields = parts.map(({ field, args }, number) => {
    const passed = Object.entries(args).map(([name, [type, value]]) => {
      variables[`${name}${number}`] = value;
      declared.push(`$${name}${number}: ${type}`);
      return `${name}: $${name}${number}`;
    });
    return `${partName(number)}: ${field}(${[...passed, "start: $start, end: $end, step: $step"].join(", ")}) ${ANSWER}`;
  });
  return { query: `query Range(${declared.join(", ")}) { ${fields.join(" ")} }`, variables };
}

/** @param {TimeRange} range */
function rangeVariables(range) {
  const { start_s, end_s, step_s } = spanOf(range);
  return { start: new Date(start_s * 1000).toISOString(), end: new Date(end_s * 1000).toISOString(), step: `${step_s}s` };
}

/** Return whether what is shown answers the newest request. @param {Live} live */
const isSame = ({ answered, request }) => JSON.stringify(answered) === JSON.stringify(request);

/** Return whether what is shown answers the newest request, apart from its range. @param {Live} live */
function isOfSameQuery({ answered, request }) {
  const withoutRange = (/** @type {import("./client.js").Request | undefined} */ sent) =>
    JSON.stringify({ ...sent, variables: { ...sent?.variables, start: "", end: "", step: "" } });
  return withoutRange(answered) === withoutRange(request);
}

/** @param {import("./client.js").Request} sent */
function spanOfSent({ variables }) {
  const { start, end, step } = /** @type {{start: string, end: string, step: string}} */ (variables);
  return { start_s: Date.parse(start) / 1000, end_s: Date.parse(end) / 1000, step_s: Number.parseFloat(step) };
}

/**
 * Return what is known of the answers to some fields over a range, which is refreshed (a hook). The answer to an earlier query
 * stays until this query has an answer, and is removed if it fails.
 * @param {Part[]} parts
 * @param {TimeRange} range
 * @param {boolean} isPaused
 * @returns {Live}
 */
export function useResult(parts, range, isPaused) {
  const fresh = () => rangeVariables(range);
  const live = useLive(requestOf(parts, range), { every_ms: refreshOf(range), fresh, hasParts: true, isPaused });
  return live.failure && !isOfSameQuery(live) ? { ...live, response: undefined } : live;
}

/**
 * A chart that is loaded when it comes into view and is refreshed while it is there.
 * @param {{title: string, parts: Part[], otherwise?: Part[], range: TimeRange, link?: Link, remark?: string}} props `otherwise`:
 *   what is queried if the service refuses `parts`; `link`: where the query can be changed; `remark` as for `Result`
 */
export function ResultChart({ title, parts, otherwise, range, link, remark }) {
  const frame = useRef(/** @type {HTMLElement | null} */ (null));
  const isNear = useNearness(frame);
  const key = JSON.stringify([parts, range]);
  const [refusal, setRefusal] = useState(/** @type {{key: string, reason?: string} | undefined} */ (undefined));
  const instead = refusal?.key === key ? otherwise : undefined;
  const live = useResult(instead ?? parts, range, !isNear);
  const isRefused = otherwise !== undefined && !instead && live.code === "InputError";
  useLayoutEffect(() => {
    if (isRefused) setRefusal({ key, reason: live.failure });
  }, [key, isRefused]);
  return html`<div ref=${frame}>
    <${Result} title=${title} live=${live} parts=${instead ?? parts} range=${range} link=${link} remark=${instead ? refusal?.reason : remark} />
  </div>`;
}

/**
 * The answers to a query: their chart, problems, PromQL, table and CSV. A chart stays until there is a newer answer.
 * @param {{title: string, live: Live, parts: Part[], range: TimeRange, link?: Link,
 *   remark?: string, isTableOpen?: boolean}} props `remark`: why it is another query than the chosen one
 */
export function Result({ title, live, parts, range, link, remark, isTableOpen }) {
  const shown = useMemo(() => shownOf(live, parts, title), [live.response, live.sent]);
  return html`<article class="result" aria-label=${title} aria-busy=${!isSame(live) && !live.failure}>
    <header>
      <h3>${title}</h3>
      ${remark && html`<span class="faint" title=${remark}>not in percent<span class="unseen">: ${remark}</span></span>`}
      <${Marks} live=${live} wrong=${shown?.wrong ?? []} />
    </header>
    ${
      shown
        ? html`<div class=${isSame(live) ? "" : "waiting"}>
            ${
              shown.lines.length
                ? html`<${Chart} title=${title} lines=${shown.lines} unit=${shown.unit} range=${shown.range} onZoom=${zoomFrom(range)} />`
                : html`<p class="nothing">No points in this range.${remarkOnEnd(range, shown.range[1])}</p>`
            }
            ${shown.more > 0 && html`<p class="faint">The chart shows the first ${MOST_LINES} of ${MOST_LINES + shown.more} series; CSV has all.</p>`}
          </div>`
        : html`<p class=${live.failure ? "nothing wrong" : "nothing"}>${live.failure ?? "Loading…"}</p>`
    }
    <footer>
      ${shown && shown.lines.length > 0 && html`<${ChartTable} title=${title} lines=${shown.lines} unit=${shown.unit} isFirstOpen=${isTableOpen} />`}
      ${shown && html`<${Promql} title=${title} texts=${shown.promql} />`}
      ${shown && html`<${Csv} title=${title} series=${shown.series} />`}
      ${link && html`<a href=${link.href}>${link.text}<span class="unseen"> ${title} by itself</span></a>`}
    </footer>
  </article>`;
}

/** @param {TimeRange} range */
const zoomFrom = (range) => (/** @type {[number, number] | null} */ chosen) =>
  chosen ? zoomTo(...chosen) : zoomBy(range, 2);

/**
 * @param {Live} live
 * @param {Part[]} parts
 * @param {string} title
 */
function shownOf(live, parts, title) {
  const { response, sent } = live;
  if (!response || !sent) return undefined;
  const span = spanOfSent(sent);
  const known = parts.flatMap((part, number) => {
    /** @type {Answer | null | undefined} */
    const answer = response.data[partName(number)];
    return answer ? [{ part, answer }] : [];
  });
  const answers = known.map(({ answer }) => answer);
  const isOne = answers.filter(({ series }) => series.length).length < 2; // names tell parts apart
  const all = known.flatMap(({ part: { name, isDashed }, answer: { series } }) => {
    return linesOf(series, span, { name: isOne && series.length > 1 ? "" : name, isDashed, title });
  });
  const lines = all.slice(0, MOST_LINES);
  return {
    lines,
    more: all.length - lines.length,
    wrong: [...failedParts(response, parts), ...wrongWithAnswers(answers, all, span)],
    series: answers.flatMap(({ series }) => series),
    promql: [...new Set(answers.map(({ promql }) => promql).filter((text) => text !== null))],
    unit: answers[0]?.unit,
    range: /** @type {[number, number]} */ ([span.start_s, span.end_s]),
  };
}

/**
 * Return what is wrong with the parts that failed while others were answered.
 * @param {import("./client.js").Response} response
 * @param {Part[]} parts
 * @returns {Wrong[]}
 */
function failedParts(response, parts) {
  return parts.flatMap(({ name }, number) =>
    response.data[partName(number)] === null
      ? wrongAt(response, [partName(number)]).map(({ kind, message }) => ({
          kind,
          message: name ? `${name}: ${message}` : message,
        }))
      : [],
  );
}

/** What is wrong with a chart, as marks. @param {{live: Live, wrong: Wrong[]}} props */
function Marks({ live: { failure, code, retryAfter_s, response, at_ms }, wrong }) {
  const outdated = { kind: "outdated", message: `${sentence(failure ?? "")} ${since(at_ms)}` };
  const refused = { kind: kindOfFailure({ code, retryAfter_s }), message: failure ?? "" };
  const all = failure ? [response ? outdated : refused, ...wrong] : wrong;
  return html`<span role="status">${all.map((each) => html`<${Mark} key=${each.kind + each.message} wrong=${each} /> `)}</span>`;
}

/**
 * The PromQL of a chart, which can be copied.
 * @param {{title: string, texts: string[]}} props
 */
function Promql({ title, texts }) {
  if (!texts.length) return null;
  return html`<details class="promql">
    <summary>PromQL<span class="unseen"> of ${title}</span></summary>
    ${texts.map((text) => html`<div key=${text}><code>${text}</code><${CopyButton} text=${text} what="PromQL" /></div>`)}
  </details>`;
}

/** @param {{title: string, series: import("./results.js").Series[]}} props */
function Csv({ title, series }) {
  const save = () => {
    const url = URL.createObjectURL(new Blob([csvOf(series)], { type: "text/csv" }));
    const link = Object.assign(document.createElement("a"), { href: url, download: `${title.replace(/\W+/g, "-")}.csv` });
    link.click();
    setTimeout(() => URL.revokeObjectURL(url));
  };
  return html`<button type="button" class="small" onClick=${save} disabled=${!series.length}>CSV<span class="unseen"> of ${title}</span></button>`;
}
