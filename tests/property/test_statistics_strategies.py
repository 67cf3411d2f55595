"""Metrics, numbers as text, batches, samples and ids, for any content."""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any
from uuid import UUID

import msgpack
from hypothesis import example, given
from hypothesis import strategies as st

from statcore.errors import InputError
from statcore.model import (
    MetricValue,
    Problem,
    ProblemKind,
    StatisticsBatch,
    decimal_text,
    finite_number,
    format_sample_value,
    id_text,
)
from statcore.model.statistics import STATS
from statcore.testing.strategies import agent_ids, ids, inference_values, metric_maps, metric_values, number_texts

PROBLEMS = st.builds(
    Problem, st.sampled_from(ProblemKind), message=st.text(max_size=5), key=st.none() | st.text(max_size=5)
)
PAIRS = st.lists(st.tuples(st.none() | st.fixed_dictionaries({"mem": st.integers()}), st.none() | PROBLEMS), max_size=12)


def batch_of(pairs: Sequence[tuple[Any, Problem | None]]) -> StatisticsBatch:
    """Return the batch that has these entries with these problems."""
    problems = {position: problem for position, (_, problem) in enumerate(pairs) if problem}
    return StatisticsBatch([entry for entry, _ in pairs], problems=problems)


@given(metric_values())
def test_a_value_can_be_read_from_its_map(value: MetricValue) -> None:
    """Every field is read back, and everything in the map can be stored."""
    stored = msgpack.unpackb(msgpack.packb(value.to_map()))
    assert value == MetricValue.from_map(stored)
    assert {"current", "capacity", "pct", "unit_hint", *(f"stats.{name}" for name in value.stats)} == set(value.to_map())


@given(
    st.dictionaries(
        st.sampled_from(["current", "capacity", "pct", "unit_hint", "stats.max", "x"]),
        st.none() | st.integers() | st.text(),
    )
)
def test_any_map_is_a_value_or_bad_input(fields: dict[str, Any]) -> None:
    """A value that was read can be written; no other error than `InputError` is raised."""
    try:
        value = MetricValue.from_map(fields)
    except InputError:
        return
    assert all(value.to_map().get(name) == text for name, text in fields.items() if text is not None and name != "x")


@given(metric_maps(max_size=3))
def test_a_metric_map_is_bounded(metrics: dict[str, MetricValue]) -> None:
    """It has no more metrics than the strategy allows."""
    assert len(metrics) <= 3
    assert all(set(value.stats) <= set(STATS) for value in metrics.values())


@given(inference_values())
def test_an_inference_value_is_a_scalar_or_a_histogram(value: dict[str, Any]) -> None:
    """It is as in the wire format, and can be stored."""
    assert value == msgpack.unpackb(msgpack.packb(value))
    if value["__type"] == "GAUGE":
        assert value == {"__type": "GAUGE", **MetricValue.from_map(value).to_map()}
    else:
        assert {"__type", "current", "threshold_unit", "count", "sum"} == set(value)
        assert all(isinstance(count, str) for count in value["current"].values())


@given(
    st.one_of(number_texts(), st.text(max_size=20), st.text("0123456789.eE+-_ NaInf", max_size=12), st.floats().map(repr))
)
@example("1E+400")
def test_a_finite_number_is_the_number_of_a_float(text: str) -> None:
    """It is None if the float is not finite, or the text not a number."""
    number = finite_number(text)
    try:
        expected = float(text) if text.isascii() and "_" not in text and text == text.strip() else math.nan
    except ValueError:
        expected = math.nan
    assert math.isfinite(expected) == (number is not None)
    assert number is None or float(number) == expected


@given(st.floats())
def test_a_sample_value_reads_back_the_same(value: float) -> None:
    """It is the same bit for bit, NaN aside, has no digits that are not needed, and an exponent only as in JSON."""
    text = format_sample_value(value)
    assert struct.pack("d", value) == struct.pack("d", float(text)) or (math.isnan(value) and text == "NaN")
    if math.isfinite(value):
        assert ("e" in text) == (value != 0 and not 1e-6 <= abs(value) < 1e21)
        assert _digits(repr(value)) == _digits(text)


def _digits(text: str) -> str:
    return "".join(map(str, Decimal(text).as_tuple().digits)).strip("0")


@given(PAIRS, st.data())
def test_a_batch_is_selected_from_like_a_list(pairs: list[tuple[Any, Problem | None]], data: st.DataObject) -> None:
    """Positions and slices give the entries that a list of (entry, problem) pairs gives."""
    positions = data.draw(st.lists(st.integers(-len(pairs), len(pairs) - 1)) if pairs else st.just([]))
    part = data.draw(st.slices(len(pairs)))
    assert batch_of([pairs[position] for position in positions]) == batch_of(pairs).select(positions)
    assert batch_of(pairs[part]) == batch_of(pairs)[part]


@given(st.lists(PAIRS, max_size=4))
def test_batches_are_joined_like_lists(parts: list[list[tuple[Any, Problem | None]]]) -> None:
    """Problems stay with their entries."""
    assert batch_of([pair for part in parts for pair in part]) == StatisticsBatch.join(map(batch_of, parts))


@given(ids())
def test_an_id_has_one_text(id_: UUID | str) -> None:
    """It is the text of UUID, and is its own text."""
    assert str(id_ if isinstance(id_, UUID) else UUID(id_)) == id_text(id_)
    assert id_text(id_) == id_text(id_text(id_))


@given(
    st.one_of(
        st.none(), st.integers(), st.binary(), st.text(), st.text("0123456789abcdefABCDEF-{}_ x+", min_size=30, max_size=40)
    )
)
def test_anything_is_an_id_or_bad_input(thing: Any) -> None:
    """An id has just the hexadecimal digits of the input."""
    try:
        text = id_text(thing)
    except InputError:
        return
    assert text.replace("-", "") == thing.lower().removeprefix("urn:uuid:").strip("{}").replace("-", "")


@given(agent_ids())
def test_an_agent_has_a_name(agent: str) -> None:
    """It is not empty, and can be encoded."""
    assert agent
    assert agent == agent.encode().decode()


FINITE = st.floats(allow_nan=False, allow_infinity=False)


@given(
    value=FINITE | st.integers() | st.decimals(allow_nan=False, allow_infinity=False, places=6), places=st.integers(1, 6)
)
def test_text_is_plain_and_the_nearest(value: float | Decimal, places: int) -> None:
    """It has no exponent, trailing zero or negative zero, and is at most half a unit of the last place off."""
    text = decimal_text(value, places=places)
    assert re.fullmatch(rf"-?(0|[1-9][0-9]*)(\.[0-9]{{0,{places - 1}}}[1-9])?", text)
    assert text != "-0"
    assert abs(Fraction(text) - Fraction(value)) <= Fraction(1, 2 * 10**places)


@given(value=FINITE)
def test_text_reads_back_as_itself(value: float) -> None:
    """Writing a number that was read changes nothing."""
    text = decimal_text(value)
    assert text == decimal_text(Decimal(text))
