// A list of objects: search, filters, sorting by columns, and a table of which only the visible rows are in the document.

import { html } from "htm/preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { ListWindow } from "./list_window.js";
import { Mark } from "./problems.js";
import { change, go, hrefOf, place, usePlace } from "./state.js";
import { clock } from "./units.js";

/** @typedef {import("./list_window.js").Row} Row */
/** @typedef {import("./list_window.js").Listed} Listed */
/**
 * A column: `cell` returns what stands there; `sort` is the name that the service sorts by; `width` is that of a CSS grid.
 * A column with `figure` is shown once a row has that figure. On a phone, where a row has several lines, a column may be hidden
 * ("minor"), beside the id ("side"), wide, or a line by itself.
 * @typedef {{title: string, sort?: string, width: string, isNumber?: boolean, hint?: string, figure?: string,
 *   onPhone?: "minor" | "side" | "wide" | "line", cell: (row: Row, highest: (figure: string) => number) => any}} Column
 */
/**
 * A kind of list.
 * @typedef {{title: string, object: string, field: string, id: string, fields: string, sort: string,
 *   columns: Column[]}} ListKind `object` begins the address of its items, `sort` is that of the first visit
 */

const ROW_PX = 36;
const NARROW_ROW_PX = 116;
const NARROW = "(max-width: 700px)";
const AROUND = 8;
const TYPING_PAUSE_MS = 250;
/** Where lists were scrolled to, by their address: for the way back. @type {Map<string, number>} */
const scrolled = new Map();
const KEPT_POSITIONS = 50;

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
        : html`<${Rows} kind=${kind} sort=${sort} listed=${listed} show=${show} isOther=${isOther} />`
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
function Freshness({ listed: { at_ms, failure } }) {
  if (!failure) return null;
  const since = at_ms === undefined ? "Nothing was loaded yet." : `What is shown is of ${clock(new Date(at_ms))}.`;
  return html`<p class="notice" role="status">
    <${Mark} wrong=${{ kind: at_ms === undefined ? "unavailable" : "outdated", message: failure }} /> ${failure} ${since}
  </p>`;
}

/** @param {{search: string}} props */
function Search({ search }) {
  const timer = useRef(0);
  const input = useRef(/** @type {HTMLInputElement | null} */ (null));
  useEffect(() => {
    if (input.current && document.activeElement !== input.current) input.current.value = search;
  }, [search]);
  const typed = () => {
    clearTimeout(timer.current);
    timer.current = setTimeout(() => change({ q: input.current?.value.trim() }, { replace: true }), TYPING_PAUSE_MS);
  };
  return html`<input ref=${input} type="search" aria-label="Search ids and owners" placeholder="Search ids and owners" defaultValue=${search} onInput=${typed} />`;
}

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
 * @param {{label: string, id: string | null | undefined}} props `label`: "user_id" or "project_id"
 */
export function OwnerLink({ label, id }) {
  if (!id) return html`<span class="faint" title="The owner is not known, or there are several">—</span>`;
  const { path, params } = place();
  const filter = `${label}=${id}`;
  params.delete("filter", filter);
  params.append("filter", filter);
  return html`<a href=${hrefOf(path, params)} title=${`Show only those of ${label.replace(/_id$/, "")} ${id}`}>${id}</a>`;
}

/** @param {{kind: ListKind, sort: string}} props */
function SortChoice({ kind, sort }) {
  const options = kind.columns.flatMap(({ title, sort: by }) =>
    by ? [html`<option value=${by}>${title} ↑</option>`, html`<option value=${`-${by}`}>${title} ↓</option>`] : [],
  );
  const choose = (/** @type {Event} */ { currentTarget }) =>
    change({ sort: /** @type {HTMLSelectElement} */ (currentTarget).value });
  return html`<label class="sort-choice">Sort <select value=${sort} onChange=${choose}>${options}</select></label>`;
}

/** @param {{column: Column, sort: string}} props */
function Heading({ column: { title, sort: by, isNumber, hint }, sort }) {
  const isSorted = by !== undefined && sort.replace("-", "") === by;
  const isDescending = sort.startsWith("-");
  // Numbers begin with the highest, which people look for; a second click turns the order.
  const next = isSorted ? (isDescending ? by : `-${by}`) : isNumber ? `-${by}` : by;
  const arrow = isSorted ? html`<span aria-hidden="true"> ${isDescending ? "↓" : "↑"}</span>` : null;
  const order = isSorted ? (isDescending ? "descending" : "ascending") : undefined;
  return html`<div role="columnheader" class=${isNumber ? "number" : ""} aria-sort=${order} title=${hint}>
    ${by ? html`<button type="button" onClick=${() => change({ sort: next })}>${title}${arrow}</button>` : title}
  </div>`;
}

/**
 * @param {{kind: ListKind, sort: string, listed: Listed, show: (first: number, end: number) => void, isOther: boolean}} props
 *   `isOther`: the rows are those of an earlier sort or filter
 */
function Rows({ kind, sort, listed, show, isOther }) {
  const { rows, total = 0 } = listed;
  const frame = useRef(/** @type {HTMLDivElement | null} */ (null));
  const isNarrow = useMedia(NARROW);
  const row_px = isNarrow ? NARROW_ROW_PX : ROW_PX;
  const [view, setView] = useState({ first: 0, count: 30 });
  const [active, setActive] = useState(0);
  const isMoving = useRef(false);

  const measure = () => {
    if (!frame.current) return;
    const [first, count] = [Math.floor(frame.current.scrollTop / row_px), Math.ceil(frame.current.clientHeight / row_px)];
    if (first !== view.first || count !== view.count) setView({ first, count });
    if (scrolled.size > KEPT_POSITIONS) scrolled.clear();
    scrolled.set(location.hash, frame.current.scrollTop);
  };
  useEffect(measure);
  useEffect(() => {
    const resized = new ResizeObserver(measure);
    if (frame.current) resized.observe(frame.current);
    return () => resized.disconnect();
  });
  const end = Math.min(total, view.first + view.count);
  useEffect(() => show(view.first, Math.max(end, 1)), [view.first, end, sort, isOther]);

  const address = location.hash;
  const known = useRef("");
  useEffect(() => {
    if (known.current === address || isOther || !total || !frame.current) return;
    known.current = address;
    frame.current.scrollTop = scrolled.get(address) ?? 0;
    setActive(Math.floor(frame.current.scrollTop / row_px));
  });

  const move = (/** @type {number} */ to) => {
    const next = Math.max(0, Math.min(total - 1, to));
    const box = frame.current;
    if (!box) return;
    const [top, height] = [next * row_px, box.clientHeight - (isNarrow ? 0 : ROW_PX)];
    if (top < box.scrollTop) box.scrollTop = top;
    else if (top + row_px > box.scrollTop + height) box.scrollTop = top + row_px - height;
    isMoving.current = true;
    setActive(next);
  };
  useEffect(() => {
    if (!isMoving.current) return;
    isMoving.current = false;
    /** @type {HTMLElement | null | undefined} */ (frame.current?.querySelector("[data-active] a"))?.focus({
      preventScroll: true,
    });
  });
  const keys = (/** @type {KeyboardEvent} */ event) => {
    const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: view.count - 2, PageUp: 2 - view.count, Home: -total, End: total };
    const step = steps[/** @type {keyof typeof steps} */ (event.key)];
    if (step === undefined || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    move(active + step);
  };

  const highest = highestOf(rows);
  const seen = useRef(/** @type {Set<string>} */ (new Set()));
  const columns = kind.columns.filter(({ figure, sort: by }) => {
    if (!figure || seen.current.has(figure) || (by && sort.endsWith(by))) return true;
    const isKnown = [...rows.values()].some(({ item }) => typeof item.figures?.[figure] === "number");
    if (isKnown) seen.current.add(figure); // it stays when the rows that have it are scrolled away
    return isKnown;
  });
  const from = Math.max(0, view.first - AROUND);
  const numbers = Array.from({ length: Math.max(0, Math.min(total, end + AROUND) - from) }, (_, number) => from + number);
  if (active < total && !numbers.includes(active)) numbers.push(active); // keeps the focus
  const template = { "--columns": columns.map(({ width }) => width).join(" ") };
  return html`<div
    ref=${frame} class=${`rows ${isOther ? "waiting" : ""}`} role="grid" aria-label=${kind.title} aria-rowcount=${total + 1}
    aria-busy=${isOther || undefined} style=${template} onScroll=${measure} onKeyDown=${keys}
  >
    <div role="row" class="heading" aria-rowindex="1">
      ${columns.map((column) => html`<${Heading} key=${column.title} column=${column} sort=${sort} />`)}
    </div>
    <div role="rowgroup" class="body" style=${{ height: `${total * row_px}px` }}>
      ${numbers.map((number) => {
        const row = rows.get(number);
        const style = { transform: `translateY(${number * row_px}px)`, height: `${row_px}px` };
        const isActive = number === active;
        return html`<div
          key=${number} role="row" aria-rowindex=${number + 2} style=${style} data-active=${isActive || undefined}
          class=${row?.isOld ? "old" : ""} onFocusIn=${() => setActive(number)}
        >
          ${
            row
              ? columns.map(
                  (column, place) => html`<div
                    key=${column.title} role=${place ? "gridcell" : "rowheader"} class=${`${column.isNumber ? "number" : ""} ${column.onPhone ?? ""}`} data-title=${column.title}
                  >${place ? column.cell(row, highest) : html`<a href=${hrefOf(["object", kind.object, row.id])} tabindex=${isActive ? 0 : -1} title=${row.id}>${row.id}</a>`}</div>`,
                )
              : html`<div role="gridcell" class="faint">Loading…</div>`
          }
        </div>`;
      })}
    </div>
  </div>`;
}

/**
 * Return a function for the highest value of a figure in the rows that are loaded, which bars are compared with.
 * @param {Map<number, Row>} rows
 */
function highestOf(rows) {
  /** @type {Map<string, number>} */
  const known = new Map();
  return (/** @type {string} */ figure) => {
    const found = known.get(figure) ?? Math.max(0, ...[...rows.values()].map(({ item }) => item.figures?.[figure] ?? 0));
    known.set(figure, found);
    return found;
  };
}

/**
 * Return whether a media query holds, and render again when that changes (a hook).
 * @param {string} query
 */
function useMedia(query) {
  const [holds, setHolds] = useState(() => matchMedia(query).matches);
  useEffect(() => {
    const list = matchMedia(query);
    const read = () => setHolds(list.matches);
    list.addEventListener("change", read);
    return () => list.removeEventListener("change", read);
  }, [query]);
  return holds;
}
