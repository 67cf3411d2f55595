// JSON with whole numbers of any size. As numbers of JavaScript, those above 2^53 would be others; they are BigInt here.
// A browser that does not show the source of a number to `JSON.parse` rounds them.

/** Whether a text may have such a number; reading with a function for each value is slower. */
const LARGE = /\d{16}/;

/**
 * Return the value of a JSON text.
 * @param {string} text
 * @returns {any}
 * @throws {SyntaxError} the text is not JSON
 */
export function fromJson(text) {
  return JSON.parse(text, LARGE.test(text) ? exactly : undefined);
}

/**
 * @param {string} _
 * @param {any} value
 * @param {{source?: string}} [context]
 */
function exactly(_, value, { source = "" } = {}) {
  return typeof value === "number" && !Number.isSafeInteger(value) && /^-?\d+$/.test(source) ? BigInt(source) : value;
}

/**
 * Return the JSON text of a value that `fromJson` returned.
 * @param {unknown} value
 * @param {number} [indent]
 */
export function toJson(value, indent) {
  const { rawJSON } = /** @type {{rawJSON?: (text: string) => object}} */ (JSON);
  const written = (/** @type {string} */ _, /** @type {unknown} */ item) =>
    typeof item === "bigint" ? rawJSON?.(String(item)) : item;
  return JSON.stringify(value, written, indent);
}
