"""Resolving a querier: its validated query, how often its methods are called, and the errors of a broken querier."""

from __future__ import annotations

import asyncio
import inspect
from collections import Counter, UserDict
from collections.abc import Callable, Iterator
from types import MappingProxyType
from typing import Any, Final, NoReturn

import attrs
import pytest
from tests.support.graphql_host import Host

from statcore.errors import InputError, PluginError, UnsupportedError
from statcore.model import QueryTimeRange
from statcore.plugins.querier_kinds import prepare
from statcore.promql import utilization_query, utilization_text
from statcore.queriers import LabelMatcher, MetricQuery, QueryStrategy, UtilizationMetricQuerier, coalesce, resolve
from statcore.queriers.interface import PreparedQuerier
from statcore.queriers.matcher import as_labels
from statcore.statistics import UtilizationSource
from statcore.testing.queriers import FixedQuerier
from statcore_graphql.schema.utilization import load_utilization
from statcore_memory import MemoryMetrics

METHODS: Final = ("name", "labels", "group_by_labels", "query_strategy")
ONCE: Final = dict.fromkeys(METHODS, 1)
"""The calls of a querier that is resolved once."""
ONE_OF = "one of gauge, rate, rate_normalized, or a plugin's own strategy"


@attrs.frozen(slots=False)
class CountedQuerier(FixedQuerier):
    """A querier that counts the calls of each method."""

    calls: Counter[str] = attrs.field(factory=Counter[str], eq=False)

    def __getattribute__(self, name: str) -> Any:
        """Count a method."""
        if name in METHODS:
            self.calls[name] += 1
        return super().__getattribute__(name)


def counted(host: str, metric: str = "up") -> CountedQuerier:
    """Return a querier of a host."""
    return CountedQuerier(metric, {"host": host}, group_by=["host"])


class Opaque:
    """An object without a representation."""

    def __repr__(self) -> str:
        """Fail."""
        raise RuntimeError("planted")


class UnspeakableError(Exception):
    """An error whose message cannot be read."""

    def __str__(self) -> str:
        """Fail."""
        raise RuntimeError("planted")


class Once(UserDict[str, str]):
    """A mapping that can be read only once."""

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
    """Return a name, as a coroutine function."""
    return "up"


def broken(method: str, does: Callable[[], Any]) -> UtilizationMetricQuerier:
    """Return a querier of which one method is replaced."""
    kind = type("Broken", (FixedQuerier,), {"__module__": "acme", method: lambda _: does()})
    querier: UtilizationMetricQuerier = kind("up", {"job": "x"}, group_by=["job"])
    return querier


def answers(method: str, answer: Any) -> UtilizationMetricQuerier:
    """Return a querier of which one method returns this."""
    return broken(method, lambda: answer)


def raises(method: str, error: Exception) -> UtilizationMetricQuerier:
    """Return a querier of which one method raises this."""

    def fail() -> NoReturn:
        raise error

    return broken(method, fail)


def test_the_query_of_a_querier() -> None:
    """The matchers stay in order, also as mappings; the labels to group by are sorted and distinct."""
    query = resolve(FixedQuerier("up", {"b": "x", "a": LabelMatcher.regex("y")}, group_by=["b", "a", "b"]))
    matchers = (("b", "x"), ("a", LabelMatcher.regex("y")))
    assert MetricQuery("up", dict(matchers), ("a", "b"), QueryStrategy.GAUGE) == query
    assert [*matchers] == list(query.wanted.items())
    assert matchers == query.matchers
    assert [("b", LabelMatcher.equal("x")), ("a", LabelMatcher.regex("y"))] == list(query.labels.items())


RANGE: Final = QueryTimeRange(start=0, end=60, step=60)


async def test_a_read_of_one_querier_calls_each_method_once() -> None:
    """The querier is read as an expression, as text, over a range and now."""
    as_expression, as_text, read_over_a_range, read_now = map(counted, "abcd")
    utilization_query(as_expression)
    utilization_text(as_text)
    await MemoryMetrics().query_utilization(read_over_a_range, RANGE)
    await MemoryMetrics().query_utilization_now(read_now)
    assert [ONCE] * 4 == [querier.calls for querier in (as_expression, as_text, read_over_a_range, read_now)]


async def test_a_read_of_many_queriers_calls_each_method_once() -> None:
    """This holds whether they share a request or not; the merged querier holds its query."""
    together = [counted(host) for host in "abc"]
    alone = counted("d", "down")
    await UtilizationSource(MemoryMetrics()).read_utilization_batch([*together, alone], RANGE)
    assert [ONCE] * 4 == [querier.calls for querier in (*together, alone)]


async def test_a_graphql_request_calls_each_method_once() -> None:
    """The unit, the key of the loader, the batches, the backend and the text share the resolved query."""
    context = Host(metrics=MemoryMetrics()).context()
    queriers = [counted(host) for host in "aab"]
    queries = [prepare(querier, {}) for querier in queriers]
    answers = await asyncio.gather(*(load_utilization(context, query, start="0", end="60", step="60") for query in queries))
    assert all(answer.text() for answer in answers)
    assert [ONCE] * 3 == [querier.calls for querier in queriers]


def test_a_prepared_querier_holds_its_query() -> None:
    """It is the very same object, for results of `coalesce`, too; the four methods return its parts."""
    query = resolve(FixedQuerier("up", {"host": "a"}, group_by=["host"], strategy=QueryStrategy.RATE))
    prepared = PreparedQuerier(query)
    (merged,) = coalesce([prepared, FixedQuerier("up", {"host": "b"}, group_by=["host"], strategy=QueryStrategy.RATE)])
    assert resolve(prepared) is query
    assert resolve(merged) is merged.query
    parts = (prepared.name(), prepared.labels(), prepared.group_by_labels(), prepared.query_strategy())
    assert ("up", {"host": "a"}, ("host",), QueryStrategy.RATE) == parts


def test_a_label_that_recurs_has_no_mapping() -> None:
    """A mapping would lose a filter; the pairs have all of them."""
    matchers = (("host", "a"), ("host", LabelMatcher.one_of(["a", "b"])), ("job", "x"))
    query = MetricQuery("up", as_labels(matchers), (), QueryStrategy.GAUGE)
    labels = PreparedQuerier(query).labels()
    reads: list[Callable[[], object]] = [
        lambda: query.labels,
        lambda: {**query.wanted},
        lambda: labels["job"],
        lambda: len(labels),
        lambda: "host" in labels,
        lambda: list(labels.items()),
    ]
    for read in reads:
        with pytest.raises(UnsupportedError, match="the label host has several matchers"):
            read()
    assert (matchers, query) == (query.matchers, query._replace(wanted=as_labels(query.matchers)))
    assert 'sum(up{host="a",host=~"a|b",job="x"})' == utilization_query(PreparedQuerier(query)).text


@pytest.mark.parametrize(
    "labels", [{}, MappingProxyType({"job": "x"}), {"job": LabelMatcher.equal("x")}, {Marked("a"): "b"}]
)
def test_labels_may_be_any_mapping(labels: Any) -> None:
    """The mapping may be empty."""
    assert list(labels) == list(resolve(answers("labels", labels)).labels)


@pytest.mark.parametrize("labels", [["b", "a"], ("b", "a"), {"b", "a"}, frozenset("ab"), {"b": 1, "a": 2}.keys()])
def test_labels_to_group_by_may_be_any_collection(labels: Any) -> None:
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
@pytest.mark.parametrize("answer", [None, 5, 0.5, b"up", object(), Opaque(), iter(["job"]), b"x" * 10_000, QueryStrategy])
def test_an_answer_of_the_wrong_type(method: str, answer: Any) -> None:
    """The message shows the answer in short, and what was expected."""
    with pytest.raises(PluginError, match=rf"acme\.Broken\.{method}\(\) answered .*: expected ") as raised:
        resolve(answers(method, answer))
    assert method == raised.value.method
    assert 300 > len(str(raised.value))


@pytest.mark.parametrize("method", METHODS)
def test_a_method_that_is_a_coroutine_function(method: str) -> None:
    """The coroutine is closed, so that Python does not warn later that it was never awaited."""
    coroutine = awaited()
    with pytest.raises(PluginError, match=rf"acme\.Broken\.{method}\(\) answered <coroutine"):
        resolve(answers(method, coroutine))
    assert inspect.CORO_CLOSED == inspect.getcoroutinestate(coroutine)


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
def test_an_answer_that_is_not_valid(method: str, answer: Any, expected: str) -> None:
    """The message says what was expected instead."""
    with pytest.raises(PluginError, match=rf"acme\.Broken\.{method}\(\) answered .*: expected {expected}$"):
        resolve(answers(method, answer))


def test_a_mapping_that_breaks_while_it_is_read() -> None:
    """The error names the method that returned it."""
    with pytest.raises(PluginError, match=r"acme\.Broken\.labels\(\) raised LookupError"):
        resolve(answers("labels", Torn(job="x")))


def test_labels_are_read_once() -> None:
    """A mapping that has other items at the next reading cannot change the query."""
    assert 'up{job="x"}' in utilization_query(answers("labels", Once(job="x"))).text


@pytest.mark.parametrize("method", METHODS)
def test_an_error_that_cannot_be_read_or_has_many_lines(method: str) -> None:
    """The message is a single line."""
    with pytest.raises(PluginError, match=r"raised UnspeakableError: \(it has no readable message\)$"):
        resolve(raises(method, UnspeakableError()))
    with pytest.raises(PluginError, match=r"raised ValueError: first second$"):
        resolve(raises(method, ValueError("first\nsecond")))


def test_an_object_that_is_not_a_querier() -> None:
    """A missing method is an error of that method."""
    nothing: Any = None
    with pytest.raises(PluginError, match=r"builtins\.NoneType\.name\(\) raised AttributeError") as raised:
        resolve(nothing)
    assert ("builtins.NoneType", "name") == (raised.value.plugin, raised.value.method)


def test_an_input_error_of_the_querier_is_passed_on() -> None:
    """The caller gave the bad input, not the plugin."""
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
def test_text_that_is_not_valid_in_its_place_is_an_input_error(querier: FixedQuerier) -> None:
    """The answers have the right types; the caller's text is probably in them."""
    with pytest.raises(InputError, match=r"a metric name|a label name|a label value|__name__"):
        utilization_query(querier)
