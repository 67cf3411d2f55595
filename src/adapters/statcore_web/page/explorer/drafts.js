// Drafts: a query and the text of its variables, as the editors, the address and the history have them.

import { fromJson } from "../json.js";

/** @typedef {{query: string, variables: string}} Draft */

const KEY = "statcore.history";
const KEPT = 30;
const LONGEST = 20_000;

/**
 * Return the fragment of the address for a draft. Browsers never send the fragment to a server.
 * @param {Draft} draft
 */
export function toFragment({ query, variables }) {
  const parameters = new URLSearchParams({ query });
  if (variables.trim()) parameters.set("variables", variables);
  return `#${parameters}`;
}

/**
 * Return the draft of a fragment, or null if the fragment has no draft.
 * @param {string} fragment
 * @returns {Draft | null}
 */
export function fromFragment(fragment) {
  const parameters = new URLSearchParams(fragment.slice(1));
  const query = parameters.get("query");
  return query === null ? null : { query, variables: parameters.get("variables") ?? "" };
}

/**
 * Return the variables of a draft, undefined if they are empty; or what is wrong with their text.
 * @param {Draft} draft
 * @returns {{values?: object, error?: string}}
 */
export function variablesOf({ variables }) {
  if (!variables.trim()) return {};
  try {
    const values = fromJson(variables);
    if (values !== null && typeof values === "object" && !Array.isArray(values)) return { values };
    return { error: 'Write a JSON object, such as {"name": "value"}.' };
  } catch (error) {
    return { error: `This is not JSON: ${error instanceof Error ? error.message : error}` };
  }
}

/**
 * Return the names of the operations of a document in their order, "" for one without a name.
 * @param {string} query
 */
export function operationsOf(query) {
  let text = query.replace(/"""(?:\\"""|[\s\S])*?"""|"(?:\\.|[^"\\\n])*"|#.*/g, " ").replace(/\([^()]*\)/g, " ");
  for (let before = ""; before !== text; ) {
    before = text;
    text = text.replace(/\{[^{}]*\}/g, ";"); // the innermost braces
  }
  const definitions = [...text.matchAll(/(?:\b(query|mutation|subscription|fragment)\b\s*(\w*)[^;]*)?;/g)];
  return definitions.filter(([, kind]) => kind !== "fragment").map(([, , name]) => name ?? "");
}

/** The drafts that were run in this browser, the last one first. */
export const pastDrafts = {
  /** @returns {Draft[]} */
  get() {
    try {
      return JSON.parse(localStorage.getItem(KEY) ?? "[]");
    } catch {
      return [];
    }
  },
  /** @param {Draft} draft is not kept if it is very long: browsers give a page little room */
  add(draft) {
    if (draft.query.length + draft.variables.length > LONGEST) return;
    const others = pastDrafts.get().filter((other) => toFragment(other) !== toFragment(draft));
    localStorage.setItem(KEY, JSON.stringify([draft, ...others].slice(0, KEPT)));
  },
  clear: () => localStorage.removeItem(KEY),
};
