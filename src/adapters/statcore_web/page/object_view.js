// One object: its owners and links, what is wrong with it, its utilization over time, and its live entry as it is stored.

import { html } from "htm/preact";
import { useMemo, useRef } from "preact/hooks";
import { useLive } from "./live.js";
import { LiveEntry } from "./live_entry.js";
import { ObjectCharts } from "./object_charts.js";
import { errorAt, LOOKS, sentence, wrongAt } from "./problems.js";
import { CopyButton } from "./result_chart.js";
import { hrefOf } from "./state.js";
import { clock, duration, exact, format } from "./units.js";

/** @typedef {import("./live.js").Live} Live */
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
const MOST_REPLICAS = 8;
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
  const own = kind.label === "agent_id" ? [] : Object.keys(item?.live_stat ?? {}); // an agent's are of its parts
  return html`<section class="object" aria-labelledby="view-title">
    <div class="bar">
      <h2 id="view-title">${kind.title} <span class="id">${id}</span></h2>
      <${CopyButton} text=${id} what="id" /> <a href=${hrefOf([kind.list])}>All ${kind.list}</a>
    </div>
    <${Problems} kind=${kind} live=${live} kept_ms=${kept_ms} />
    ${item && html`<${Facts} item=${item} kind=${kind} id=${id} />`}
    <${ObjectCharts} label=${kind.label} selected=${kind.selected(id, item)} own=${own} />
    <${LiveEntry} item=${item} error=${errorAt(live.response, field, "live_stat")} />
  </section>`;
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
    unique.unshift({ kind: response ? "outdated" : "unavailable", message: `${sentence(failure)} ${since}` });
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
    html`<a href=${hrefOf([kind.list], { filter: `${label}=${value}` })} title=${`All ${kind.list} of it`}>${value}</a>`;
  const objects = (/** @type {string} */ what, /** @type {(string | null)[]} */ ids) =>
    [...new Set(ids)].flatMap((each) =>
      each ? [html`<a key=${each} href=${hrefOf(["object", what, each])}>${each}</a> `] : [],
    );
  const ofKernels = (/** @type {string} */ name) => (kernels ?? []).map((/** @type {any} */ kernel) => kernel[name]);
  const start = started_at && new Date(started_at);
  const age = start
    ? html`<span title=${started_at}>${clock(start)}, ${duration((Date.now() - start.getTime()) / 1000)} ago</span>`
    : kind.argument !== "agent_id" && html`<span class="faint">not known</span>`; // of an agent it never is
  const onAgent = html`<a href=${hrefOf(["kernels"], { filter: `agent_id=${id}` })}>All kernels on it</a>`;
  /** @type {[string, any][]} */
  const facts = [
    ["Started", age],
    ["User", owned("user_id", user_id)],
    ["Project", owned("project_id", project_id)],
    ["Session", objects("session", [session_id])],
    ["Kernels", kind.argument === "agent_id" ? onAgent : objects("kernel", ofKernels("kernel_id"))],
    ["Agent", objects("agent", [agent_id, ...ofKernels("agent_id")])],
    ["Replicas", replicas?.map(replica)],
    ["Processes", processes?.map(process)],
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
