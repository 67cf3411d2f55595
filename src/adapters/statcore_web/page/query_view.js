// The view of a kind of querier or a preset: a form made of its fields, and its answer. The address has the whole state, so
// a link shows the same to others.

import { html } from "htm/preact";
import { useLayoutEffect, useRef } from "preact/hooks";
import { CopyButton } from "./copy_button.js";
import { useLive } from "./live.js";
import { Mark } from "./problems.js";
import { METRIC, QUERIER, useMetrics } from "./queriers.js";
import { Result, useResult, utilizationPart } from "./result_chart.js";
import { go, hrefOf, usePlace } from "./state.js";
import { RangeBar, rangeParams, useTimeRange, wrongWith } from "./time_range.js";

/** @typedef {import("./result_chart.js").Part} Part */
/** @typedef {import("./queriers.js").Querier} Querier */
/** @typedef {{name: string, description: string, filter_labels: string[], group_labels: string[], window: string | null,
 *   template: string}} Preset */
/**
 * A field of a form: its parameter of the address; `kind` is a type of a querier's field, or "values" (several, with commas) or
 * "several" (some of the choices).
 * @typedef {{param: string, name: string, kind: string, isRequired?: boolean, fallback?: string | null, choices?: string[],
 *   help?: string}} Entry
 */
/** A form: what it is for, its fields, and what it queries. @typedef {{title: string, summary: string, entries: Entry[],
 *   querier?: Querier, template?: string, partOf: (params: URLSearchParams) => Part}} Form */

/** The codes of errors that come again if the query is sent again. */
const REFUSALS = ["InputError", "QueryRejectedError", "LimitError", "PluginError", "UnsupportedError"];
const QUERY = `{ queriers ${QUERIER}
  presets { name description filter_labels group_labels window template } }`;

/** The view of queries: `rest` has "querier" or "preset", and a name; without them, all are listed. @param {{rest: string[]}} props */
export function QueryView({ rest: [what = "", name = ""] }) {
  const { path, params } = usePlace();
  const address = new URL(hrefOf(path, params), location.href).href;
  const { response, failure } = useLive({ query: QUERY }, { every_ms: 0 });
  /** @type {{queriers: Querier[], presets: Preset[]}} */
  const { queriers, presets } = response?.data ?? { queriers: [], presets: [] };
  const querier = what === "querier" ? queriers.find((each) => each.name === name) : undefined;
  const preset = what === "preset" ? presets.find((each) => each.name === name) : undefined;
  const form = (querier && querierForm(querier)) ?? (preset && presetForm(preset));
  return html`<section class="query" aria-labelledby="view-title">
    ${failure && html`<p class="notice" role="status"><${Mark} wrong=${{ kind: response ? "outdated" : "unavailable", message: failure }} /> ${failure}</p>`}
    ${
      form
        ? html`<div class="bar"><h2 id="view-title" tabindex="-1">${form.title}</h2> <${Chooser} queriers=${queriers} presets=${presets} chosen=${`${what}/${name}`} /> <span><${CopyButton} text=${address} what="link" label="Copy link" /></span></div>
            <${OneQuery} key=${`${what}/${name}`} form=${form} />`
        : html`<h2 id="view-title" tabindex="-1">Queries</h2>
            ${response && name && html`<p class="notice">There is no ${what} with the name ${name}; it may be of a plugin that is not installed.</p>`}
            ${response ? html`<${Index} queriers=${queriers} presets=${presets} />` : !failure && html`<p class="faint">Loading…</p>`}`
    }
  </section>`;
}

/** @param {{queriers: Querier[], presets: Preset[]}} props */
function Index({ queriers, presets }) {
  const card = (/** @type {string} */ what, /** @type {string} */ name, /** @type {string} */ text) =>
    html`<li key=${name}><a href=${hrefOf(["query", what, name], rangeParams())}>${name}</a><p>${text}</p></li>`;
  return html`
    <h3 class="part-title">Kinds of querier</h3>
    <ul class="cards">${queriers.map(({ name, summary }) => card("querier", name, summary))}</ul>
    <h3 class="part-title">Presets</h3>
    ${presets.length ? html`<ul class="cards">${presets.map(({ name, description }) => card("preset", name, description))}</ul>` : html`<p class="faint">There are no presets. Plugins and the option --presets of statcore serve add them.</p>`}
  `;
}

/** @param {{queriers: Querier[], presets: Preset[], chosen: string}} props */
function Chooser({ queriers, presets, chosen }) {
  const options = (/** @type {string} */ what, /** @type {{name: string}[]} */ all) =>
    all.map(({ name }) => html`<option key=${name} value=${`${what}/${name}`}>${name}</option>`);
  const choose = (/** @type {Event} */ { currentTarget }) => {
    go(hrefOf(["query", ...splitOnce(/** @type {HTMLSelectElement} */ (currentTarget).value)], rangeParams()));
  };
  return html`<label>Other queries <select value=${chosen} onChange=${choose}>
    <optgroup label="Kinds of querier">${options("querier", queriers)}</optgroup>
    ${presets.length > 0 && html`<optgroup label="Presets">${options("preset", presets)}</optgroup>`}
  </select></label> <a href=${hrefOf(["query"], rangeParams())}>All queries</a>`;
}

/** @param {string} text such as "querier/container" */
function splitOnce(text) {
  const at = text.indexOf("/");
  return [text.slice(0, at), text.slice(at + 1)];
}

/**
 * @param {Querier} querier
 * @returns {Form}
 */
function querierForm(querier) {
  const { name: title, summary, fields } = querier;
  const known = fields ?? [];
  const paramOf = (/** @type {string} */ name) => `field.${name}`;
  return {
    title,
    summary,
    querier,
    entries: known.map(({ name, type, required, default: fallback, choices, help }) => ({
      param: paramOf(name),
      name,
      kind: type,
      isRequired: required,
      fallback,
      choices,
      help,
    })),
    partOf: (params) => {
      const given = known.flatMap((field) => {
        const text = params.get(paramOf(field.name));
        return text ? [[field.name, fieldValue(text, field.type)]] : [];
      });
      return utilizationPart(title, Object.fromEntries(given));
    },
  };
}

/**
 * @param {Preset} preset
 * @returns {Form}
 */
function presetForm({ name, description, filter_labels, group_labels, window, template }) {
  const filters = filter_labels.map((label) => ({
    param: `label.${label}`,
    name: label,
    kind: "values",
    help: "Only series with this value of the label; several values are separated by commas",
  }));
  const group = {
    param: "group",
    name: "group_labels",
    kind: "several",
    choices: group_labels,
    help: "One line for each value of these labels",
  };
  const rates = {
    param: "window",
    name: "window",
    kind: "text",
    fallback: window,
    help: "The time that rates are taken over, such as 5m",
  };
  return {
    title: name,
    summary: description,
    template,
    entries: [...filters, ...(group_labels.length ? [group] : []), ...(window === null ? [] : [rates])],
    partOf: (params) => {
      const labels = filter_labels.flatMap((label) => {
        const values = (params.get(`label.${label}`) ?? "")
          .split(",")
          .map((value) => value.trim())
          .filter(Boolean);
        return values.length ? [[label, values.length > 1 ? values : values[0]]] : [];
      });
      return {
        field: "preset_result",
        args: {
          name: ["String!", name],
          labels: ["JSON", Object.fromEntries(labels)],
          group_labels: ["[String!]", params.getAll("group")],
          window: ["String", params.get("window")],
        },
      };
    },
  };
}

/**
 * Return the value of a field for its text. A text that does not fit its type stays a text, and the service says what is wrong with
 * it. A whole number stays a text if JavaScript would round it.
 * @param {string} text
 * @param {string} type
 */
export function fieldValue(text, type) {
  if (type === "truth" && ["true", "false"].includes(text)) return text === "true";
  const number = Number(text);
  const isExact = Number.isFinite(number) && (Number.isSafeInteger(number) || !/^-?\d+$/.test(text.trim()));
  return (type === "integer" || type === "number") && text.trim() && isExact ? number : text;
}

/**
 * Return why the service refuses a query as it is; undefined if the service answers it or may answer it later.
 * @param {Pick<import("./live.js").Live, "failure" | "code" | "retryAfter_s">} live
 */
export const refusalOf = ({ failure, code, retryAfter_s }) =>
  REFUSALS.includes(code ?? "") && !retryAfter_s ? failure : undefined;

/** @param {{form: Form}} props */
function OneQuery({ form }) {
  const { path, params } = usePlace();
  const range = useTimeRange();
  const isReady = form.entries.every(({ param, isRequired }) => !isRequired || params.get(param));
  const isWrong = Object.keys(wrongWith(range)).length > 0;
  const part = form.partOf(params);
  const live = useResult([part], range, !isReady || isWrong);
  const refusal = isReady ? refusalOf(live) : undefined;
  const title = [form.title, params.get(`field.${METRIC}`)].filter(Boolean).join(" ");
  return html`<p class="faint">${withCode(form.summary)}</p>
    <div class="sides">
      <${Fields} form=${form} path=${path} params=${params} refusal=${refusal} />
      <div>
        <div class="charts-bar"><${RangeBar} /></div>
        ${
          isWrong
            ? html`<p class="nothing wrong">Correct the range of time first.</p>`
            : refusal
              ? html`<p class="nothing">The service refuses this query: ${refusal}</p>`
              : isReady
                ? html`<${Result} title=${title} live=${live} parts=${[part]} range=${range} isTableOpen />`
                : html`<p class="nothing">Fill in the form to see what it answers.</p>`
        }
      </div>
    </div>`;
}

/** @param {{form: Form, path: string[], params: URLSearchParams, refusal?: string}} props */
function Fields({ form: { querier, entries, template }, path, params, refusal }) {
  const element = useRef(/** @type {HTMLFormElement | null} */ (null));
  const { metrics } = useMetrics(querier);
  const values = JSON.stringify(entries.map(({ param }) => params.getAll(param)));
  useLayoutEffect(() => element.current?.reset(), [values]); // to the values of the address
  /** @returns {Entry} */
  const suggesting = (/** @type {Entry} */ entry) =>
    entry.param === `field.${METRIC}` && metrics?.length ? { ...entry, kind: "choice", choices: metrics } : entry;
  const wrong =
    refusal &&
    fieldIn(
      refusal,
      entries.map(({ name, param }) => ({ name, value: params.get(param) ?? undefined })),
    );
  const submit = (/** @type {Event} */ event) => {
    event.preventDefault();
    const given = new FormData(element.current ?? undefined);
    const next = new URLSearchParams();
    for (const [name, value] of Object.entries(rangeParams())) if (value) next.set(name, value);
    for (const [name, value] of given) if (String(value).trim()) next.append(name, String(value).trim());
    go(hrefOf(path, next));
  };
  return html`<form ref=${element} class="fields" onSubmit=${submit} aria-label="Fields">
    ${refusal && !wrong && html`<p class="wrong" role="alert">${refusal}</p>`}
    ${entries.map(
      (entry) => html`<${FormField}
        key=${entry.param} entry=${suggesting(entry)}
        given=${params.getAll(entry.param)} wrong=${wrong === entry.name ? refusal : undefined}
      />`,
    )}
    <button class="main">Show</button>
    ${template && html`<details><summary>Template</summary><code>${template}</code></details>`}
  </form>`;
}

/**
 * Return the name of the field that a message is about: the first one that it names, or the one whose value it quotes.
 * @param {string} message
 * @param {{name: string, value?: string}[]} fields
 */
export function fieldIn(message, fields) {
  const words = message.split(/\W+/);
  const named = fields.map(({ name }) => ({ name, at: words.indexOf(name) })).filter(({ at }) => at >= 0);
  const quoted = fields.find(({ value }) => value && message.includes(`'${value}'`));
  return (named.sort((a, b) => a.at - b.at)[0] ?? quoted)?.name;
}

/** Return a text of a docstring, with what stands between backticks as elements of code. @param {string} text */
const withCode = (text) => text.split("`").map((piece, number) => (number % 2 ? html`<code>${piece}</code>` : piece));

/** @param {{entry: Entry, given: string[], wrong?: string}} props */
function FormField({ entry: { param, name, kind, isRequired, fallback, choices = [], help }, given, wrong }) {
  const [value = ""] = given;
  const described = [help && `help-${param}`, wrong && `wrong-${param}`].filter(Boolean).join(" ") || undefined;
  const shared = {
    name: param,
    id: `in-${param}`,
    "aria-describedby": described,
    "aria-invalid": wrong ? "true" : undefined,
  };
  const explained = html`
    ${help && html`<small id=${`help-${param}`}>${withCode(help)}</small>`}
    ${wrong && html`<small id=${`wrong-${param}`} class="wrong" role="alert">${wrong}</small>`}
  `;
  if (kind === "several") {
    return html`<fieldset aria-describedby=${described}>
      <legend>${name}</legend>
      ${choices.map((choice) => html`<label key=${choice}><input type="checkbox" name=${param} value=${choice} defaultChecked=${given.includes(choice)} /> ${choice}</label>`)}
      ${explained}
    </fieldset>`;
  }
  const options =
    kind === "truth"
      ? ["true", "false"]
      : value && kind === "choice" && !choices.includes(value)
        ? [value, ...choices]
        : choices;
  const isChoice = kind === "truth" || kind === "choice";
  const unset = isRequired ? "choose…" : fallback ? `default: ${fallback}` : "not set";
  return html`<div class="field">
    <label for=${shared.id}>${name}${isRequired && html`<span class="faint" title="required"> *<span class="unseen"> required</span></span>`}</label>
    ${
      isChoice
        ? html`<select ...${shared} required=${isRequired}>
            <option value="" defaultSelected=${!value}>${unset}</option>
            ${options.map((option) => html`<option key=${option} value=${option} defaultSelected=${option === value}>${option}</option>`)}
          </select>`
        : html`<input
            ...${shared} required=${isRequired} defaultValue=${value} placeholder=${isRequired ? "" : unset} autocomplete="off" spellcheck=${false}
            inputmode=${kind === "integer" || kind === "number" ? "decimal" : undefined}
          />`
    }
    ${explained}
  </div>`;
}
