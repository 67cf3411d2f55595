"""Fast ways to read entries give what the simple way gives: columns, JSON, and entries that are read in any order."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any
from unittest.mock import patch

import msgpack
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tests.support.stored_payloads import (
    FIELDS,
    METRIC_NAMES,
    agent_payloads,
    field_lists,
    packed,
    packed_map,
    payloads,
    stored_value,
    usual_payloads,
)

from statcore.errors import MalformedEntryError
from statcore.model import Problem, ProblemKind, StatisticsBatch
from statcore.model.batch import read_columns
from statcore.model.statistics import decode_entry, read_row, shown_value
from statcore_valkey import entry as entry_module
from statcore_valkey.entry import StoredEntry, read_agent, read_metrics, row_reader

NOT_UTF_8 = b"\xa2\xff\xfe"
CURRENT = (packed("current"), packed("1"))


def metric_of(*fields: tuple[bytes, bytes]) -> bytes:
    """Return a payload with fields of the metric mem."""
    return packed_map([(packed("mem"), packed_map(fields))])


ODD = [
    metric_of(CURRENT, (NOT_UTF_8, packed(None))),
    metric_of(CURRENT, (packed("x"), NOT_UTF_8)),
    metric_of(CURRENT, (packed("x"), packed(msgpack.ExtType(1, bytes(16))))),
    metric_of(CURRENT, (packed("x"), packed(msgpack.ExtType(3, b"pickle")))),
    metric_of(CURRENT, (packed("x"), packed(b"\xd4"))),
    metric_of(CURRENT, (packed("x"), b"\x91" * 40 + b"\xc0")),
    metric_of(CURRENT, (packed("x"), b"\x91" * 5_000 + b"\xc0")),
    metric_of(CURRENT, (packed("x"), b"\xc1")),
    metric_of(CURRENT, CURRENT, (packed("current"), packed("2"))),
    metric_of(CURRENT, (packed(5), packed("2"))),
    *(metric_of((packed("current"), packed(value))) for value in (5, 1.5, True, None, b"x", ["1"], {"0.5": "1"})),
    packed_map([(packed("mem"), packed(5)), (packed("cpu_util"), packed_map([CURRENT]))]),
    packed_map([(packed("mem"), packed(5)), (packed("mem"), packed_map([CURRENT]))]),
    packed_map([(packed("mem"), packed_map([CURRENT])), (packed("mem"), packed({"pct": "1"}))]),
    packed_map([(packed(7), packed_map([CURRENT]))]),
    packed_map([(packed("mem"), packed_map([CURRENT])), (NOT_UTF_8, packed_map([CURRENT]))]),
    metric_of(CURRENT)[:-1],
    metric_of(CURRENT) + b"\x00",
    metric_of(),
    packed({}),
]
"""Payloads with one oddity each; every property of payloads has them beside payloads that Hypothesis makes up."""
SOME_FIELDS = ["mem.current", "cpu_util.current", "mem.pct", "mem.current.0.5", "7.current"]


def outcome(read: Any) -> Any:
    """Return what a function returns, or the text of the `MalformedEntryError` that it raises."""
    try:
        return read()
    except MalformedEntryError as error:
        return str(error)


def entry_of(payload: bytes, *, is_agent: bool = False) -> StoredEntry | None:
    """Return the entry of a payload, or None if it is refused."""
    try:
        return (read_agent if is_agent else read_metrics)(payload, key="k")
    except MalformedEntryError:
        return None


def entries_of(kernels: list[bytes | None], agents: list[bytes]) -> list[StoredEntry | None]:
    """Return new entries of payloads, None for a payload that is refused."""
    of_kernels = [None if payload is None else entry_of(payload) for payload in kernels]
    return [*of_kernels, *(entry_of(payload, is_agent=True) for payload in agents)]


BATCHES = st.tuples(st.lists(st.none() | payloads(), max_size=6), st.lists(agent_payloads(), max_size=2))


def and_odd_payloads(*others: Any) -> Callable[[Any], Any]:
    """Run a property for each odd payload, too, with the other arguments as they are."""

    def add(test: Any) -> Any:
        for payload in ODD:
            test = example(payload, *others)(test)
        return test

    return add


@given(payloads(), field_lists())
@and_odd_payloads(["mem.current"])
@and_odd_payloads(["mem"])
@and_odd_payloads(SOME_FIELDS)
@example(metric_of(CURRENT), ['mem."', "mem.\ud800", "mem.\x00", "mem.\\"])
def test_a_row_is_what_is_read_field_by_field(payload: bytes, fields: list[str]) -> None:
    """The texts are equal; only a fault in a field that is not requested may go unnoticed."""
    entry = entry_of(payload)
    row = None if entry is None else entry.row(tuple(fields))
    if row is None:
        return
    texts, problems = read_row(read_metrics(payload, key="k"), fields)
    assert len(fields) == len(row)
    for field, text, fast in zip(fields, texts, row, strict=True):
        if text != fast:
            assert text is None
            assert any(repr(field.partition(".")[0]) in problem.message for problem in problems)
            with suppress(msgpack.StackError):  # plain msgpack has a limit; from Python 3.13 on ours is higher
                assert stored_value(payload, field) == fast
    assert all("k" == problem.key for problem in problems)  # the metric as a whole, not a requested field


@given(usual_payloads(), st.lists(st.sampled_from(FIELDS[:55]), min_size=1, unique=True))
def test_usual_payloads_have_rows(payload: bytes, fields: list[str]) -> None:
    """Rows of what agents write need no entry, and are what plain msgpack reads."""
    fields = [field for field in fields if not field.endswith("version")]
    assert tuple(stored_value(payload, field) for field in fields) == read_metrics(payload, key="k").row(tuple(fields))


@given(payloads(), field_lists())
@and_odd_payloads(["mem.current"])
@and_odd_payloads(SOME_FIELDS)
def test_a_row_without_an_entry_is_that_of_the_entry(payload: bytes, fields: list[str]) -> None:
    """It is refused with the same message; where there is no row, the result is the entry.

    Only a payload with the name of another metric that is not UTF-8 has a row, but no entry.
    """

    def row_of_entry() -> object:
        entry = read_metrics(payload, key="k")
        row = entry.row(tuple(fields))
        return repr(entry) if row is None else row

    def row() -> object:
        found = row_reader(tuple(fields))(payload, key="k")
        return repr(found) if isinstance(found, StoredEntry) else found

    expected, found = outcome(row_of_entry), outcome(row)
    if isinstance(found, tuple) and isinstance(expected, str):
        with pytest.raises(UnicodeDecodeError):
            msgpack.unpackb(payload, strict_map_key=False)
        expected = tuple(stored_value(payload, field) for field in fields)
    assert expected == found


@given(BATCHES, field_lists())
@example((ODD, []), SOME_FIELDS)
@example((ODD, []), ["mem", "mem.current"])
def test_columns_are_the_rows_of_all_entries(batch: Any, fields: list[str]) -> None:
    """Rows that a store has read, and entries, give equal columns; problems of fields follow those of their entries."""
    entries = entries_of(*batch)
    problems = {position: Problem(ProblemKind.STALE, message="old") for position in range(0, len(entries), 2)}
    columns = asyncio.run(StatisticsBatch(entries, problems=problems).columns(*fields))
    rows: list[Any] = []
    expected: dict[int, list[Problem]] = {position: [problem] for position, problem in problems.items()}
    for position, entry in enumerate(entries_of(*batch)):
        row: Any = (None,) * len(fields)
        found: list[Problem] = []
        if entry is not None and (row := entry.row(tuple(fields))) is None:
            row, found = read_row(entry, fields)
        rows.append(tuple(row))
        if found:
            expected.setdefault(position, []).extend(found)
    assert fields == list(columns)
    assert [tuple(row[number] for row in rows) for number in range(len(fields))] == [
        columns[field].texts for field in fields
    ]
    assert expected == columns.problems
    read = [None if entry is None else entry.row(tuple(fields)) or entry for entry in entries_of(*batch)]
    assert columns == asyncio.run(read_columns(read, fields, problems=problems, ages_s={}))


@given(BATCHES)
@example((ODD, []))
def test_a_batch_as_json_is_its_document(batch: Any) -> None:
    """Entries may be of one class, of several, missing, and malformed in part."""
    problems = {0: Problem(ProblemKind.STALE, message="old", key="k")}
    for entries in (entries_of(*batch), entries_of(batch[0], []), [*entries_of(*batch), {"mem": {"current": 1.5}}]):
        stored = StatisticsBatch(entries, problems=problems if entries else {}, ages_s={0: 1.5} if entries else {})
        assert stored.to_json() == json.loads(asyncio.run(stored.encode_json()))


@given(payloads(), st.lists(usual_payloads(), max_size=3), st.sampled_from([0, 63, 64, 129]))
@and_odd_payloads([metric_of(CURRENT)], 64)
def test_positions_are_right_in_each_slice(odd: bytes, usual: list[bytes], before: int) -> None:
    """An odd entry, after any number of slices, and the problems of its metrics are at its position."""
    stored = [*[b"\x80"] * before, *usual, odd, *usual]
    batch = StatisticsBatch([entry_of(payload) for payload in stored])
    assert batch.to_json() == json.loads(asyncio.run(batch.encode_json()))


def each_odd_payload(test: Any) -> Any:
    """Run a property of lists for each odd payload alone, too."""
    for payload in ODD:
        test = example(kernels=[payload, None], shown=True)(example(kernels=[payload], shown=False)(test))
    return test


@given(kernels=st.lists(st.none() | payloads(), max_size=4), shown=st.booleans())
@each_odd_payload
def test_entries_as_json_are_their_decoded_metrics(kernels: list[bytes | None], *, shown: bool) -> None:
    """The list is that of `decode_entry`, with hidden fields as null where it is shown, or there is none."""
    encoded = StoredEntry.encode_json(entries_of(kernels, []), shown=shown)
    if encoded is None:
        return
    expected: list[Any] = []
    for entry in entries_of(kernels, []):
        decoded, problems = (None, []) if entry is None else decode_entry(entry)
        assert [] == problems
        if shown and decoded is not None:
            decoded = {metric: shown_value(metric, value) for metric, value in decoded.items()}
        expected.append(decoded)
    assert expected == json.loads(encoded)


@given(kernels=st.lists(st.none() | usual_payloads(), max_size=4), shown=st.booleans())
def test_usual_entries_are_encoded_without_being_decoded(kernels: list[bytes | None], *, shown: bool) -> None:
    """What agents write has JSON of its own, which plain msgpack confirms."""
    encoded = StoredEntry.encode_json(entries_of(kernels, []), shown=shown)
    assert encoded is not None
    expected = [None if payload is None else msgpack.unpackb(payload) for payload in kernels]
    if shown:
        expected = [entry and {metric: shown_value(metric, value) for metric, value in entry.items()} for entry in expected]
    assert expected == json.loads(encoded)


@given(payloads().filter(entry_of), st.data())
def test_an_entry_may_be_decoded_in_part(payload: bytes, data: st.DataObject) -> None:
    """Each metric alone, and any of them, are as in the whole entry, with their problems."""
    decoded, problems = decode_entry(read_metrics(payload, key="k"))
    entry = read_metrics(payload, key="k")
    names = [name for name in entry if data.draw(st.booleans())]
    some, some_problems = decode_entry(entry, names)
    assert repr({name: decoded[name] for name in names if name in decoded}) == repr(some)
    assert {path: of for path, of in problems if path[0] in names} == dict(some_problems)


READINGS: dict[str, Any] = {
    "metric": lambda entry, name: entry[name] if name in entry else None,  # noqa: SIM401 - `get` is another reading
    "get": lambda entry, name: entry.get(name),
    "items": lambda entry, _: dict(entry.items()),
    "values": lambda entry, _: list(entry.values()),
    "names": lambda entry, _: list(entry),
    "len": lambda entry, _: len(entry),
    "in": lambda entry, name: name in entry,
    "repr": lambda entry, _: repr(entry),
    "decoded": lambda entry, _: decode_entry(entry),
    "row": lambda entry, name: read_row(entry, [f"{name}.current"]),
    "json": lambda entry, _: StatisticsBatch([entry]).to_json(),
}
STEPS = st.lists(st.tuples(st.integers(0, 3), st.sampled_from(list(READINGS)), st.sampled_from(METRIC_NAMES)), max_size=20)


def read_step(entries: list[StoredEntry], step: tuple[int, str, str]) -> str:
    """Return a text of what one reading of an entry returns or raises; NaN equals itself there."""
    number, reading, name = step
    return repr(outcome(partial(READINGS[reading], entries[number % len(entries)], name)))


@given(st.lists(payloads().filter(entry_of), min_size=1, max_size=3), STEPS)
def test_the_order_of_readings_does_not_matter(stored: list[bytes], steps: list[tuple[int, str, str]]) -> None:
    """Whatever entries were read before, a reading gives what it gives of new entries."""
    entries = [read_metrics(payload, key="k") for payload in stored]
    for step in steps:
        assert read_step([read_metrics(payload, key="k") for payload in stored], step) == read_step(entries, step)


@given(payloads() | agent_payloads(), st.booleans(), st.sampled_from(METRIC_NAMES))
@and_odd_payloads(False, "mem")  # noqa: FBT003 - a drawn value
@and_odd_payloads(False, "cpu_util")  # noqa: FBT003
def test_an_entry_that_seems_to_have_an_extension_is_the_same(payload: bytes, is_agent: bool, name: str) -> None:  # noqa: FBT001
    """An extension begins with a byte that occurs in texts as well; each reading gives the same, refused or not."""

    def read_all() -> object:
        entry = (read_agent if is_agent else read_metrics)(payload, key="k")
        parts = [entry, *(part for part in entry.values() if isinstance(part, StoredEntry))] if is_agent else [entry]
        return [repr(outcome(partial(reading, part, name))) for part in parts for reading in READINGS.values()]

    expected = outcome(read_all)
    with patch.object(entry_module, "has_extension", lambda _: True):
        assert expected == outcome(read_all)


@contextmanager
def switching_threads_often() -> Generator[None]:
    """Let another thread run after a microsecond, so that threads meet within a reading."""
    usual_s = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        yield
    finally:
        sys.setswitchinterval(usual_s)


@given(st.lists(payloads().filter(entry_of), min_size=1, max_size=3), st.lists(STEPS, min_size=3, max_size=3))
def test_threads_may_share_entries(stored: list[bytes], steps: list[list[tuple[int, str, str]]]) -> None:
    """Several threads that read the same entries at once get what each would get alone."""
    entries = [read_metrics(payload, key="k") for payload in stored]
    expected = [[read_step([read_metrics(payload, key="k") for payload in stored], step) for step in of] for of in steps]
    with switching_threads_often(), ThreadPoolExecutor(len(steps)) as threads:
        assert expected == list(threads.map(lambda of: [read_step(entries, step) for step in of], steps))


def flat(value: object, path: tuple[str, ...] = ()) -> dict[str, object]:
    """Return each value that is not a map, by its path with dots."""
    if not isinstance(value, dict):
        return {".".join(path): value}
    return {field: part for name, inner in value.items() for field, part in flat(inner, (*path, name)).items()}


NAMES = st.sampled_from(["mem", "cpu_util", "GPU-0", "0", "é"])
TEXT = st.none() | st.text(max_size=3)
PARTS = st.recursive(
    TEXT,
    lambda inner: st.builds(
        lambda parts, flat: {**parts, **flat},
        st.dictionaries(NAMES, inner, max_size=3),
        st.dictionaries(st.just("stats.max"), TEXT),
    ),
)


@given(st.lists(st.none() | st.dictionaries(NAMES, PARTS, max_size=3), max_size=4), field_lists())
def test_columns_of_plain_entries_are_found_on_any_level(entries: list[Any], more: list[str]) -> None:
    """Entries of memory and of agents have a column for each path; a field that is not there is None."""
    paths = [flat(entry or {}) for entry in entries]
    fields = sorted({field for of in paths for field in of if field} | set(more))
    columns = asyncio.run(StatisticsBatch(entries).columns(*fields))
    for position, of in enumerate(paths):
        assert {field: of.get(field) for field in fields} == {field: columns[field][position] for field in fields}
