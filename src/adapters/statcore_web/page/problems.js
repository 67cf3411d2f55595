// Marks of values that are missing, stale, incomplete, unavailable or partial: a sign, a word, and the reason as a tooltip and for
// screen readers. Zero is a number and has no sign.

import { html } from "htm/preact";
import { clock } from "./units.js";

/** @typedef {import("./client.js").DataProblem} DataProblem */
/** @typedef {import("./client.js").Response} Response */
/**
 * What is wrong: a kind of `LOOKS`, a sentence, and the field of the object that it is about.
 * @typedef {{kind: string, message: string, field?: string}} Wrong
 */

/**
 * The signs and words by kind: the kinds of `extensions.problems`, and kinds that the page adds (missing, partial, outdated,
 * warning, info, error).
 * @type {Record<string, {sign: string, word: string}>}
 */
const LOOKS = {
  missing: { sign: "—", word: "no data" },
  stale: { sign: "◷", word: "stale" },
  incomplete: { sign: "◐", word: "incomplete" },
  unavailable: { sign: "✕", word: "unavailable" },
  malformed: { sign: "≠", word: "unreadable" },
  undated: { sign: "?", word: "age unknown" },
  partial: { sign: "◔", word: "partial" },
  outdated: { sign: "↺", word: "not up to date" },
  warning: { sign: "△", word: "warning" },
  info: { sign: "i", word: "info" },
  error: { sign: "!", word: "error" },
};
const OTHER = { sign: "◆", word: "problem" };

/** Return the sign and the word of a kind, which may be one that a newer service or a plugin adds. @param {string} kind */
export const lookOf = (kind) => LOOKS[kind] ?? { ...OTHER, word: kind || OTHER.word };

/** The mark of something wrong: its sign and its word, with the reason as a tooltip and as hidden text. @param {{wrong: Wrong}} props */
export function Mark({ wrong: { kind, message } }) {
  const { sign, word } = lookOf(kind);
  return html`<span class=${`mark ${kind}`} title=${`${word}: ${message}`}
    ><span aria-hidden="true">${sign}</span> ${word}<span class="unseen">: ${message}</span></span
  >`;
}

/** The number of marks that have no room, with the reasons of all of them. @param {{all: Wrong[]}} props */
export function MoreMarks({ all }) {
  if (!all.length) return null;
  const text = all.map(({ kind, message }) => `${lookOf(kind).word}: ${message}`).join("\n");
  return html`<span class="mark" title=${text}>and ${all.length} more<span class="unseen">: ${text}</span></span>`;
}

/**
 * Return what is wrong with the value at a path of the data and with all below it: problems first, then errors of fields.
 * @param {Response | undefined} response
 * @param {(string | number)[]} path
 * @returns {Wrong[]}
 */
export function wrongAt(response, path) {
  return wrongIn(response)
    .filter((wrong) => path.every((step, depth) => wrong.path[depth] === step))
    .map(({ path: at, kind, message }) => ({ kind, message, field: fieldAt(at, path.length) }));
}

/**
 * Return the problems of a response, and the errors of its fields with their kinds.
 * @param {Response | undefined} response
 * @returns {DataProblem[]}
 */
function wrongIn(response) {
  const errors = (response?.errors ?? []).flatMap(({ path, message, extensions }) =>
    path ? [{ path, message, kind: kindOf(extensions?.code ?? "") }] : [],
  );
  return [...(response?.extensions?.problems ?? []), ...errors];
}

/**
 * @param {(string | number)[]} path
 * @param {number} depth
 */
const fieldAt = (path, depth) => (path[depth] === undefined ? undefined : String(path[depth]));

/**
 * Return what is wrong with each item of a list, by its number.
 * @param {Response | undefined} response
 * @param {string} list the name of the field with `items`
 * @returns {Map<number, Wrong[]>}
 */
export function wrongByItem(response, list) {
  /** @type {Map<number, Wrong[]>} */
  const found = new Map();
  for (const { path, kind, message } of wrongIn(response)) {
    if (path[0] !== list || path[1] !== "items" || typeof path[2] !== "number") continue;
    found.set(path[2], [...(found.get(path[2]) ?? []), { kind, message, field: fieldAt(path, 3) }]);
  }
  return found;
}

/** The kinds of errors by their codes; any other is an error that the user can correct. @type {Record<string, string>} */
const KINDS = {
  MalformedEntryError: "malformed",
  UnsupportedError: "missing",
  PartialAnswerError: "partial",
  UnavailableError: "unavailable",
  AccessDeniedError: "unavailable",
  UntrustedServerError: "unavailable",
  TimedOutError: "unavailable",
  ClosedError: "unavailable",
  ProtocolError: "unavailable",
};

/**
 * Return the kind of an error of a query or of a field of its answer.
 * @param {string | undefined} code undefined: the service did not answer
 */
export const kindOf = (code = "UnavailableError") => KINDS[code] ?? "error";

/**
 * Return the kind of a failed query; one that the service will answer later is unavailable now.
 * @param {{code?: string, retryAfter_s?: number}} live
 */
export const kindOfFailure = ({ code, retryAfter_s }) => (retryAfter_s ? "unavailable" : kindOf(code));

/**
 * Return the error of a field of an object, if it has one.
 * @param {Response | undefined} response
 * @param {string} field
 * @param {string} name
 */
export function errorAt(response, field, name) {
  return response?.errors?.find(({ path }) => path?.length === 2 && path[0] === field && path[1] === name);
}

/**
 * Return a sentence with the time of the shown data, or "" if nothing is shown.
 * @param {number | undefined} at_ms
 */
export const since = (at_ms) => (at_ms === undefined ? "" : `Showing data from ${clock(new Date(at_ms))}.`);

/**
 * Return a message as a sentence, so that another one can stand after it: messages of the service have no full stop.
 * @param {string} message
 */
export const sentence = (message) => (/[.!?]$/.test(message) ? message : `${message}.`);
