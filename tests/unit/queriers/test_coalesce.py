"""What is merged and what is not, the text that is sent for it, and who gets which series of the answer."""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from typing import Any

import attrs
import pytest
from tests.unit.queriers.alike import IDS, host, mem, text, texts

from statcore.errors import InputError, PluginError, ProtocolError
from statcore.model import MatrixResult, Sample, Series, VectorResult
from statcore.promql import Aggregation, BinaryOperation, Expression, Selector
from statcore.queriers import (
    ContainerMetricQuerier,
    LabelMatcher,
    QueryStrategy,
    ResolvedQuerier,
    UtilizationMetricQuerier,
    coalesce,
)
from statcore.testing.queriers import FixedQuerier

A = FixedQuerier("up", {"job": "x", "host": "a"}, group_by=["host"])


def matrix(*labels: Mapping[str, str]) -> MatrixResult:
    """Return an answer with series of one sample, numbered from 0."""
    return MatrixResult(
        series=tuple(
            Series(labels=one, timestamps=array("d", [60.0]), values=array("d", [number]))
            for number, one in enumerate(labels)
        )
    )


def vector(*labels: Mapping[str, str]) -> VectorResult:
    """Return an answer with samples numbered from 0."""
    return VectorResult(
        samples=tuple(Sample(labels=one, timestamp=60.0, value=number) for number, one in enumerate(labels))
    )


def shown(answers: tuple[VectorResult, ...]) -> list[list[tuple[dict[str, str], float]]]:
    """Return the labels and values of answers."""
    return [[(dict(one.labels), one.value) for one in answer.samples] for answer in answers]


def values(answer: MatrixResult | VectorResult) -> list[float]:
    """Return the first value of each series."""
    if isinstance(answer, VectorResult):
        return [one.value for one in answer.samples]
    return [one.values[0] for one in answer.series]


def test_the_text_of_two_kernels() -> None:
    """The ids become a set; all else stays as it is, and where it is."""
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
    assert [(0, 1)] == [one.positions for one in coalesce(kernels)]


def test_a_label_that_is_not_kept_is_kept_to_tell_the_members_apart() -> None:
    """And taken off again."""
    (one,) = coalesce([FixedQuerier("up", {"host": host}, group_by=["job"]) for host in "ab"])
    assert 'sum by (host,job)(up{host=~"a|b"})' == text(one)
    answers = one.split(vector({"host": "b", "job": "x"}, {"host": "a", "job": "y"}, {"host": "b"}))
    assert [[({"job": "y"}, 1)], [({"job": "x"}, 0), ({}, 2)]] == shown(answers)


@pytest.mark.parametrize(
    "alone",
    [
        A,
        FixedQuerier("up"),
        FixedQuerier("up", {"host": LabelMatcher.equal("a"), "job": LabelMatcher.not_regex("x.*")}),
        FixedQuerier("up", {"host": LabelMatcher.one_of([*"abc"])}, group_by=["host", "job", "host"]),
        mem(1),
    ],
)
def test_a_querier_alone_is_asked_for_as_it_asks_itself(alone: UtilizationMetricQuerier) -> None:
    """Nothing is added, and the whole answer is its own, whatever labels it has."""
    coalesced = coalesce([alone, FixedQuerier("down", {"host": "a"}), alone])
    assert [text(alone), 'sum(down{host="a"})'] == list(map(text, coalesced))
    assert [(0, 2), (1,)] == [one.positions for one in coalesced]
    answer = vector({"host": "z"})
    assert (answer, answer) == coalesced[0].split(answer)


def test_equal_queriers_share_one_value() -> None:
    """In whatever order they name their labels, and however they say that a value is to be matched exactly."""
    reordered = FixedQuerier("up", {"host": LabelMatcher.equal("a"), "job": "x"}, group_by=["host", "host"])
    (one,) = coalesce([A, host("b"), reordered, A], max_values=2)
    assert 'sum by (host)(up{job="x",host=~"a|b"})' == text(one)
    assert [[0], [1], [0], [0]] == [[x.value for x in y.samples] for y in one.split(vector({"host": "a"}, {"host": "b"}))]


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
def test_what_differs_in_more_than_the_value_of_a_label_is_not_merged(other: FixedQuerier) -> None:
    """Another metric, strategy, grouping, second value or label; or series that could not be told apart."""
    assert [text(A), text(other)] == texts(A, other)


@attrs.frozen
class PartOfTheRack:
    """Divides by what the whole rack has, of which there is no `host`."""

    replaces: Any = attrs.field(default=("host",), eq=False)

    def __call__(self, asked: ResolvedQuerier, _window: str, /) -> Expression:
        """Read all hosts of the rack once more."""
        whole = {label: matcher for label, matcher in asked.wanted.items() if label != "host"}
        part, all_of_it = (
            Aggregation("sum", Selector(asked.name, labels), asked.group_by) for labels in (asked.wanted, whole)
        )
        return BinaryOperation("/", part, all_of_it)


def part_of_the_rack(host: str, rack: str, replaces: Any = ("host",)) -> FixedQuerier:
    """Return the share of a host in its rack."""
    return FixedQuerier("up", {"host": host, "rack": rack}, group_by=["rack"], strategy=PartOfTheRack(replaces))


def test_what_differs_in_a_label_that_the_strategy_replaces_is_not_merged() -> None:
    """Grouped by that label, what is read without it would have no partner; other labels are merged."""
    alone = [part_of_the_rack(host, "r") for host in ("a", "b")]
    assert list(map(text, alone)) == texts(*alone)
    one, two = texts(*alone, part_of_the_rack("a", "s"))
    assert one.startswith('sum by (rack)(up{host="a",rack=~"r|s"}) / sum by (rack)(up{rack=~"r|s"})')
    assert two == text(alone[1])


@pytest.mark.parametrize("replaces", [5, None, [[]]])
def test_replaces_that_cannot_be_read_break_only_their_own_querier(replaces: Any) -> None:
    """By an error when it is asked for, not when it is merged."""
    ordinary, broken = coalesce([A, part_of_the_rack("a", "r", replaces)])
    assert text(A) == text(ordinary)
    with pytest.raises(PluginError, match="no collection of label names in `replaces`"):
        text(broken)


@pytest.mark.parametrize(
    "same",
    [LabelMatcher.not_equal("y"), LabelMatcher.regex("x.*"), LabelMatcher.not_regex("y"), LabelMatcher.one_of([*"xy"])],
)
def test_other_labels_are_matched_in_any_way_that_is_the_same(same: LabelMatcher) -> None:
    """Also by a set that is not grouped by."""
    queriers = [FixedQuerier("up", {"job": same, "host": host}) for host in "ab"]
    assert [f'sum by (host)(up{{job{same.operator}"{same.value}",host=~"a|b"}})'] == texts(*queriers)


def test_sets_that_are_grouped_by_are_merged() -> None:
    """Each member gets the series of its values in the order of the answer, also those that another has, too."""
    queriers = [host(LabelMatcher.one_of([*"ab"])), host("c"), host(LabelMatcher.one_of([*"bd"])), host("b", group_by=[])]
    (one,) = coalesce(queriers)
    assert 'sum by (host)(up{job="x",host=~"a|b|c|d"})' == text(one)
    a, b, c, d = ({"host": value} for value in "abcd")
    expected = [[(b, 1), (a, 3)], [(c, 2)], [(d, 0), (b, 1)], [({}, 1)]]
    assert expected == shown(one.split(vector(d, b, c, a)))


def test_an_empty_value_is_the_series_without_the_label() -> None:
    """As it is for a server."""
    (one,) = coalesce([host(""), host("b")])
    assert 'sum by (host)(up{job="x",host=~"|b"})' == text(one)
    assert [[({}, 1)], [({"host": "b"}, 0)]] == shown(one.split(vector({"host": "b"}, {})))


def test_values_are_taken_literally() -> None:
    """What means something in a regular expression is escaped there, and is itself in the answer."""
    (one,) = coalesce([host("a|b"), host("c.*")])
    assert r'sum by (host)(up{job="x",host=~"a\\|b|c\\.\\*"})' == text(one)
    assert [[({"host": "a|b"}, 1)], [({"host": "c.*"}, 0)]] == shown(one.split(vector({"host": "c.*"}, {"host": "a|b"})))


@pytest.mark.parametrize("labels", [{"host": "c"}, {}, {"job": "a"}])
def test_a_series_that_nobody_asked_for(labels: dict[str, str]) -> None:
    """The answer is not one to this question."""
    (one,) = coalesce([host("a"), host("b")])
    with pytest.raises(ProtocolError, match=rf"whose host is {labels.get('host', '')!r}, which was not queried"):
        one.split(vector({"host": "a"}, labels))
    with pytest.raises(ProtocolError, match="not queried"):
        one.split(matrix({"host": "a"}, labels))


@pytest.mark.parametrize("answer", [matrix({"host": "b"}, {"host": "a"}), vector({"host": "b"}, {"host": "a"})])
@pytest.mark.parametrize("partial", [True, False])
def test_remarks_go_to_every_member(answer: MatrixResult | VectorResult, partial: bool) -> None:  # noqa: FBT001 - parameter
    """Warnings, infos, and that something is missing; also to one that has no series."""
    noted = attrs.evolve(answer, warnings=("w",), infos=("i",), partial=partial)
    (one,) = coalesce([host("a"), host("c"), host("b")])
    parts: tuple[MatrixResult | VectorResult, ...] = one.split(noted)
    assert [(("w",), ("i",), partial)] * 3 == [(part.warnings, part.infos, part.partial) for part in parts]
    assert [[1.0], [], [0.0]] == [values(part) for part in parts]


def test_samples_are_handed_on_not_copied() -> None:
    """However large they are, and whether or not the label is taken off."""
    answer = matrix({"host": "a"}, {"host": "b"})
    (one,) = coalesce([host("a"), host("b", group_by=[])])
    parts = one.split(answer)
    assert all(part.series[0].values is series.values for part, series in zip(parts, answer.series, strict=True))


@pytest.mark.parametrize("label", ["inf", "NaN", "without"])
def test_a_label_that_not_every_server_groups_by_is_not_added(label: str) -> None:
    """The queriers are answered one by one."""
    queriers = [FixedQuerier("up", {label: value}) for value in "ab"]
    assert list(map(text, queriers)) == texts(*queriers)


def test_results_can_be_coalesced() -> None:
    """Smaller batches into a larger one, which splits into their answers, and these into those of the first queriers."""
    queriers = [host(value, group_by=["host"] if value < "c" else []) for value in "abcde"]
    inner = coalesce(queriers, max_values=2)
    assert [(0, 1), (2, 3), (4,)] == [one.positions for one in inner]
    (outer,) = coalesce(inner)
    assert [text(one) for one in coalesce(queriers)] == [text(outer)]
    parts = outer.split(vector(*({"host": value} for value in "edcba")))
    answers = [answer for one, part in zip(inner, parts, strict=True) for answer in one.split(part)]
    assert [[({"host": "a"}, 4)], [({"host": "b"}, 3)], [({}, 2)], [({}, 1)], [({}, 0)]] == shown(tuple(answers))


def test_a_result_is_a_value() -> None:
    """Equal to another of the same input, and hashable."""
    assert {*coalesce([A, host("b")])} == {*coalesce([A, host("b")])}
    assert coalesce([A, host("b")]) != coalesce([A, host("c")])


def test_nothing_is_nothing() -> None:
    """No queriers, no requests."""
    assert () == coalesce([])


def test_a_broken_querier_is_named() -> None:
    """As whenever it is asked."""
    with pytest.raises(PluginError, match=r"FixedQuerier\.name\(\) answered '': expected a metric name"):
        coalesce([A, FixedQuerier("")])


@pytest.mark.parametrize("max_values", [0, -1])
def test_a_batch_holds_at_least_one_value(max_values: int) -> None:
    """The message names the argument."""
    with pytest.raises(InputError, match=f"max_values must be at least 1, not {max_values}"):
        coalesce([A], max_values=max_values)


def test_text_that_cannot_be_sent_is_refused_before_it_is_merged() -> None:
    """Or it would spoil the requests of others."""
    with pytest.raises(InputError, match="a label value holds a lone surrogate"):
        coalesce([A, host("\ud800")])
