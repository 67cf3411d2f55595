"""Fast texts are those that the slow ways write: of queriers, from the shape of their queries, and of unions of values.

The oracles are the expression, which `utilization_query` builds anew each time, and the escaping of one value at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from enum import Enum
from typing import Any, Final

from hypothesis import example, given
from hypothesis import strategies as st
from tests.support.plugin_strategies import Quantile, used

from statcore.errors import InputError, PluginError
from statcore.promql import utilization_query, utilization_text
from statcore.queriers import LabelMatcher, PercentOfCapacity, QueryStrategy, UtilizationMetricQuerier, coalesce
from statcore.queriers.interface import MetricQuery, PreparedQuerier
from statcore.queriers.matcher import as_labels
from statcore.testing.queriers import FixedQuerier
from statcore.testing.strategies import (
    container_queriers,
    durations,
    hostile_texts,
    label_matchers,
    label_names,
    label_values,
    metric_names,
    queriers,
)


class Word(str, Enum):  # noqa: UP042 - the kind whose members format as their names
    """Text that formats as something else."""

    WINDOW = "5m"
    VALUE = 'a"b%s'


PIECES: Final = ("", "%s", "%(a)s", "%", "{0}", "\0", '"', "\\", "\n", "\ufffd", "é", Word.VALUE)
hostile: Final = label_values() | st.sampled_from(PIECES) | st.lists(st.sampled_from(PIECES)).map("".join)
"""Values that could be mistaken for a part of a template, or leave the quotes."""
values: Final = hostile | hostile_texts() | hostile.map(LabelMatcher.equal) | label_matchers()
names: Final = label_names() | st.sampled_from(["value_type", "user_id", "service.name", "a%sb", "a b"])
strategies: Final = st.sampled_from(
    [*QueryStrategy, PercentOfCapacity(), PercentOfCapacity(is_counter=True), Quantile(0.5), used]
)
intervals: Final = st.sampled_from([1, 1.0, 5, 0.25])


@st.composite
def families(draw: st.DrawFn) -> list[UtilizationMetricQuerier]:
    """Return queriers that differ only in the values of their labels."""
    metric, labels = draw(metric_names() | names), draw(st.lists(names, unique=True, max_size=4))
    group_by, strategy = draw(st.lists(names, max_size=3)), draw(strategies)
    drawn = draw(st.lists(st.lists(values, min_size=len(labels), max_size=len(labels)), min_size=1, max_size=4))
    return [
        FixedQuerier(metric, dict(zip(labels, of_one, strict=True)), group_by=group_by, strategy=strategy)
        for of_one in drawn
    ]


def outcome(write: Callable[[], str]) -> tuple[object, ...]:
    """Return a text, or the type and message of the error."""
    try:
        return (write(),)
    except (InputError, PluginError) as error:
        return type(error), str(error)


def assert_written_like_its_expression(querier: UtilizationMetricQuerier, **settings: Any) -> None:
    """The text, or the error, is that of the expression."""
    expected = outcome(lambda: utilization_query(querier, **settings).text)
    assert expected == outcome(lambda: utilization_text(querier, **settings))


@given(families(), durations(), intervals)
@example([FixedQuerier("up", {"a": value}) for value in ("x", 'x"', LabelMatcher.equal("x"), "%s", "\0")], "5m", 1)
@example([FixedQuerier("up", {"value_type": "x"}, strategy=PercentOfCapacity())], "5m", 1)
def test_queriers_of_one_shape(drawn: list[UtilizationMetricQuerier], window: timedelta | str, interval_s: float) -> None:
    """The first one makes the template, the others fill it in with hostile values."""
    for querier in drawn:
        assert_written_like_its_expression(querier, rate_interval=window, normalization_interval_s=interval_s)


@given(st.lists(queriers() | container_queriers(), min_size=1, max_size=4), durations(), intervals)
def test_queriers_of_any_shape(drawn: list[UtilizationMetricQuerier], window: timedelta | str, interval_s: float) -> None:
    """Each shape has a template of its own; queriers that were merged, too."""
    for querier in (*drawn, *coalesce(drawn)):
        assert_written_like_its_expression(querier, rate_interval=window, normalization_interval_s=interval_s)


@given(hostile, hostile)
def test_a_label_that_recurs(first: str, second: str) -> None:
    """Each matcher is written, also where a label has several."""
    matchers = (("a", first), ("b", "x"), ("a", LabelMatcher.not_equal(second)))
    for strategy in (QueryStrategy.GAUGE, PercentOfCapacity()):
        query = MetricQuery("up", as_labels(matchers), (), strategy)
        assert_written_like_its_expression(PreparedQuerier(query))


@given(strategies, st.sampled_from([Word.WINDOW, "", "5", 5, None, [], "5m] or up[5m"]), st.sampled_from([1, 0, -1.0]))
@example(PercentOfCapacity(is_counter=[]), "5m", 1)  # type: ignore[arg-type] # a setting of another type
def test_settings_that_are_refused(strategy: Any, window: Any, interval_s: float) -> None:
    """The same error, whether they can be hashed or not; a member of an enumeration is its value."""
    querier = FixedQuerier("seconds_bucket", {"a": "x"}, group_by=["a"], strategy=strategy)
    assert_written_like_its_expression(querier, rate_interval=window, normalization_interval_s=interval_s)
    assert_written_like_its_expression(querier)


SPECIAL: Final = r"\.+*?()|[]{}^$"


@given(st.lists(hostile | st.sampled_from(["a.b", "a", "b", "c|d", Word.WINDOW]), min_size=2, max_size=6))
def test_a_union(literals: list[str]) -> None:
    """The values are sorted, distinct, and escaped one by one, as plain text."""
    distinct = sorted({str.__str__(literal) for literal in literals})
    matcher = LabelMatcher.one_of(literals)
    if len(distinct) == 1:
        assert LabelMatcher.equal(distinct[0]) == matcher
    else:
        escaped = ["".join(f"\\{letter}" if letter in SPECIAL else letter for letter in text) for text in distinct]
        assert ("|".join(escaped), tuple(distinct)) == (matcher.value, matcher.alternatives)
        assert {str} == set(map(type, matcher.alternatives))
