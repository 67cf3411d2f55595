"""Statistics of one object: the value of a metric as agents write it, an entry of metrics, its problems, and its JSON."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Any, Final, Literal, Protocol, Self, TypeAlias, TypeGuard, cast, runtime_checkable

import attrs

from statcore.errors import InputError, MalformedEntryError, StatcoreError
from statcore.model.numbers import finite_number, format_sample_value
from statcore.model.text import describe

Entry: TypeAlias = Mapping[str, Any]
"""Metrics of one object by name; reading a metric may decode it, and raise `MalformedEntryError`."""
UNBOUNDED_METRICS: Final = frozenset({"cpu_used", "io_read", "io_write", "net_rx", "net_tx"})
"""Metrics without a bound. Agents store their first sample as the capacity, so their capacity and `pct` mean nothing."""
METRICS_OF_EVERY_KERNEL: Final = UNBOUNDED_METRICS | {"cpu_util", "mem"}
"""Metrics that each kernel has, whatever its accelerators; one that a kernel lacks could not be read there."""
UNBOUNDED: Final = "9223372036854775807"
"""The capacity of a metric without a bound in entries from a metric backend, in place of None; its `pct` means nothing."""
STATS: Final = ("min", "max", "sum", "avg", "diff", "rate")
"""Names of the moving statistics, in wire order; on the wire each is a flat key such as `stats.max`."""
MAX_LEVELS: Final = 64
"""How deeply a value may be nested: more than the wire format ever is, and less than any JSON encoder's limit."""

_BOUND_FIELDS: Final = ("capacity", "pct")
_COUNTER_FIELDS: Final = ("stats.min", "stats.max", "stats.sum", "stats.avg")
_HINTS: Final[Mapping[str, str]] = {
    "cpu_util": "millicores",
    "cpu_used": "msec",
    "mem": "bytes",
    "disk": "bytes",
    "io_read": "bytes",
    "io_write": "bytes",
    "io_scratch_size": "bytes",
    # These are bytes per second, but agents write bps.
    "net_rx": "bps",
    "net_tx": "bps",
}
_NODE_HINTS: Final[Mapping[str, str]] = {"cpu_util": "msec"}
_ACCELERATOR_HINTS: Final[Mapping[str, str]] = {"_mem": "bytes", "_util": "percent"}
_PLAIN: Final = frozenset([str, int, bool, type(None)])


def unit_hint(metric: str, *, of: Literal["kernel", "node"] = "kernel") -> str:
    """Return the `unit_hint` that agents write for a metric.

    Args:
        metric: the metric's name; an accelerator's metric is recognized by its suffix, such as `_mem`.
        of: the object that has the metric; a device counts as a node.

    Returns:
        The hint, which for an unknown metric is its own name.
    """
    if of == "node" and metric in _NODE_HINTS:
        return _NODE_HINTS[metric]
    _, underscore, kind = metric.rpartition("_")
    return _HINTS.get(metric) or _ACCELERATOR_HINTS.get(underscore + kind, metric)


def has_bound(metric: str) -> bool:
    """Return whether a metric has a bound, so that its capacity and percentage mean something."""
    return metric not in UNBOUNDED_METRICS


def _as_text_mapping(stats: Mapping[str, str]) -> dict[str, str]:
    unknown = sorted(set(stats) - set(STATS))
    if unknown:
        raise InputError(f"unknown moving statistics {unknown}; known are {list(STATS)}")
    return {name: stats[name] for name in STATS if name in stats}


@attrs.frozen(kw_only=True)
class MetricValue:
    """Value of a metric with its capacity and moving statistics, all numbers as decimal text.

    Args:
        current: the current value.
        capacity: the bound of the value, None if there is none.
        pct: the value in percent of the capacity; `0.00` without a capacity.
        unit_hint: the unit as agents write it; see `unit_hint`.
        stats: moving statistics; the names are in `STATS`.

    Raises:
        InputError: a name in `stats` is not known.
    """

    current: str
    capacity: str | None = None
    pct: str = "0.00"
    unit_hint: str = ""
    stats: Mapping[str, str] = attrs.field(factory=dict[str, str], converter=_as_text_mapping, hash=False)

    @classmethod
    def from_map(cls, fields: Mapping[str, Any]) -> Self:
        """Read the map that a stored entry has for one metric; unknown keys are ignored.

        Raises:
            InputError: `current` is missing, or a field is not text.
        """
        numbers = {name: fields.get(name) for name in ("current", "capacity", "pct", "unit_hint")}
        stats = {name: fields[f"stats.{name}"] for name in STATS if fields.get(f"stats.{name}") is not None}
        if numbers["current"] is None or not all(
            text is None or isinstance(text, str) for text in (*numbers.values(), *stats.values())
        ):
            raise InputError(f"not a metric value: {dict(fields)!r}")
        return cls(**{name: text for name, text in numbers.items() if text is not None}, stats=stats)

    def to_map(self) -> dict[str, Any]:
        """Return the map that is stored: flat keys, `capacity` present even if it is None."""
        flat = {f"stats.{name}": text for name, text in self.stats.items()}
        return {
            "current": self.current,
            "capacity": self.capacity,
            "pct": self.pct,
            "unit_hint": self.unit_hint,
            **flat,
        }


def has_capacity(capacity: object) -> bool:
    """Return whether the capacity of a stored metric is one; without it, agents write 0.00 as `pct`."""
    return capacity != UNBOUNDED and bool(finite_number(capacity))


def hidden_fields(metric: str, capacity: object) -> tuple[str, ...]:
    """Return the fields of a stored metric that agents write but that mean nothing.

    These fields are the capacity and `pct` of a metric without a bound, which is known by its name or by the capacity
    `UNBOUNDED`, and the `stats` of `cpu_util` that describe its cumulative counter, because its current value is a rate.
    """
    bounded = has_bound(metric) and capacity != UNBOUNDED
    return (() if bounded else _BOUND_FIELDS) + (_COUNTER_FIELDS if metric == "cpu_util" else ())


def shown_pct(metric: str, fields: Mapping[str, Any]) -> object:
    """Return the `pct` of a stored metric; None if it is hidden, or the zero that agents write without a capacity."""
    capacity, pct = fields.get("capacity"), fields.get("pct")
    if "pct" in hidden_fields(metric, capacity):
        return None
    return pct if has_capacity(capacity) or finite_number(pct) != 0 else None


def shown_value(metric: str, value: object) -> object:
    """Return a stored metric as it may be shown: `hidden_fields` become None. A value that is not a map is not changed."""
    if not isinstance(value, Mapping):
        return value
    fields = cast("Mapping[str, Any]", value)
    hidden = hidden_fields(metric, fields.get("capacity"))
    return {name: None if name in hidden else part for name, part in fields.items()}


@runtime_checkable
class RowEntry(Protocol):
    """An entry that reads several of its fields at once, faster than one after the other. No entry has to be one."""

    def row(self, fields: tuple[str, ...], /) -> Sequence[str | None] | None:
        """Return what `read_row` returns for the fields if there is no problem; otherwise, or if it cannot, None.

        A fault in a field that is not requested may stay unnoticed.
        """
        ...


@runtime_checkable
class JsonEntry(Protocol):
    """An entry that is written as JSON without being decoded first. No entry has to be one."""

    @classmethod
    def encode_json(cls, entries: Sequence[Any], /, *, shown: bool) -> bytes | None:
        """Return a JSON list of entries of this class, with null for None; or None if it cannot.

        Args:
            entries: entries of this class, or None.
            shown: whether `hidden_fields` become null.

        Returns:
            The list, equal to one of `decode_entry`; None where that would have a problem.
        """
        ...


class ProblemKind(StrEnum):
    """Why an entry is missing or must not be trusted."""

    MALFORMED = "malformed"
    """Something is stored, but not what the wire format says; the entry is None."""
    INCOMPLETE = "incomplete"
    """A part of the entry is missing; that part is left out, or filled in as documented.

    If a primary took over a short time ago, a whole entry may be missing because the primary has not received it; the entry
    is None.
    """
    UNAVAILABLE = "unavailable"
    """The store could not read this one entry; the entry is None."""
    STALE = "stale"
    """The entry is older than the freshness bound; it is returned nevertheless."""
    UNDATED = "undated"
    """The age of the entry is unknown, so it may be older than the freshness bound; it is returned nevertheless."""
    OVERSIZED = "oversized"
    """Something is stored that is larger than the configured limit, and was not read; the entry is None."""


@attrs.frozen
class Problem:
    """Problem of one entry: its kind, a message for a person, and the key in the store if there is one."""

    kind: ProblemKind
    message: str = attrs.field(kw_only=True)
    key: str | None = attrs.field(kw_only=True, default=None)


def decode_entry(
    entry: Entry, metrics: Iterable[str] | None = None
) -> tuple[dict[str, Any], list[tuple[tuple[str, ...], Problem]]]:
    """Return an entry, which may decode itself only now, as plain JSON.

    Args:
        entry: the entry.
        metrics: the names of metrics of the entry to which the result is limited; by default all.

    Returns:
        The entry without the parts that cannot be decoded, and for each of these its path (such as the metric) and a
        problem.

    Raises:
        MalformedEntryError: the names of the metrics cannot be read.
    """
    decoded: dict[str, Any] = {}
    problems: list[tuple[tuple[str, ...], Problem]] = []
    for name in entry if metrics is None else metrics:
        try:
            part: object = entry[name]
            if _decodes_itself(part):
                decoded[str(name)], inner = decode_entry(part)
                problems += [((str(name), *path), problem) for path, problem in inner]
            else:
                decoded[str(name)] = json_value(part)
        except MalformedEntryError as error:
            problems.append(((str(name),), malformed(error)))
    return decoded, problems


def read_row(entry: Entry, fields: Sequence[str]) -> tuple[list[str | None], list[Problem]]:
    """Return fields of an entry as text, with None for a field that is not there or cannot be read, and the problems.

    Args:
        entry: the entry.
        fields: the name of each level with dots between, such as "cpu_util.pct" or "node.mem.stats.max"; only the name of
            the last level may itself have dots.
    """
    row: list[str | None] = []
    problems: list[Problem] = []
    for field in fields:
        metric, _, rest = field.partition(".")
        text: str | None = None
        try:
            if metric in entry:
                text = _field_text(_inner(entry[metric], rest), field)
        except StatcoreError as error:  # an entry of a third party's store may read itself only now
            problem = _problem_of(error)
            if problem not in problems:  # two fields of one metric
                problems.append(problem)
        row.append(text)
    return row, problems


def _problem_of(error: StatcoreError) -> Problem:
    if isinstance(error, MalformedEntryError):
        return malformed(error)
    return Problem(ProblemKind.UNAVAILABLE, message=describe(error))


def _inner(part: object, rest: str) -> object:
    """Return the part of a metric; the name of a field may have dots, such as "stats.max"."""
    while rest:
        if not isinstance(part, Mapping):
            return None
        parts = cast("Mapping[str, object]", part)
        if rest in parts:
            return parts[rest]
        name, _, rest = rest.partition(".")
        part = parts.get(name)
    return part


def _field_text(value: object, field: str) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, float):
        return format_sample_value(value)
    if isinstance(value, int):
        return str(value)
    raise MalformedEntryError(f"{field} is a {type(value).__name__}, neither text nor a number", key="")


def malformed(error: MalformedEntryError) -> Problem:
    """Return the problem of an entry, or of a part of it, that cannot be decoded."""
    return Problem(ProblemKind.MALFORMED, message=str(error), key=error.key)


def _decodes_itself(part: object) -> TypeGuard[Entry]:
    """Return whether a part decodes itself when it is read, and may raise then; the halves of an agent's entry do."""
    return isinstance(part, Mapping) and not isinstance(part, dict)


def json_value(value: object, *, levels: int = MAX_LEVELS) -> object:
    """Return a value as JSON can hold it: keys as text, sequences as lists, `NaN`, `+Inf` and bytes (hexadecimal) as text.

    Raises:
        MalformedEntryError: the value is nested more deeply than `levels`.
    """
    if value is None or isinstance(value, (str, int)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else format_sample_value(value)
    if isinstance(value, (bytes, bytearray)):
        return value.hex()
    if not isinstance(value, (Mapping, Sequence)):
        return str(value)
    if not levels:
        raise MalformedEntryError(f"nested more than {MAX_LEVELS} levels deep", key="")
    if isinstance(value, Mapping):
        # Nearly everything that is stored is text, so plain values are recognized here, without a call for each.
        return {
            name if type(name) is str else str(json_value(name, levels=0)): (
                part if type(part) in _PLAIN else json_value(part, levels=levels - 1)
            )
            for name, part in cast("Mapping[object, object]", value).items()
        }
    return [json_value(part, levels=levels - 1) for part in cast("Sequence[object]", value)]
