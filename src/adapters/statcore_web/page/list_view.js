// A list of objects: what is listed (search, filters, sort), how current it is, and its rows.

import { html } from "htm/preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { Grid, sortBy } from "./grid.js";
import { ListWindow } from "./list_window.js";
import { Mark, sentence, since } from "./problems.js";
import { change, go, hrefOf, place, usePlace } from "./state.js";

/** @typedef {import("./list_window.js").Listed} Listed */
/** @typedef {import("./grid.js").Column} Column */
/**
 * A kind of list.
 * @typedef {{title: string, object: string, field: string, id: string, fields: string, sort: string,
 *   columns: Column[]}} ListKind `object` begins the address of its items, `sort` is that of the first visit
 */

const TYPING_PAUSE_MS = 250;
/**
 * How errors that are no outage look, by their codes: mistakes in the search or the address, and what the service cannot know.
 * @type {Record<string, string>}
 */
const KINDS = { InputError: "error", UnsupportedError: "missing" };

/** @param {{kind: ListKind}} props */
export function ListView({ kind }) {
  const { params } = usePlace();
  const sort = params.get("sort") ?? kind.sort;
  const search = params.get("q") ?? "";
  const owners = params.getAll("filter");
  const filters = [...owners, ...search.split(/\s+/).filter(Boolean)];
  const { listed, show, isOther } = useList(kind, sort, filters);
  return html`<section class="list" aria-labelledby="view-title">
    <div class="bar">
      <h2 id="view-title">${kind.title} <${Count} listed=${listed} /></h2>
      <${Search} search=${search} />
      ${owners.map((filter) => html`<${Filter} key=${filter} filter=${filter} />`)}
      <${SortChoice} kind=${kind} sort=${sort} />
    </div>
    <${Freshness} listed=${listed} />
    ${
      listed.total === 0 && !isOther
        ? html`<p class="empty">${filters.length ? "Nothing matches the search and the filters." : `There are no ${kind.title.toLowerCase()}.`}</p>`
        : html`<${Grid} title=${kind.title} object=${kind.object} columns=${kind.columns} sort=${sort} listed=${listed} show=${show} isOther=${isOther} />`
    }
  </section>`;
}

/**
 * @param {ListKind} kind
 * @param {string} sort
 * @param {string[]} filters
 */
function useList({ field, id, fields }, sort, filters) {
  const listing = { field, id, fields, sort, filters };
  const key = JSON.stringify(listing);
  const [state, setState] = useState(/** @type {{key: string, listed: Listed}} */ ({ key, listed: { rows: new Map() } }));
  const list = useRef(/** @type {ListWindow | undefined} */ (undefined));
  useEffect(() => {
    const made = new ListWindow(listing, (listed) => setState({ key, listed }));
    list.current = made;
    return () => made.stop();
  }, [key]);
  const show = (/** @type {number} */ first, /** @type {number} */ end) => list.current?.show(first, end);
  return { listed: state.listed, show, isOther: state.key !== key };
}

/** @param {{listed: Listed}} props */
function Count({ listed: { total } }) {
  return total === undefined ? null : html`<span class="count">${total.toLocaleString("en")}</span>`;
}

/** @param {{listed: Listed}} props */
function Freshness({ listed: { at_ms, failure, code } }) {
  if (!failure) return null;
  const kind = KINDS[code ?? ""] ?? (at_ms === undefined ? "unavailable" : "outdated");
  return html`<p class="notice" role="status">
    <${Mark} wrong=${{ kind, message: failure }} /> ${sentence(failure)} ${since(at_ms)}
  </p>`;
}

/** @param {{search: string}} props */
function Search({ search }) {
  const timer = useRef(0);
  const input = useRef(/** @type {HTMLInputElement | null} */ (null));
  useEffect(() => {
    if (input.current && document.activeElement !== input.current) input.current.value = search;
  }, [search]);
  useEffect(() => {
    const slash = (/** @type {KeyboardEvent} */ event) => {
      if (event.key !== "/" || event.ctrlKey || event.altKey || event.metaKey || isTypedInto(event.target)) return;
      event.preventDefault();
      input.current?.select();
    };
    addEventListener("keydown", slash);
    return () => removeEventListener("keydown", slash);
  }, []);
  const typed = () => {
    clearTimeout(timer.current);
    timer.current = setTimeout(() => change({ q: input.current?.value.trim() }, { replace: true }), TYPING_PAUSE_MS);
  };
  return html`<input
    ref=${input} type="search" aria-label="Search ids and owners" placeholder="Search ids and owners" defaultValue=${search} onInput=${typed}
    aria-keyshortcuts="/" title="Press / to search, Escape to see all"
  />`;
}

/** @param {EventTarget | null} target */
const isTypedInto = (target) => target instanceof Element && target.matches("input, select, textarea, dialog *");

/** @param {{filter: string}} props */
function Filter({ filter }) {
  const remove = () => {
    const { path, params } = place();
    params.delete("filter", filter);
    go(hrefOf(path, params));
  };
  const [label = "", id = ""] = filter.split(/=(.*)/s);
  return html`<button type="button" class="filter" title="Remove this filter" onClick=${remove}>
    ${label.replace(/_id$/, "")} <b>${id}</b> <span aria-hidden="true">×</span><span class="unseen">, remove this filter</span>
  </button>`;
}

/**
 * A link that shows the objects of an owner only; on the place where it stands, so another filter stays.
 * @param {{label: string, id: string | null | undefined, tabindex?: number}} props `label`: "user_id" or "project_id"
 */
export function OwnerLink({ label, id, tabindex }) {
  if (!id) return html`<span class="faint" title="The owner is not known, or there are several">—</span>`;
  const { path, params } = place();
  const filter = `${label}=${id}`;
  params.delete("filter", filter);
  params.append("filter", filter);
  return html`<a href=${hrefOf(path, params)} tabindex=${tabindex} title=${`Show only those of ${label.replace(/_id$/, "")} ${id}`}>${id}</a>`;
}

/** @param {{kind: ListKind, sort: string}} props */
function SortChoice({ kind, sort }) {
  const options = kind.columns.flatMap(({ title, sort: by }) =>
    by
      ? [true, false].map(
          (isDescending) =>
            html`<option value=${sortBy(by, { isDescending })}>${title} ${isDescending ? "↓" : "↑"}</option>`,
        )
      : [],
  );
  const choose = (/** @type {Event} */ { currentTarget }) =>
    change({ sort: /** @type {HTMLSelectElement} */ (currentTarget).value });
  return html`<label class="sort-choice">Sort <select value=${sort} onChange=${choose}>${options}</select></label>`;
}
