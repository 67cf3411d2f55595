"""A plugin's own strategies: what they may return, how their errors are named, and that they read no more than a query."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import attrs
import pytest
from tests.support.plugin_strategies import Quantile, used

from statcore.errors import InputError, PluginError
from statcore.model import VectorResult, parse_time
from statcore.promql import (
    Aggregation,
    BinaryOperation,
    Call,
    ConstantLabel,
    Expression,
    HistogramQuantile,
    Number,
    RangeSelector,
    Selector,
    Subquery,
    render,
    utilization_query,
    utilization_text,
)
from statcore.queriers import LabelMatcher, MetricQuery, QueryStrategy, ResolvedQuerier, coalesce
from statcore.queriers.interface import PreparedQuerier
from statcore.queriers.matcher import as_labels
from statcore.statistics import UtilizationSource
from statcore.testing.queriers import FixedQuerier
from statcore_memory import MemoryMetrics

# Observations per second that took at most so many seconds.
BUCKETS = {"1": 2.0, "2": 6.0, "+Inf": 8.0}


def using(strategy: Any, host: str = "a") -> FixedQuerier:
    """Return a querier with a strategy."""
    return FixedQuerier("seconds_bucket", {"host": host}, group_by=["host"], strategy=strategy)


def test_the_expression_is_the_strategys() -> None:
    """The strategy gets the matchers, the labels to group by, and the window as text."""
    expected = 'histogram_quantile(0.95, sum by (host,le)(rate(seconds_bucket{host="a"}[90s])))'
    assert expected == render(utilization_query(using(Quantile(0.95)), rate_interval="90s"))
    assert 'sum by (host)(total{host="a"}) - sum by (host)(free{host="a"})' == render(utilization_query(using(used)))


def labelled(query: MetricQuery, _window: str, /) -> Expression:
    """Return an expression that holds the value of a label twice."""
    return ConstantLabel(Selector(query.name, query.matchers), "shown", query.labels["host"].value)


def test_an_expression_may_depend_on_label_values() -> None:
    """Each querier has its own text, although all have the same metric, labels and strategy."""
    assert [
        'label_replace(seconds_bucket{host="a"}, "shown", "a", "", "")',
        'label_replace(seconds_bucket{host="b"}, "shown", "b", "", "")',
    ] == [utilization_text(using(labelled, host)) for host in "ab"]


def test_queriers_with_equal_strategies_share_a_request() -> None:
    """The strategy gets the query of all of them; another quantile is another request."""
    queriers = [using(Quantile(0.5)), using(Quantile(0.5), "b"), using(Quantile(0.9), "c"), using(used)]
    texts = [render(utilization_query(batch)) for batch in coalesce(queriers)]
    assert [
        'histogram_quantile(0.5, sum by (host,le)(rate(seconds_bucket{host=~"a|b"}[5m])))',
        'histogram_quantile(0.9, sum by (host,le)(rate(seconds_bucket{host="c"}[5m])))',
        'sum by (host)(total{host="a"}) - sum by (host)(free{host="a"})',
    ] == texts


def raising(query: MetricQuery, window: str, /) -> Expression:
    """Fail."""
    raise LookupError(f"{query.name} {window}")


def text(query: MetricQuery, window: str, /) -> Any:
    """Return text."""
    return f"{query.name}[{window}]"


async def awaited(query: MetricQuery, window: str, /) -> Any:
    """Fail, as a coroutine function."""
    return raising(query, window)


@pytest.mark.parametrize(
    ("strategy", "message"),
    [
        (raising, "raising raised LookupError: seconds_bucket 5m"),
        (text, "text answered 'seconds_bucket[5m]': expected an expression of statcore.promql"),
        (lambda *_: RangeSelector(Selector("up"), "5m"), "<lambda> answered RangeSelector"),
        (lambda: None, "<lambda> raised TypeError"),
        (awaited, "awaited answered <coroutine ob"),
    ],
)
def test_a_strategy_that_breaks_its_contract_is_named(strategy: Any, message: str) -> None:
    """The error has its module and name; text is refused, because it could leave its place in a query."""
    with pytest.raises(PluginError, match=r"the strategy .*test_plugin_strategies\.") as raised:
        utilization_query(using(strategy))
    assert message in str(raised.value)
    assert raised.value.plugin.startswith(__name__)
    assert "__call__" == raised.value.method


def test_an_input_error_of_a_strategy_is_passed_on() -> None:
    """The caller gave the bad input, not the plugin."""
    with pytest.raises(InputError, match=r"a quantile is from 0 to 1, not 95"):
        utilization_query(using(Quantile(95)))


def test_a_strategy_that_cannot_be_compared_is_refused() -> None:
    """Queriers that share it could not be found."""

    class Unhashable(list[int]):
        def __call__(self) -> None:
            """Do nothing."""

    with pytest.raises(PluginError, match=r"query_strategy\(\) answered .* a strategy that can be hashed") as raised:
        utilization_query(using(Unhashable()))
    assert "query_strategy" == raised.value.method


class Odd:
    """A strategy whose comparison and attributes fail."""

    def __hash__(self) -> int:
        """Return the same for all."""
        return 1

    def __eq__(self, other: object) -> bool:
        """Fail."""
        raise LookupError

    def __getattr__(self, name: str) -> Any:
        """Fail."""
        raise LookupError(name)

    def __call__(self, query: MetricQuery, window: str, /) -> Any:
        """Fail."""
        return raising(query, window)


async def test_an_odd_strategy_harms_no_other_querier() -> None:
    """The other querier of the batch is answered, and the error names the class of the strategy."""
    ordinary = FixedQuerier("up", {"host": "a"}, group_by=["host"])
    queriers = [using(Odd()), using(Odd(), "b"), ordinary]
    first, second, answer = await UtilizationSource(MemoryMetrics()).read_utilization_now_batch(queriers)

    assert isinstance(first, PluginError)
    assert "test_plugin_strategies.Odd has no collection of label names in `replaces`: LookupError" in str(first)
    assert isinstance(second, PluginError)
    assert VectorResult(samples=()) == answer


async def test_strategies_are_tested_without_a_server() -> None:
    """The memory backend evaluates every expression."""
    backend = MemoryMetrics()
    for second in range(0, 120, 15):
        buckets = [("seconds_bucket", {"host": "a", "le": le}, second * rate) for le, rate in BUCKETS.items()]
        amounts = [("total", {"host": "a"}, 100.0), ("free", {"host": "a"}, 30.0)]
        backend.append_scrape([*buckets, *amounts], target="a", time=second)
    for strategy, expected in ((Quantile(0.5), 1.5), (used, 70.0)):
        answer = await backend.query_utilization_now(using(strategy), time=parse_time(105))
        (sample,) = answer.samples
        assert {"host": "a"} == sample.labels
        assert pytest.approx(expected) == sample.value


@attrs.frozen
class Reading:
    """Reads the query's own series, and another metric with changed matchers in the deepest place."""

    change: Callable[[dict[str, Any]], dict[str, Any]] = attrs.field(eq=False)
    replaces: Any = attrs.field(default=(), eq=False)

    def __call__(self, query: MetricQuery, window: str, /) -> Expression:
        """Return the expression."""
        del window
        other = Call("max_over_time", Subquery(Selector("other", self.change(dict(query.wanted))), "5m"))
        ours = HistogramQuantile(0.5, Selector(query.name, query.matchers))
        return ConstantLabel(Aggregation("sum", BinaryOperation("and", ours, other)), "kind", "x")


def reading(change: Callable[[dict[str, Any]], dict[str, Any]], replaces: Any = ()) -> Expression:
    """Return the expression for three racks of a user on a host."""
    labels: dict[str, str | LabelMatcher] = {
        "user_id": "u",
        "host": "a",
        "rack": LabelMatcher.one_of(["r1", "r2", "r3"]),
        "mode": LabelMatcher.regex("a|b"),
    }
    return utilization_query(FixedQuerier("m", labels, strategy=Reading(change, replaces)))


@pytest.mark.parametrize(
    ("change", "label"),
    [
        (lambda _: {}, "user_id='u'"),
        (lambda labels: {**labels, "user_id": "v"}, "user_id='u'"),
        (lambda labels: {**labels, "user_id": LabelMatcher.regex("u")}, "user_id='u'"),
        (lambda labels: {**labels, "host": LabelMatcher.one_of(["a", "b"])}, "host='a'"),
        (lambda labels: {**labels, "host": LabelMatcher.not_equal("a")}, "host='a'"),
        (lambda labels: {name: value for name, value in labels.items() if name != "host"}, "host='a'"),
        (lambda labels: {**labels, "rack": LabelMatcher.one_of(["r1", "r4"])}, "rack=~'r1|r2|r3'"),
        (lambda labels: {**labels, "rack": LabelMatcher.regex("r1|r2")}, "rack=~'r1|r2|r3'"),
        (lambda labels: {**labels, "rack": LabelMatcher.not_equal("r1")}, "rack=~'r1|r2|r3'"),
        (lambda labels: {**labels, "rack": ""}, "rack=~'r1|r2|r3'"),
        (lambda labels: {**labels, "mode": "a"}, "mode=~'a|b'"),
        (lambda labels: {**labels, "mode": LabelMatcher.not_regex("a|b")}, "mode=~'a|b'"),
    ],
)
def test_a_strategy_that_reads_more_than_the_querier_is_refused(change: Any, label: str) -> None:
    """A single selector of any series, however deep, is enough; the error names the strategy and the label."""
    with pytest.raises(PluginError, match=r"the strategy .*\.Reading reads more than its query: other") as raised:
        reading(change)
    assert f"does not match {label}; write every matcher of the query in each selector" in str(raised.value)
    assert (f"{__name__}.Reading", "__call__") == (raised.value.plugin, raised.value.method)


@pytest.mark.parametrize(
    "change",
    [
        lambda labels: labels,
        lambda labels: {"phase": "all", **labels},
        lambda labels: {**labels, "host": LabelMatcher.one_of(["a"])},
        lambda labels: {**labels, "rack": "r2"},
        lambda labels: {**labels, "rack": LabelMatcher.one_of(["r3", "r1"])},
        lambda labels: {**labels, "mode": LabelMatcher.one_of(["b", "a"])},
    ],
)
def test_a_strategy_may_read_less(change: Any) -> None:
    """It may add matchers, or select some of the literal values of the query."""
    assert "other{" in reading(change).text


def test_a_strategy_may_declare_what_it_replaces() -> None:
    """It may replace only that label, and one selector must keep its matcher, or the filter would be gone."""
    assert 'rack="all"' in reading(lambda labels: {**labels, "rack": "all"}, ["rack"]).text
    with pytest.raises(PluginError, match="does not match host='a'"):
        reading(lambda _: {"user_id": "u", "rack": "all"}, {"rack"})

    class Everywhere(Reading):
        """Has no other selector."""

        def __call__(self, query: MetricQuery, window: str, /) -> Expression:
            """Read one series."""
            del window
            return Aggregation("sum", Selector(query.name, self.change(dict(query.wanted))))

    strategy = Everywhere(lambda _: {"host": "b"}, ("host",))
    with pytest.raises(PluginError, match="reads more than its query: no selector matches host='a'"):
        utilization_query(FixedQuerier("m", {"host": "a"}, strategy=strategy))


@attrs.frozen
class Naming:
    """Sets a constant label deep inside."""

    label: str
    replaces: tuple[str, ...] = ()

    def __call__(self, query: MetricQuery, window: str, /) -> Expression:
        """Return the sum."""
        del window
        named = ConstantLabel(Aggregation("sum", Selector(query.name, query.matchers)), self.label, "a")
        return BinaryOperation("*", Aggregation("sum", named, query.group_by), Number(1))


@pytest.mark.parametrize("label", ["host", "user_id"])
def test_a_constant_label_is_no_matched_label_and_no_owner(label: str) -> None:
    """A querier of a shared request would get the series of others."""
    queriers = [FixedQuerier("m", {"host": host}, group_by=["host"], strategy=Naming(label)) for host in ("a", "b")]
    (together,) = coalesce(queriers)
    for querier in (*queriers, together):
        with pytest.raises(
            PluginError, match=rf"Naming reads more .*: label_replace\(sum.* sets {label}, which must tell series apart"
        ):
            utilization_query(querier)


def test_a_constant_label_may_be_declared() -> None:
    """A declared label, or a label that the query does not match, is allowed."""
    for strategy in (Naming("host", ("host",)), Naming("kind")):
        assert "label_replace" in utilization_query(FixedQuerier("m", {"host": "a"}, strategy=strategy)).text


class Unlike(LabelMatcher):  # type: ignore[misc]  # type checkers refuse the subclass
    """A matcher that claims to be within every other matcher."""

    def is_within(self, other: LabelMatcher) -> bool:
        """Return True."""
        del other
        return True


def test_a_subclass_of_a_matcher_is_refused() -> None:
    """It could compare as one matcher and write another; strategies and queriers may not use one."""
    with pytest.raises(InputError, match="the label 'host' is matched by text or a LabelMatcher"):
        reading(lambda labels: {**labels, "host": Unlike.regex(".*")})
    with pytest.raises(PluginError, match="text or a LabelMatcher for the label 'host'"):
        utilization_query(FixedQuerier("m", {"host": Unlike.regex(".*")}))


def forgetful(query: MetricQuery, window: str, /) -> Expression:
    """Remove a matcher from the mapping of the query."""
    labels: Any = query.wanted
    del window, labels["host"]
    return Aggregation("sum", Selector(query.name, labels))


def test_a_strategy_cannot_change_its_query() -> None:
    """The expression is checked against the query, whatever a strategy does with the mapping."""
    querier = PreparedQuerier(MetricQuery("m", {"host": "a"}, (), forgetful))
    for _ in range(2):
        with pytest.raises(PluginError, match="m does not match host='a'"):
            utilization_query(querier)


def used_by_mapping(query: MetricQuery, _window: str, /) -> Expression:
    """Return the difference of the metrics `total` and `free`, with the mapping of the query."""
    total, free = (Aggregation("sum", Selector(name, query.wanted), query.group_by) for name in ("total", "free"))
    return BinaryOperation("-", total, free)


RECURRING: Final = (("host", "a"), ("host", LabelMatcher.one_of(["a", "b"])), ("job", "x"))


def recurring(strategy: Any) -> PreparedQuerier:
    """Return a querier in whose query a label recurs, as where a scope added a matcher."""
    return PreparedQuerier(MetricQuery("m", as_labels(RECURRING), ("host",), strategy))


def test_every_matcher_of_a_label_that_recurs_is_written() -> None:
    """A strategy may take the pairs, also beside a matcher of its own, or pass the mapping on as it is."""

    def idle(query: MetricQuery, _window: str, /) -> Expression:
        return Aggregation("sum", Selector(query.name, [*query.matchers, ("mode", "idle")]), query.group_by)

    expected = 'sum by (host)(m{host="a",host=~"a|b",job="x",mode="idle"})'
    assert expected == utilization_query(recurring(idle)).text
    assert 'sum by (host)(total{host="a",host=~"a|b",job="x"})' in utilization_query(recurring(used_by_mapping)).text


async def test_the_memory_backend_evaluates_every_matcher_of_a_label_that_recurs() -> None:
    """Each of the two excludes a host that the other selects."""
    backend = MemoryMetrics()
    backend.append_scrape([("m", {"host": host}, 1.0) for host in "abc"], target="a", time=60)
    matchers = (("host", LabelMatcher.not_equal("a")), ("host", LabelMatcher.one_of(["a", "b"])))
    querier = PreparedQuerier(MetricQuery("m", as_labels(matchers), ("host",), QueryStrategy.GAUGE))
    answer = await backend.query_utilization_now(querier, time=parse_time(60))
    assert [{"host": "b"}] == [sample.labels for sample in answer.samples]
    assert ["b"] == list(await backend.label_values("host", match=Selector("m", matchers)))


def test_a_matcher_of_a_label_that_recurs_is_never_dropped() -> None:
    """A strategy that takes a mapping, or one matcher of the label, is refused."""

    def by_mapping(query: MetricQuery, _window: str, /) -> Expression:
        return Aggregation("sum", Selector(query.name, {**query.wanted, "mode": "idle"}), query.group_by)

    def by_the_last(query: MetricQuery, _window: str, /) -> Expression:
        return Aggregation("sum", Selector(query.name, dict(query.matchers)), query.group_by)

    with pytest.raises(PluginError, match="raised UnsupportedError: the label host has several matchers"):
        utilization_query(recurring(by_mapping))
    with pytest.raises(PluginError, match="does not match host='a'"):
        utilization_query(recurring(by_the_last))


def of_former_version(query: ResolvedQuerier, window: str, /) -> Expression:
    """Return a sum, as strategies do that were written before `MetricQuery`."""
    del window
    labels = {**query.wanted, "mode": "idle"} if "job" in query.labels else query.wanted
    return Aggregation("sum", Selector(query.name, labels), query.group_by)


def test_a_strategy_for_the_former_names_still_works() -> None:
    """`ResolvedQuerier` with `wanted`, a mapping as the querier wrote it, and `labels`."""
    querier = FixedQuerier("m", {"job": "x"}, group_by=["job"], strategy=of_former_version)
    assert 'sum by (job)(m{job="x",mode="idle"})' == utilization_query(querier).text
    query = ResolvedQuerier("m", {"job": "x"}, (), QueryStrategy.GAUGE)
    assert 'sum(m{job="x",mode="idle"})' == of_former_version(query, "5m").text


@pytest.mark.parametrize("label", ["project_id", "user_id", "agent_id", "session_id", "kernel_id"])
def test_an_owner_label_cannot_be_replaced(label: str) -> None:
    """The error does not depend on the querier's matchers, since a scope may add one."""
    with pytest.raises(PluginError, match=rf"Reading declares {label} in `replaces`") as raised:
        reading(lambda labels: labels, ["le", label])
    assert "replaces" == raised.value.method


@pytest.mark.parametrize("replaces", ["le", 5, None, [5], ["a{"], [None]])
def test_replaces_is_a_collection_of_names(replaces: Any) -> None:
    """A single text is refused, because each of its letters would be a label."""
    with pytest.raises(PluginError, match="Reading has no collection of label names in `replaces`: InputError"):
        reading(lambda labels: labels, replaces)


def test_a_shared_request_reads_no_more_than_its_queriers() -> None:
    """The expression is checked against the query of all of them."""
    queriers = [
        FixedQuerier("m", {"host": host}, group_by=["host"], strategy=Reading(lambda labels: {**labels, "host": "c"}))
        for host in ("a", "b")
    ]
    with pytest.raises(PluginError, match=r'other.*host="c".* does not match host'):
        [utilization_query(batch) for batch in coalesce(queriers)]
