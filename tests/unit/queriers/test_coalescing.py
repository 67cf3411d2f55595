"""Coalescing: which queriers are merged, the text of the merged query, how many batches there are, and the split answer."""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from typing import Any
from uuid import UUID

import attrs
import pytest

from statcore.errors import InputError, PluginError, ProtocolError
from statcore.model import MatrixResult, Sample, Series, VectorResult
from statcore.promql import Aggregation, BinaryOperation, Expression, Selector, render, utilization_query
from statcore.queriers import (
    ContainerMetricQuerier,
    LabelMatcher,
    MetricQuery,
    QueryStrategy,
    UtilizationMetricQuerier,
    coalesce,
)
from statcore.queriers.interface import PreparedQuerier
from statcore.queriers.matcher import as_labels
from statcore.testing.queriers import FixedQuerier

IDS = [str(UUID(int=number)) for number in range(1000)]


def text(querier: UtilizationMetricQuerier) -> str:
    """Return the PromQL of a querier."""
    return render(utilization_query(querier))


def texts(*queriers: UtilizationMetricQuerier, max_values: int = 256) -> list[str]:
    """Return the PromQL of each batch of some queriers."""
    return [text(batch) for batch in coalesce(queriers, max_values=max_values)]


def host(value: str | LabelMatcher, **changes: Any) -> FixedQuerier:
    """Return a querier like `A` for another host."""
    return FixedQuerier("up", {"job": "x", "host": value}, **{"group_by": ["host"], **changes})


def mem(kernel: int, metric: str = "mem") -> ContainerMetricQuerier:
    """Return a querier of a kernel's gauge."""
    return ContainerMetricQuerier(metric_name=metric, value_type="current", kernel_id=IDS[kernel])


A = FixedQuerier("up", {"job": "x", "host": "a"}, group_by=["host"])


def matrix(*labels: Mapping[str, str]) -> MatrixResult:
    """Return an answer with series of one sample, numbered from 0."""
    return MatrixResult(
        series=tuple(
            Series(labels=label_set, timestamps=array("d", [60.0]), values=array("d", [number]))
            for number, label_set in enumerate(labels)
        )
    )


def vector(*labels: Mapping[str, str]) -> VectorResult:
    """Return an answer with samples numbered from 0."""
    return VectorResult(
        samples=tuple(Sample(labels=label_set, timestamp=60.0, value=number) for number, label_set in enumerate(labels))
    )


def shown(answers: tuple[VectorResult, ...]) -> list[list[tuple[dict[str, str], float]]]:
    """Return the labels and values of answers."""
    return [[(dict(sample.labels), sample.value) for sample in answer.samples] for answer in answers]


def values(answer: MatrixResult | VectorResult) -> list[float]:
    """Return the first value of each series."""
    if isinstance(answer, VectorResult):
        return [sample.value for sample in answer.samples]
    return [series.values[0] for series in answer.series]


def test_the_text_of_two_kernels() -> None:
    """The ids become a set; everything else stays unchanged in its place."""
    kernels = [
        ContainerMetricQuerier(metric_name="cpu_util", value_type="current", kernel_id=IDS[kernel], user_id=IDS[9])
        for kernel in (2, 1)
    ]
    expected = (
        "sum by (kernel_id,user_id,value_type)(rate(backendai_container_utilization"
        '{container_metric_name="cpu_util",value_type="current",'
        f'kernel_id=~"{IDS[1]}|{IDS[2]}",user_id="{IDS[9]}"}}[5m]))'
    )
    assert [expected] == texts(*kernels)
    assert [(0, 1)] == [batch.positions for batch in coalesce(kernels)]


def test_a_batch_groups_by_the_label_that_tells_its_members_apart() -> None:
    """Members that do not group by it get their answers without it."""
    (merged,) = coalesce([FixedQuerier("up", {"host": host}, group_by=["job"]) for host in "ab"])
    assert 'sum by (host,job)(up{host=~"a|b"})' == text(merged)
    answers = merged.split(vector({"host": "b", "job": "x"}, {"host": "a", "job": "y"}, {"host": "b"}))
    assert [[({"job": "y"}, 1)], [({"job": "x"}, 0), ({}, 2)]] == shown(answers)


def test_equal_queriers_share_one_value() -> None:
    """The order of labels does not matter, nor whether an exact match is text or a LabelMatcher."""
    reordered = FixedQuerier("up", {"host": LabelMatcher.equal("a"), "job": "x"}, group_by=["host", "host"])
    (merged,) = coalesce([A, host("b"), reordered, A], max_values=2)
    assert 'sum by (host)(up{job="x",host=~"a|b"})' == text(merged)
    assert [[0], [1], [0], [0]] == [values(answer) for answer in merged.split(vector({"host": "a"}, {"host": "b"}))]


@pytest.mark.parametrize(
    "other",
    [
        FixedQuerier("down", {"job": "x", "host": "b"}, group_by=["host"]),
        host("b", strategy=QueryStrategy.RATE),
        host("b", group_by=["host", "job"]),
        FixedQuerier("up", {"job": "y", "host": "b"}, group_by=["host"]),
        FixedQuerier("up", {"host": "b"}, group_by=["host"]),
        FixedQuerier("up", {"job": "x", "host": "b", "rack": "r"}, group_by=["host"]),
        host(LabelMatcher.not_equal("b")),
        host(LabelMatcher.regex("b")),
        host(LabelMatcher.not_regex("b")),
        host(LabelMatcher.one_of([*"bc"]), group_by=[]),
    ],
)
def test_queriers_that_differ_in_more_than_a_label_value_are_not_merged(other: FixedQuerier) -> None:
    """They differ in metric, strategy, grouping, label or a second value, or their series could not be told apart."""
    assert [text(A), text(other)] == texts(A, other)


@attrs.frozen
class PartOfTheRack:
    """Divides the value of a host by the value of its whole rack, whose series lack the label `host`."""

    replaces: Any = attrs.field(default=("host",), eq=False)

    def __call__(self, query: MetricQuery, _window: str, /) -> Expression:
        """Return the quotient."""
        of_rack = [(label, matcher) for label, matcher in query.matchers if label != "host"]
        part, whole = (
            Aggregation("sum", Selector(query.name, matchers), query.group_by) for matchers in (query.matchers, of_rack)
        )
        return BinaryOperation("/", part, whole)


def part_of_the_rack(host: str, rack: str, replaces: Any = ("host",)) -> FixedQuerier:
    """Return the share of a host in its rack."""
    return FixedQuerier("up", {"host": host, "rack": rack}, group_by=["rack"], strategy=PartOfTheRack(replaces))


def test_queriers_are_not_merged_along_a_label_that_the_strategy_replaces() -> None:
    """Grouped by that label, the side without it would find no partner; queriers are merged along other labels."""
    alone = [part_of_the_rack(host, "r") for host in ("a", "b")]
    assert list(map(text, alone)) == texts(*alone)
    both_racks, alone_text = texts(*alone, part_of_the_rack("a", "s"))
    assert both_racks.startswith('sum by (rack)(up{host="a",rack=~"r|s"}) / sum by (rack)(up{rack=~"r|s"})')
    assert alone_text == text(alone[1])


def narrowed(host: str, job: str) -> PreparedQuerier:
    """Return a querier of a host with a second matcher of the label, as a scope adds one."""
    matchers = (("host", host), ("job", job), ("host", LabelMatcher.one_of(["a", "b"])))
    return PreparedQuerier(MetricQuery("up", as_labels(matchers), ("host",), QueryStrategy.GAUGE))


def test_queriers_are_not_merged_along_a_label_that_recurs() -> None:
    """They are merged along other labels, and every matcher is written."""
    assert ['sum by (host)(up{host="a",job="x",host=~"a|b"})', 'sum by (host)(up{host="b",job="x",host=~"a|b"})'] == texts(
        narrowed("a", "x"), narrowed("b", "x")
    )
    assert ['sum by (host,job)(up{host="a",job=~"x|y",host=~"a|b"})'] == texts(narrowed("a", "x"), narrowed("a", "y"))
    assert 2 == len(texts(narrowed("a", "x"), FixedQuerier("up", {"host": "a", "job": "x"}, group_by=["host"])))


@pytest.mark.parametrize("replaces", [5, None, [[]]])
def test_replaces_that_cannot_be_read_break_only_their_own_querier(replaces: Any) -> None:
    """The error is raised where the expression is built, not where queriers are merged."""
    ordinary, broken = coalesce([A, part_of_the_rack("a", "r", replaces)])
    assert text(A) == text(ordinary)
    with pytest.raises(PluginError, match="no collection of label names in `replaces`"):
        text(broken)


@pytest.mark.parametrize(
    "same",
    [LabelMatcher.not_equal("y"), LabelMatcher.regex("x.*"), LabelMatcher.not_regex("y"), LabelMatcher.one_of([*"xy"])],
)
def test_the_other_labels_may_have_any_equal_matchers(same: LabelMatcher) -> None:
    """This includes a set of values without grouping by the label."""
    queriers = [FixedQuerier("up", {"job": same, "host": host}) for host in "ab"]
    assert [f'sum by (host)(up{{job{same.operator}"{same.value}",host=~"a|b"}})'] == texts(*queriers)


def test_sets_that_are_grouped_by_are_merged() -> None:
    """Each member gets the series of its values in the order of the answer; members may share a series."""
    queriers = [host(LabelMatcher.one_of([*"ab"])), host("c"), host(LabelMatcher.one_of([*"bd"])), host("b", group_by=[])]
    (merged,) = coalesce(queriers)
    assert 'sum by (host)(up{job="x",host=~"a|b|c|d"})' == text(merged)
    a, b, c, d = ({"host": value} for value in "abcd")
    expected = [[(b, 1), (a, 3)], [(c, 2)], [(d, 0), (b, 1)], [({}, 1)]]
    assert expected == shown(merged.split(vector(d, b, c, a)))


@pytest.mark.parametrize("labels", [{"host": "c"}, {}, {"job": "a"}])
def test_a_series_of_no_member_is_a_protocol_error(labels: dict[str, str]) -> None:
    """The answer does not fit the query."""
    (merged,) = coalesce([host("a"), host("b")])
    with pytest.raises(ProtocolError, match=rf"whose host is {labels.get('host', '')!r}, which was not queried"):
        merged.split(vector({"host": "a"}, labels))
    with pytest.raises(ProtocolError, match="not queried"):
        merged.split(matrix({"host": "a"}, labels))


@pytest.mark.parametrize("answer", [matrix({"host": "b"}, {"host": "a"}), vector({"host": "b"}, {"host": "a"})])
@pytest.mark.parametrize("partial", [True, False])
def test_every_member_gets_the_warnings(answer: MatrixResult | VectorResult, partial: bool) -> None:  # noqa: FBT001 - parameter
    """The infos, too, and whether the answer is partial; also a member without series."""
    noted = attrs.evolve(answer, warnings=("w",), infos=("i",), partial=partial)
    (merged,) = coalesce([host("a"), host("c"), host("b")])
    parts: tuple[MatrixResult | VectorResult, ...] = merged.split(noted)  # type: ignore[type-var]  # one kind at a time
    assert [(("w",), ("i",), partial)] * 3 == [(part.warnings, part.infos, part.partial) for part in parts]
    assert [[1.0], [], [0.0]] == [values(part) for part in parts]


def test_samples_are_not_copied() -> None:
    """This holds whether or not the label is removed."""
    answer = matrix({"host": "a"}, {"host": "b"})
    (merged,) = coalesce([host("a"), host("b", group_by=[])])
    parts = merged.split(answer)
    assert all(part.series[0].values is series.values for part, series in zip(parts, answer.series, strict=True))


@pytest.mark.parametrize("label", ["inf", "NaN", "without"])
def test_a_label_that_not_every_server_groups_by_is_not_added(label: str) -> None:
    """Each querier is a batch of its own."""
    queriers = [FixedQuerier("up", {label: value}) for value in "ab"]
    assert list(map(text, queriers)) == texts(*queriers)


@pytest.mark.parametrize("max_values", [0, -1])
def test_a_batch_has_at_least_one_value(max_values: int) -> None:
    """A smaller bound is refused."""
    with pytest.raises(InputError, match=f"max_values must be at least 1, not {max_values}"):
        coalesce([A], max_values=max_values)


def test_text_that_cannot_be_sent_is_refused_before_it_is_merged() -> None:
    """A merged request with it would fail for all its members."""
    with pytest.raises(InputError, match="a label value holds a lone surrogate"):
        coalesce([A, host("\ud800")])


def test_batches_are_full() -> None:
    """Only the last batch has fewer values; a single rest keeps its text."""
    coalesced = coalesce([mem(number) for number in range(513)])
    assert [256, 256, 1] == [len(batch.positions) for batch in coalesced]
    assert text(mem(512)) == text(coalesced[-1])
    assert [(0, 1), (2, 3), (4,)] == [
        batch.positions for batch in coalesce([mem(number) for number in range(5)], max_values=2)
    ]
    assert [text(mem(number)) for number in range(3)] == texts(*map(mem, range(3)), max_values=1)


def test_a_set_stays_in_one_batch() -> None:
    """A set that is larger than a batch stays alone and unchanged."""
    large = host(LabelMatcher.one_of([*"abcd"]))
    coalesced = coalesce(
        [host("a"), host(LabelMatcher.one_of([*"ef"])), large, host(LabelMatcher.one_of([*"gh"]))], max_values=3
    )
    assert [(0, 1), (2,), (3,)] == [batch.positions for batch in coalesced]
    assert text(large) == text(coalesced[1])


def test_two_metrics_of_many_kernels() -> None:
    """They are merged along the label that saves more batches: two batches for each metric."""
    queriers = [mem(kernel, metric) for kernel in range(500) for metric in ("mem", "io_read")]
    coalesced = coalesce(queriers)
    assert [256, 256, 244, 244] == [len(batch.positions) for batch in coalesced]
    assert 500 == len({position // 2 for batch in coalesced[::2] for position in batch.positions})


def test_one_metric_of_many_kernels_beside_many_metrics_of_one() -> None:
    """Queriers that no batch of kernels takes are merged along the metric."""
    queriers = [mem(kernel) for kernel in range(100)] + [mem(7, f"metric{number}") for number in range(50)]
    assert [tuple(range(100)), tuple(range(100, 150))] == [batch.positions for batch in coalesce(queriers)]


def test_many_metrics_of_a_few_kernels_beside_one_metric_of_many() -> None:
    """The metrics of a kernel are one batch, although every metric has more than one kernel."""
    queriers = [mem(kernel) for kernel in range(100)]
    queriers += [mem(kernel, f"metric{number}") for number in range(50) for kernel in (7, 8)]
    assert 3 == len(coalesce(queriers))


def test_a_metric_that_every_kernel_has_beside_others() -> None:
    """To merge the most kernels first would leave the other metrics of each kernel to a batch of their own."""
    queriers = [mem(kernel, metric) for kernel in range(4) for metric in ("mem", f"one{kernel}", f"two{kernel}")]
    assert [(0, 1, 2), (3, 4, 5), (6, 7, 8), (9, 10, 11)] == [batch.positions for batch in coalesce(queriers)]


def test_a_tie_goes_to_the_label_that_is_first_by_name() -> None:
    """The same input gives the same batches in every process."""
    square = [FixedQuerier("up", {"b": b, "a": a}) for b in "xy" for a in "xy"]
    assert ['sum by (a)(up{b="x",a=~"x|y"})', 'sum by (a)(up{b="y",a=~"x|y"})'] == texts(*square)
