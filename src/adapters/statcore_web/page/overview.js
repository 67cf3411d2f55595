// The overview: the columns of the lists of sessions, kernels, endpoints and agents.

import { html } from "htm/preact";
import { CORES, FIGURE_FIELDS, FIGURES } from "./figures.js";
import { ListView, OwnerLink } from "./list_view.js";
import { Mark, MoreMarks } from "./problems.js";
import { hrefOf } from "./state.js";
import { clock, duration, exact, format } from "./units.js";

/** @typedef {import("./list_view.js").ListKind} ListKind */
/** @typedef {import("./grid.js").Column} Column */
/** @typedef {import("./list_window.js").Row} Row */
/** @typedef {import("./problems.js").Wrong} Wrong */
/** @typedef {{metric: string, device_id: string, pct: number | null, current: number | null, capacity: number | null,
 *   unit: string | null}} Device */
/** @typedef {{pid: number, cpu_pct: number | null, mem_bytes: number | null}} Process */
/** @typedef {{replica_id: string, session_id: string | null, active: boolean}} Replica */

const MOST_PARTS = 24;
/** Metrics without a bound, so that no device has a percentage of it. */
const UNBOUNDED = new Set(["cpu_used", "io_read", "io_write", "net_rx", "net_tx"]);
/** A row has room for two lines. */
const MOST_MARKS = 2;
const COMPARED = "A full bar is the highest value of the rows that are loaded";
const OF_CORES = `${CORES}. ${COMPARED}`;
const OF_ACCELERATORS = "Use of the accelerators, of the busiest kind if there are several. A full bar is 100 %";
const MISSING = { kind: "missing", message: "there are no statistics, or none that can be read" };

/**
 * A bar: how much of a whole a value is.
 * @param {{value: number, whole: number}} props
 */
const Bar = ({ value, whole }) =>
  html`<span class="level" aria-hidden="true"><span style=${{ width: `${(100 * value) / (whole || 1)}%` }}></span></span>`;

/**
 * A dash for what is not known: its reason is what is wrong with the field of the item, if anything is.
 * @param {Wrong[]} wrong
 * @param {string} field
 * @param {string} otherwise the reason if nothing is wrong
 */
function unknown(wrong, field, otherwise) {
  const reason = wrong.find((each) => each.field === undefined || each.field === field)?.message ?? otherwise;
  return html`<span class="faint" title=${reason}>—<span class="unseen"> ${reason}</span></span>`;
}

/**
 * @param {keyof typeof FIGURES} name
 * @param {Partial<Column> & {whole?: number}} [more] `whole`: what a full bar is at least; without it, the highest value
 * @returns {Column}
 */
function figure(name, { whole: least = 0, ...more } = {}) {
  const { title, unit } = FIGURES[name];
  return {
    title,
    sort: name,
    width: "minmax(5rem, 1fr)",
    isNumber: true,
    hint: COMPARED,
    ...more,
    cell: ({ item, wrong }, { highest }) => {
      const value = item.figures?.[name];
      if (typeof value !== "number") {
        return unknown(wrong, "figures", "not known");
      }
      const whole = Math.max(least, highest[name] ?? 0);
      const scale = whole ? `; a full bar is ${format(whole, unit)}` : "";
      return html`<span title=${exact(value, unit) + scale}>${format(value, unit)}</span><${Bar} value=${value} whole=${whole} />`;
    },
  };
}

const TRAFFIC = [figure("rx_bytes_per_s"), figure("tx_bytes_per_s")];
const FIGURE_COLUMNS = [
  figure("cpu_pct", { hint: OF_CORES }),
  figure("mem_bytes"),
  figure("accelerator_pct", { hint: OF_ACCELERATORS, figure: "accelerator_pct", whole: 100 }),
  figure("accelerator_mem_bytes", {
    hint: `Memory of accelerators in use. ${COMPARED}`,
    figure: "accelerator_mem_bytes",
    onPhone: "minor",
  }),
  ...TRAFFIC,
];

/** @type {Column} */
const USER = {
  title: "User",
  sort: "user_id",
  width: "minmax(5.5rem, 1fr)",
  cell: ({ item }, { place, tabindex }) =>
    html`<${OwnerLink} label="user_id" id=${item.user_id} place=${place} tabindex=${tabindex} />`,
};
/** @type {Column} */
const PROJECT = {
  title: "Project",
  sort: "project_id",
  onPhone: "minor",
  width: "minmax(5.5rem, 1fr)",
  cell: ({ item }, { place, tabindex }) =>
    html`<${OwnerLink} label="project_id" id=${item.project_id} place=${place} tabindex=${tabindex} />`,
};
const OWNERS = "user_id project_id started_at";
/** @type {Column} */
const AGE = {
  title: "Age",
  sort: "-started_at",
  width: "5.4rem",
  isNumber: true,
  cell: ({ item }) => {
    if (!item.started_at) return html`<span class="faint" title="It is not known when it started">—</span>`;
    const start = new Date(item.started_at);
    return html`<span title=${`since ${clock(start)}`}>${duration((Date.now() - start.getTime()) / 1000)}</span>`;
  },
};
/** What is wrong with a row, or that it has no statistics. @type {Column} */
const STATE = {
  title: "State",
  width: "8.2rem",
  onPhone: "side",
  cell: ({ item, wrong, kept_ms }) => {
    if (!wrong.length) return item.figures ? html`<span class="unseen">good</span>` : html`<${Mark} wrong=${MISSING} />`;
    const kept = `the figures are from an earlier answer, of ${clock(new Date(kept_ms ?? 0))}`;
    const all = [...Map.groupBy(wrong, ({ kind }) => kind)].map(([kind, group]) => {
      const messages = group.map(({ message }) => message);
      if (kept_ms && kind === "unavailable") messages.push(kept);
      return { kind, message: messages.join("; ") };
    });
    const first = all.length > MOST_MARKS ? all.slice(0, MOST_MARKS - 1) : all;
    return html`${first.map((each) => html`<${Mark} key=${each.kind} wrong=${each} /> `)}<${MoreMarks} all=${all.slice(first.length)} />`;
  },
};

/**
 * @param {string} title
 * @returns {Column}
 */
const idOf = (title) => ({ title, sort: "id", width: "minmax(9rem, 1.6fr)", cell: ({ id }) => id });

/**
 * A link to another object, or a dash.
 * @param {string} object
 * @param {string | null} id
 * @param {number} tabindex
 */
const linkTo = (object, id, tabindex) =>
  id ? html`<a href=${hrefOf(["object", object, id])} tabindex=${tabindex}>${id}</a>` : html`<span class="faint">—</span>`;

/** @type {ListKind} */
const SESSIONS = {
  title: "Sessions",
  object: "session",
  field: "compute_session_list",
  id: "session_id",
  fields: `${OWNERS} kernels { kernel_id } ${FIGURE_FIELDS}`,
  sort: "-cpu_pct",
  columns: [
    idOf("Session"),
    STATE,
    USER,
    PROJECT,
    AGE,
    {
      title: "Kernels",
      sort: "kernels",
      width: "4rem",
      isNumber: true,
      onPhone: "minor",
      cell: ({ item }) => item.kernels.length,
    },
    ...FIGURE_COLUMNS,
  ],
};

/** @type {ListKind} */
const KERNELS = {
  title: "Kernels",
  object: "kernel",
  field: "kernel_list",
  id: "kernel_id",
  fields: `${OWNERS} session_id agent_id processes { pid cpu_pct mem_bytes } ${FIGURE_FIELDS}`,
  sort: "-cpu_pct",
  columns: [
    idOf("Kernel"),
    STATE,
    {
      title: "Session",
      sort: "session_id",
      width: "minmax(7rem, 1fr)",
      cell: ({ item }, { tabindex }) => linkTo("session", item.session_id, tabindex),
    },
    {
      title: "Agent",
      sort: "agent_id",
      onPhone: "minor",
      width: "minmax(6rem, 1fr)",
      cell: ({ item }, { tabindex }) => linkTo("agent", item.agent_id, tabindex),
    },
    USER,
    AGE,
    ...FIGURE_COLUMNS,
    {
      title: "Processes",
      width: "minmax(13.5rem, 1.2fr)",
      onPhone: "minor",
      cell: ({ item, wrong }) => processes(item.processes, wrong),
    },
  ],
};

/** @type {ListKind} */
const ENDPOINTS = {
  title: "Endpoints",
  object: "endpoint",
  field: "endpoint_list",
  id: "endpoint_id",
  fields: `${OWNERS} replicas { replica_id session_id active } ${FIGURE_FIELDS}`,
  sort: "-cpu_pct",
  columns: [
    idOf("Endpoint"),
    STATE,
    USER,
    PROJECT,
    { ...AGE, onPhone: "minor" },
    {
      title: "Replicas",
      width: "minmax(10rem, 1.4fr)",
      onPhone: "wide",
      cell: ({ item }, { tabindex }) => replicas(item.replicas, tabindex),
    },
    ...FIGURE_COLUMNS,
  ],
};

/** @type {ListKind} */
const AGENTS = {
  title: "Agents",
  object: "agent",
  field: "agent_list",
  id: "agent_id",
  fields: `user_id devices { metric device_id pct current capacity unit } ${FIGURE_FIELDS}`,
  sort: "-cpu_pct",
  columns: [
    idOf("Agent"),
    STATE,
    { ...USER, onPhone: "minor" },
    figure("cpu_pct", { hint: OF_CORES }),
    figure("mem_bytes"),
    ...TRAFFIC,
    {
      title: "Devices",
      width: "minmax(18rem, 3fr)",
      onPhone: "line",
      cell: ({ item, wrong }) => devices(item.devices, wrong),
    },
  ],
};

/**
 * @param {Replica[]} all
 * @param {number} tabindex
 */
function replicas(all, tabindex) {
  const active = all.filter((replica) => replica.active).length;
  const links = all.slice(0, MOST_PARTS).map(({ session_id, replica_id, active: isActive }) => {
    const shared = {
      key: replica_id,
      class: `part replica ${isActive ? "" : "inactive"}`,
      title: `Replica ${replica_id}, ${isActive ? "active" : "not active"}, ${session_id ? `session ${session_id}` : "no session"}`,
    };
    const name = html`<span class="unseen">Replica ${replica_id}</span>`;
    return session_id
      ? html`<a ...${shared} href=${hrefOf(["object", "session", session_id])} tabindex=${tabindex}>${name}</a>`
      : html`<span ...${shared}>${name}</span>`;
  });
  return html`${active} of ${all.length} active <span class="parts">${links}${more(all.length)}</span>`;
}

/**
 * @param {Device[] | null} all
 * @param {Wrong[]} wrong
 */
function devices(all, wrong) {
  const bounded = all?.filter(({ metric }) => !UNBOUNDED.has(metric));
  if (!bounded?.length) return unknown(wrong, "devices", "no statistics of devices");
  return [...Map.groupBy(bounded, ({ metric }) => metric)].map(
    ([metric, parts]) => html`<span class="parts" key=${metric}>
      ${metric} ${parts.slice(0, MOST_PARTS).map(({ device_id, pct, current, unit }) => {
        const percent = pct === null ? "not known" : format(pct, "percent");
        const text = `${metric} of ${device_id}: ${percent}${unit && unit !== "percent" ? `, ${format(current, unit)}` : ""}`;
        return html`<span key=${device_id} class=${pct === null ? "part unknown" : "part"} title=${text}
          ><span style=${{ height: `${Math.min(100, pct ?? 0)}%` }}></span><span class="unseen">${text}</span></span
        >`;
      })}${more(parts.length)}
    </span> `,
  );
}

/**
 * The busiest process; one whose use is not known is named only if that of no process is known.
 * @param {Process[] | null} all
 * @param {Wrong[]} wrong
 */
function processes(all, wrong) {
  if (!all?.length) return unknown(wrong, "processes", "The metric backend has no series of its processes");
  const lines = all
    .slice(0, MOST_PARTS)
    .map(({ pid, cpu_pct, mem_bytes }) => `pid ${pid}: CPU ${format(cpu_pct, "percent")}, ${format(mem_bytes, "bytes")}`);
  if (all.length > MOST_PARTS) lines.push(`and ${all.length - MOST_PARTS} more`);
  const busiest = all.reduce((most, each) => ((each.cpu_pct ?? -1) > (most.cpu_pct ?? -1) ? each : most));
  const rest = all.length > 1 ? `, ${all.length - 1} more` : "";
  return html`<span title=${lines.join("\n")}>pid ${busiest.pid}: ${format(busiest.cpu_pct, "percent")}${rest}</span>`;
}

/** @param {number} count how many parts there are */
const more = (count) => (count > MOST_PARTS ? html` <span class="faint">and ${count - MOST_PARTS} more</span>` : null);

export const Sessions = () => html`<${ListView} kind=${SESSIONS} />`;
export const Kernels = () => html`<${ListView} kind=${KERNELS} />`;
export const Endpoints = () => html`<${ListView} kind=${ENDPOINTS} />`;
export const Agents = () => html`<${ListView} kind=${AGENTS} />`;
