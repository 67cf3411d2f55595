"""Batches: entries in order with their problems and ages, and a batch as plain JSON."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.lazy_entries import Lazy

from statcore.errors import MalformedEntryError
from statcore.model import Problem, ProblemKind, StatisticsBatch
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
