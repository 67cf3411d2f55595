// One object: its owners and links, what is wrong with it, its utilization over time, and its live entry as it is stored.

import { html } from "htm/preact";
import { useRef } from "preact/hooks";
import { CopyButton } from "./copy_button.js";
import { CORES, FIGURE_FIELDS, FIGURES } from "./figures.js";
import { keptSince, withKept } from "./kept.js";
import { useLive } from "./live.js";
import { LiveEntry } from "./live_entry.js";
import { ObjectCharts } from "./object_charts.js";
import { errorAt, kindOfFailure, lookOf, sentence, since, wrongAt } from "./problems.js";
import { hrefOf } from "./state.js";
import { clock, duration, exact, format } from "./units.js";

/** @typedef {import("./client.js").Response} Response */
/** @typedef {import("./live.js").Live} Live */
/** @typedef {import("./kept.js").Known} Known */
/**
 * A kind of object: its field of the schema and the argument with the id; `fields` are read of it; `label` is the field of queriers
 * that selects it, and `selected` returns the ids for that field with their names.
 * @typedef {{title: string, list: string, field: string, argument: string, fields: string, label: string,
 *   selected: (id: string, item: any) => {name: string, value: string}[]}} ObjectKind
 */

const COMMON = `user_id project_id started_at live_stat ${FIGURE_FIELDS}`;
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
/** The most sessions of an endpoint in its charts: a chart has one request, with two fields for each session. */
const MOST_SESSIONS = 8;

/**
 * Return the sessions of an endpoint, with short names if these differ. Only one session needs no name.
 * @param {{session_id: string | null}[]} replicas
 */
function sessionsOf(replicas) {
  const ids = [...new Set(replicas.map(({ session_id }) => session_id))].filter((id) => id !== null);
  if (ids.length === 1) return ids.flatMap(itself);
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
  const known = useKnown(live, field);
  const { item } = known;
  const selected = kind.selected(id, item);
  const isRefused = !live.response && live.code === "InputError"; // charts would repeat that the id is wrong
  const stored = kind.label === "agent_id" ? [] : Object.keys(item?.live_stat ?? {}); // the entry of an agent is made of parts
  return html`<section class="object" aria-labelledby="view-title">
    <div class="bar">
      <h2 id="view-title" tabindex="-1">${kind.title} <span class="id">${id}</span></h2>
      <${CopyButton} text=${id} what="id" /> <a href=${hrefOf([kind.list])}>All ${kind.list}</a>
    </div>
    <${Problems} kind=${kind} live=${live} kept_ms=${keptSince(known)} />
    ${item && html`<${Facts} item=${item} kind=${kind} id=${id} />`}
    ${item && !selected.length && html`<p class="faint">This endpoint has no sessions.</p>`}
    ${selected.length > MOST_SESSIONS && html`<p class="faint">Charts show ${MOST_SESSIONS} of ${selected.length} sessions.</p>`}
    ${!isRefused && html`<${ObjectCharts} label=${kind.label} selected=${selected.slice(0, MOST_SESSIONS)} stored=${stored} />`}
    <${LiveEntry} item=${item} error=${errorAt(live.response, field, "live_stat")} />
  </section>`;
}

/**
 * Return what is known of an object after all answers until now (a hook).
 * @param {Live} live
 * @param {string} field
 * @returns {Known}
 */
function useKnown({ response, at_ms = 0 }, field) {
  const newest = useRef(
    /** @type {Known & {response?: Response, at_ms: number}} */ ({ item: undefined, kept: {}, at_ms: 0 }),
  );
  const before = newest.current;
  if (response === before.response) {
    before.at_ms = at_ms; // the service has confirmed the same answer
  } else {
    const item = response?.data[field];
    const known = item ? withKept(item, wrongAt(response, [field]), before, before.at_ms) : { item, kept: {} };
    newest.current = { ...known, response, at_ms };
  }
  return newest.current;
}

/** What is wrong, each with its reason. @param {{kind: ObjectKind, live: Live, kept_ms?: number}} props */
function Problems({ kind: { field, title }, live, kept_ms }) {
  const { response, failure, at_ms } = live;
  const wrong = wrongAt(response, [field]);
  const unique = [...new Map(wrong.map((each) => [each.kind + each.message, each])).values()];
  if (failure) {
    const kind = response ? "outdated" : kindOfFailure(live);
    unique.unshift({ kind, message: `${sentence(failure)} ${since(at_ms)}` });
  }
  if (response && response.data[field] === null && !failure) {
    const message = `No ${title.toLowerCase()} with this id exists now. Charts of the past may still have data.`;
    unique.unshift({ kind: "missing", message });
  }
  if (kept_ms)
    unique.push({ kind: "outdated", message: `what cannot be read now is shown as it was at ${clock(new Date(kept_ms))}` });
  return html`<div role="status" class="problems">
    ${unique.map(
      ({ kind: what, message }) => html`<p key=${what + message} class=${`notice ${what}`}>
        <span aria-hidden="true">${lookOf(what).sign}</span> <b>${lookOf(what).word}</b>: ${message}
      </p>`,
    )}
  </div>`;
}

/** @param {{item: any, kind: ObjectKind, id: string}} props */
function Facts({ item, kind, id }) {
  const { figures, started_at, user_id, project_id, kernels, session_id, agent_id, replicas, processes } = item;
  const owned = (/** @type {"user" | "project"} */ owner, /** @type {string | null} */ value) =>
    value &&
    html`<a href=${hrefOf([kind.list], { filter: `${owner}_id=${value}` })} title=${`All ${kind.list} of this ${owner}`}>${value}</a>`;
  const objects = (/** @type {string} */ what, /** @type {(string | null)[]} */ ids) =>
    [...new Set(ids)].flatMap((each) =>
      each ? [html`<a key=${each} href=${hrefOf(["object", what, each])}>${each}</a> `] : [],
    );
  const ofKernels = (/** @type {string} */ name) => (kernels ?? []).map((/** @type {any} */ kernel) => kernel[name]);
  const start = started_at && new Date(started_at);
  const age = start
    ? html`<span title=${started_at}>${clock(start)}, ${duration((Date.now() - start.getTime()) / 1000)} ago</span>`
    : kind.argument !== "agent_id" && html`<span class="faint">not known</span>`; // no agent has a start
  const onAgent = html`<a href=${hrefOf(["kernels"], { filter: `agent_id=${id}` })}>All kernels on it</a>`;
  /** @type {[string, any][]} */
  const facts = [
    ["Started", age],
    ["User", owned("user", user_id)],
    ["Project", owned("project", project_id)],
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
        ${Object.entries(FIGURES)
          .filter(([name]) => typeof figures[name] === "number")
          .map(
            ([name, { title, unit }]) =>
              html`<li key=${name} title=${exact(figures[name], unit) + (name === "cpu_pct" ? `; ${CORES}` : "")}><span class="faint">${title}</span> <b>${format(figures[name], unit)}</b></li>`,
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
