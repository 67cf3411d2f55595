"""Queriers that break their contract: the error names the class and the method."""

from __future__ import annotations

from collections import UserDict
from collections.abc import Callable, Iterator
from types import MappingProxyType
from typing import Any, NoReturn

import pytest

from statcore.errors import InputError, PluginError
from statcore.promql import utilization_query
from statcore.queriers import LabelMatcher, MetricQuery, QueryStrategy, UtilizationMetricQuerier, resolve
from statcore.testing.queriers import FixedQuerier

ONE_OF = "one of gauge, rate, rate_normalized, or a plugin's own strategy"
METHODS = ("name", "labels", "group_by_labels", "query_strategy")


class Opaque:
    """Something that cannot even be shown."""

    def __repr__(self) -> str:
        """Fail."""
        raise RuntimeError("planted")


class UnspeakableError(Exception):
    """An error whose message cannot be read."""

    def __str__(self) -> str:
        """Fail."""
        raise RuntimeError("planted")


class Once(UserDict[str, str]):
    """A mapping that can be read a single time."""

    reads = 0

    def __iter__(self) -> Iterator[str]:
        """Return the labels, or none the second time."""
        self.reads += 1
        return iter(self.data if self.reads == 1 else ())


class Torn(UserDict[str, str]):
    """A mapping that breaks while it is read."""

    def __getitem__(self, label: str) -> str:
        """Fail."""
        raise LookupError(label)


class Marked(str):
    """Text that is not a plain str."""

    __slots__ = ()


async def awaited() -> str:
    """Return what a method would, but too late."""
    return "up"


def broken(method: str, does: Callable[[], Any]) -> UtilizationMetricQuerier:
    """Return a sound querier but for one method."""
    kind = type("Broken", (FixedQuerier,), {"__module__": "acme", method: lambda _: does()})
    querier: UtilizationMetricQuerier = kind("up", {"job": "x"}, group_by=["job"])
    return querier


def answers(method: str, answer: Any) -> UtilizationMetricQuerier:
    """Return a querier of which one method answers that."""
    return broken(method, lambda: answer)


def raises(method: str, error: Exception) -> UtilizationMetricQuerier:
    """Return a querier of which one method raises that."""

    def fail() -> NoReturn:
        raise error

    return broken(method, fail)


def test_the_answers_of_a_sound_querier() -> None:
    """Text becomes an exact match; the labels to group by are sorted and distinct."""
    query = resolve(FixedQuerier("up", {"b": "x", "a": LabelMatcher.regex("y")}, group_by=["b", "a", "b"]))
    matchers = (("b", "x"), ("a", LabelMatcher.regex("y")))
    assert MetricQuery("up", matchers, ("a", "b"), QueryStrategy.GAUGE) == query
    assert [*matchers] == list(query.wanted.items())
    assert [("b", LabelMatcher.equal("x")), ("a", LabelMatcher.regex("y"))] == list(query.labels.items())


@pytest.mark.parametrize(
    "labels", [{}, MappingProxyType({"job": "x"}), {"job": LabelMatcher.equal("x")}, {Marked("a"): "b"}]
)
def test_any_mapping_of_labels_will_do(labels: Any) -> None:
    """Also an empty one."""
    assert list(labels) == list(resolve(answers("labels", labels)).labels)


@pytest.mark.parametrize("labels", [["b", "a"], ("b", "a"), {"b", "a"}, frozenset("ab"), {"b": 1, "a": 2}.keys()])
def test_any_collection_of_labels_to_group_by_will_do(labels: Any) -> None:
    """They are sorted."""
    assert ("a", "b") == resolve(answers("group_by_labels", labels)).group_by


@pytest.mark.parametrize("strategy", ["rate", QueryStrategy.RATE, Marked("rate")])
def test_a_strategy_may_be_its_text(strategy: Any) -> None:
    """It becomes the member."""
    assert QueryStrategy.RATE is resolve(answers("query_strategy", strategy)).strategy


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "error", [RuntimeError("planted"), KeyError("planted"), ValueError("planted"), PluginError("planted")]
)
def test_a_method_that_raises(method: str, error: Exception) -> None:
    """Its error is the cause."""
    with pytest.raises(
        PluginError, match=rf"acme\.Broken\.{method}\(\) raised {type(error).__name__}: .*planted"
    ) as raised:
        resolve(raises(method, error))
    assert ("acme.Broken", method) == (raised.value.plugin, raised.value.method)
    assert raised.value.__cause__ is error


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("answer", [5, 0.5, b"up", object(), Opaque(), iter(["job"]), b"x" * 10_000, QueryStrategy])
def test_an_answer_of_the_wrong_type(method: str, answer: Any) -> None:
    """The message shows the answer in short, and what was expected."""
    with pytest.raises(PluginError, match=rf"acme\.Broken\.{method}\(\) answered .*: expected ") as raised:
        resolve(answers(method, answer))
    assert method == raised.value.method
    assert 300 > len(str(raised.value))


@pytest.mark.parametrize("method", METHODS)
def test_a_method_that_forgets_to_answer(method: str) -> None:
    """None is no answer."""
    with pytest.raises(PluginError, match=rf"acme\.Broken\.{method}\(\) answered None: expected "):
        resolve(answers(method, None))


@pytest.mark.parametrize("method", METHODS)
def test_a_method_that_is_a_coroutine_function(method: str) -> None:
    """The coroutine is closed, or Python would warn, in some other place, that nobody awaited it."""
    coroutine = awaited()
    with pytest.raises(PluginError, match=rf"acme\.Broken\.{method}\(\) answered <coroutine"):
        resolve(answers(method, coroutine))
    assert coroutine.cr_frame is None


@pytest.mark.parametrize(
    ("method", "answer", "expected"),
    [
        ("name", "", "a metric name"),
        ("labels", [("job", "x")], "a mapping of label name to text or LabelMatcher"),
        ("labels", {1: "x"}, "label names, not 1"),
        ("labels", {"": "x"}, "label names, not ''"),
        ("labels", {None: "x"}, "label names, not None"),
        ("labels", {"job": 5}, "text or a LabelMatcher for the label 'job'"),
        ("labels", {"job": None}, "text or a LabelMatcher for the label 'job'"),
        ("labels", {"job": ["x"]}, "text or a LabelMatcher for the label 'job'"),
        ("labels", {"job": b"x"}, "text or a LabelMatcher for the label 'job'"),
        ("group_by_labels", "job", "a list of label names"),
        ("group_by_labels", {"job": "x"}, "a list of label names"),
        ("group_by_labels", [1], "a list of label names"),
        ("group_by_labels", ["job", ""], "a list of label names"),
        ("group_by_labels", [None, "job"], "a list of label names"),
        ("group_by_labels", [["job"]], "a list of label names"),
        ("query_strategy", "average", ONE_OF),
        ("query_strategy", "", ONE_OF),
        ("query_strategy", ["rate"], ONE_OF),
        ("query_strategy", QueryStrategy, ONE_OF),
    ],
)
def test_nonsense(method: str, answer: Any, expected: str) -> None:
    """The message says what was expected instead."""
    with pytest.raises(PluginError, match=rf"acme\.Broken\.{method}\(\) answered .*: expected {expected}$"):
        resolve(answers(method, answer))


def test_a_mapping_that_breaks_while_it_is_read() -> None:
    """It is the fault of the method that answered it."""
    with pytest.raises(PluginError, match=r"acme\.Broken\.labels\(\) raised LookupError"):
        resolve(answers("labels", Torn(job="x")))


def test_what_was_checked_is_what_is_used() -> None:
    """A mapping that answers otherwise the next time is read once."""
    assert 'up{job="x"}' in utilization_query(answers("labels", Once(job="x"))).text


@pytest.mark.parametrize("method", METHODS)
def test_an_error_that_cannot_be_read_or_has_many_lines(method: str) -> None:
    """The message is one line all the same."""
    with pytest.raises(PluginError, match=r"raised UnspeakableError: \(it has no readable message\)$"):
        resolve(raises(method, UnspeakableError()))
    with pytest.raises(PluginError, match=r"raised ValueError: first second$"):
        resolve(raises(method, ValueError("first\nsecond")))


def test_what_is_no_querier() -> None:
    """A missing method is like one that raises."""
    nothing: Any = None
    with pytest.raises(PluginError, match=r"builtins\.NoneType\.name\(\) raised AttributeError") as raised:
        resolve(nothing)
    assert ("builtins.NoneType", "name") == (raised.value.plugin, raised.value.method)


def test_bad_input_that_the_querier_itself_refuses_stays_bad_input() -> None:
    """The caller passed it; the plugin is sound."""
    with pytest.raises(InputError, match="at least one value"):
        resolve(broken("labels", lambda: {"kernel_id": LabelMatcher.one_of([])}))


@pytest.mark.parametrize(
    "querier",
    [
        FixedQuerier("a{b}"),
        FixedQuerier("up", {'a"b': "x"}),
        FixedQuerier("up", {"a": "\ud800"}),
        FixedQuerier("up", {"__name__": "x"}),
        FixedQuerier("up", group_by=["a\nb"]),
    ],
)
def test_text_that_cannot_stand_where_it_is_meant_to_is_bad_input(querier: FixedQuerier) -> None:
    """The answers are of the right types; most likely the caller's text is in them."""
    with pytest.raises(InputError, match=r"a metric name|a label name|a label value|__name__"):
        utilization_query(querier)
