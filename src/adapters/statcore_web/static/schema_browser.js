// @ts-check
// The schema browser: shows a type and its fields, or what a search finds; a click inserts a field into the query.

import { make } from "./dom.js";
import { fieldText, searched, typeName, typeText } from "./schema.js";

/** @typedef {import("./schema.js").Schema} Schema */
/** @typedef {import("./schema.js").Type} Type */

const SHOWN = 50;

/** Shows the schema in an element, and searches it by the text of an input. */
export class SchemaBrowser {
  /** @type {Schema | undefined} */
  #schema;
  /** @type {string[]} the names of the types on the way to the shown one, which is the last */
  #path = [];

  /**
   * @param {HTMLElement} place
   * @param {HTMLInputElement} search
   * @param {HTMLElement} count says how many matches a search has
   * @param {(field: string) => void} insertField takes the text of a field that was chosen
   */
  constructor(place, search, count, insertField) {
    this.place = place;
    this.search = search;
    this.count = count;
    this.insertField = insertField;
    search.addEventListener("input", () => this.#draw());
  }

  /** @param {Schema} schema */
  show(schema) {
    this.#schema = schema;
    this.#path = [schema.query];
    this.search.disabled = false;
    this.#draw();
  }

  /**
   * @param {string} message
   * @param {() => void} again
   */
  fail(message, again) {
    if (this.#schema) return; // the schema that was read before is still there to be read
    this.place.replaceChildren(
      make("p", { className: "problem" }, message),
      make("button", { type: "button", onclick: again }, "Load the schema"),
    );
  }

  #draw() {
    const schema = this.#schema;
    if (!schema) return;
    const text = this.search.value.trim();
    this.count.textContent = "";
    this.place.replaceChildren(...(text ? this.#matches(schema, text) : this.#type(schema)));
    this.place.scrollTop = 0;
  }

  /** @param {string} name */
  #open(name) {
    const known = this.#path.indexOf(name);
    this.#path = known < 0 ? [...this.#path, name] : this.#path.slice(0, known + 1);
    this.search.value = "";
    this.#draw();
    this.place.querySelector("h3")?.focus();
  }

  /**
   * @param {Schema} schema
   * @param {string} text
   */
  #matches(schema, text) {
    const matches = searched(schema, text);
    this.count.textContent = `${matches.length} matches${matches.length > SHOWN ? `; these are the first ${SHOWN}` : ""}`;
    const items = matches
      .slice(0, SHOWN)
      .map(({ type, field }) =>
        make(
          "li",
          {},
          this.#link(type.name),
          ...(field ? [".", this.#insertion(schema, field)] : []),
          description((field ?? type).description),
        ),
      );
    return [make("ul", {}, ...items)];
  }

  /** @param {Schema} schema */
  #type(schema) {
    const name = this.#path.at(-1) ?? schema.query;
    const type = schema.types.get(name);
    const way = this.#path.slice(0, -1).flatMap((above) => [this.#link(above), " › "]);
    const parts = [
      make("nav", { ariaLabel: "Types on the way" }, ...way),
      make("h3", { tabIndex: -1 }, name),
      description(type?.description),
    ];
    const fields = (type?.fields ?? []).map((field) => {
      const args = field.args.map((arg) =>
        make(
          "li",
          {},
          make(
            "code",
            {},
            `${arg.name}: ${typeText(arg.type)}${arg.defaultValue === null ? "" : ` = ${arg.defaultValue}`}`,
          ),
          description(arg.description),
        ),
      );
      const head = [this.#insertion(schema, field), ": ", this.#link(typeName(field.type), typeText(field.type))];
      const list = args.length
        ? [make("ul", { className: "arguments", ariaLabel: `Arguments of ${field.name}` }, ...args)]
        : [];
      return make("li", {}, ...head, description(field.description), ...list);
    });
    const inputs = (type?.inputFields ?? []).map((field) =>
      make("li", {}, make("code", {}, `${field.name}: ${typeText(field.type)}`), description(field.description)),
    );
    const values = (type?.enumValues ?? []).map((value) =>
      make("li", {}, make("code", {}, value.name), description(value.description)),
    );
    return [...parts, make("ul", {}, ...fields, ...inputs, ...values)];
  }

  /**
   * @param {string} name
   * @param {string} [text]
   */
  #link(name, text = name) {
    const title = `Shows the type ${name}`;
    return make("button", { type: "button", className: "type", title, onclick: () => this.#open(name) }, text);
  }

  /**
   * @param {Schema} schema
   * @param {import("./schema.js").Field} field
   */
  #insertion(schema, field) {
    const onclick = () => this.insertField(fieldText(schema, field));
    const title = `Inserts ${field.name} into the query`;
    return make("button", { type: "button", className: "field", title, onclick }, field.name);
  }
}

/** @param {string | null | undefined} text has code between backticks */
function description(text) {
  const parts = (text ?? "").split("`").map((part, number) => (number % 2 ? make("code", {}, part) : part));
  return make("p", { hidden: !text }, ...parts);
}
