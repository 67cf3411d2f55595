"""Batches: entries in order with their problems and ages, and a batch as plain JSON."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.lazy_entries import Lazy
from tests.support.turns import counting_turns

from statcore.errors import InputError, MalformedEntryError
from statcore.model import Column, Problem, ProblemKind, StatisticsBatch, StatisticsColumns
from statcore.model.statistics import MAX_LEVELS, json_value

BAD = Problem(ProblemKind.MALFORMED, message="bad bytes", key="k")
OLD = Problem(ProblemKind.STALE, message="old")
A, B, C = {"mem": 1}, {"mem": 2}, {"mem": 3}
BATCH = StatisticsBatch([A, None, C], problems={1: BAD, 2: OLD})


def test_a_batch_is_a_sequence() -> None:
    """Length, positions from both ends, iteration, membership and search are those of any sequence."""
    assert (3, A, C, None) == (len(BATCH), BATCH[0], BATCH[-1], BATCH[1])
    assert [A, None, C] == list(BATCH)
    assert C in BATCH
    assert B not in BATCH
    assert 2 == BATCH.index(C)
    with pytest.raises(IndexError):
        BATCH[3]


def test_selected_entries_keep_their_problems() -> None:
    """Positions may be in any order, recur, and count from the end."""
    expected = StatisticsBatch([None, C, None, A, C], problems={0: BAD, 1: OLD, 2: BAD, 4: OLD})
    assert expected == BATCH.select(iter([1, 2, 1, 0, -1]))
    assert StatisticsBatch([B, A, B]) == StatisticsBatch([A, B]).select([1, 0, -1])
    with pytest.raises(IndexError):
        BATCH.select([3])


def test_ages_stay_with_their_entries() -> None:
    """Selecting, slicing and joining move them; an unknown age stays unknown, and equality ignores ages."""
    batch = StatisticsBatch([A, None, C], ages_s={0: 1.5, 2: 60.0})
    assert {0: 60.0, 1: 1.5, 3: 60.0} == dict(batch.select([2, 0, 1, -1]).ages_s)
    assert {1: 60.0} == dict(batch[1:].ages_s)
    assert {0: 1.5, 2: 60.0, 3: 1.5, 5: 60.0} == dict(StatisticsBatch.join([batch, batch]).ages_s)
    assert StatisticsBatch([A, None, C]) == batch


def test_a_batch_does_not_change() -> None:
    """It has no attribute that can be set, and is independent of the collections that it was made of."""
    entries, problems = [A, None], {1: BAD}
    batch = StatisticsBatch(entries, problems=problems)
    entries.append(B)
    problems[0] = OLD
    assert StatisticsBatch([A, None], problems={1: BAD}) == batch
    with pytest.raises(TypeError):
        batch.problems[0] = OLD  # type: ignore[index]
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        batch.entries = ()  # type: ignore[misc]


COLUMNS = StatisticsColumns(
    {"mem.pct": Column(("1.5", None, "NaN", "?")), "mem.current": Column(("5", None, None, "7"))},
    problems={1: [BAD], 3: [OLD, BAD]},
    ages_s={0: 1.5, 3: 60.0},
)


def test_columns_are_a_mapping_of_sequences() -> None:
    """Fields are in their order; a column has a text or None at each position, also as numbers."""
    assert ["mem.pct", "mem.current"] == list(COLUMNS)
    assert (2, 4) == (len(COLUMNS), len(COLUMNS["mem.pct"]))
    assert ("5", None, "7") == (COLUMNS["mem.current"][0], COLUMNS["mem.current"][1], COLUMNS["mem.current"][-1])
    assert ("NaN", "?") == COLUMNS["mem.pct"][2:]
    first, *others = COLUMNS["mem.pct"].floats()
    assert 1.5 == first
    assert [True] * 3 == [math.isnan(number) for number in others]
    assert "cpu_util.pct" not in COLUMNS
    with pytest.raises(KeyError):
        COLUMNS["cpu_util.pct"]


def test_selected_columns_keep_their_problems_and_ages() -> None:
    """Positions may be in any order, recur, and count from the end."""
    selected = COLUMNS.select(iter([3, 1, 0, -1]))
    assert ("?", None, "1.5", "?") == selected["mem.pct"].texts
    assert ("7", None, "5", "7") == selected["mem.current"].texts
    assert {0: [OLD, BAD], 1: [BAD], 3: [OLD, BAD]} == selected.problems
    assert {0: 60.0, 2: 1.5, 3: 60.0} == selected.ages_s
    with pytest.raises(IndexError):
        COLUMNS.select([4])


async def test_columns_have_the_problems_of_entries_and_of_fields() -> None:
    """A bad field becomes None and a problem, listed after the problem of its entry. A bad metric is listed once."""
    entries = [
        Lazy({"mem": {"current": "1", "pct": 1.5}, "bad": 0}),
        Lazy({"nothing": 0}),
        {"mem": {"current": 7}},
        None,
        {"mem": "text"},
        {"mem": {"current": {"0.5": "1"}}},
    ]
    batch = StatisticsBatch(entries, problems={0: OLD, 3: BAD}, ages_s={0: 2.5})
    columns = await batch.columns("mem.current", "bad.current", "bad.pct", "mem.pct", "mem.current.0.5")
    assert ("1", None, "7", None, None, None) == columns["mem.current"].texts
    assert ("1.5", None, None, None, None, None) == columns["mem.pct"].texts
    assert (None, None, None, None, None, "1") == columns["mem.current.0.5"].texts
    assert (None,) * 6 == columns["bad.current"].texts == columns["bad.pct"].texts
    bad = Problem(ProblemKind.MALFORMED, message="bad holds garbage", key="k")
    assert ([OLD, bad], [BAD]) == (columns.problems[0], columns.problems[3])
    assert [0, 3, 5] == sorted(columns.problems)
    assert ["mem.current is a dict, neither text nor a number"] == [problem.message for problem in columns.problems[5]]
    assert {0: 2.5} == dict(columns.ages_s)


async def test_no_fields_are_no_columns() -> None:
    """The problems of the entries are kept, also where positions are selected."""
    columns = await BATCH.columns()
    assert [] == list(columns)
    assert {1: [BAD], 2: [OLD]} == columns.problems
    assert {0: [OLD], 1: [BAD]} == columns.select([2, 1, 0]).problems


@pytest.mark.parametrize(
    "fields",
    [["mem.pct", "mem.pct"], [""], ["mem.pct", 5], [None], [["mem.pct"]]],
    ids=["twice", "empty", "5", "None", "list"],
)
async def test_fields_are_different_texts(fields: list[Any]) -> None:
    """Anything else is bad input, also where there are no entries."""
    with pytest.raises(InputError, match="fields must be"):
        await StatisticsBatch().columns(*fields)


async def test_entries_are_read_in_slices() -> None:
    """Iteration, columns and JSON give the event loop its turn while many entries are read."""
    reads: Counter[int] = Counter()

    class Noting(dict[str, Any]):
        """An entry that notes in which turn it is read."""

        def __contains__(self, name: object) -> bool:
            """Note it."""
            reads[turns.count] += 1
            return super().__contains__(name)

        def __iter__(self) -> Iterator[str]:
            """Note it."""
            reads[turns.count] += 1
            return super().__iter__()

    batch = StatisticsBatch([Noting(A) for _ in range(2_000)])
    async with counting_turns() as turns:
        assert list(batch) == [entry async for entry in batch if list(entry or ())]
        assert (2_000, 64) == (reads.total(), max(reads.values()))
        reads.clear()
        await batch.columns("mem")
        assert 2_000 == reads.total()
        assert 512 >= max(reads.values())
        reads.clear()
        assert batch.to_json() == json.loads(await batch.encode_json())
        assert 64 >= max(count for turn, count in reads.items() if turn != min(reads))


def test_a_problem_prints_its_kind_as_text() -> None:
    """Kinds are text, for logs and JSON."""
    assert "malformed" == str(BAD.kind) == BAD.kind
    assert ("bad bytes", "k", None) == (BAD.message, BAD.key, OLD.key)


def test_to_json_decodes_every_entry_and_makes_problems_of_bad_metrics() -> None:
    """Entries are good, have bad metrics, cannot be listed, have a problem of their own, or are missing."""
    good = {"current": "1"}
    batch = StatisticsBatch(
        [
            Lazy({"mem": good, 5: {"current": math.nan}}),
            Lazy({"bad": 0, "mem": good}),
            Lazy({"nothing": 0}),
            {"mem": good},
            None,
        ],
        problems={3: Problem(ProblemKind.STALE, message="old", key="k3")},
        ages_s={3: 90.5},
    )
    document = batch.to_json()
    assert [None, None, None, 90.5, None] == document["ages_s"]
    assert [{"mem": good, "5": {"current": "NaN"}}, {"mem": good}, None, {"mem": good}, None] == document["entries"]
    assert [
        {"position": 1, "kind": "malformed", "message": "bad holds garbage", "key": "k"},
        {"position": 2, "kind": "malformed", "message": "nothing can be read", "key": "k"},
        {"position": 3, "kind": "stale", "message": "old", "key": "k3"},
    ] == document["problems"]
    assert document == json.loads(json.dumps(document, allow_nan=False))


def test_to_json_survives_an_entry_nested_495_levels_deep() -> None:
    """That metric is malformed; encoding it would end in a RecursionError."""
    deep: Any = 1
    for _ in range(495):
        deep = {"x": deep}
    document = StatisticsBatch([{"mem": {"current": "1"}, "deep": deep}]).to_json()
    assert [{"mem": {"current": "1"}}] == document["entries"]
    assert ["malformed"] == [problem["kind"] for problem in document["problems"]]


LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text()
    | st.binary()
    | st.binary().map(bytearray)
    | st.uuids()
    | st.decimals()
    | st.datetimes()
    | st.just(frozenset([1]))
)
KEYS = st.text() | st.integers() | st.binary() | st.uuids() | st.none() | st.booleans() | st.floats()
ANYTHING = st.recursive(
    LEAVES, lambda inner: st.lists(inner) | st.lists(inner).map(tuple) | st.dictionaries(KEYS, inner), max_leaves=20
)
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(ANYTHING)
def test_any_value_becomes_strict_json(value: object) -> None:
    """The standard encoder takes the result, and reading it back gives the same."""
    converted = json_value(value)
    assert converted == json.loads(json.dumps(converted, allow_nan=False))


@given(PLAIN)
def test_json_values_are_unchanged(value: object) -> None:
    """Numbers stay numbers."""
    assert value == json_value(value)
    assert json.dumps(value) == json.dumps(json_value(value))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (math.nan, "NaN"),
        (math.inf, "+Inf"),
        (-math.inf, "-Inf"),
        (b"\xff\x00", "ff00"),
        (UUID(int=5), "00000000-0000-0000-0000-000000000005"),
        (Decimal("1E+30"), "1E+30"),
        (datetime(2026, 11, 22, tzinfo=UTC), "2026-11-22 00:00:00+00:00"),
        ({b"\xff": (1, b"\x01")}, {"ff": [1, "01"]}),
        ({1: {None: True}}, {"1": {"None": True}}),
    ],
)
def test_values_that_json_lacks_become_text(value: object, expected: object) -> None:
    """Floats become text as Prometheus writes it, bytes hexadecimal text, other objects their str()."""
    assert expected == json_value(value)


def test_nesting_is_bounded() -> None:
    """A value with one level more than is allowed is malformed."""
    value: object = 1
    for _ in range(MAX_LEVELS):
        value = [value]
    assert value == json_value(value)
    for deeper in ([value], {"x": value}):
        with pytest.raises(MalformedEntryError, match=f"nested more than {MAX_LEVELS} levels deep"):
            json_value(deeper)
