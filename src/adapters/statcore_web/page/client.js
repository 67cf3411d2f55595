// GraphQL over HTTP: sends a request with the token of this tab, and returns its outcome. Errors are values.

import { fromJson, toJson } from "./json.js";

/** @typedef {{query: string, variables?: object, operationName?: string}} Request */
/** @typedef {{message: string, path?: (string | number)[], locations?: {line: number, column: number}[],
 *   extensions?: {code?: string, limit?: string, retryable?: boolean}}} GraphQLError */
/** @typedef {{path: (string | number)[], kind: string, message: string}} DataProblem what is wrong with a value of the data */
/** @typedef {{data?: any, errors?: GraphQLError[], extensions?: {problems?: DataProblem[]}}} Response */
/**
 * The outcome of a request. `failure` says why there is no response of GraphQL, in a sentence; `secret` is the token that was sent.
 * @typedef {{status: number, statusText: string, response?: Response, failure?: string, bytes: number,
 *   duration_ms: number, retryAfter_s?: number, etag?: string, secret?: string | null}} Outcome
 */

const KEY = "statcore.token";
/** The longest address, since servers accept lines of 8 kB. Longer requests are sent by POST, which has no ETag. */
const LONGEST_URL = 6000;
const SILENT = "The service does not answer. Check that it runs and that the network is up, then try again.";
const LATE = "The service did not answer in time. Check that it works and that the network is up, then try again.";
/** How long a poll waits: longer than the service works on a request, which is 30 s unless the operator changes it. */
const PATIENCE_MS = 40_000;
const OFFLINE = "This machine is offline. The service cannot be reached before the network is back.";

/** The token: kept until the tab is closed, and seen by no other tab. */
export const token = {
  get: () => sessionStorage.getItem(KEY),
  /** @param {string} secret */
  set: (secret) => sessionStorage.setItem(KEY, secret),
  remove: () => sessionStorage.removeItem(KEY),
};

/**
 * Send a request by POST and read the whole response.
 * @param {Request} request
 * @param {{signal?: AbortSignal}} [options]
 * @returns {Promise<Outcome>}
 * @throws {DOMException} an AbortError: the signal was given
 */
export function send(request, { signal } = {}) {
  const headers = { "Content-Type": "application/json" };
  return exchange("graphql", { method: "POST", headers, body: toJson(request), signal });
}

/**
 * Send a request by GET and read the response, unless an earlier outcome has the same response. It fails if the service does not
 * answer in time. For a request that the user can cancel, use `send`, which waits.
 * @param {Request} request
 * @param {{signal?: AbortSignal, earlier?: Outcome}} [options] `earlier`: an outcome of the same request, whose response (the
 *   same object) is in the new outcome if nothing has changed
 * @returns {Promise<Outcome>}
 * @throws {DOMException} an AbortError: the signal was given
 */
export async function poll(request, { signal, earlier } = {}) {
  const { query, variables } = request;
  const url = `graphql?${new URLSearchParams({ query, ...(variables && { variables: JSON.stringify(variables) }) })}`;
  const ends = AbortSignal.any([AbortSignal.timeout(PATIENCE_MS), ...(signal ? [signal] : [])]);
  if (url.length > LONGEST_URL) return send(request, { signal: ends });
  /** @type {Record<string, string>} */
  const headers = earlier?.etag && earlier.response ? { "If-None-Match": earlier.etag } : {};
  const outcome = await exchange(url, { headers, signal: ends });
  return outcome.status === 304 ? { ...outcome, status: 200, response: earlier?.response } : outcome;
}

/**
 * @param {string} url
 * @param {RequestInit} init
 * @returns {Promise<Outcome>}
 */
async function exchange(url, init) {
  const start = performance.now();
  const passed = () => performance.now() - start;
  const headers = new Headers(init.headers);
  headers.set("Accept", "application/graphql-response+json");
  const secret = token.get();
  try {
    if (secret) headers.set("Authorization", `Bearer ${secret}`);
  } catch {
    return failed("The token has characters that no token has. Copy it again.", passed());
  }
  /** @type {globalThis.Response} */
  let answer;
  /** @type {string} */
  let text;
  let bytes = 0;
  try {
    answer = await fetch(url, { ...init, headers, cache: "no-store" });
    const body = await answer.arrayBuffer();
    bytes = body.byteLength;
    text = new TextDecoder().decode(body);
  } catch (error) {
    if (init.signal?.reason?.name === "TimeoutError") return failed(LATE, passed());
    if (init.signal?.aborted) throw error;
    return failed(navigator.onLine ? SILENT : OFFLINE, passed());
  }
  const outcome = {
    status: answer.status,
    statusText: answer.statusText,
    bytes,
    duration_ms: passed(),
    retryAfter_s: Number(answer.headers.get("Retry-After")) || undefined,
    etag: answer.headers.get("ETag") ?? undefined,
    secret,
  };
  if (answer.status === 304) return outcome;
  try {
    return { ...outcome, response: fromJson(text) };
  } catch {
    return { ...outcome, failure: `The answer is not JSON; a proxy may have sent it: ${text.slice(0, 500)}` };
  }
}

/**
 * @param {string} failure
 * @param {number} duration_ms
 * @returns {Outcome}
 */
function failed(failure, duration_ms) {
  return { status: 0, statusText: "", failure, bytes: 0, duration_ms };
}
