// What a query answers over time: its chart, what is wrong with it, the PromQL that made it, and its numbers to take along.

import { html } from "htm/preact";
import { useMemo, useRef, useState } from "preact/hooks";
import { Chart, ChartTable, useNearness } from "./chart.js";
import { useLive } from "./live.js";
import { Mark, sentence } from "./problems.js";
import { ANSWER, csvOf, linesOf, wrongWithAnswers } from "./results.js";
import { refreshOf, spanOf, zoomBy, zoomTo } from "./time_range.js";
import { clock } from "./units.js";

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
    return `part${number}: ${field}(${[...passed, "start: $start, end: $end, step: $step"].join(", ")}) ${ANSWER}`;
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

/** @param {import("./client.js").Request} sent */
function spanOfSent({ variables }) {
  const { start, end, step } = /** @type {{start: string, end: string, step: string}} */ (variables);
  return { start_s: Date.parse(start) / 1000, end_s: Date.parse(end) / 1000, step_s: Number.parseFloat(step) };
}

/**
 * Return what is known of the answers to some fields over a range, which is refreshed (a hook).
 * @param {Part[]} parts
 * @param {TimeRange} range
 * @param {boolean} isPaused
 * @returns {Live}
 */
export function useResult(parts, range, isPaused) {
  const { from, to, step } = range;
  const request = useMemo(() => requestOf(parts, range), [JSON.stringify(parts), from, to, step]);
  return useLive(request, { every_ms: refreshOf(range), fresh: () => rangeVariables(range), isPaused });
}

/**
 * A chart that is loaded when it comes into view and is refreshed while it is there.
 * @param {{title: string, parts: Part[], otherwise?: Part[], range: TimeRange, href?: string, remark?: string}} props `otherwise`:
 *   what is queried if the service refuses `parts`; `href`: where the query can be changed; `remark` as for `Result`
 */
export function ResultChart({ title, parts, otherwise, range, href, remark }) {
  const frame = useRef(/** @type {HTMLElement | null} */ (null));
  const isNear = useNearness(frame);
  const first = useResult(parts, range, !isNear);
  const isRefused = otherwise !== undefined && first.code === "InputError";
  const second = useResult(otherwise ?? parts, range, !isNear || !isRefused);
  return html`<div ref=${frame}>
    <${Result} title=${title} live=${isRefused ? second : first} parts=${isRefused ? otherwise : parts} range=${range} href=${href} remark=${isRefused ? first.failure : remark} />
  </div>`;
}

/**
 * The answers to a query: their chart, and what belongs to it. What was drawn stays until there is a newer answer.
 * @param {{title: string, live: Live, parts: Part[], range: TimeRange, href?: string,
 *   remark?: string, isTableOpen?: boolean}} props `remark`: why it is another query than the chosen one
 */
export function Result({ title, live, parts, range, href, remark, isTableOpen }) {
  const shown = useMemo(() => shownOf(live, parts, title), [live.response, live.sent]);
  return html`<article class="result" aria-label=${title} aria-busy=${!isSame(live) && !live.failure}>
    <header>
      <h3>${title}</h3>
      ${remark && html`<span class="faint" title=${remark}>not in percent<span class="unseen">: ${remark}</span></span>`}
      <${Truth} live=${live} wrong=${shown?.wrong ?? []} />
    </header>
    ${
      shown
        ? html`<div class=${isSame(live) ? "" : "waiting"}>
            ${
              shown.lines.length
                ? html`<${Chart} title=${title} lines=${shown.lines} unit=${shown.unit} range=${shown.range} onZoom=${zoomFrom(range)} />`
                : html`<p class="nothing">No points in this range.</p>`
            }
            ${shown.more > 0 && html`<p class="faint">The chart shows the first ${MOST_LINES} of ${MOST_LINES + shown.more} series; CSV has all.</p>`}
          </div>`
        : html`<p class=${live.failure ? "nothing wrong" : "nothing"}>${live.failure ?? "Loading…"}</p>`
    }
    <footer>
      ${shown && shown.lines.length > 0 && html`<${ChartTable} title=${title} lines=${shown.lines} unit=${shown.unit} isFirstOpen=${isTableOpen} />`}
      ${shown && html`<${Promql} title=${title} texts=${shown.promql} />`}
      ${shown && html`<${Csv} title=${title} series=${shown.series} />`}
      ${href && html`<a href=${href}>Query<span class="unseen"> ${title} by itself</span></a>`}
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
  /** @type {Answer[]} */
  const answers = Object.values(response.data);
  const isOne = answers.filter(({ series }) => series.length).length < 2; // names tell parts apart
  const all = answers.flatMap(({ series }, number) => {
    const { name, isDashed } = parts[number] ?? {};
    return linesOf(series, span, { name: isOne && series.length > 1 ? "" : name, isDashed, title });
  });
  const lines = all.slice(0, MOST_LINES);
  return {
    lines,
    more: all.length - lines.length,
    wrong: wrongWithAnswers(answers, all, span, (time_s) => clock(new Date(time_s * 1000))),
    series: answers.flatMap(({ series }) => series),
    promql: [...new Set(answers.map(({ promql }) => promql).filter((text) => text !== null))],
    unit: answers[0]?.unit,
    range: /** @type {[number, number]} */ ([span.start_s, span.end_s]),
  };
}

/** What is not simply right with a chart, as marks. @param {{live: Live, wrong: Wrong[]}} props */
function Truth({ live: { failure, code, response, at_ms }, wrong }) {
  const outdated = {
    kind: "outdated",
    message: `${sentence(failure ?? "")} What is shown is of ${clock(new Date(at_ms ?? 0))}.`,
  };
  const unavailable = { kind: code === "InputError" ? "missing" : "unavailable", message: failure ?? "" };
  const all = failure ? [response ? outdated : unavailable, ...wrong] : wrong;
  return html`<span class="truth" role="status">${all.map((each) => html`<${Mark} key=${each.kind + each.message} wrong=${each} /> `)}</span>`;
}

/**
 * The PromQL of a chart, which can be copied.
 * @param {{title: string, texts: string[]}} props
 */
export function Promql({ title, texts }) {
  if (!texts.length) return null;
  return html`<details class="promql">
    <summary>PromQL<span class="unseen"> of ${title}</span></summary>
    ${texts.map((text) => html`<div key=${text}><code>${text}</code><${CopyButton} text=${text} what="PromQL" /></div>`)}
  </details>`;
}

/**
 * A button that copies a text, and says that it did.
 * @param {{text: string, what: string, label?: string}} props
 */
export function CopyButton({ text, what, label = "Copy" }) {
  const [state, setState] = useState("");
  const copy = async () => {
    const isCopied = isSecureContext
      ? await navigator.clipboard.writeText(text).then(
          () => true,
          () => false,
        )
      : copyBySelection(text);
    setState(isCopied ? "Copied" : "The browser does not allow it; select the text");
    setTimeout(setState, 2000, "");
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
