// One object: its owners and links, what is wrong with it, its utilization over time, and its live entry as it is stored.

import { html } from "htm/preact";
import { useMemo, useRef } from "preact/hooks";
import { useLive } from "./live.js";
import { kindOf, LOOKS, Mark, wrongAt } from "./problems.js";
import { CopyButton, ResultChart, utilizationPart } from "./result_chart.js";
import { change, hrefOf, usePlace } from "./state.js";
import { RangeBar, useTimeRange, wrongWith } from "./time_range.js";
import { clock, duration, exact, format } from "./units.js";

/** @typedef {import("./live.js").Live} Live */
/** @typedef {import("./result_chart.js").Part} Part */
/** @typedef {{name: string, type: string, required: boolean, default: string | null, choices: string[], help: string}} Field */
/** @typedef {{name: string, summary: string, fields: Field[] | null}} Querier */
/**
 * A kind of object: its field of the schema and the argument with the id; `fields` are read of it; `label` is the field of queriers
 * that selects it, and `selected` returns the values for that field with their names.
 * @typedef {{title: string, list: string, field: string, argument: string, fields: string, label: string,
 *   selected: (id: string, item: any) => {name: string, value: string}[]}} ObjectKind
 */

const FIGURES = "figures { cpu_pct mem_bytes accelerator_pct accelerator_mem_bytes rx_bytes_per_s tx_bytes_per_s }";
const COMMON = `user_id project_id started_at live_stat ${FIGURES}`;
const itself = (/** @type {string} */ id) => [{ name: "", value: id }];

/** @type {Record<string, ObjectKind>} */
const KINDS = {
  session: {
    title: "Session",
    list: "sessions",
    field: "compute_session",
    argument: "session_id",
    fields: `${COMMON} kernels { kernel_id agent_id }`,
    label: "session_id",
    selected: itself,
  },
  kernel: {
    title: "Kernel",
    list: "kernels",
    field: "kernel",
    argument: "kernel_id",
    fields: `${COMMON} session_id agent_id processes { pid cpu_pct mem_bytes }`,
    label: "kernel_id",
    selected: itself,
  },
  agent: {
    title: "Agent",
    list: "agents",
    field: "agent",
    argument: "agent_id",
    fields: COMMON,
    label: "agent_id",
    selected: itself,
  },
  endpoint: {
    title: "Endpoint",
    list: "endpoints",
    field: "endpoint",
    argument: "endpoint_id",
    fields: `${COMMON} replicas { replica_id session_id active live_stat }`,
    label: "session_id",
    selected: (_, item) => sessionsOf(item?.replicas ?? []),
  },
};
const NO_STATISTICS = { kind: "missing", message: "there are no live statistics of it" };
const NO_PERCENT = "this kind of querier answers no percent";
const MOST_REPLICAS = 8;
const METRIC = "metric_name";
const VALUE_TYPE = "value_type";
const FIRST_METRICS = ["cpu_util", "mem"];
const FIGURE_TEXTS = /** @type {const} */ ([
  ["cpu_pct", "CPU", "percent"],
  ["mem_bytes", "Memory", "bytes"],
  ["accelerator_pct", "Accelerators", "percent"],
  ["accelerator_mem_bytes", "Acc. memory", "bytes"],
  ["rx_bytes_per_s", "Received", "bytes_per_s"],
  ["tx_bytes_per_s", "Sent", "bytes_per_s"],
]);

/**
 * Return the first sessions of an endpoint, with short names where these differ.
 * @param {{session_id: string | null}[]} replicas
 */
function sessionsOf(replicas) {
  const ids = [...new Set(replicas.map(({ session_id }) => session_id))]
    .filter((id) => id !== null)
    .slice(0, MOST_REPLICAS);
  const areShort = new Set(ids.map((id) => id.slice(0, 8))).size === ids.length;
  return ids.map((id) => ({ name: areShort ? `${id.slice(0, 8)}…` : id, value: id }));
}

/** The view of an object: `rest` has the name of its kind and its id. @param {{rest: string[]}} props */
export function ObjectView({ rest: [name = "", id = ""] }) {
  const kind = KINDS[name];
  if (!kind || !id) return html`<p class="empty">There is no such kind of object: ${name}</p>`;
  return html`<${OneObject} key=${`${name} ${id}`} kind=${kind} id=${id} />`;
}

/** @param {{kind: ObjectKind, id: string}} props */
function OneObject({ kind, id }) {
  const { field, argument, fields } = kind;
  const live = useLive({
    query: `query Object($id: String!) { ${field}(${argument}: $id) { ${fields} } }`,
    variables: { id },
  });
  const { item, kept_ms } = useKept(live, field);
  return html`<section class="object" aria-labelledby="view-title">
    <div class="bar">
      <h2 id="view-title">${kind.title} <span class="id">${id}</span></h2>
      <${CopyButton} text=${id} what="id" /> <a href=${hrefOf([kind.list])}>All ${kind.list}</a>
    </div>
    <${Problems} kind=${kind} live=${live} kept_ms=${kept_ms} />
    ${item && html`<${Facts} item=${item} kind=${kind} id=${id} />`}
    <${Charts} kind=${kind} id=${id} item=${item} />
    <${LiveEntry} kind=${kind} item=${item} live=${live} />
  </section>`;
}

/**
 * Return the error of a field of an object, if it has one.
 * @param {import("./live.js").Response | undefined} response
 * @param {string} field
 * @param {string} name
 */
function errorAt(response, field, name) {
  return response?.errors?.find(({ path }) => path?.length === 2 && path[0] === field && path[1] === name);
}

/**
 * Return an object with the newest good value of each field: those that cannot be read now are of an earlier answer (a hook).
 * @param {Live} live
 * @param {string} field
 * @returns {{item?: any, kept_ms?: number}} `kept_ms`: the time of that earlier answer, if anything is of it
 */
function useKept({ response, at_ms }, field) {
  const good = useRef(/** @type {{item: any, at_ms?: number}} */ ({ item: {} }));
  return useMemo(() => {
    const item = response?.data[field];
    const failed = Object.keys(item ?? {}).filter((name) => errorAt(response, field, name));
    if (!item || !failed.length) {
      if (item) good.current = { item, at_ms };
      return { item };
    }
    const kept = Object.fromEntries(failed.map((name) => [name, good.current.item[name] ?? null]));
    return { item: { ...item, ...kept }, kept_ms: good.current.at_ms };
  }, [response]);
}

/** What is wrong, each with its reason. @param {{kind: ObjectKind, live: Live, kept_ms?: number}} props */
function Problems({ kind, live: { response, failure, at_ms }, kept_ms }) {
  const wrong = wrongAt(response, [kind.field]);
  const unique = [...new Map(wrong.map((each) => [each.kind + each.message, each])).values()];
  if (failure) {
    const since = response ? `What is shown is of ${clock(new Date(at_ms ?? 0))}.` : "Nothing was loaded yet.";
    unique.unshift({ kind: response ? "outdated" : "unavailable", message: `${failure} ${since}` });
  }
  if (response && response.data[kind.field] === null && !failure) {
    const message = `there is no ${kind.title.toLowerCase()} with this id now; its utilization of before may still be there`;
    unique.unshift({ kind: "missing", message });
  }
  if (kept_ms)
    unique.push({ kind: "outdated", message: `what cannot be read now is shown as it was at ${clock(new Date(kept_ms))}` });
  return html`<div role="status" class="problems">
    ${unique.map(
      ({ kind: what, message }) => html`<p key=${what + message} class=${`notice ${what}`}>
        <span aria-hidden="true">${LOOKS[what]?.mark ?? "!"}</span> <b>${LOOKS[what]?.word ?? what}</b>: ${message}
      </p>`,
    )}
  </div>`;
}

/** @param {{item: any, kind: ObjectKind, id: string}} props */
function Facts({ item, kind, id }) {
  const { figures, started_at, user_id, project_id, kernels, session_id, agent_id, replicas, processes } = item;
  const owned = (/** @type {string} */ label, /** @type {string | null} */ value) =>
    value &&
    html`<a href=${`${hrefOf([kind.list])}?${new URLSearchParams({ filter: `${label}=${value}` })}`} title=${`All ${kind.list} of it`}>${value}</a>`;
  const objects = (/** @type {string} */ what, /** @type {(string | null)[]} */ ids) =>
    [...new Set(ids)]
      .filter(Boolean)
      .map((each) => html`<a key=${each} href=${hrefOf(["object", what, each ?? ""])}>${each}</a> `);
  const start = started_at && new Date(started_at);
  /** @type {[string, any][]} */
  const facts = [
    [
      "Started",
      start &&
        html`<span title=${started_at}>${clock(start)}, ${duration((Date.now() - start.getTime()) / 1000)} ago</span>`,
    ],
    ["User", owned("user_id", user_id)],
    ["Project", owned("project_id", project_id)],
    ["Session", session_id && objects("session", [session_id])],
    [
      "Kernels",
      kernels &&
        objects(
          "kernel",
          kernels.map((/** @type {any} */ each) => each.kernel_id),
        ),
    ],
    [
      "Agent",
      (agent_id && objects("agent", [agent_id])) ||
        (kernels?.length &&
          objects(
            "agent",
            kernels.map((/** @type {any} */ each) => each.agent_id),
          )),
    ],
    [
      "Kernels",
      kind.argument === "agent_id" &&
        html`<a href=${`${hrefOf(["kernels"])}?${new URLSearchParams({ filter: `agent_id=${id}` })}`}>All kernels on it</a>`,
    ],
    ["Replicas", replicas?.map(replica)],
    ["Processes", processes?.length && processes.map(process)],
  ];
  return html`
    ${
      figures &&
      html`<ul class="figures">
        ${FIGURE_TEXTS.filter(([name]) => typeof figures[name] === "number").map(
          ([name, title, unit]) =>
            html`<li key=${name} title=${exact(figures[name], unit)}><span class="faint">${title}</span> <b>${format(figures[name], unit)}</b></li>`,
        )}
      </ul>`
    }
    <dl class="facts">
      ${facts.filter(([, value]) => value && value.length !== 0).map(([title, value]) => html`<div key=${title}><dt>${title}</dt><dd>${value}</dd></div>`)}
    </dl>
  `;
}

/** @param {{replica_id: string, session_id: string | null, active: boolean}} replica */
function replica({ replica_id, session_id, active }) {
  return html`<span key=${replica_id} class="nowrap" title=${`Replica ${replica_id}`}
    >${session_id ? html`<a href=${hrefOf(["object", "session", session_id])}>${session_id}</a>` : replica_id} ${active ? "active" : "not active"}</span
  > `;
}

/** @param {{pid: number, cpu_pct: number | null, mem_bytes: number | null}} process */
const process = ({ pid, cpu_pct, mem_bytes }) =>
  html`<span key=${pid} class="nowrap">pid ${pid}: ${format(cpu_pct, "percent")}, ${format(mem_bytes, "bytes")}</span> `;

/** @param {{kind: ObjectKind, id: string, item: any}} props */
function Charts({ kind, id, item }) {
  const range = useTimeRange();
  const { params } = usePlace();
  const isPct = params.get("as") === "pct";
  const { queriers, metrics, failure } = useQueriers(kind.label);
  const isWrong = Object.keys(wrongWith(range)).length > 0;
  const hasPct = (/** @type {Querier} */ { fields }) =>
    Boolean(fields?.some(({ name, choices }) => name === VALUE_TYPE && choices.includes("pct")));
  const selected = kind.selected(id, item);
  const show = (/** @type {string | undefined} */ as) => () => change({ as });
  const own = kind.label === "agent_id" ? [] : Object.keys(item?.live_stat ?? {});
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
      queriers.map((querier) => {
        const known = metrics[querier.name] ?? (querier.name === queriers[0]?.name ? own : []);
        const titles = has(querier, METRIC) ? ordered(known) : [""];
        const isKnown = metrics[querier.name] !== undefined;
        if (!titles.length && !isKnown) return null;
        return html`<section key=${querier.name} aria-label=${querier.summary}>
          <h3 class="of" title=${querier.name}>${querier.summary}</h3>
          ${!titles.length && html`<p class="faint">The metric backend has no metrics of this kind.</p>`}
          <div class="charts">
            ${titles.map((metric) => {
              const of = (/** @type {boolean} */ inPct) => partsOf(querier, metric, selected, kind.label, inPct);
              const selector = {
                ...(metric && { [`field.${METRIC}`]: metric }),
                [`field.${kind.label}`]: selected[0]?.value,
              };
              const href = hrefOf(["query", "querier", querier.name], {
                ...selector,
                from: params.get("from") ?? undefined,
                to: params.get("to") ?? undefined,
              });
              return html`<${ResultChart} key=${metric} title=${metric || querier.name} parts=${of(isPct)} otherwise=${isPct ? of(false) : undefined} remark=${isPct && !hasPct(querier) ? NO_PERCENT : undefined} range=${range} href=${href} />`;
            })}
          </div>
        </section>`;
      })
    }`;
}

/** @param {Querier} querier @param {string} name */
const has = ({ fields }, name) => Boolean(fields?.some((field) => field.name === name));

/** Return metrics with those first that people look for first. @param {string[]} metrics */
function ordered(metrics) {
  return [...new Set([...FIRST_METRICS.filter((name) => metrics.includes(name)), ...metrics.toSorted()])];
}

/**
 * Return what a chart of a metric queries: current values against the capacity, or percent, of each selected value.
 * @param {Querier} querier
 * @param {string} metric
 * @param {{name: string, value: string}[]} selected
 * @param {string} label
 * @param {boolean} isPct
 * @returns {Part[]}
 */
function partsOf(querier, metric, selected, label, isPct) {
  const choices = querier.fields?.find(({ name }) => name === VALUE_TYPE)?.choices ?? [];
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

/**
 * Return the kinds of querier that a label selects from, and the metrics that the backend has for each (a hook).
 * @param {string} label
 * @returns {{queriers: Querier[], metrics: Record<string, string[] | undefined>, failure?: string}}
 */
function useQueriers(label) {
  const live = useLive(
    { query: "{ queriers { name summary fields { name type required default choices help } } }" },
    { every_ms: 0 },
  );
  /** @type {Querier[]} */
  const all = live.response?.data.queriers ?? [];
  const queriers = all.filter(
    (querier) =>
      has(querier, label) &&
      querier.fields?.every(({ name, required }) => !required || [METRIC, VALUE_TYPE, label].includes(name)),
  );
  const named = queriers.filter((querier) => has(querier, METRIC));
  const fields = named.map((_, number) => `metrics${number}: available_metrics(querier: $name${number})`);
  const request = {
    query: `query Metrics(${named.map((_, number) => `$name${number}: String!`).join(", ")}) { ${fields.join(" ")} }`,
    variables: Object.fromEntries(named.map(({ name }, number) => [`name${number}`, name])),
  };
  const known = useLive(request, { every_ms: 60_000, isPaused: !named.length });
  const metrics = Object.fromEntries(
    named.map(({ name }, number) => [name, known.response?.data[`metrics${number}`] ?? undefined]),
  );
  return { queriers, metrics, failure: live.failure ?? known.failure };
}

/** The live entry as a table, and as the JSON that is stored. @param {{kind: ObjectKind, item: any, live: Live}} props */
function LiveEntry({ kind, item, live }) {
  const entry = useMemo(() => entryOf(item), [item]);
  const rows = useMemo(() => (entry ? rowsOf(entry) : []), [entry]);
  if (!item) return null;
  const error = errorAt(live.response, kind.field, "live_stat");
  const lacking = error ? { kind: kindOf(error), message: error.message } : NO_STATISTICS;
  const text = JSON.stringify(entry, null, 2);
  const names = [...new Set(rows.flatMap(({ fields }) => Object.keys(fields)))];
  return html`<section class="entry" aria-labelledby="entry-title">
    <h3 id="entry-title" class="of">Live entry, as stored</h3>
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
 * Return the live entry of an object; that of an endpoint has those of its replicas. Null where there is none.
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
 * Return the metrics of an entry, with those of its parts, such as the devices of an agent.
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
    return html`<span class="faint" title=${value === null ? "It means nothing here, or cannot be read" : "Not stored"}>—</span>`;
  const isBytes = unit_hint === "bytes" && name !== "pct" && !Number.isNaN(Number(value));
  return isBytes ? html`<span title=${format(Number(value), "bytes")}>${value}</span>` : String(value);
}
