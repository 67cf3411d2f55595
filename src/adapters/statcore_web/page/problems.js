// How it looks when a value is not simply right: missing, stale, incomplete, unavailable, partial. A mark, a word, and the
// reason on hover and for screen readers. Zero is a number like others and has no mark.

import { html } from "htm/preact";
import { clock } from "./units.js";

/** @typedef {import("./client.js").DataProblem} DataProblem */
/** @typedef {import("./client.js").Response} Response */
/**
 * What is wrong: a kind of `LOOKS`, a sentence, and the field of the object that it is about.
 * @typedef {{kind: string, message: string, field?: string}} Wrong
 */

/**
 * The marks and words by kind: those of `extensions.problems`, and those that the page adds (missing, partial, outdated,
 * warning, info, error).
 * @type {Record<string, {mark: string, word: string}>}
 */
export const LOOKS = {
  missing: { mark: "—", word: "no data" },
  stale: { mark: "◷", word: "stale" },
  incomplete: { mark: "◐", word: "incomplete" },
  unavailable: { mark: "✕", word: "unavailable" },
  malformed: { mark: "≠", word: "unreadable" },
  undated: { mark: "?", word: "age unknown" },
  partial: { mark: "◔", word: "partial" },
  outdated: { mark: "◷", word: "not up to date" },
  warning: { mark: "!", word: "warning" },
  info: { mark: "i", word: "info" },
  error: { mark: "!", word: "error" },
};
const OTHER = { mark: "!", word: "problem" };

/**
 * The mark of something wrong: its sign and its word, with the reason as a tooltip and as hidden text.
 * @param {{wrong: Wrong, brief?: boolean}} props `brief`: the word is for screen readers only
 */
export function Mark({ wrong: { kind, message }, brief = false }) {
  const { mark, word } = LOOKS[kind] ?? { ...OTHER, word: kind || OTHER.word };
  return html`<span class=${`mark ${kind}`} title=${`${word}: ${message}`}
    ><span aria-hidden="true">${mark}</span><span class=${brief ? "unseen" : ""}> ${word}</span
    ><span class="unseen">: ${message}</span></span
  >`;
}

/**
 * Return what is wrong with the value at a path of the data and with all below it: problems first, then errors of fields.
 * @param {Response | undefined} response
 * @param {(string | number)[]} path
 * @returns {Wrong[]}
 */
export function wrongAt(response, path) {
  const within = (/** @type {(string | number)[] | undefined} */ of) => path.every((step, depth) => of?.[depth] === step);
  return wrongIn(response)
    .filter((wrong) => within(wrong.path))
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

/**
 * Return the kind of an error of a field or of a query by its code; without a code, no answer came.
 * @param {string | undefined} code
 */
export function kindOf(code = "UnavailableError") {
  if (code === "MalformedEntryError") return "malformed";
  if (code === "UnsupportedError") return "missing";
  if (code === "PartialAnswerError") return "partial";
  return /Unavailable|TimedOut|Closed|Protocol/.test(code) ? "unavailable" : "error";
}

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
 * Return since when what is shown has not changed, as a sentence; "" if nothing is shown.
 * @param {number | undefined} at_ms
 */
export const since = (at_ms) => (at_ms === undefined ? "" : `Showing data from ${clock(new Date(at_ms))}.`);

/**
 * Return a message as a sentence, so that another one can stand after it: messages of the service have no full stop.
 * @param {string} message
 */
export const sentence = (message) => (/[.!?]$/.test(message) ? message : `${message}.`);
