"""Batches: entries of many objects in the order of their ids, with problems and ages; also as columns and as JSON."""

from __future__ import annotations

import json
import math
from array import array
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, Self, TypeVar, cast, overload

import attrs

from statcore.concurrency import in_turns
from statcore.errors import InputError, MalformedEntryError
from statcore.model.arrow import ArrowColumn, ArrowTable, TextColumn
from statcore.model.statistics import (
    UNBOUNDED,
    Entry,
    JsonEntry,
    Problem,
    RowEntry,
    decode_entry,
    hidden_fields,
    malformed,
    read_row,
)

_T = TypeVar("_T")
_ENTRIES_PER_TURN: Final = 64
_ROWS_PER_TURN: Final = 512


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
        malformed_at: dict[int, list[Problem]] = {}
        for position, entry in enumerate(self.entries):
            decoded, found = _decode(entry)
            entries.append(decoded)
            if found:
                malformed_at[position] = found
        return {"entries": entries, "ages_s": self._ages_in_order(), "problems": self._problems_in_order(malformed_at)}

    def _ages_in_order(self) -> list[float | None]:
        return [self.ages_s.get(position) for position in range(len(self))]

    def _problems_in_order(self, malformed_at: Mapping[int, Sequence[Problem]]) -> list[dict[str, Any]]:
        return [
            {"position": position, "kind": problem.kind.value, "message": problem.message, "key": problem.key}
            for position in sorted({*self.problems, *malformed_at})
            for problem in ([self.problems[position]] if position in self.problems else [])
            + list(malformed_at.get(position, ()))
        ]

    async def columns(self, *fields: str) -> StatisticsColumns:
        """Return some fields of all entries as columns, without decoding the other fields where the entries allow it.

        A field that cannot be read is None, and a problem at its position. A fault in another field may stay unnoticed.

        Args:
            fields: the name of each level with dots between: "cpu_util.pct", "mem.stats.max", "requests", or of an agent
                "node.mem.current" and "devices.cuda_mem.GPU-1.pct". Only the name of the last level may itself have dots.

        Raises:
            InputError: a field is not text or is empty, or is named twice.
        """
        check_fields(fields)
        return await read_columns(self.entries, fields, problems=self.problems, ages_s=self.ages_s)

    async def shown_columns(self, *fields: str) -> StatisticsColumns:
        """Return `columns` in which the numbers that mean nothing are None, as `shown_value` makes them.

        Raises:
            InputError: a field is not text or is empty, or is named twice.
        """
        check_fields(fields)
        parts = [field.partition(".") for field in fields]
        capacity_of = {field: f"{metric}.capacity" for field, (metric, _, name) in zip(fields, parts, strict=True) if name}
        columns = await self.columns(*dict.fromkeys([*fields, *capacity_of.values()]))
        by_field: dict[str, Column] = {}
        for field, (metric, _, name) in zip(fields, parts, strict=True):
            texts = columns[field].texts
            if name in hidden_fields(metric, None):
                texts = (None,) * len(texts)
            elif name in hidden_fields(metric, UNBOUNDED):
                capacities = columns[capacity_of[field]].texts
                texts = tuple([None if at == UNBOUNDED else text for text, at in zip(texts, capacities, strict=True)])
            by_field[field] = Column(texts)
        return attrs.evolve(columns, by_field=by_field)

    def __aiter__(self) -> AsyncIterator[Entry | None]:
        """Iterate over the entries, and give way to the event loop after every 64 of them: reading an entry decodes it."""
        return _giving_way(self.entries)

    async def encode_json(self) -> bytes:
        """Return what `to_json` returns as JSON text in UTF-8, and give way to the event loop between slices."""
        text = bytearray(b'{"entries":[')
        position = 0
        malformed_at: dict[int, list[Problem]] = {}
        async for part in in_turns(self.entries, size=_ENTRIES_PER_TURN):
            encoded = _encode_entries(part)
            if encoded is None:
                decoded: list[dict[str, Any] | None] = []
                for entry in part:
                    value, found = _decode(entry)
                    if found:
                        malformed_at[position + len(decoded)] = found
                    decoded.append(value)
                encoded = _json(decoded)
            text += b"," if position else b""
            text += encoded[1:-1]
            position += len(part)
        rest = _json({"ages_s": self._ages_in_order(), "problems": self._problems_in_order(malformed_at)})
        text += b"],"
        text += rest[1:]
        return bytes(text)

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


def _decode(entry: Entry | None) -> tuple[dict[str, Any] | None, list[Problem]]:
    if entry is None:
        return None, []
    try:
        decoded, problems = decode_entry(entry)
    except MalformedEntryError as error:  # the names of its metrics cannot be read
        return None, [malformed(error)]
    return decoded, [problem for _, problem in problems]


def _encode_entries(entries: Sequence[Entry | None]) -> bytes | None:
    kinds = {type(entry) for entry in entries if entry is not None}
    kind = kinds.pop() if len(kinds) == 1 else None
    return kind.encode_json(entries, shown=False) if kind is not None and issubclass(kind, JsonEntry) else None


def _json(value: object) -> bytes:
    return json.dumps(value, allow_nan=False, separators=(",", ":")).encode()


async def _giving_way(entries: Sequence[Entry | None]) -> AsyncIterator[Entry | None]:
    async for part in in_turns(entries, size=_ENTRIES_PER_TURN):
        for entry in part:
            yield entry


def _moved(by_position: Mapping[int, _T], chosen: Sequence[int], *, length: int) -> dict[int, _T]:
    if not by_position:
        return {}
    positions = [position if position >= 0 else length + position for position in chosen]
    return {new: by_position[old] for new, old in enumerate(positions) if old in by_position}


@attrs.frozen
class Column(Sequence[str | None]):
    """One field of all entries, in order, as text; None without an entry or such a field, or where it cannot be read."""

    texts: tuple[str | None, ...]

    def __len__(self) -> int:
        """Return the number of entries."""
        return len(self.texts)

    @overload
    def __getitem__(self, index: int) -> str | None: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[str | None, ...]: ...
    def __getitem__(self, index: int | slice) -> str | tuple[str | None, ...] | None:
        """Return the text at a position, or the texts of a slice."""
        return self.texts[index]

    def floats(self) -> array[float]:
        """Return the column as numbers, with NaN for None and for a text that is not a number."""
        return array("d", map(_as_float, self.texts))


def _as_float(text: str | None) -> float:
    if text is None:
        return math.nan
    try:
        return float(text)
    except ValueError:
        return math.nan


@attrs.frozen
class StatisticsColumns(Mapping[str, Column], ArrowTable):
    """Columns of a batch by the name of their field, in the order in which they were requested.

    As Arrow and as a data frame it has these columns, as text, and a row for each entry.

    Args:
        by_field: the columns.
        problems: by position, what is wrong there: the problem of the entry, then those of fields that cannot be read.
        ages_s: as in `StatisticsBatch`.
    """

    by_field: Mapping[str, Column]
    problems: Mapping[int, Sequence[Problem]] = attrs.field(kw_only=True)
    ages_s: Mapping[int, float] = attrs.field(kw_only=True, eq=False)

    def select(self, positions: Iterable[int]) -> Self:
        """Return the columns of the entries at `positions`, with their problems and ages; a position may recur."""
        chosen = list(positions)
        length = len(next(iter(self.by_field.values()), ()))
        return type(self)(
            {field: Column(tuple([column.texts[at] for at in chosen])) for field, column in self.by_field.items()},
            problems=_moved(self.problems, chosen, length=length),
            ages_s=_moved(self.ages_s, chosen, length=length),
        )

    def arrow_columns(self) -> Mapping[str, ArrowColumn]:
        """Return the columns as text, with null where a field has no value."""
        return {field: TextColumn([(text, 1) for text in column.texts]) for field, column in self.by_field.items()}

    def __getitem__(self, field: str) -> Column:
        """Return the column of a field."""
        return self.by_field[field]

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names of the fields."""
        return iter(self.by_field)

    def __len__(self) -> int:
        """Return the number of fields."""
        return len(self.by_field)


def check_fields(fields: Sequence[str]) -> None:
    """Check the names of the fields of columns.

    Raises:
        InputError: a name is not text or is empty, or occurs twice; or there is a single text instead of a list.
    """
    named = not isinstance(fields, str) and all(isinstance(field, str) and field for field in fields)  # pyright: ignore[reportUnnecessaryIsInstance] - of untyped callers
    if not named or len(set(fields)) < len(fields):
        raise InputError(f"fields must be a list of different names such as 'cpu_util.pct', not {fields!r:.200}")


async def read_columns(
    entries: Sequence[Entry | tuple[str | None, ...] | None],
    fields: Sequence[str],
    *,
    problems: Mapping[int, Problem],
    ages_s: Mapping[int, float],
) -> StatisticsColumns:
    """Return fields of entries as columns, and give way to the event loop between slices.

    Args:
        entries: entries, or rows that a store has read already, with a text or None for each field.
        fields: the names of the fields.
        problems: the problems of the entries, by position.
        ages_s: as in `StatisticsBatch`.
    """
    names = tuple(fields)
    columns: list[list[str | None]] = [[] for _ in names]
    all_problems = {position: [problem] for position, problem in problems.items()}
    nothing = (None,) * len(names)
    first = 0
    async for part in in_turns(entries, size=_ROWS_PER_TURN):
        kinds: set[type] = set(map(type, part))
        of_rows: set[type] = {kind for kind in kinds if issubclass(kind, RowEntry)}
        rows: list[Sequence[str | None]] = []
        for entry in () if kinds == {tuple} else part:
            row: Sequence[str | None] | None = None
            if entry is None:
                row = nothing
            elif isinstance(entry, tuple):
                row = entry
            else:
                if type(entry) in of_rows:
                    row = cast("RowEntry", entry).row(names)
                if row is None:
                    row, found = read_row(entry, names)
                    if found:
                        all_problems.setdefault(first + len(rows), []).extend(found)
            rows.append(row)
        rows = rows or cast("list[Sequence[str | None]]", part)
        first += len(rows)
        for column, texts in zip(columns, zip(*rows, strict=True), strict=True):
            column.extend(texts)
    by_field = {field: Column(tuple(column)) for field, column in zip(names, columns, strict=True)}
    return StatisticsColumns(by_field, problems=all_problems, ages_s=ages_s)
