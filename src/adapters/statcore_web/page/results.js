// Answers of utilization and presets: their lines in a chart, what is wrong with them, and their CSV.

import { clock } from "./units.js";

/** @typedef {{labels: Record<string, string>, values: [number, string][]}} Series */
/** @typedef {{series: Series[], warnings: string[], infos: string[], partial: boolean, promql: string | null,
 *   unit: string | null}} Answer what the fields of `ANSWER` hold */
/** @typedef {import("./chart.js").Line} Line */
/** @typedef {import("./problems.js").Wrong} Wrong */
/** @typedef {import("./time_range.js").Span} Span */

/** The fields of an answer in a query. */
export const ANSWER = "{ series { labels values } warnings infos partial promql unit }";

const PARTIAL = {
  kind: "partial",
  message: "the metric backend could not read all of its data, so parts of the lines may be missing or too low",
};
const MOST_NAMED = 5;
const STALE_STEPS = 4;
const STALE_S = 60;

/**
 * Return the series as lines with gaps: a point that is missing, or not a number, is null and never zero.
 * @param {Series[]} series
 * @param {Span} span
 * @param {{name?: string, isDashed?: boolean, title?: string}} [options] `name` begins the names of its lines; `title` is the name
 *   of a line without any other
 * @returns {Line[]}
 */
export function linesOf(series, { step_s }, { name = "", isDashed, title = "" } = {}) {
  const labels = distinctLabels(series);
  return series.map(({ values }, number) => {
    /** @type {Line["points"]} */
    const points = [];
    for (const [time_s, text] of values) {
      const before = points.at(-1);
      if (before && time_s - before[0] > step_s * 1.5) points.push([before[0] + step_s, null]);
      const value = Number(text);
      points.push([time_s, Number.isFinite(value) ? value : null]);
    }
    return { label: [name, labels[number]].filter(Boolean).join(", ") || title, points, isDashed };
  });
}

/**
 * Return a text for each series: the labels that differ, or "" for one series.
 * @param {Series[]} series
 */
function distinctLabels(series) {
  if (series.length < 2) return series.map(() => "");
  const names = [...new Set(series.flatMap(({ labels }) => Object.keys(labels)))].sort();
  const differing = names.filter((name) => new Set(series.map(({ labels }) => labels[name])).size > 1);
  return series.map(({ labels }) => differing.map((name) => `${name}=${labels[name] ?? ""}`).join(", "));
}

/**
 * Return what is wrong with an answer: a part that is not there, points that are missing, and lines that ended before the range did.
 * @param {Answer[]} answers
 * @param {Line[]} lines the lines of the answers
 * @param {Span} span
 * @param {number} [now_s]
 * @returns {Wrong[]}
 */
export function wrongWithAnswers(answers, lines, { end_s, step_s }, now_s = Date.now() / 1000) {
  const texts = (/** @type {"warnings" | "infos"} */ name) => [...new Set(answers.flatMap((answer) => answer[name]))];
  /** @type {Wrong[]} */
  const found = [
    ...(answers.some(({ partial }) => partial) ? [PARTIAL] : []),
    ...texts("warnings").map((message) => ({ kind: "warning", message })),
    ...texts("infos").map((message) => ({ kind: "info", message })),
  ];
  const newest = lines.flatMap(({ label, points }) => {
    const last = points.findLast(([, value]) => value !== null);
    return last ? [{ label, time_s: last[0] }] : [];
  });
  if (!newest.length) return [...found, { kind: "missing", message: "there are no points in this range" }];
  const missing = lines.reduce((sum, { points }) => sum + missingPoints(points, step_s), 0);
  if (missing) {
    const message = `${missing} ${missing === 1 ? "point is" : "points are"} missing between the first and the last; the lines have gaps there`;
    found.push({ kind: "incomplete", message });
  }
  const oldest_s = Math.min(end_s, now_s) - Math.max(STALE_STEPS * step_s, STALE_S);
  const stale = newest.filter(({ time_s }) => time_s < oldest_s);
  if (stale.length) found.push({ kind: "stale", message: staleText(stale, newest.length) });
  return found;
}

/**
 * @param {{label: string, time_s: number}[]} stale the lines whose newest point is old
 * @param {number} count how many lines there are
 */
function staleText(stale, count) {
  const lines = stale
    .slice(0, MOST_NAMED)
    .map(({ label, time_s }) => `the newest point of ${label} is from ${clock(new Date(time_s * 1000))}`);
  const more = stale.length > MOST_NAMED ? `, and so on: ${stale.length} of ${count} lines have no newer points` : "";
  return `${lines.join(", ")}${more}`;
}

/**
 * Return how many points of a grid a line does not have between its first and its last.
 * @param {Line["points"]} points
 * @param {number} step_s
 */
function missingPoints(points, step_s) {
  const known = points.filter(([, value]) => value !== null);
  const [first, last] = [known[0], known.at(-1)];
  return first && last ? Math.max(0, Math.round((last[0] - first[0]) / step_s) + 1 - known.length) : 0;
}

/**
 * Return series as CSV, in the form of the command line: the labels, the time in UTC, the value.
 * @param {Series[]} series
 */
export function csvOf(series) {
  const names = [...new Set(series.flatMap(({ labels }) => Object.keys(labels)))].sort();
  const rows = series.flatMap(({ labels, values }) =>
    values.map(([time_s, value]) => [
      ...names.map((name) => labels[name] ?? ""),
      new Date(time_s * 1000).toISOString().replace(".000Z", "Z"),
      value,
    ]),
  );
  return [[...names, "time", "value"], ...rows].map((row) => `${row.map(quoted).join(",")}\r\n`).join("");
}

/** @param {string} cell */
const quoted = (cell) => (/[",\r\n]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell);
