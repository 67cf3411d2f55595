// The schema of the service: read by introspection, searched, and its fields written as queries have them.

import { send } from "../client.js";

/** @typedef {{kind: string, name: string | null, ofType?: TypeRef | null}} TypeRef */
/** @typedef {{name: string, description: string | null, type: TypeRef, defaultValue: string | null}} Argument */
/** @typedef {{name: string, description: string | null, type: TypeRef, args: Argument[]}} Field */
/** @typedef {{kind: string, name: string, description: string | null, fields: Field[] | null,
 *   inputFields: Argument[] | null, enumValues: {name: string, description: string | null}[] | null}} Type */
/** @typedef {{query: string, types: Map<string, Type>}} Schema */
/** @typedef {{type: Type, field?: Field}} Match */

const LONG = 50;

const INTROSPECTION = `query Introspection {
  __schema {
    queryType { name }
    types {
      kind name description
      fields { name description type { ...Ref } args { ...Argument } }
      inputFields { ...Argument }
      enumValues { name description }
    }
  }
}
fragment Argument on __InputValue { name description defaultValue type { ...Ref } }
fragment Ref on __Type { kind name ofType { kind name ofType { kind name ofType { kind name } } } }`;

/**
 * Read the schema.
 * @returns {Promise<{schema?: Schema, outcome: import("../client.js").Outcome}>}
 */
export async function readSchema() {
  const outcome = await send({ query: INTROSPECTION });
  const read = outcome.response?.data?.__schema;
  if (!read) return { outcome };
  const types = read.types.filter((/** @type {Type} */ { name }) => !name.startsWith("__"));
  const byName = new Map(types.map((/** @type {Type} */ type) => [type.name, type]));
  return { outcome, schema: { query: read.queryType.name, types: byName } };
}

/**
 * Return a type as the schema language writes it, such as `[Kernel!]!`.
 * @param {TypeRef} ref
 * @returns {string}
 */
export function typeText({ kind, name, ofType }) {
  if (kind === "NON_NULL" && ofType) return `${typeText(ofType)}!`;
  if (kind === "LIST" && ofType) return `[${typeText(ofType)}]`;
  return name ?? "";
}

/**
 * Return the name of a type without lists and exclamation marks.
 * @param {TypeRef} ref
 * @returns {string}
 */
export function typeName({ name, ofType }) {
  return ofType ? typeName(ofType) : (name ?? "");
}

/**
 * Return the types and fields that have all words of a text in their names, arguments and descriptions; names come first.
 * @param {Schema} schema
 * @param {string} text
 * @returns {Match[]}
 */
export function searched({ types }, text) {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  const has = (/** @type {string} */ where) => words.every((word) => where.toLowerCase().includes(word));
  /** @type {Match[]} */
  const all = [...types.values()].flatMap((type) => [{ type }, ...(type.fields ?? []).map((field) => ({ type, field }))]);
  const name = (/** @type {Match} */ { type, field }) => (field ? `${type.name}.${field.name}` : type.name);
  const named = all.filter((match) => has(name(match)));
  const described = all.filter((match) => {
    const args = match.field?.args.map((arg) => arg.name) ?? [];
    return has([name(match), (match.field ?? match.type).description, ...args].join(" "));
  });
  return [...new Set([...named, ...described])];
}

/** @param {Argument} argument */
const required = ({ type, defaultValue }) => type.kind === "NON_NULL" && defaultValue === null;

/**
 * Return a field as a query writes it: with the arguments that it needs, and with its fields to a depth.
 * @param {Schema} schema
 * @param {Field} field
 * @param {{depth?: number, args?: Record<string, string>}} [options] the arguments by name, as a query writes them
 * @returns {string}
 */
export function fieldText(schema, field, { depth = 1, args } = {}) {
  const given = args ?? Object.fromEntries(field.args.filter(required).map(({ name, type }) => [name, blank(type)]));
  const parts = Object.entries(given).map(([name, value]) => `${name}: ${value}`);
  const head = withArguments(field.name, parts);
  const fields = schema.types.get(typeName(field.type))?.fields;
  if (!fields) return head;
  const inner = fields
    .filter((child) => !child.args.some(required) && (depth > 1 || !schema.types.get(typeName(child.type))?.fields))
    .map((child) => fieldText(schema, child, { depth: depth - 1 }).replace(/^/gm, "  "));
  return `${head} {\n${inner.join("\n") || "  __typename"}\n}`;
}

/**
 * Return a name with arguments in parentheses: on a line each if they are long.
 * @param {string} name
 * @param {string[]} parts
 */
export function withArguments(name, parts) {
  const line = parts.join(", ");
  if (!line) return name;
  return line.length > LONG ? `${name}(\n  ${parts.join("\n  ")}\n)` : `${name}(${line})`;
}

/**
 * Return a value that fits a type, to be replaced.
 * @param {TypeRef} type
 */
function blank(type) {
  /** @type {Record<string, string>} */
  const blanks = { Int: "0", Float: "0", Boolean: "false", JSON: "{}" };
  return typeText(type).startsWith("[") ? "[]" : (blanks[typeName(type)] ?? '""');
}
