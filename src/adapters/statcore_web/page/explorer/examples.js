// Example queries: made of the fields of the schema, and of the metrics that the service has now.

import { send } from "../client.js";
import { fieldText, typeText, withArguments } from "./schema.js";

/** @typedef {{label: string, draft: import("./drafts.js").Draft}} Example */
/** @typedef {{name: string, required: boolean, choices: string[]}} QuerierField */

/**
 * Return the examples for the fields that the schema has.
 * @param {import("./schema.js").Schema} schema
 * @returns {Promise<Example[]>}
 */
export async function readExamples(schema) {
  const read = await send({ query: "{ queriers { name fields { name required choices } } presets { name } }" });
  const querier = read.response?.data?.queriers?.[0] ?? { name: "", fields: [] };
  const preset = read.response?.data?.presets?.[0] ?? null;
  const range = lastMinutes(15);
  return [
    example(schema, "Sessions with statistics", "compute_session_list", { depth: 3, literals: { limit: "10" } }),
    example(schema, `Utilization of a ${querier.name || "querier"}`, "utilization", {
      variables: { querier: querier.name, selector: await selectorOf(querier), ...range },
    }),
    preset ? example(schema, "A preset", "preset_result", { variables: { name: preset.name, labels: {}, ...range } }) : [],
    example(schema, "Queriers and their fields", "queriers"),
    example(schema, "Presets", "presets"),
    example(schema, "Health", "health"),
    example(schema, "Plugins", "plugins"),
  ].flat();
}

/**
 * Return values for the fields that a querier needs: the first metric, or the first choice, or "".
 * @param {{name: string, fields: QuerierField[] | null}} querier
 */
async function selectorOf({ name, fields }) {
  const query = "query Metrics($querier: String!) { available_metrics(querier: $querier) }";
  const metrics = (await send({ query, variables: { querier: name } })).response?.data?.available_metrics ?? [];
  const needed = (fields ?? []).filter((field) => field.required);
  const first = (/** @type {QuerierField} */ field) => (field.name === "metric_name" ? metrics : field.choices)[0] ?? "";
  return Object.fromEntries(needed.map((field) => [field.name, first(field)]));
}

/** @param {number} minutes */
function lastMinutes(minutes) {
  const end = new Date();
  return { start: new Date(end.getTime() - minutes * 60_000).toISOString(), end: end.toISOString(), step: "1m" };
}

/**
 * Return an example of a field of `Query`, or none if the schema does not have the field.
 * @param {import("./schema.js").Schema} schema
 * @param {string} label
 * @param {string} name
 * @param {{depth?: number, literals?: Record<string, string>, variables?: Record<string, unknown>}} [options]
 * @returns {Example[]}
 */
function example(schema, label, name, { depth = 2, literals = {}, variables = {} } = {}) {
  const field = schema.types.get(schema.query)?.fields?.find((known) => known.name === name);
  if (!field) return [];
  const passed = field.args.filter((arg) => arg.name in variables);
  const args = { ...literals, ...Object.fromEntries(passed.map((arg) => [arg.name, `$${arg.name}`])) };
  const declared = passed.map((arg) => `$${arg.name}: ${typeText(arg.type)}`);
  const body = fieldText(schema, field, { depth, args }).replace(/^/gm, "  ");
  const query = `query ${withArguments(name, declared)} {\n${body}\n}\n`;
  return [{ label, draft: { query, variables: passed.length ? JSON.stringify(variables, null, 2) : "" } }];
}
