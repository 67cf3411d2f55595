// The range of time of charts: read from the address, chosen in a bar. Its ends are texts as on the command line: RFC 3339 with a
// zone, `now`, or a time before now such as `-15m`.

import { html } from "htm/preact";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { change, currentPlace, usePlace } from "./state.js";
import { clock, duration, zone } from "./units.js";

/**
 * A range as the address has it: its ends as texts, its step, or undefined where the page chooses it.
 * @typedef {{from: string, to: string, step?: string}} TimeRange
 */
/** The range at a moment: its ends in unix seconds, and its step. @typedef {{start_s: number, end_s: number, step_s: number}} Span */

const LASTS = ["15m", "1h", "6h", "24h", "7d"];
const DEFAULT_FROM = "-15m";
const MOST_POINTS = 360;
const STEPS_S = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21_600, 43_200, 86_400];
const UNITS_S = { w: 604_800, d: 86_400, h: 3600, m: 60, s: 1 };
const DURATION = /^-?(?:(\d+)w)?(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?$/;
/** The longest duration, about a thousand years: the times before now and the steps that it makes are times of a calendar. */
const LONGEST_S = 1000 * 366 * UNITS_S.d;
const ABSOLUTE = /^(\d{4}-\d\d-\d\d)[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:?\d\d)$/i;
const EXPECTED = "expected now, a time before now such as -2h, or RFC 3339 with a zone such as 2026-05-01T13:00:00Z";
const FASTEST_MS = 5000;
const SLOWEST_MS = 30_000;
const REMARKABLE_S = 60;

/**
 * Return the seconds of a duration such as "1h30m", or undefined if the text is not a duration.
 * @param {string} text
 */
export function secondsOf(text) {
  const [, ...counts] = DURATION.exec(text) ?? [];
  const total = Object.values(UNITS_S).reduce((sum, unit_s, number) => sum + Number(counts[number] ?? 0) * unit_s, 0);
  return total > 0 && total <= LONGEST_S ? total : undefined;
}

/**
 * Return a time in unix seconds, or undefined if the text is not a time.
 * @param {string} text
 * @param {number} now_s
 */
export function timeOf(text, now_s) {
  if (text === "now") return now_s;
  const before_s = secondsOf(text);
  if (before_s !== undefined) return now_s - before_s;
  const [, day] = ABSOLUTE.exec(text) ?? [];
  // Browsers take the 30th of February for a day in March.
  const isDay = day && new Date(`${day}T00:00Z`).toJSON()?.startsWith(day);
  const time_s = isDay ? Date.parse(text) / 1000 : Number.NaN;
  return Number.isNaN(time_s) ? undefined : time_s;
}

/**
 * Return the step that the page chooses for a range: at most 360 points.
 * @param {number} length_s
 */
export function stepFor(length_s) {
  return STEPS_S.find((step_s) => length_s / step_s <= MOST_POINTS) ?? Math.ceil(length_s / MOST_POINTS);
}

/**
 * Return what is wrong with a range, by the name of its part.
 * @param {TimeRange} range
 * @returns {{from?: string, to?: string, step?: string}}
 */
export function wrongWith({ from, to, step }) {
  const now_s = Date.now() / 1000;
  const [start_s, end_s] = [timeOf(from, now_s), timeOf(to, now_s)];
  const wrong = /** @type {{from?: string, to?: string, step?: string}} */ ({});
  if (start_s === undefined) wrong.from = `This is not a time: ${EXPECTED}.`;
  if (end_s === undefined) wrong.to = `This is not a time: ${EXPECTED}.`;
  else if (start_s !== undefined && start_s >= end_s) wrong.from = "The range begins at its end or after it.";
  if (step && secondsOf(step) === undefined) wrong.step = "This is not a duration: expected one such as 30s or 1h30m.";
  return wrong;
}

/**
 * Return the ends and the step of a range at this moment. Its points lie on multiples of the step, so they do not move while time
 * passes.
 * @param {TimeRange} range a range with nothing wrong
 * @param {number} [now_s]
 * @returns {Span}
 */
export function spanOf({ from, to, step }, now_s = Date.now() / 1000) {
  const [start_s = now_s - 900, end_s = now_s] = [timeOf(from, now_s), timeOf(to, now_s)];
  const step_s = (step && secondsOf(step)) || stepFor(end_s - start_s);
  if (ABSOLUTE.test(from) && ABSOLUTE.test(to)) return { start_s, end_s, step_s };
  const onGrid = (/** @type {number} */ time_s) => Math.floor(time_s / step_s) * step_s;
  return { start_s: onGrid(start_s), end_s: Math.max(onGrid(end_s), onGrid(start_s) + step_s), step_s };
}

/**
 * Return the parameters of the range in the address, for a link to another view.
 * @returns {{from?: string, to?: string, step?: string}}
 */
export function rangeParams() {
  const { params } = currentPlace();
  return Object.fromEntries(["from", "to", "step"].map((name) => [name, params.get(name) ?? undefined]));
}

/**
 * Return the range in the address, or the default one.
 * @returns {TimeRange}
 */
function rangeNow() {
  const { from = DEFAULT_FROM, to = "now", step } = rangeParams();
  return { from, to, step };
}

/**
 * Return the range in the address, or the default one, and render again when the address changes (a hook).
 * @returns {TimeRange}
 */
export function useTimeRange() {
  usePlace();
  return rangeNow();
}

/**
 * Return how often a range is queried again, in milliseconds; 0 is never, for a range in the past.
 * @param {TimeRange} range
 */
export function refreshOf(range) {
  const { end_s, step_s } = spanOf(range);
  if (ABSOLUTE.test(range.from) && ABSOLUTE.test(range.to) && end_s < Date.now() / 1000) return 0;
  return Math.min(SLOWEST_MS, Math.max(FASTEST_MS, step_s * 1000));
}

/**
 * Return that a range until now ends some time before now, since its points lie on multiples of a long step; "" if it does not.
 * @param {TimeRange} range
 * @param {number} end_s its last point
 * @param {number} [now_s]
 */
export function remarkOnEnd({ to }, end_s, now_s = Date.now() / 1000) {
  if (to !== "now" || now_s - end_s < REMARKABLE_S) return "";
  return ` Its last step is at ${clock(new Date(end_s * 1000))}. A shorter range shows newer points, if there are any.`;
}

/**
 * Return a time as the address has it, to the second.
 * @param {number} time_s
 */
const isoOf = (time_s) => new Date(Math.round(time_s) * 1000).toISOString().replace(".000Z", "Z");

/**
 * Go to a range between two times, with a new entry of the browser's history.
 * @param {number} start_s
 * @param {number} end_s
 */
export function zoomTo(start_s, end_s) {
  change({ from: isoOf(start_s), to: isoOf(Math.max(end_s, start_s + 1)), step: undefined });
}

/**
 * Go to a part of the range, or to more than the range; its end is never after now.
 * @param {TimeRange} range
 * @param {number} factor how many times as long it is then
 * @param {number} [by] how far it is moved, in lengths
 */
export function zoomBy(range, factor, by = 0) {
  const { start_s, end_s } = spanOf(range);
  const length_s = end_s - start_s;
  const middle_s = (start_s + end_s) / 2 + by * length_s;
  const end = Math.min(Date.now() / 1000, middle_s + (length_s * factor) / 2);
  zoomTo(end - length_s * factor, end);
}

/** The bar with which a range is chosen. */
export function RangeBar() {
  const range = useTimeRange();
  const { from, to, step } = range;
  const wrong = wrongWith(range);
  const isWrong = Object.keys(wrong).length > 0;
  const isCustom = isWrong || to !== "now" || Boolean(step) || !LASTS.includes(from.slice(1));
  const [isChosen, setIsChosen] = useState(false);
  const isOpen = isChosen || isWrong; // what is wrong can be corrected
  const opener = useRef(/** @type {HTMLButtonElement | null} */ (null));
  const close = () => {
    setIsChosen(false);
    opener.current?.focus();
  };
  const move = (/** @type {number} */ factor, /** @type {number} */ by = 0) => zoomBy(range, factor, by);
  return html`<div class="range" role="group" aria-label="Range of time">
    <div class="choices">
      ${LASTS.map((last) => {
        const isPressed = !isCustom && from === `-${last}`;
        const choose = () => change({ from: `-${last}`, to: undefined, step: undefined });
        return html`<button key=${last} type="button" aria-pressed=${isPressed} title=${`The last ${last}`} onClick=${choose}>${last}</button>`;
      })}
      <button ref=${opener} type="button" aria-pressed=${isCustom} aria-expanded=${isOpen} onClick=${() => setIsChosen(!isOpen)}>Custom range</button>
    </div>
    ${
      !isWrong &&
      html`<div class="choices">
        <button type="button" aria-label="Earlier" title="Earlier by half of the range" onClick=${() => move(1, -0.5)}>◂</button>
        <button type="button" aria-label="Later" title="Later by half of the range" onClick=${() => move(1, 0.5)}>▸</button>
        <button type="button" aria-label="Zoom in" title="Zoom in; or drag over a chart" onClick=${() => move(0.5)}>+</button>
        <button type="button" aria-label="Zoom out" title="Zoom out; or double-click a chart" onClick=${() => move(2)}>−</button>
      </div>
      <${RangeText} range=${range} />`
    }
    ${isOpen && html`<${CustomRange} range=${range} wrong=${wrong} isChosen=${isChosen} open=${() => setIsChosen(true)} close=${close} />`}
  </div>`;
}

/** The range in words, with the zone. @param {{range: TimeRange}} props */
function RangeText({ range }) {
  const { start_s, end_s, step_s } = spanOf(range);
  const [start, end] = [new Date(start_s * 1000), new Date(end_s * 1000)];
  const isLive = range.to === "now";
  const withoutZone = (/** @type {Date} */ time) => clock(time).replace(` ${zone(time)}`, "");
  const text = isLive ? `${duration(end_s - start_s)} until now` : `${withoutZone(start)} – ${withoutZone(end)}`;
  const title = isLive
    ? `since ${clock(start)}, a point every ${duration(step_s)}`
    : `${duration(end_s - start_s)}, a point every ${duration(step_s)}`;
  return html`<span class="range-text" title=${title}>${text}, every ${duration(step_s)} · <span title="Times are in the zone of this browser">${zone(end)}</span></span>`;
}

/**
 * @param {{range: TimeRange, wrong: Record<string, string>, isChosen: boolean, open: () => void, close: () => void}} props
 *   `isChosen`: the user opened it, and the address did not
 */
function CustomRange({ range, wrong, isChosen, open, close }) {
  const form = useRef(/** @type {HTMLFormElement | null} */ (null));
  const submit = (/** @type {Event} */ event) => {
    event.preventDefault();
    const given = new FormData(form.current ?? undefined);
    const text = (/** @type {string} */ name) => String(given.get(name) ?? "").trim();
    change({ from: signed(text("from")), to: signed(text("to")), step: text("step") });
    const [first] = Object.keys(wrongWith(rangeNow()));
    if (first) focus(first);
    open();
  };
  const focus = (/** @type {string} */ name) => {
    /** @type {HTMLElement | null | undefined} */ (form.current?.querySelector(`[name=${name}]`))?.focus();
  };
  useEffect(() => {
    if (isChosen) focus("from");
  }, []);
  useLayoutEffect(() => form.current?.reset(), [range.from, range.to, range.step]); // to the values of now
  const { start_s, end_s, step_s } = spanOf(range);
  const values = { from: range.from, to: range.to, step: range.step ?? "" };
  const titles = { from: "From", to: "To", step: "Step" };
  const hints = { from: `-2h or ${isoOf(start_s)}`, to: `now or ${isoOf(end_s)}`, step: `${step_s}s` };
  const keys = (/** @type {KeyboardEvent} */ { key }) => {
    if (key === "Escape") close();
  };
  return html`<form ref=${form} class="custom-range" onSubmit=${submit} onKeyDown=${keys} noValidate>
    ${
      /** @type {const} */ (["from", "to", "step"]).map(
        (name) => html`<label key=${name}>${titles[name]}
        <input
          name=${name} defaultValue=${values[name]} placeholder=${hints[name]} title=${name === "step" ? "The time between two points; left empty, the page chooses it" : EXPECTED}
          aria-invalid=${wrong[name] ? "true" : undefined} aria-describedby=${wrong[name] && `wrong-${name}`} autocomplete="off" spellcheck=${false}
        />
        ${wrong[name] && html`<span id=${`wrong-${name}`} class="wrong" role="alert">${wrong[name]}</span>`}
      </label>`,
      )
    }
    <button class="main">Show</button>
  </form>`;
}

/** Return a duration with its sign, which people leave out, and other texts as they are. @param {string} text */
const signed = (text) => (secondsOf(text) !== undefined && !text.startsWith("-") ? `-${text}` : text);
