// The state of the page: the fragment of the address. So a view can be sent to others, and the browser goes back and forward.

import { useEffect, useState } from "preact/hooks";

/**
 * A place: the parts of its path, such as `["object", "session", ID]`, and its parameters, such as `sort`. A name may have
 * several values (`filter`).
 * @typedef {{path: string[], params: URLSearchParams}} Place
 */

/** The view of an address without a fragment, or with one that is no path. */
const FIRST = "#/sessions";

/**
 * Return the place of a fragment.
 * @param {string} hash
 * @returns {Place}
 */
export function placeOf(hash) {
  const [path = "", query = ""] = (hash.startsWith("#/") ? hash : FIRST).slice(2).split(/\?(.*)/s);
  return { path: path.split("/").map(decoded), params: new URLSearchParams(query) };
}

/** @param {string} part */
function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part; // it has a percent sign that begins no code
  }
}

/**
 * Return the fragment of a place, which a link may have as its `href`.
 * @param {string[]} path
 * @param {URLSearchParams | Record<string, string | undefined>} [params] an undefined or empty one is left out
 */
export function hrefOf(path, params = {}) {
  const given = params instanceof URLSearchParams ? [...params] : Object.entries(params);
  const query = new URLSearchParams(given.flatMap(([name, value]) => (value ? [[name, value]] : []))).toString();
  return `#/${path.map(encodeURIComponent).join("/")}${query && `?${query}`}`;
}

/** Return the place that the address names now. */
export const currentPlace = () => placeOf(location.hash);

const CHANGED = "statcore-place";

/**
 * Go to a fragment that `hrefOf` returned.
 * @param {string} href
 * @param {{replace?: boolean}} [options] `replace`: without a new entry of the browser's history, as for each letter of a search
 */
export function go(href, { replace = false } = {}) {
  if (href === location.hash) return;
  if (replace) history.replaceState(null, "", href);
  else history.pushState(null, "", href);
  dispatchEvent(new Event(CHANGED));
}

/**
 * Change some parameters of the place, and leave the others as they are.
 * @param {Record<string, string | undefined>} changes undefined or "" removes a parameter
 * @param {{replace?: boolean}} [options] as for `go`
 */
export function change(changes, options) {
  const { path, params } = currentPlace();
  for (const [name, value] of Object.entries(changes)) {
    if (value) params.set(name, value);
    else params.delete(name);
  }
  go(hrefOf(path, params), options);
}

/**
 * Return the place, and render again whenever it changes (a hook).
 * @returns {Place}
 */
export function usePlace() {
  const [hash, setHash] = useState(location.hash);
  useEffect(() => {
    const read = () => setHash(location.hash);
    for (const name of [CHANGED, "popstate", "hashchange"]) addEventListener(name, read);
    return () => {
      for (const name of [CHANGED, "popstate", "hashchange"]) removeEventListener(name, read);
    };
  }, []);
  return placeOf(hash);
}
