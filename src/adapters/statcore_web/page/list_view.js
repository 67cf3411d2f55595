// A list of objects: what is listed (search, filters, sort), how current it is, and its rows.

import { html } from "htm/preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { Grid, sortBy } from "./grid.js";
import { ListWindow } from "./list_window.js";
import { kindOfFailure, Mark, sentence, since } from "./problems.js";
import { change, currentPlace, go, hrefOf, usePlace } from "./state.js";

/** @typedef {import("./list_window.js").Listed} Listed */
/** @typedef {import("./grid.js").Column} Column */
/**
 * A kind of list.
 * @typedef {{title: string, object: string, field: string, id: string, fields: string, sort: string,
 *   columns: Column[]}} ListKind `object` begins the address of its items, `sort` is the order of the first visit
 */

const TYPING_PAUSE_MS = 250;

/** @param {{kind: ListKind}} props */
export function ListView({ kind }) {
  const place = usePlace();
  const { params } = place;
  const sort = params.get("sort") ?? kind.sort;
  const search = params.get("q") ?? "";
  const owners = params.getAll("filter");
  const filters = [...owners, ...search.split(/\s+/).filter(Boolean)];
  const { listed, show, isOther } = useList(kind, sort, filters);
  return html`<section class="list" aria-labelledby="view-title">
    <div class="bar">
      <h2 id="view-title" tabindex="-1">${kind.title} <${Count} listed=${listed} /></h2>
      <${Search} search=${search} />
      ${owners.map((filter) => html`<${Filter} key=${filter} filter=${filter} />`)}
      <${SortChoice} kind=${kind} sort=${sort} />
    </div>
    <${Freshness} listed=${listed} isOther=${isOther} />
    ${
      listed.total === 0 && !isOther
        ? html`<p class="empty">${filters.length ? "Nothing matches the search and the filters." : `There are no ${kind.title.toLowerCase()}.`}</p>`
        : html`<${Grid} title=${kind.title} object=${kind.object} columns=${kind.columns} place=${place} sort=${sort} listed=${listed} show=${show} isOther=${isOther} />`
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
    const made = new ListWindow(listing, (listed) => setState({ key, listed }), { before: state.listed });
    list.current = made;
    return () => made.stop();
  }, [key]);
  const show = (/** @type {number} */ first, /** @type {number} */ end) => list.current?.show(first, end);
  return { listed: state.listed, show, isOther: state.key !== key || Boolean(state.listed.isOther) };
}

/** @param {{listed: Listed}} props */
function Count({ listed: { total } }) {
  return total === undefined ? null : html`<span class="count">${total.toLocaleString("en")}</span>`;
}

/** @param {{listed: Listed, isOther: boolean}} props */
function Freshness({ listed, isOther }) {
  const { at_ms, failure } = listed;
  if (!failure) return null;
  const kind = at_ms === undefined || isOther ? kindOfFailure(listed) : "outdated";
  return html`<p class="notice" role="status">
    <${Mark} wrong=${{ kind, message: failure }} /> ${sentence(failure)} ${since(at_ms)}
  </p>`;
}

/** @param {{search: string}} props */
function Search({ search }) {
  const timer = useRef(0);
  const input = useRef(/** @type {HTMLInputElement | null} */ (null));
  const written = useRef(search); // by this field; the user may have typed more since
  useEffect(() => {
    if (!input.current || search === written.current) return;
    clearTimeout(timer.current);
    input.current.value = written.current = search;
  }, [search]);
  useEffect(() => () => clearTimeout(timer.current), []);
  useEffect(() => {
    const slash = (/** @type {KeyboardEvent} */ event) => {
      if (event.key !== "/" || event.ctrlKey || event.altKey || event.metaKey || isEntry(event.target)) return;
      event.preventDefault();
      input.current?.select();
    };
    addEventListener("keydown", slash);
    return () => removeEventListener("keydown", slash);
  }, []);
  const write = () => {
    written.current = input.current?.value.trim() ?? "";
    change({ q: written.current }, { replace: true });
  };
  const wait = () => {
    clearTimeout(timer.current);
    timer.current = setTimeout(write, TYPING_PAUSE_MS);
  };
  return html`<input
    ref=${input} type="search" aria-label="Search ids and owners" placeholder="Search ids and owners" defaultValue=${search} onInput=${wait}
    aria-keyshortcuts="/" title="Press / to search, Escape to see all"
  />`;
}

/** Return whether keys are meant for a field or a dialog. @param {EventTarget | null} target */
const isEntry = (target) => target instanceof Element && target.matches("input, select, textarea, dialog *");

/** @param {{filter: string}} props */
function Filter({ filter }) {
  const remove = () => {
    const { path, params } = currentPlace();
    params.delete("filter", filter);
    go(hrefOf(path, params));
  };
  const [label = "", id = ""] = filter.split(/=(.*)/s);
  return html`<button type="button" class="filter" title="Remove this filter" onClick=${remove}>
    ${label.replace(/_id$/, "")} <b>${id}</b> <span aria-hidden="true">×</span><span class="unseen">, remove this filter</span>
  </button>`;
}

/**
 * A link that shows the objects of an owner only, with the other filters of its place.
 * @param {{label: string, id: string | null | undefined, place: import("./state.js").Place, tabindex?: number}} props `label`:
 *   "user_id" or "project_id"
 */
export function OwnerLink({ label, id, place: { path, params }, tabindex }) {
  if (!id) return html`<span class="faint" title="The owner is not known, or there are several">—</span>`;
  const filter = `${label}=${id}`;
  const filtered = new URLSearchParams(params);
  filtered.delete("filter", filter);
  filtered.append("filter", filter);
  return html`<a href=${hrefOf(path, filtered)} tabindex=${tabindex} title=${`Show only those of ${label.replace(/_id$/, "")} ${id}`}>${id}</a>`;
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
