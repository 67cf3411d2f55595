// The explorer: joins the editors, the response, the schema browser, the address and the token.

import { send, token } from "../client.js";
import { find, make } from "../dom.js";
import { showTheme } from "../theme.js";
import { fromFragment, operationsOf, pastDrafts, toFragment, variablesOf } from "./drafts.js";
import { goTo, indenting, insert, insertField } from "./editor.js";
import { readExamples } from "./examples.js";
import { clear, showOutcome, showStatus } from "./response_view.js";
import { readSchema } from "./schema.js";
import { showNoSchema, showSchema } from "./schema_browser.js";

/** @typedef {import("./drafts.js").Draft} Draft */
/** @typedef {import("../client.js").Outcome} Outcome */

const WRITING_PAUSE_MS = 300;

const service = find("service", HTMLElement);
const signIn = find("sign-in", HTMLFormElement);
const secret = find("token", HTMLInputElement);
const signOut = find("sign-out", HTMLButtonElement);
const query = find("query", HTMLTextAreaElement);
const variables = find("variables", HTMLTextAreaElement);
const variablesError = find("variables-error", HTMLElement);
const operationChoice = find("operation-choice", HTMLElement);
const operation = find("operation", HTMLSelectElement);
const example = find("example", HTMLSelectElement);
const run = find("run", HTMLButtonElement);
const cancel = find("cancel", HTMLButtonElement);
const outdated = find("outdated", HTMLElement);
const copyResponse = find("copy", HTMLButtonElement);
const past = find("history", HTMLDetailsElement);

/** @type {AbortController | undefined} the running request */
let running;
/** The fragment of the draft whose response is shown. */
let answered = "";
let responseText = "";
/** @type {import("./examples.js").Example[]} */
let examples = [];

/** @returns {Draft} */
const draft = () => ({ query: query.value, variables: variables.value });

// ---- Access: whether the service answers this tab, and with which token

/**
 * Show what an outcome says about the service and the token.
 * @param {Outcome} outcome
 */
function showAccess({ status, failure, secret: sent }) {
  const refused = status === 401;
  if (refused) token.remove();
  const signedIn = token.get() !== null;
  const need = sent ? "The token is not valid. Get a new one" : "This service needs a token. Get one";
  const access = signedIn ? "Signed in" : "Connected without a token";
  service.textContent = refused ? `${need} from the operator.` : (failure ?? access);
  service.classList.toggle("problem", refused || Boolean(failure));
  if (!failure) signIn.hidden = !refused;
  signOut.hidden = !signedIn;
}

/** Return whether an outcome refuses a token that has been replaced since. @param {Outcome} outcome */
const isOfEarlierToken = ({ status, secret: sent }) => status === 401 && sent !== token.get();

async function connect() {
  const { schema, outcome } = await readSchema();
  if (isOfEarlierToken(outcome)) return false;
  showAccess(outcome);
  if (!schema) {
    if (outcome.status === 401) showNoSchema("Sign in to see the schema.");
    else showNoSchema("The schema could not be read.", connect);
    return false;
  }
  showSchema(schema, (field) => insertField(query, field));
  examples = await readExamples(schema);
  example.replaceChildren(
    make("option", { value: "" }, "Examples…"),
    ...examples.map(({ label }, number) => make("option", { value: String(number) }, label)),
  );
  example.disabled = false;
  return true;
}

signIn.addEventListener("submit", async (event) => {
  event.preventDefault();
  token.set(secret.value.trim());
  if (await connect()) {
    secret.value = "";
    query.focus();
  } else {
    secret.select();
  }
});

signOut.addEventListener("click", async () => {
  running?.abort();
  token.remove();
  pastDrafts.clear();
  showHistory();
  clear();
  responseText = answered = "";
  copyResponse.disabled = outdated.hidden = true;
  await connect();
  if (!signIn.hidden) secret.focus();
});

/** Say whether the shown data answers the draft. */
function showAge() {
  outdated.hidden = !answered || answered === toFragment(draft());
}

// ---- Editing: the address always has the draft

/** @type {number | undefined} */
let writing;

function edited() {
  const names = operationsOf(query.value);
  const chosen = operation.value;
  operation.replaceChildren(...names.map((name) => make("option", { value: name }, name || "without a name")));
  if (names.includes(chosen)) operation.value = chosen;
  operationChoice.hidden = names.length < 2;
  const { error } = variablesOf(draft());
  variablesError.textContent = error ?? "";
  variables.setAttribute("aria-invalid", String(error !== undefined));
  showAge();
  clearTimeout(writing);
  writing = setTimeout(writeAddress, WRITING_PAUSE_MS);
}

/** Put the draft into the address: a new entry of the browser's history for the first edit of a draft that was run. */
function writeAddress() {
  clearTimeout(writing);
  const fragment = toFragment(draft());
  if (location.hash === fragment) return;
  if (history.state?.run) history.pushState({}, "", fragment);
  else history.replaceState({}, "", fragment);
}

function readAddress() {
  const read = fromFragment(location.hash);
  if (!read) return;
  clearTimeout(writing);
  query.value = read.query;
  variables.value = read.variables;
  edited();
}

/** @param {Draft} replacing */
function replaceDraft(replacing) {
  writeAddress();
  insert(variables, replacing.variables, { everything: true });
  insert(query, replacing.query, { everything: true });
  query.setSelectionRange(0, 0);
  query.scrollTop = 0;
}

for (const area of [query, variables]) {
  indenting(area);
  area.addEventListener("input", edited);
}
addEventListener("popstate", readAddress);
example.addEventListener("change", () => {
  const chosen = example.value && examples[Number(example.value)];
  if (chosen) replaceDraft(chosen.draft);
  example.value = "";
});

function showHistory() {
  const items = pastDrafts.get().map((kept) => {
    const text = kept.query.replace(/\s+/g, " ").trim();
    return make("li", {}, make("button", { type: "button", title: kept.query, onclick: () => replaceDraft(kept) }, text));
  });
  past.hidden = !items.length;
  past.querySelector("ul")?.replaceChildren(...items);
}

find("clear-history", HTMLButtonElement).addEventListener("click", () => {
  pastDrafts.clear();
  showHistory();
  query.focus();
});

// ---- Running

async function runDraft() {
  running?.abort();
  if (!query.value.trim()) return showStatus("Write a query first, or choose an example.");
  const sent = draft();
  const { values, error } = variablesOf(sent);
  if (error) {
    variables.focus();
    return showStatus("Correct the variables first.");
  }
  writeAddress();
  history.replaceState({ run: true }, "");
  const controller = new AbortController();
  running = controller;
  const operationName = operationChoice.hidden ? undefined : operation.value;
  cancel.disabled = false;
  showStatus("Running…");
  try {
    const outcome = await send({ query: sent.query, variables: values, operationName }, { signal: controller.signal });
    const text = showOutcome(outcome, (location) => goTo(query, location));
    if (!isOfEarlierToken(outcome)) showAccess(outcome);
    if (text) {
      [responseText, answered] = [text, toFragment(sent)];
      copyResponse.disabled = false;
    }
    showAge();
    pastDrafts.add(sent);
    showHistory();
    if (outcome.status === 401) secret.focus();
  } catch (thrown) {
    if (!controller.signal.aborted) throw thrown;
    if (running === controller) showStatus("Cancelled.");
  } finally {
    if (running === controller) {
      if (document.activeElement === cancel) run.focus();
      cancel.disabled = true;
      running = undefined;
    }
  }
}

run.addEventListener("click", runDraft);
cancel.addEventListener("click", () => running?.abort());
addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
  event.preventDefault();
  runDraft();
});

// ---- Copying

/**
 * Copy text; browsers allow this only to pages of https and of this machine.
 * @param {string} text
 * @param {string} copied what to say then
 * @param {string} instead what to say where it is not allowed
 */
async function copy(text, copied, instead) {
  try {
    await navigator.clipboard.writeText(text);
    showStatus(copied);
  } catch {
    showStatus(instead);
  }
}

find("link", HTMLButtonElement).addEventListener("click", () => {
  writeAddress();
  copy(
    location.href,
    "The link is copied. It has the query and its variables, and no token.",
    "Copy the address of this page.",
  );
});
copyResponse.addEventListener("click", () =>
  copy(responseText, "The response is copied.", "The browser does not allow copying here. Select the text instead."),
);

// ---- Start

showTheme();
readAddress();
showHistory();
connect();
