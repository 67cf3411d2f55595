// A table of many rows, of which only the visible ones are in the document. Arrow keys move between the links of its rows, Enter
// opens a row; a screen reader reads the other cells with its own keys for tables.

import { html } from "htm/preact";
import { Component } from "preact";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { change, hrefOf } from "./state.js";

/** @typedef {import("./list_window.js").Row} Row */
/** @typedef {import("./list_window.js").Listed} Listed */
/** @typedef {import("./state.js").Place} Place */
/** The highest value of each figure in the rows that are loaded. @typedef {Record<string, number>} Highest */
/** What a cell needs beside its row; `place` is the place of the list. @typedef {{highest: Highest, tabindex: number, place: Place}} Context */
/**
 * A column. `cell` returns what stands there; its links have the given `tabindex`, so that Tab stops at one row only. `sort` is the
 * name that the service sorts by, with `-` in front if the column shows the opposite (an age for a start). `width` is a column
 * of a CSS grid, with its least width in rem. A column with `figure` is shown once a row has that figure. On a phone, where a row has
 * several lines, a column may be hidden ("minor"), beside the id ("side"), wide, or a line by itself.
 * @typedef {{title: string, sort?: string, width: string, isNumber?: boolean, hint?: string, figure?: string,
 *   onPhone?: "minor" | "side" | "wide" | "line", cell: (row: Row, context: Context) => any}} Column
 */

const ROW_PX = 36;
const NARROW_ROW_PX = 116;
/** Between columns, and at each end of a row, as in page.css. */
const [GAP_REM, PADDING_REM] = [0.7, 0.8];
const NARROW = "(max-width: 700px)";
/** How many rows beyond the visible ones are in the document. */
const AROUND = 8;
/** Where the user was in lists, by their address: for the way back. @type {Map<string, {top: number, active: number}>} */
const visited = new Map();
const KEPT_PLACES = 50;

/**
 * @param {{title: string, object: string, columns: Column[], place: Place, sort: string, listed: Listed,
 *   show: (first: number, end: number) => void, isOther: boolean}} props `object` begins the address of what a row opens; `place`
 *   is the place of the list; `show` gets the visible rows; `isOther`: the rows belong to an earlier sort or filter
 */
export function Grid({ title, object, columns: all, place, sort, listed, show, isOther }) {
  const { rows, total = 0, at_ms } = listed;
  const frame = useRef(/** @type {HTMLDivElement | null} */ (null));
  const isNarrow = useMedia(NARROW);
  const row_px = isNarrow ? NARROW_ROW_PX : ROW_PX;
  const { first, count, measure } = useVisible(frame, row_px);
  const end = Math.min(total, first + count);
  useEffect(() => show(first, Math.max(end, 1)), [first, end, sort, isOther]);
  const { active, setActive, focus, keys } = useKeys(frame, { row_px, covered_px: isNarrow ? 0 : ROW_PX, total, count });

  const address = hrefOf(place.path, place.params);
  const restored = useRef("");
  useEffect(() => {
    if (restored.current === address || isOther || !total || !frame.current) return;
    restored.current = address;
    const spot = visited.get(address) ?? { top: 0, active: 0 };
    frame.current.scrollTop = spot.top;
    setActive(spot.active);
    if (visited.has(address) && isUnused(document.activeElement)) focus();
  });
  const remember = () => {
    if (restored.current !== address || !frame.current) return;
    if (visited.size > KEPT_PLACES) visited.clear();
    visited.set(address, { top: frame.current.scrollTop, active });
  };
  useEffect(remember, [active]);
  const scroll = () => {
    remember();
    measure();
  };

  const highest = highestOf(rows);
  const scale = JSON.stringify(highest);
  const columns = useKnown(all, highest, sort);
  const from = Math.max(0, first - AROUND);
  const numbers = Array.from({ length: Math.max(0, Math.min(total, end + AROUND) - from) }, (_, number) => from + number);
  if (active < total && !numbers.includes(active)) numbers.push(active); // keeps the focus
  const template = { "--columns": columns.map(({ width }) => width).join(" "), "--least": `${leastOf(columns)}rem` };
  return html`<div
    ref=${frame} class=${`rows ${isOther ? "waiting" : ""}`} role="table" aria-label=${title} aria-rowcount=${total + 1}
    aria-busy=${isOther || undefined} style=${template} onScroll=${scroll} onKeyDown=${keys}
  >
    <div role="row" class="heading" aria-rowindex="1">
      ${columns.map((column) => html`<${Heading} key=${column.title} column=${column} sort=${sort} />`)}
    </div>
    <div role="rowgroup" class="body" style=${{ height: `${total * row_px}px` }}>
      ${numbers.map(
        (number) => html`<${RowView}
          key=${number} number=${number} row=${rows.get(number)} columns=${columns} object=${object} highest=${highest} scale=${scale}
          address=${address} place=${place} at_ms=${at_ms} row_px=${row_px} isActive=${number === active} choose=${setActive}
        />`,
      )}
    </div>
  </div>`;
}

/**
 * Return the least width of a row in rem. Browsers do not find it, since each row is laid out by itself.
 * @param {Column[]} columns
 */
const leastOf = (columns) =>
  columns.reduce(
    (sum, { width }) => sum + Number.parseFloat(width.replace("minmax(", "")) + GAP_REM,
    2 * PADDING_REM - GAP_REM,
  );

/** Return the name and the direction of a text to sort by, such as "-cpu_pct". @param {string} sort */
const orderOf = (sort) => ({ name: sort.replace(/^-/, ""), isDescending: sort.startsWith("-") });

/**
 * Return the value of `sort` that sorts by a column.
 * @param {string} by the `sort` of the column
 * @param {{isDescending: boolean}} order
 */
export function sortBy(by, { isDescending }) {
  const column = orderOf(by);
  return `${column.isDescending === isDescending ? "" : "-"}${column.name}`;
}

/** @param {{column: Column, sort: string}} props */
function Heading({ column: { title, sort: by, isNumber, hint }, sort }) {
  const [column, list] = [orderOf(by ?? ""), orderOf(sort)];
  const isSorted = column.name === list.name;
  const isDescending = column.isDescending !== list.isDescending;
  // Numbers begin with the highest, which people look for; a second click turns the order.
  const next = by && sortBy(by, { isDescending: isSorted ? !isDescending : Boolean(isNumber) });
  const arrow = isSorted ? html`<span aria-hidden="true"> ${isDescending ? "↓" : "↑"}</span>` : null;
  const order = isSorted ? (isDescending ? "descending" : "ascending") : undefined;
  return html`<div role="columnheader" class=${isNumber ? "number" : ""} aria-sort=${order} title=${hint}>
    ${by ? html`<button type="button" onClick=${() => change({ sort: next })}>${title}${arrow}</button>` : title}
  </div>`;
}

/**
 * A row, which is rendered again only if something in it changes, and not while other rows are scrolled into view.
 * @extends {Component<{number: number, row: Row | undefined, columns: Column[], object: string, highest: Highest, scale: string,
 *   address: string, place: Place, at_ms: number | undefined, row_px: number, isActive: boolean, choose: (number: number) => void}>}
 */
class RowView extends Component {
  /** @param {RowView["props"]} next */
  shouldComponentUpdate(next) {
    const now = this.props;
    return (
      next.row !== now.row ||
      next.isActive !== now.isActive ||
      next.columns !== now.columns ||
      next.scale !== now.scale ||
      next.address !== now.address ||
      next.at_ms !== now.at_ms ||
      next.row_px !== now.row_px
    );
  }

  render() {
    const { number, row, columns, object, highest, place, row_px, isActive, choose } = this.props;
    const tabindex = isActive ? 0 : -1;
    const style = { transform: `translateY(${number * row_px}px)`, height: `${row_px}px` };
    return html`<div
      role="row" aria-rowindex=${number + 2} style=${style} data-active=${isActive || undefined} class=${row?.isOld ? "old" : ""}
      onFocusIn=${() => choose(number)}
    >
      ${
        row
          ? columns.map(
              (column, position) => html`<div
                key=${column.title} role=${position ? "cell" : "rowheader"} data-title=${column.title}
                class=${`${column.isNumber ? "number" : ""} ${column.onPhone ?? ""}`}
              >${
                position
                  ? column.cell(row, { highest, tabindex, place })
                  : html`<a href=${hrefOf(["object", object, row.id])} tabindex=${tabindex} title=${row.id}>${row.id}</a>`
              }</div>`,
            )
          : html`<div role="cell" class="faint" tabindex="-1">Loading…</div>`
      }
    </div>`;
  }
}

/**
 * Return which rows are visible, and a function that measures it again (a hook).
 * @param {{current: HTMLElement | null}} frame
 * @param {number} row_px
 */
function useVisible(frame, row_px) {
  const [visible, setVisible] = useState({ first: 0, count: 30 });
  const measure = () => {
    const box = frame.current;
    if (!box) return;
    const [first, count] = [Math.floor(box.scrollTop / row_px), Math.ceil(box.clientHeight / row_px)];
    setVisible((known) => (known.first === first && known.count === count ? known : { first, count }));
  };
  useEffect(() => {
    const resized = new ResizeObserver(measure);
    if (frame.current) resized.observe(frame.current);
    return () => resized.disconnect();
  }, [row_px]);
  return { ...visible, measure };
}

/** Return whether the focus is where the page put it, not where the user did. @param {Element | null} focused */
const isUnused = (focused) => focused === document.body || Boolean(focused?.matches("main h2"));

/**
 * Return the row that has or gets the focus, functions that set it and focus it, and a handler of keys that move it (a hook).
 * @param {{current: HTMLElement | null}} frame
 * @param {{row_px: number, covered_px: number, total: number, count: number}} sizes `covered_px`: the height of the heading, which
 *   covers rows
 */
function useKeys(frame, { row_px, covered_px, total, count }) {
  const [active, render] = useState(0);
  const newest = useRef(0); // keys may come faster than rows are made
  const isMoving = useRef(false);
  const isFocusing = useRef(false);
  const setActive = (/** @type {number} */ next) => {
    if (isFocusing.current) return; // the focus follows the active row here, not the other way round
    newest.current = next;
    render(next);
  };
  const follow = () => {
    const [box, focused] = [frame.current, document.activeElement];
    if (!box || !isMoving.current || active !== newest.current) return;
    const isFree = isUnused(focused) || box.contains(focused); // not in a field that was chosen since
    /** @type {HTMLElement | null} */
    const target = isFree ? box.querySelector("[data-active] [tabindex]") : null;
    isFocusing.current = true;
    target?.focus({ preventScroll: true });
    isFocusing.current = false;
    isMoving.current = isFree && !(target instanceof HTMLAnchorElement); // a row that is loading has its link later
  };
  useLayoutEffect(follow);
  const focus = () => {
    isMoving.current = true;
    follow();
  };
  const keys = (/** @type {KeyboardEvent} */ event) => {
    const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: count - 2, PageUp: 2 - count, Home: -total, End: total };
    const step = steps[/** @type {keyof typeof steps} */ (event.key)];
    const box = frame.current;
    if (!box || step === undefined || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    const next = Math.max(0, Math.min(total - 1, newest.current + step));
    const [top, height_px] = [next * row_px, box.clientHeight - covered_px];
    if (top < box.scrollTop) box.scrollTop = top;
    else if (top + row_px > box.scrollTop + height_px) box.scrollTop = top + row_px - height_px;
    setActive(next);
    focus();
  };
  return { active, setActive, focus, keys };
}

/**
 * Return the columns except figures that no row has had until now (a hook). The array is the same until a column is added.
 * @param {Column[]} all
 * @param {Highest} highest
 * @param {string} sort
 */
function useKnown(all, highest, sort) {
  const seen = useRef(/** @type {Set<string>} */ (new Set()));
  const columns = useRef(all);
  for (const figure of Object.keys(highest)) seen.current.add(figure);
  const known = all.filter(({ figure }) => !figure || seen.current.has(figure) || sort.endsWith(figure));
  if (known.length !== columns.current.length || known.some((column, place) => column !== columns.current[place])) {
    columns.current = known;
  }
  return columns.current;
}

/**
 * @param {Map<number, Row>} rows
 * @returns {Highest}
 */
function highestOf(rows) {
  /** @type {Highest} */
  const highest = {};
  for (const { item } of rows.values()) {
    for (const [figure, value] of Object.entries(item.figures ?? {})) {
      if (typeof value === "number") highest[figure] = Math.max(highest[figure] ?? 0, value);
    }
  }
  return highest;
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
