// The part of a long list that is in view: which pages to request, their rows, and what to forget.

import { keptSince, withKept } from "./kept.js";
import { keepSending, REFRESH_MS } from "./live.js";
import { wrongByItem } from "./problems.js";

/** @typedef {import("./live.js").Live} Live */
/** @typedef {import("./kept.js").Known} Known */
/** @typedef {import("./problems.js").Wrong} Wrong */
/**
 * What to list: the field of the query, the field of an item's id, the text of the other fields of an item, how to sort, and the
 * filters.
 * @typedef {{field: string, id: string, fields: string, sort: string, filters: string[]}} Listing
 */
/**
 * An item with what is wrong with it. `isOld`: some of its values come from an earlier answer, which has the time `kept_ms`.
 * @typedef {Known & {id: string, wrong: Wrong[], isOld: boolean, kept_ms?: number}} Row
 */
/**
 * A page of rows. A page begins after the cursor `after`, which the answer to the page before it contains. So only the first page in
 * view is refreshed by a timer; each answer to a page makes the list request the next page in view. `first` is the number of its
 * first row. `isWaiting`: a request was sent and has no answer yet.
 * @typedef {{first: number, rows: Row[], live?: Live, after?: string, isFirst: boolean, isWaiting: boolean, stop?: () => void}} ListPage
 */
/**
 * What is known of a list: the number of its rows (undefined before the first answer), the loaded rows by their
 * number, when the service last confirmed them, and why the newest request failed. `isOther`: the rows belong to an earlier sort
 * or filter, and stay until there is an answer.
 * @typedef {{total?: number, rows: Map<number, Row>, at_ms?: number, failure?: string, code?: string, retryAfter_s?: number,
 *   isOther?: boolean}} Listed
 */

const PAGE = 100;
/** How far around the visible rows pages are loaded, and how many pages are kept. */
const AROUND = 10;
const KEPT_PAGES = 8;
/** The most pages that one request may skip; fewer where the service has a lower limit. */
const MOST_SKIPPED = 100;

export class ListWindow {
  /** @type {Map<number, ListPage>} the pages by number; those with `stop` are requested */
  #pages = new Map();
  /** @type {(string | undefined)[]} where each page begins, as far as known; the first needs no cursor */
  #cursors = [undefined];
  /** @type {number | undefined} */
  #total;
  #needed = [0];
  /** @type {{target: number, live?: Live, isWaiting: boolean, stop: () => void} | undefined} looks for where a page begins */
  #skip;
  #mostSkipped = MOST_SKIPPED;
  #foundAgain_ms = 0;
  /** @type {number | undefined} */
  #at_ms;

  /**
   * @param {Listing} listing
   * @param {(listed: Listed) => void} onChange is called after each change
   * @param {{every_ms?: number, before?: Listed}} [options] `before`: what is known of an earlier listing
   */
  constructor(listing, onChange, { every_ms = REFRESH_MS, before } = {}) {
    this.listing = listing;
    this.onChange = onChange;
    this.every_ms = every_ms;
    this.before = before;
    this.show(0, 1);
  }

  /**
   * Load the pages around the visible rows, and keep them up to date until others are visible.
   * @param {number} first
   * @param {number} end the number after the last visible row
   */
  show(first, end) {
    const last = Math.max(first, Math.min(end + AROUND, this.#total ?? end) - 1);
    const [from, to] = [Math.floor(Math.max(0, first - AROUND) / PAGE), Math.floor(last / PAGE)];
    this.#needed = Array.from({ length: to - from + 1 }, (_, number) => from + number);
    this.#load();
  }

  stop() {
    this.#skip?.stop();
    for (const page of this.#pages.values()) halt(page);
  }

  #load() {
    // While the user scrolls on, one request at a time: the service works on each to its end, even if it is aborted here.
    const unneeded = [...this.#pages].filter(([number]) => !this.#needed.includes(number)).map(([, page]) => page);
    if ([...unneeded, this.#skip].some((request) => request?.isWaiting)) return;
    unneeded.forEach(halt);
    for (const [place, number] of this.#needed.entries()) {
      const isKnown = number === 0 || this.#cursors[number] !== undefined;
      if (isKnown) this.#request(number, place === 0);
      if (place === 0) this.#skipTo(isKnown ? undefined : number); // its answer says where the next page begins
    }
    this.#forget();
  }

  /**
   * @param {number} number
   * @param {boolean} isFirst
   */
  #request(number, isFirst) {
    const after = this.#cursors[number];
    const page = this.#pages.get(number) ?? { first: number * PAGE, rows: [], isFirst, isWaiting: false };
    if (page.stop && page.after === after && page.isFirst === isFirst) return;
    halt(page);
    Object.assign(page, { after, isFirst, isWaiting: true });
    this.#pages.set(number, page);
    page.stop = keepSending(requestOf(this.listing, PAGE, after, true), (live) => this.#take(number, page, live), {
      every_ms: isFirst ? this.every_ms : 0,
      before: page.live,
    });
  }

  /**
   * @param {number} number
   * @param {ListPage} page
   * @param {Live} live
   */
  #take(number, page, live) {
    const list = live.response?.data?.[this.listing.field];
    if (live.response !== page.live?.response && list) {
      page.rows = rowsOf(live, this.listing, page);
      this.#total = list.total_count;
      this.#cursors.length = Math.min(this.#cursors.length, Math.ceil(list.total_count / PAGE) + 1);
      if (list.next_cursor) this.#cursors[number + 1] = list.next_cursor;
      const end = number * PAGE + page.rows.length;
      page.first = list.next_cursor ? number * PAGE : list.total_count - page.rows.length; // the last rows, wherever they began
      if (list.next_cursor ? end >= list.total_count : end !== list.total_count) this.#findAgain();
    }
    Object.assign(page, { live, isWaiting: false });
    if (!live.failure) {
      this.#at_ms = live.at_ms;
      const next = this.#pages.get(number + 1);
      if (next) halt(next); // it is requested again where it is needed
    }
    this.#load();
    this.#report();
  }

  #report() {
    /** @type {Map<number, Row>} */
    const rows = new Map();
    for (const { first, rows: loaded } of this.#pages.values()) {
      for (const [place, row] of loaded.entries()) rows.set(first + place, row);
    }
    const lives = [this.#skip?.live, ...this.#needed.map((number) => this.#pages.get(number)?.live)];
    const failed = lives.find((live) => live?.failure);
    const isOther = this.#total === undefined && this.before?.total !== undefined;
    const known = isOther ? this.before : { total: this.#total, rows, at_ms: this.#at_ms };
    const { failure, code, retryAfter_s } = failed ?? {};
    this.onChange({ rows, ...known, isOther, failure, code, retryAfter_s });
  }

  /**
   * Find out where a page begins: skip all rows before it in one request, which returns no rows.
   * @param {number | undefined} number undefined: nothing has to be found out
   */
  #skipTo(number) {
    let known = number ?? 0;
    while (known > 0 && this.#cursors[known] === undefined) known -= 1;
    const target = number && Math.min(number, known + this.#mostSkipped);
    if (target === this.#skip?.target) return;
    this.#skip?.stop();
    this.#skip = undefined;
    if (!target) return;
    const request = requestOf(this.listing, (target - known) * PAGE, this.#cursors[known], false);
    const take = (/** @type {Live} */ live) => {
      const list = live.response?.data?.[this.listing.field];
      if (this.#skip) Object.assign(this.#skip, { live, isWaiting: false });
      if (list?.next_cursor) this.#cursors[target] = list.next_cursor;
      else if (list) this.#total = list.total_count; // the list has become shorter
      if (live.code === "LimitError" && !live.retryAfter_s) this.#mostSkipped = Math.max(1, (target - known) >> 1);
      this.#load();
      this.#report();
    };
    this.#skip = { target, isWaiting: true, stop: keepSending(request, take, { every_ms: 0 }) };
  }

  /**
   * Forget where the pages in view begin: figures have changed since, so that rows are missing at the end of the list, or more
   * rows follow. While they go on changing, this happens once in each interval.
   */
  #findAgain() {
    if (Date.now() < this.#foundAgain_ms + this.every_ms) return;
    this.#foundAgain_ms = Date.now();
    this.#cursors.length = Math.max(1, this.#needed[0] ?? 0);
  }

  #forget() {
    const middle = this.#needed[0] ?? 0;
    // The nearest stay, and with them all that are requested.
    const far = [...this.#pages.keys()].sort((a, b) => Math.abs(a - middle) - Math.abs(b - middle)).slice(KEPT_PAGES);
    for (const number of far) this.#pages.delete(number);
  }
}

/** @param {ListPage} page */
function halt(page) {
  page.stop?.();
  page.stop = undefined;
  page.isWaiting = false;
}

/**
 * @param {Listing} listing
 * @param {number} limit
 * @param {string | undefined} after
 * @param {boolean} withItems
 */
function requestOf({ field, id, fields, sort, filters }, limit, after, withItems) {
  const items = withItems ? ` items { ${id} ${fields} }` : "";
  return {
    query: `query List($limit: Int!, $sort: String, $filter: [String!], $after: String) {
  ${field}(limit: $limit, sort: $sort, filter: $filter, after: $after) { total_count next_cursor${items} }
}`,
    variables: { limit, sort, filter: filters, after },
  };
}

/**
 * @param {Live} live
 * @param {Listing} listing
 * @param {ListPage} page as it was before the answer
 * @returns {Row[]}
 */
function rowsOf({ response }, { field, id }, page) {
  const wrongBy = wrongByItem(response, field);
  const before = new Map(page.rows.map((row) => [row.id, row]));
  return response?.data[field].items.map((/** @type {any} */ item, /** @type {number} */ number) => {
    const wrong = wrongBy.get(number) ?? [];
    const known = withKept(item, wrong, before.get(item[id]), page.live?.at_ms ?? 0);
    const kept_ms = keptSince(known);
    return { ...known, id: item[id], wrong, isOld: kept_ms !== undefined, kept_ms };
  });
}
