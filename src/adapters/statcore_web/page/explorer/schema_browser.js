// The schema browser: shows a type and its fields, or what a search finds; a click inserts a field into the query.

import { find, make } from "../dom.js";
import { fieldText, searched, typeName, typeText } from "./schema.js";

/** @typedef {import("./schema.js").Schema} Schema */
/** @typedef {import("./schema.js").Field} Field */
/** @typedef {import("./schema.js").Argument} Argument */

const SHOWN = 50;

const place = find("schema", HTMLElement);
const search = find("search", HTMLInputElement);
const count = find("matches", HTMLElement);

/** @type {Schema | undefined} */
let schema;
/** @type {string[]} the names of the types on the way to the shown one, which is the last */
let path = [];
/** @type {(field: string) => void} */
let insertField;

search.addEventListener("input", draw);

/**
 * Show the type `Query` of a schema.
 * @param {Schema} read
 * @param {(field: string) => void} insert takes the text of a field that was chosen
 */
export function showSchema(read, insert) {
  [schema, path, insertField] = [read, [read.query], insert];
  search.disabled = false;
  draw();
}

/**
 * Say why there is no schema, unless one was shown before: that one stays.
 * @param {string} message
 * @param {() => void} [again] reads the schema again
 */
export function showNoSchema(message, again) {
  if (schema) return;
  const button = again ? [make("button", { type: "button", onclick: again }, "Load the schema")] : [];
  place.replaceChildren(make("p", {}, message), ...button);
}

function draw() {
  if (!schema) return;
  const text = search.value.trim();
  const matches = text ? searched(schema, text) : [];
  count.textContent = text && `${matches.length} matches${matches.length > SHOWN ? `; these are the first ${SHOWN}` : ""}`;
  place.replaceChildren(...(text ? [make("ul", {}, ...matches.slice(0, SHOWN).map(matchItem))] : typeParts(schema)));
  place.scrollTop = 0;
}

/** @param {string} name */
function open(name) {
  const known = path.indexOf(name);
  path = known < 0 ? [...path, name] : path.slice(0, known + 1);
  search.value = "";
  draw();
  place.querySelector("h3")?.focus();
}

/** @param {import("./schema.js").Match} match */
function matchItem({ type, field }) {
  const name = field ? [".", insertion(field)] : [];
  return make("li", {}, typeLink(type.name), ...name, description((field ?? type).description));
}

/**
 * Return the parts that show the last type of the path.
 * @param {Schema} schema
 */
function typeParts({ query, types }) {
  const name = path.at(-1) ?? query;
  const type = types.get(name);
  const way = path.slice(0, -1).flatMap((above) => [typeLink(above), " › "]);
  const items = [
    ...(type?.fields ?? []).map(fieldItem),
    ...(type?.inputFields ?? []).map(argumentItem),
    ...(type?.enumValues ?? []).map((value) =>
      make("li", {}, make("code", {}, value.name), description(value.description)),
    ),
  ];
  return [
    make("nav", { ariaLabel: "Types on the way" }, ...way),
    make("h3", { tabIndex: -1 }, name),
    description(type?.description),
    make("ul", {}, ...items),
  ];
}

/** @param {Field} field */
function fieldItem(field) {
  const type = typeLink(typeName(field.type), typeText(field.type));
  const args = make(
    "ul",
    { className: "arguments", ariaLabel: `Arguments of ${field.name}` },
    ...field.args.map(argumentItem),
  );
  return make("li", {}, insertion(field), ": ", type, description(field.description), ...(field.args.length ? [args] : []));
}

/** @param {Argument} argument */
function argumentItem({ name, type, defaultValue, description: text }) {
  const code = `${name}: ${typeText(type)}${defaultValue === null ? "" : ` = ${defaultValue}`}`;
  return make("li", {}, make("code", {}, code), description(text));
}

/**
 * @param {string} name
 * @param {string} [text]
 */
function typeLink(name, text = name) {
  const title = `Shows the type ${name}`;
  return make("button", { type: "button", className: "type", title, onclick: () => open(name) }, text);
}

/** @param {Field} field */
function insertion(field) {
  const title = `Inserts ${field.name} into the query`;
  const onclick = () => schema && insertField(fieldText(schema, field));
  return make("button", { type: "button", className: "field", title, onclick }, field.name);
}

/** @param {string | null | undefined} text has code between backticks */
function description(text) {
  const parts = (text ?? "").split("`").map((part, number) => (number % 2 ? make("code", {}, part) : part));
  return make("p", { hidden: !text }, ...parts);
}
