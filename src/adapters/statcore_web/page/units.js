// Numbers with units, as people read them: three digits that mean something. The exact number belongs into a `title`.

const NONE = "—";
const BYTES = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
const COUNTS = ["", "k", "M", "G", "T"];
const EXACT = /** @type {const} */ ({
  maximumFractionDigits: 6,
  maximumSignificantDigits: 3,
  roundingPriority: "morePrecision",
});

/**
 * Return a number with at most three digits that mean something: 0, 0.004, 1.25, 12.5, 125, 1250.
 * @param {number} value
 */
export function digits(value) {
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 100) return value.toFixed(0);
  if (size < 0.001) return value.toExponential(1);
  return String(Number(value.toPrecision(3)));
}

/**
 * @param {number} value
 * @param {number} base
 * @param {string[]} names
 * @param {string} space
 */
function scaled(value, base, names, space) {
  let [size, step] = [value, 0];
  while (Math.abs(size) >= base * 0.9995 && step < names.length - 1) [size, step] = [size / base, step + 1];
  return `${digits(size)}${names[step] ? space : ""}${names[step]}`;
}

/**
 * Return a duration by its two largest units: "3 d 4 h", "12 min", "8 s", "-8 s".
 * @param {number} seconds
 * @returns {string}
 */
export function duration(seconds) {
  if (seconds < 0) return `-${duration(-seconds)}`;
  if (seconds < 1 && seconds) return `${digits(seconds * 1000)} ms`;
  const whole = Math.round(seconds);
  const [d, h, min, s] = [
    Math.floor(whole / 86400),
    Math.floor(whole / 3600) % 24,
    Math.floor(whole / 60) % 60,
    whole % 60,
  ];
  if (d) return `${d} d${h ? ` ${h} h` : ""}`;
  if (h) return `${h} h${min ? ` ${min} min` : ""}`;
  if (min) return `${min} min${s && min < 10 ? ` ${s} s` : ""}`;
  return `${s} s`;
}

/** @type {Record<string, (value: number) => string>} */
const FORMATS = {
  percent: (value) => `${digits(value)} %`,
  bytes: (value) => scaled(value, 1024, BYTES, " "),
  bytes_per_s: (value) => `${scaled(value, 1024, BYTES, " ")}/s`,
  "bytes/s": (value) => `${scaled(value, 1024, BYTES, " ")}/s`,
  millicores: (value) =>
    Math.abs(value) < 1000 && value
      ? `${digits(value)} mcores`
      : `${digits(value / 1000)} ${value === 1000 ? "core" : "cores"}`,
  seconds: duration,
  s: duration,
  ms: (value) => duration(value / 1000),
  1: (value) => digits(value),
  count: (value) => scaled(value, 1000, COUNTS, " "),
};

/**
 * Return a value with its unit, or a dash for null.
 * @param {number | null | undefined} value
 * @param {string | null} [unit] one of `FORMATS`; another unit is written behind the number; null: a number without a unit
 */
export function format(value, unit) {
  if (value === null || value === undefined || !Number.isFinite(value)) return NONE;
  const known = FORMATS[unit ?? "count"];
  return known ? known(value) : `${digits(value)} ${unit}`;
}

/**
 * Return the exact value for a title, "1,234,567 bytes": with six decimals, or three digits of a value that is smaller.
 * @param {number | null | undefined} value
 * @param {string | null} [unit]
 */
export function exact(value, unit) {
  if (value === null || value === undefined) return "";
  const name = (unit ?? "").replace("_per_s", " per second");
  return `${value.toLocaleString("en", EXACT)}${name && name !== "count" ? ` ${name}` : ""}`;
}

/**
 * Return a time of this machine's zone, with the zone: "2026-05-01 13:05:09 UTC+2".
 * @param {Date} time
 */
export function clock(time) {
  const two = (/** @type {number} */ part) => String(part).padStart(2, "0");
  const day = `${time.getFullYear()}-${two(time.getMonth() + 1)}-${two(time.getDate())}`;
  return `${day} ${two(time.getHours())}:${two(time.getMinutes())}:${two(time.getSeconds())} ${zone(time)}`;
}

/**
 * Return the offset of this machine's zone at a time: "UTC+2", "UTC−3:30", "UTC".
 * @param {Date} time
 */
export function zone(time) {
  const minutes = -time.getTimezoneOffset();
  const [hours, rest] = [Math.floor(Math.abs(minutes) / 60), Math.abs(minutes) % 60];
  return minutes ? `UTC${minutes < 0 ? "−" : "+"}${hours}${rest ? `:${String(rest).padStart(2, "0")}` : ""}` : "UTC";
}
