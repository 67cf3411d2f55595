// How it looks when a value is not simply right: missing, stale, incomplete, unavailable, partial. A mark, a word, and the
// reason on hover and for screen readers. Zero is a number like others and has no mark.

import { html } from "htm/preact";

/** @typedef {import("./client.js").DataProblem} DataProblem */
/** @typedef {import("./client.js").Response} Response */
/** What is wrong: a kind of `LOOKS`, and a sentence. @typedef {{kind: string, message: string}} Wrong */

/**
 * The marks and words by kind: those of `extensions.problems`, and those that the page adds (missing, partial, outdated,
 * warning, info).
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
  const problems = (response?.extensions?.problems ?? []).filter((problem) => within(problem.path));
  const errors = (response?.errors ?? []).filter((error) => error.path && within(error.path));
  return [...problems, ...errors.map((error) => ({ kind: kindOf(error), message: error.message }))];
}

/**
 * Return what is wrong with each item of a list, by its number.
 * @param {Response | undefined} response
 * @param {string} list the name of the field with `items`
 * @returns {Map<number, Wrong[]>}
 */
export function wrongByItem(response, list) {
  /** @type {Map<number, Wrong[]>} */
  const found = new Map();
  const errors = (response?.errors ?? []).map((error) => ({ ...error, kind: kindOf(error) }));
  for (const { path, kind, message } of [...(response?.extensions?.problems ?? []), ...errors]) {
    if (path?.[0] !== list || path[1] !== "items" || typeof path[2] !== "number") continue;
    found.set(path[2], [...(found.get(path[2]) ?? []), { kind, message }]);
  }
  return found;
}

/**
 * Return the kind of an error of a field, by its code.
 * @param {import("./client.js").GraphQLError} error
 */
export function kindOf({ extensions }) {
  const code = extensions?.code ?? "";
  if (code === "MalformedEntryError") return "malformed";
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
 * Return a message as a sentence, which others can follow: those of the service have no full stop.
 * @param {string} message
 */
export const sentence = (message) => (/[.!?]$/.test(message) ? message : `${message}.`);
