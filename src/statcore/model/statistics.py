"""Statistics: the value of a metric as agents write it, and batches of entries with their problems, also as plain JSON."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final, Literal, Self, TypeAlias, TypeGuard, TypeVar, cast, overload

import attrs

from statcore.errors import InputError, MalformedEntryError
from statcore.model.numbers import format_sample_value

_T = TypeVar("_T")
Entry: TypeAlias = Mapping[str, Any]
"""Metrics of one object by name; reading a metric may decode it, and raise `MalformedEntryError`."""
UNBOUNDED_METRICS: Final = frozenset({"cpu_used", "io_read", "io_write", "net_rx", "net_tx"})
"""Metrics without a bound. Agents store their first sample as the capacity, so their capacity and `pct` mean nothing."""
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


def shown_value(metric: str, value: object) -> object:
    """Return a stored metric as it may be shown: fields that agents write but that mean nothing become None.

    These fields are the capacity and `pct` of a metric without a bound, which is known by its name or by the capacity
    `UNBOUNDED`, and the `stats` of `cpu_util` that describe its cumulative counter, because its current value is a rate. A
    value that is not a map is returned unchanged.
    """
    if not isinstance(value, Mapping):
        return value
    fields = cast("Mapping[str, Any]", value)
    bounded = has_bound(metric) and fields.get("capacity") != UNBOUNDED
    hidden = (() if bounded else _BOUND_FIELDS) + (_COUNTER_FIELDS if metric == "cpu_util" else ())
    return {name: None if name in hidden else part for name, part in fields.items()}


class ProblemKind(StrEnum):
    """Why an entry is missing or must not be trusted."""

    MALFORMED = "malformed"
    """Something is stored, but not what the wire format says; the entry is None."""
    INCOMPLETE = "incomplete"
    """A part of the entry is missing; that part is left out, or filled in as documented."""
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


def _in_order(entries: Iterable[Entry | None]) -> tuple[Entry | None, ...]:
    return tuple(entries)


# One generic converter would be simpler, but mypy's plugin for attrs does not solve type variables.
def _read_only(problems: Mapping[int, Problem]) -> Mapping[int, Problem]:
    return MappingProxyType(dict(problems))


def _read_only_ages(ages_s: Mapping[int, float]) -> Mapping[int, float]:
    return MappingProxyType(dict(ages_s))


@attrs.frozen
class StatisticsBatch(Sequence[Entry | None]):
    """Entries in the order of the requested ids, None for an id without an entry or with a malformed entry.

    Args:
        entries: the entries. An entry may decode a metric when it is read, and raise `MalformedEntryError` then.
        problems: by position, what is wrong there. A position that is None without a problem has no data.
        ages_s: by position, the seconds since the entry was written. The age of other positions is unknown: not every store
            knows ages, and some read them only if a freshness bound is set. Equality ignores ages.
    """

    entries: Sequence[Entry | None] = attrs.field(converter=_in_order, default=())
    problems: Mapping[int, Problem] = attrs.field(
        converter=_read_only, factory=dict[int, Problem], kw_only=True, hash=False
    )
    ages_s: Mapping[int, float] = attrs.field(converter=_read_only_ages, factory=dict[int, float], kw_only=True, eq=False)

    def __len__(self) -> int:
        """Return the number of requested ids."""
        return len(self.entries)

    @overload
    def __getitem__(self, index: int) -> Entry | None: ...
    @overload
    def __getitem__(self, index: slice) -> Self: ...
    def __getitem__(self, index: int | slice) -> Entry | Self | None:
        """Return the entry at a position, or the batch of a slice with its problems and ages."""
        if isinstance(index, slice):
            return self.select(range(*index.indices(len(self))))
        return self.entries[index]

    def to_json(self) -> dict[str, Any]:
        """Return the batch as plain JSON, with every entry decoded; a malformed metric does not raise.

        Returns:
            `{"entries": [{metric: {field: value}} or None, …], "ages_s": [seconds or None, …], "problems": [{"position",
            "kind", "message", "key"}, …]}`: entries and ages in request order, problems in the order of their positions.
            A metric that cannot be decoded is left out of its entry, and is a problem of the kind *malformed*. `NaN`,
            `+Inf` and bytes (in hexadecimal) become text.
        """
        entries: list[dict[str, Any] | None] = []
        problems: list[dict[str, Any]] = []
        for position, entry in enumerate(self.entries):
            of_entry = [self.problems[position]] if position in self.problems else []
            try:
                decoded, malformed = (None, []) if entry is None else decode_entry(entry)
            except MalformedEntryError as error:  # the names of its metrics cannot be read
                decoded, malformed = None, [((), _malformed(error))]
            entries.append(decoded)
            of_entry += [problem for _, problem in malformed]
            problems += [
                {"position": position, "kind": problem.kind.value, "message": problem.message, "key": problem.key}
                for problem in of_entry
            ]
        ages_s = [self.ages_s.get(position) for position in range(len(self))]
        return {"entries": entries, "ages_s": ages_s, "problems": problems}

    def select(self, positions: Iterable[int]) -> Self:
        """Return a batch of the entries at `positions`, with their problems and ages; a position may recur."""
        chosen = list(positions)
        return type(self)(
            [self.entries[position] for position in chosen],
            problems=_moved(self.problems, chosen, length=len(self)),
            ages_s=_moved(self.ages_s, chosen, length=len(self)),
        )

    @classmethod
    def join(cls, batches: Iterable[StatisticsBatch]) -> Self:
        """Return one batch of all entries, in order, with their problems and ages."""
        entries: list[Entry | None] = []
        problems: dict[int, Problem] = {}
        ages_s: dict[int, float] = {}
        for batch in batches:
            problems.update({len(entries) + position: problem for position, problem in batch.problems.items()})
            ages_s.update({len(entries) + position: age_s for position, age_s in batch.ages_s.items()})
            entries.extend(batch.entries)
        return cls(entries, problems=problems, ages_s=ages_s)


def _moved(by_position: Mapping[int, _T], chosen: Sequence[int], *, length: int) -> dict[int, _T]:
    if not by_position:
        return {}
    return {new: by_position[old % length] for new, old in enumerate(chosen) if old % length in by_position}


def decode_entry(entry: Entry) -> tuple[dict[str, Any], list[tuple[tuple[str, ...], Problem]]]:
    """Return an entry, which may decode itself only now, as plain JSON.

    Returns:
        The entry without the parts that cannot be decoded, and for each of these its path (such as the metric) and a
        problem.

    Raises:
        MalformedEntryError: the names of the metrics cannot be read.
    """
    decoded: dict[str, Any] = {}
    problems: list[tuple[tuple[str, ...], Problem]] = []
    for name in entry:
        try:
            part: object = entry[name]
            if _decodes_itself(part):
                decoded[str(name)], inner = decode_entry(part)
                problems += [((str(name), *path), problem) for path, problem in inner]
            else:
                decoded[str(name)] = json_value(part)
        except MalformedEntryError as error:
            problems.append(((str(name),), _malformed(error)))
    return decoded, problems


def _malformed(error: MalformedEntryError) -> Problem:
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
