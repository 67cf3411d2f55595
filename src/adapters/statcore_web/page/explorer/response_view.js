// The response: its status in a line, its errors in a list, its data as text.

import { find, make } from "../dom.js";
import { toJson } from "../json.js";

/** @typedef {import("../client.js").Outcome} Outcome */
/** @typedef {import("../client.js").GraphQLError} GraphQLError */

const SHOWN = 500_000;

const status = find("status", HTMLElement);
const errors = find("errors", HTMLElement);
const data = find("data", HTMLElement);

/** @param {string} text */
export function showStatus(text) {
  status.textContent = text;
}

/** Remove the response. */
export function clear() {
  errors.replaceChildren();
  data.hidden = true;
  data.textContent = "";
  showStatus("Nothing has been run yet.");
}

/**
 * Show the outcome of a request, and return the text of the response. Without a response, the earlier data stays.
 * @param {Outcome} outcome
 * @param {(location: {line: number, column: number}) => void} goTo shows a place in the query
 */
export function showOutcome(outcome, goTo) {
  const { response, failure } = outcome;
  const problems = failure
    ? [make("p", {}, failure)]
    : (response?.errors ?? []).map((error) => errorItem(error, outcome, goTo));
  const heading = failure ? "No response" : `${problems.length} ${problems.length === 1 ? "error" : "errors"}`;
  errors.replaceChildren(...(problems.length ? [make("h3", {}, heading), ...problems] : []));
  showStatus(summary(outcome, failure || !problems.length ? "" : heading));
  const { errors: _, ...rest } = response ?? {};
  if (!Object.keys(rest).length) return "";
  const text = toJson(rest, 2);
  const cut = text.length > SHOWN ? `\n… ${text.length - SHOWN} more characters; Copy response takes all of them` : "";
  data.textContent = text.slice(0, SHOWN) + cut;
  data.hidden = false;
  return toJson(response, 2);
}

/**
 * @param {Outcome} outcome
 * @param {string} errors
 */
function summary({ status, statusText, bytes, duration_ms, response }, errors) {
  const time = new Date().toLocaleTimeString();
  if (!status) return `No answer after ${duration_ms.toFixed(0)} ms, at ${time}`;
  const incomplete = response?.data && errors ? `data with ${errors}` : errors;
  const missing = response?.extensions?.problems?.length;
  const problems = missing ? `${missing} ${missing === 1 ? "problem" : "problems"} in extensions` : "";
  const parts = [`${status} ${statusText}`.trim(), incomplete, problems];
  parts.push(`${duration_ms.toFixed(0)} ms`, size(bytes), `at ${time}`);
  return parts.filter(Boolean).join(", ");
}

/** @param {number} bytes */
function size(bytes) {
  if (bytes < 1024) return `${bytes} B`;
  return bytes < 1024 ** 2 ? `${(bytes / 1024).toFixed(1)} KiB` : `${(bytes / 1024 ** 2).toFixed(1)} MiB`;
}

/**
 * @param {GraphQLError} error
 * @param {Outcome} outcome
 * @param {(location: {line: number, column: number}) => void} goTo
 */
function errorItem({ message, path, locations = [], extensions = {} }, { retryAfter_s }, goTo) {
  const places = locations.map((location) =>
    make("button", { type: "button", onclick: () => goTo(location) }, `line ${location.line}, column ${location.column}`),
  );
  const facts = make("p", { className: "facts" });
  if (extensions.code) facts.append(make("code", {}, extensions.code), " ");
  if (path) facts.append("in ", make("code", {}, path.join(".")), " ");
  facts.append(...places);
  const advice = extensions.limit
    ? `This is the limit ${extensions.limit} of the service. ` +
      (retryAfter_s ? `Try again in ${retryAfter_s} s.` : "Query less at a time, or ask the operator to raise the limit.")
    : "";
  return make("article", {}, make("p", {}, message), facts, make("p", { hidden: !advice }, advice));
}
