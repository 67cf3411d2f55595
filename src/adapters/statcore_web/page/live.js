// Queries that are sent again and again, and the state of the connection. A failed request never removes the last good answer.

import { useEffect, useState } from "preact/hooks";
import { poll } from "./client.js";

/** @typedef {import("./client.js").Request} Request */
/** @typedef {import("./client.js").Response} Response */
/** @typedef {import("./client.js").Outcome} Outcome */
/**
 * What is known about a query.
 * - `request`: the newest request.
 * - `response`, `answered`, `at_ms`: the last good answer, the request that it answers, and when the service last confirmed it.
 * - `sent`, `outcome`: `answered` as it was sent, with variables of that moment, and its outcome.
 * - `failure`: why the newest request brought no good answer, in a sentence; undefined while all is well.
 * - `code`: the code of the error, such as "UnavailableError".
 * - `retryAfter_s`: when the service would take the request, in seconds; undefined if it does not say.
 * @typedef {{request: Request, response?: Response, answered?: Request, sent?: Request, outcome?: Outcome, at_ms?: number,
 *   failure?: string, code?: string, retryAfter_s?: number}} Live
 */
/**
 * How a query is sent again: `every_ms` after each answer; 0 sends it once, and again only after a failure. `fresh` returns the
 * variables of the moment, such as the ends of a range. `hasParts`: an answer is good if any of its root fields is good. A paused
 * query waits.
 * @typedef {{every_ms?: number, fresh?: () => object, hasParts?: boolean, isPaused?: boolean}} Refresh
 */

export const REFRESH_MS = 5000;

// ---- The connection

/**
 * The state of the connection: `refused` needs another token, `down` has a failure.
 * @typedef {{state: "connecting" | "ok" | "refused" | "down" | "offline", failure?: string, since_ms: number}} Connection
 */

const CONNECTION = "statcore-connection";
const NOW = "statcore-now";
/** @type {Connection} */
let newest = { state: "connecting", since_ms: Date.now() };

/** Return the state of the connection. */
export const connection = () => newest;

/** @param {Omit<Connection, "since_ms">} next */
function setConnection(next) {
  if (next.state === newest.state && next.failure === newest.failure) return;
  const since_ms = next.state === newest.state ? newest.since_ms : Date.now();
  newest = { ...next, since_ms };
  dispatchEvent(new Event(CONNECTION));
}

/**
 * Return the state of the connection, and render again when it changes (a hook).
 * @returns {Connection}
 */
export function useConnection() {
  const [now, setNow] = useState(newest);
  useEffect(() => {
    const read = () => setNow(connection());
    read();
    addEventListener(CONNECTION, read);
    return () => removeEventListener(CONNECTION, read);
  }, []);
  return now;
}

/** Send all live queries now, when the user does not want to wait. */
export const refreshAll = () => dispatchEvent(new Event(NOW));

/** When the service last answered any query. */
let answered_ms = Number.NEGATIVE_INFINITY;

/**
 * Set the connection after a request. A query that fails again and again, such as one that a proxy refuses, is no outage while
 * others are answered.
 * @param {Outcome} outcome
 * @param {number} before_ms the time of the outcome before it of the same query
 */
function connectionAfter({ status, failure }, before_ms) {
  if (status === 401) return setConnection({ state: "refused" });
  if (!failure) {
    answered_ms = Date.now();
    return setConnection({ state: "ok" });
  }
  if (!navigator.onLine) setConnection({ state: "offline", failure });
  else if (answered_ms <= before_ms) setConnection({ state: "down", failure });
}

// ---- Queries

/**
 * Send a request until it is stopped: at once, then `every_ms` after each answer. It waits while the page is hidden or offline,
 * and after the service refused the token. Offline is a page whose request failed while the browser has no network: a service on
 * the same machine answers without one.
 * @param {Request} request
 * @param {(live: Live) => void} onChange is called after each answer
 * @param {Refresh & {before?: Live}} [options] `before`: what is known of an earlier request, whose response is shown until there
 *   is one
 * @returns {() => void} stops it
 */
export function keepSending(request, onChange, { every_ms = REFRESH_MS, fresh, hasParts = false, before } = {}) {
  const controller = new AbortController();
  const { signal } = controller;
  /** @type {Live} */
  let live = { ...before, request, failure: undefined, code: undefined, retryAfter_s: undefined };
  let isRunning = false;
  let timer = 0;
  let outcome_ms = Date.now() - REFRESH_MS; // an answer to others in that time says that the service works

  async function sendNow() {
    clearTimeout(timer);
    if (isRunning || document.hidden) return;
    isRunning = true;
    try {
      const sent = fresh ? { ...request, variables: { ...request.variables, ...fresh() } } : request;
      const isSame = JSON.stringify(live.sent) === JSON.stringify(sent);
      const outcome = await poll(sent, { signal, earlier: isSame ? live.outcome : undefined });
      connectionAfter(outcome, outcome_ms);
      outcome_ms = Date.now();
      live = after(live, { request, sent }, outcome, hasParts);
      onChange(live);
      const isLacking =
        live.failure || (hasParts && outcome.response?.errors?.some((error) => error.extensions?.retryable));
      const wait_ms = Math.max(every_ms || (isLacking ? REFRESH_MS : 0), (outcome.retryAfter_s ?? 0) * 1000);
      const isFinal = outcome.status === 401 || live.code === "InputError"; // the same request is refused again
      const isOffline = outcome.failure && !navigator.onLine;
      if (wait_ms && !isFinal && !isOffline) timer = setTimeout(sendNow, wait_ms);
    } catch (error) {
      if (!signal.aborted) throw error;
    } finally {
      isRunning = false;
    }
  }

  const wake = () => {
    if (every_ms || live.failure || live.answered !== request) sendNow();
  };
  document.addEventListener("visibilitychange", wake, { signal });
  for (const name of ["offline", "online"]) addEventListener(name, wake, { signal }); // shows at once whether the service answers
  addEventListener(NOW, sendNow, { signal });
  sendNow();
  return () => {
    controller.abort();
    clearTimeout(timer);
  };
}

/**
 * @param {Live} live
 * @param {{request: Request, sent: Request}} requests
 * @param {Outcome} outcome
 * @param {boolean} hasParts
 * @returns {Live}
 */
function after(live, { request, sent }, outcome, hasParts) {
  const { response, failure, retryAfter_s } = outcome;
  // An error of a root field, or one without a path, leaves nothing to show of that field: the last good answer stays.
  const fatal = response?.errors?.find(({ path }) => (path?.length ?? 0) < 2);
  const hasGoodPart = hasParts && Object.values(response?.data ?? {}).some((part) => part !== null);
  if (failure || (fatal && !hasGoodPart) || !response?.data) {
    const reason = failure ?? fatal?.message ?? "The service answered without data.";
    return { ...live, failure: reason, code: fatal?.extensions?.code, retryAfter_s };
  }
  return { request, response, answered: request, sent, outcome, at_ms: Date.now() };
}

/**
 * Return what is known about a query, which is sent while the component is there (a hook). When the request changes, the
 * response to the earlier one stays until there is a new one: `live.answered !== live.request`.
 * @param {Request} request
 * @param {Refresh} [refresh] the function `fresh` must be the same for equal requests
 * @returns {Live}
 */
export function useLive(request, { every_ms, fresh, hasParts, isPaused = false } = {}) {
  const [live, setLive] = useState(/** @type {Live} */ ({ request }));
  const key = JSON.stringify(request);
  useEffect(
    () => (isPaused ? undefined : keepSending(request, setLive, { every_ms, fresh, hasParts, before: live })),
    [key, every_ms, isPaused],
  );
  return JSON.stringify(live.request) === key ? live : { ...live, request, failure: undefined, code: undefined };
}
