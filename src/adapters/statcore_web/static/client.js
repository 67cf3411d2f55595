// @ts-check
// GraphQL over HTTP: sends a request with the token of this tab, and says what came of it.

/** @typedef {{query: string, variables?: object, operationName?: string}} Request */
/** @typedef {{message: string, path?: (string | number)[], locations?: {line: number, column: number}[],
 *   extensions?: {code?: string, limit?: string}}} GraphQLError */
/** @typedef {{data?: any, errors?: GraphQLError[], extensions?: {problems?: object[]}}} Response */
/**
 * What came of a request. `failure` says why there is no response of GraphQL, in a sentence.
 * @typedef {{status: number, statusText: string, response?: Response, failure?: string, bytes: number,
 *   duration_ms: number, retryAfter_s?: number}} Outcome
 */

const KEY = "statcore.token";

/** The token: kept until the tab is closed, and seen by no other tab. */
export const token = {
  get: () => sessionStorage.getItem(KEY),
  /** @param {string} secret */
  set: (secret) => sessionStorage.setItem(KEY, secret),
  remove: () => sessionStorage.removeItem(KEY),
};

/**
 * Send a request and read the whole response.
 * @param {Request} request
 * @param {{signal?: AbortSignal}} [options]
 * @returns {Promise<Outcome>}
 * @throws {DOMException} an AbortError: the signal was given
 */
export async function send(request, { signal } = {}) {
  const start = performance.now();
  const passed = () => performance.now() - start;
  const headers = new Headers({ "Content-Type": "application/json", Accept: "application/graphql-response+json" });
  const secret = token.get();
  try {
    if (secret) headers.set("Authorization", `Bearer ${secret}`);
  } catch {
    return failed("The token has characters that no token has. Copy it again.", passed());
  }
  let answer, body;
  try {
    answer = await fetch("graphql", { method: "POST", headers, body: JSON.stringify(request), signal, cache: "no-store" });
    body = await answer.arrayBuffer();
  } catch (error) {
    if (signal?.aborted) throw error;
    return failed("The service does not answer. Check that it runs and that the network is up, then try again.", passed());
  }
  const outcome = {
    status: answer.status,
    statusText: answer.statusText,
    bytes: body.byteLength,
    duration_ms: passed(),
    retryAfter_s: Number(answer.headers.get("Retry-After")) || undefined,
  };
  const text = new TextDecoder().decode(body);
  try {
    return { ...outcome, response: JSON.parse(text) };
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
