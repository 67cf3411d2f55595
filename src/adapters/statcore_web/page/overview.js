// The overview: the columns of the lists of sessions, endpoints and agents.

import { html } from "htm/preact";
import { ListView } from "./list_view.js";

/** @typedef {import("./list_view.js").ListKind} ListKind */
/** @typedef {import("./list_view.js").Column} Column */

/** @type {Column} */
const SESSION_ID = { title: "Session", sort: "id", width: "minmax(12rem, 2fr)", cell: ({ id }) => id };
/** @type {Column} */
const KERNELS = {
  title: "Kernels",
  sort: "kernels",
  width: "6rem",
  isNumber: true,
  cell: ({ item }) => item.kernels.length,
};

/** @type {ListKind} */
const SESSIONS = {
  view: "sessions",
  title: "Sessions",
  object: "session",
  field: "compute_session_list",
  id: "session_id",
  fields: "kernels { kernel_id }",
  sort: "id",
  columns: [SESSION_ID, KERNELS],
};

export const Sessions = () => html`<${ListView} kind=${SESSIONS} />`;
