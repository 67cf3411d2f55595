// The kinds of querier as the service describes them, and the metrics that the backend has for each.

import { useLive } from "./live.js";

/** @typedef {{name: string, type: string, required: boolean, default: string | null, choices: string[], help: string}} Field */
/** A kind of querier; its fields are null where a plugin is broken. @typedef {{name: string, summary: string, fields: Field[] | null}} Querier */

/** The fields of a querier in a query. */
export const QUERIER = "{ name summary fields { name type required default choices help } }";
/** The field that names the metric. */
export const METRIC = "metric_name";

const REFRESH_MS = 60_000;

/**
 * Return the field of a querier with a name, if it has one.
 * @param {Querier} querier
 * @param {string} name
 */
export const fieldOf = ({ fields }, name) => fields?.find((field) => field.name === name);

/**
 * Return the names of the metrics that a kind of querier can query (a hook): the choices of its field `metric_name`; if the field has
 * no choices, the metrics in the backend. They are undefined until the backend answers, and for a querier without this field.
 * @param {Querier | undefined} querier
 * @returns {{metrics?: string[], failure?: string}}
 */
export function useMetrics(querier) {
  const field = querier && fieldOf(querier, METRIC);
  const request = {
    query: "query Metrics($name: String!) { available_metrics(querier: $name) }",
    variables: { name: querier?.name ?? "" },
  };
  const isPaused = field === undefined || field.choices.length > 0;
  const { response, failure } = useLive(request, { every_ms: REFRESH_MS, isPaused });
  return { metrics: field?.choices.length ? field.choices : (response?.data.available_metrics ?? undefined), failure };
}
