// A chart of series over time, drawn by uPlot; the same numbers as a table; and whether an element is in view.

import { html } from "htm/preact";
import { useEffect, useRef, useState } from "preact/hooks";
import uPlot from "uplot";
import { make } from "./dom.js";
import { watchTheme } from "./theme.js";
import { clock, format } from "./units.js";

/**
 * A line: its name, and its points in order of time (unix seconds and a number; null is a gap). A line is dashed if other lines
 * are compared with it, as with a capacity.
 * @typedef {{label: string, points: [number, number | null][], isDashed?: boolean}} Line
 */

const NARROW_PX = 700;
const [HEIGHT_PX, NARROW_HEIGHT_PX] = [260, 170];
const COLOURS = 8;
const MOST_ROWS = 200;
const MOST_SPOKEN = 5;
/** Distances of the axis for bytes: 1, 2, 4, … up to 2 EiB. */
const BINARY = Array.from({ length: 62 }, (_, exponent) => 2 ** exponent);

/**
 * A chart. Dragging over it calls `onZoom` with the chosen range in unix seconds; a double click calls it with null.
 * @param {{title: string, lines: Line[], unit?: string | null, range: [number, number],
 *   onZoom?: (range: [number, number] | null) => void}} props `range`: the first and the last time of the axis
 */
export function Chart({ title, lines, unit, range, onZoom }) {
  const frame = useRef(/** @type {HTMLDivElement | null} */ (null));
  const legend = useRef(/** @type {HTMLDivElement | null} */ (null));
  const plot = useRef(/** @type {uPlot | undefined} */ (undefined));
  const zoom = useRef(onZoom);
  zoom.current = onZoom;
  const shown = useRef(range);
  shown.current = range;
  const drawn = useRef(lines);
  drawn.current = lines; // the chart is built again long after the render that began the effect
  const shape = JSON.stringify([unit, lines.map(({ label, isDashed }) => [label, isDashed])]);

  useEffect(() => {
    const element = frame.current;
    if (!element) return;
    const build = () => {
      const before = plot.current?.series ?? [];
      plot.current?.destroy();
      const built = new uPlot(optionsOf({ element, legend, lines, unit, shown, zoom }), columnsOf(drawn.current), element);
      plot.current = built;
      before.forEach(({ show }, number) => {
        if (show === false) built.setSeries(number, { show }); // the user has hidden this line
      });
      showNewest(built);
    };
    build();
    const resized = new ResizeObserver(() => plot.current?.setSize(sizeOf(element)));
    resized.observe(element);
    const unwatch = watchTheme(build); // a drawn line keeps its colour
    return () => {
      resized.disconnect();
      unwatch();
      plot.current?.destroy();
      plot.current = undefined;
    };
  }, [shape]);

  useEffect(() => {
    plot.current?.setData(columnsOf(lines), true);
    if (plot.current) showNewest(plot.current);
  }, [lines, range[0], range[1]]);

  return html`<div ref=${frame} class="plot" role="img" aria-label=${spoken(title, lines, unit)}></div><div ref=${legend}></div>`;
}

/**
 * Return the text of a chart for screen readers: the newest, the lowest and the highest value of each line.
 * @param {string} title
 * @param {Line[]} lines
 * @param {string | null | undefined} unit
 */
function spoken(title, lines, unit) {
  const texts = lines.slice(0, MOST_SPOKEN).map(({ label, points }) => {
    const values = points.flatMap(([, value]) => (value === null ? [] : [value]));
    const [low, high] = [Math.min(...values), Math.max(...values)];
    return `${label}: newest ${format(values.at(-1), unit)}, from ${format(low, unit)} to ${format(high, unit)}`;
  });
  return `Chart of ${title}. ${texts.join(". ")}`;
}

/**
 * The numbers of a chart as a table, which is made when it is opened.
 * @param {{title: string, lines: Line[], unit?: string | null, isFirstOpen?: boolean}} props
 */
export function ChartTable({ title, lines, unit, isFirstOpen = false }) {
  const [isOpen, setIsOpen] = useState(isFirstOpen);
  const [times, ...columns] = isOpen ? columnsOf(lines) : [[]];
  const first = Math.max(0, times.length - MOST_ROWS);
  const rows = Array.from(times).slice(first).reverse();
  return html`<details open=${isFirstOpen} onToggle=${(/** @type {Event} */ { currentTarget }) => setIsOpen(/** @type {HTMLDetailsElement} */ (currentTarget).open)}>
    <summary>Table<span class="unseen"> of ${title}</span></summary>
    ${
      isOpen &&
      html`<div class="scrolling" tabindex="0" role="region" aria-label=${`Numbers of ${title}`}>
        <table>
          <caption>${first ? `The last ${MOST_ROWS} of ${times.length} points` : `${times.length} points`}, newest first</caption>
          <thead><tr><th scope="col">Time</th>${lines.map(({ label }) => html`<th scope="col">${label}</th>`)}</tr></thead>
          <tbody>${rows.map((time, row) => {
            const at = times.length - 1 - row;
            return html`<tr key=${time}>
              <th scope="row">${clock(new Date(time * 1000))}</th>${columns.map((column) => html`<td>${format(column[at], unit)}</td>`)}
            </tr>`;
          })}</tbody>
        </table>
      </div>`
    }
  </details>`;
}

/**
 * Return whether an element is in view or near it (a hook), so that a chart far below is loaded later.
 * @param {{current: Element | null}} ref
 */
export function useNearness(ref) {
  const [isNear, setIsNear] = useState(false);
  useEffect(() => {
    if (!ref.current) return;
    const watch = new IntersectionObserver((entries) => setIsNear(entries.at(-1)?.isIntersecting ?? false), {
      rootMargin: "200px",
    });
    watch.observe(ref.current);
    return () => watch.disconnect();
  }, [ref]);
  return isNear;
}

/**
 * Return the points in the form of uPlot: the times of all lines, and the values of each line at these times.
 * @param {Line[]} lines
 * @returns {uPlot.AlignedData}
 */
function columnsOf(lines) {
  const times = [...new Set(lines.flatMap(({ points }) => points.map(([time]) => time)))].sort((a, b) => a - b);
  const rowOf = new Map(times.map((time, row) => [time, row]));
  const columns = lines.map(({ points }) => {
    /** @type {(number | null)[]} */
    const column = new Array(times.length).fill(null);
    for (const [time, value] of points) column[rowOf.get(time) ?? 0] = value;
    return column;
  });
  return [times, ...columns];
}

/**
 * Show the values of the newest point in the legend, as long as the pointer is elsewhere.
 * @param {uPlot} plot
 */
function showNewest(plot) {
  if ((plot.cursor.left ?? -1) < 0) plot.setLegend({ idx: plot.data[0].length - 1 });
}

/**
 * Return the points without a neighbour, which a line would not show.
 * @param {uPlot} plot
 * @param {number} line
 */
function isolated(plot, line) {
  const values = plot.data[line] ?? [];
  const isThere = (/** @type {number} */ at) => values[at] !== null && values[at] !== undefined;
  return Array.from(values.keys()).filter((at) => isThere(at) && !isThere(at - 1) && !isThere(at + 1));
}

/**
 * Return the texts of the axis of time: the time of day, or the day where a tick is at midnight.
 * @param {number[]} times
 * @param {number} distance_s between two texts
 */
function timeTexts(times, distance_s) {
  return times.map((time_s) => {
    const time = new Date(time_s * 1000);
    const two = (/** @type {number} */ part) => String(part).padStart(2, "0");
    const [h, min, s] = [time.getHours(), time.getMinutes(), time.getSeconds()];
    if (!h && !min && !s) return `${two(time.getMonth() + 1)}-${two(time.getDate())}`;
    return `${two(h)}:${two(min)}${distance_s < 60 ? `:${two(s)}` : ""}`;
  });
}

/** @param {HTMLElement} element */
function sizeOf(element) {
  const width = Math.max(200, element.clientWidth);
  return { width, height: width < NARROW_PX ? NARROW_HEIGHT_PX : HEIGHT_PX };
}

/**
 * Return the label of a line in the legend: a button that hides and shows the line, if there are others. uPlot handles its click.
 * @param {string} label
 * @param {Line[]} lines
 */
const toggle = (label, lines) =>
  lines.length < 2
    ? label
    : make("button", { type: "button", ariaPressed: "true", title: "Hide or show this line" }, label);

/**
 * @param {{element: HTMLElement, legend: {current: HTMLElement | null}, lines: Line[], unit?: string | null,
 *   shown: {current: [number, number]}, zoom: {current: ((range: [number, number] | null) => void) | undefined}}} parts
 * @returns {uPlot.Options}
 */
function optionsOf({ element, legend, lines, unit, shown, zoom }) {
  const style = getComputedStyle(element);
  const colour = (/** @type {string} */ name) => style.getPropertyValue(name);
  const axis = {
    stroke: colour("--chart-text"),
    grid: { stroke: colour("--chart-grid"), width: 1 },
    ticks: { show: false },
  };
  const text = (/** @type {number} */ value) => format(value, unit);
  return {
    ...sizeOf(element),
    legend: { live: true, mount: (_, table) => legend.current?.append(table) }, // nothing in an image can be focused
    cursor: {
      y: false,
      drag: { x: Boolean(zoom.current), y: false, setScale: false },
      points: { size: 6 },
      // The other charts show the same time; a range that is dragged stays here.
      sync: { key: "time", setSeries: false, filters: { pub: (type) => type === "mousemove" || type === "mouseleave" } },
    },
    scales: {
      x: { time: true, range: () => shown.current },
      y: { range: (_, low, high) => [Math.min(0, low ?? 0), high > 0 ? high * 1.05 : 1] },
    },
    axes: [
      { ...axis, size: 32, values: (_, times, __, ___, distance_s) => timeTexts(times, distance_s) },
      {
        ...axis,
        ...(unit?.startsWith("bytes") && { incrs: BINARY }),
        size: (_, values) => Math.max(50, ...(values ?? []).map((value) => value.length * 7 + 14)),
        values: (_, all) => all.map(text),
      },
    ],
    series: [
      { value: (_, time) => (time ? clock(new Date(time * 1000)) : "—") },
      ...lines.map(({ label, isDashed }, number) => ({
        label: toggle(label, lines),
        stroke: colour(isDashed ? "--chart-text" : `--chart-${number % COLOURS}`),
        width: 1.5,
        dash: isDashed ? [6, 4] : undefined,
        points: { show: false, size: 4, filter: isolated },
        value: (/** @type {uPlot} */ _, /** @type {number | null} */ value) => format(value, unit),
      })),
    ],
    hooks: {
      setSelect: [
        (plot) => {
          const { left, width } = plot.select;
          if (width < 4) return;
          const range = /** @type {[number, number]} */ ([plot.posToVal(left, "x"), plot.posToVal(left + width, "x")]);
          plot.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
          zoom.current?.(range);
        },
      ],
      setCursor: [showNewest],
      setSeries: [
        ({ series }) => {
          for (const { label, show } of series) if (label instanceof HTMLElement) label.ariaPressed = String(show);
        },
      ],
      ready: [(plot) => plot.over.addEventListener("dblclick", () => zoom.current?.(null))],
    },
  };
}
