// Values of earlier answers: a field that is unavailable keeps its newest value, with the time of this value.

/** @typedef {import("./problems.js").Wrong} Wrong */
/**
 * What is known of an item: its newest values; and for each field that cannot be read now, when its value was answered, in
 * milliseconds.
 * @typedef {{item: any, kept: Record<string, number>}} Known
 */

/**
 * Return what is known of an item after an answer: a field that is unavailable keeps its earlier value.
 * @param {any} item as it was answered
 * @param {Wrong[]} wrong what is wrong with it
 * @param {Known | undefined} before what was known before the answer
 * @param {number} before_ms when the service last confirmed that
 * @returns {Known}
 */
export function withKept(item, wrong, before, before_ms) {
  /** @type {Known} */
  const known = { item: { ...item }, kept: {} };
  for (const { kind, field = "" } of wrong) {
    const value = before?.item?.[field] ?? null;
    if (kind !== "unavailable" || item[field] !== null || value === null) continue;
    known.item[field] = value;
    known.kept[field] = before?.kept[field] ?? before_ms;
  }
  return known;
}

/**
 * Return the oldest time of what was kept, in milliseconds, or undefined if all is new.
 * @param {Known} known
 */
export function keptSince({ kept }) {
  const times = Object.values(kept);
  return times.length ? Math.min(...times) : undefined;
}
