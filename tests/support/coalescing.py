"""Series, and queriers that differ in few labels, for tests of reading many queriers together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from itertools import product
from typing import Final, TypeAlias
from uuid import UUID

import attrs
from hypothesis import strategies as st

from statcore.model import MatrixResult, QueryTimeRange, VectorResult
from statcore.model.time import from_unix_ms
from statcore.queriers import ContainerMetricQuerier, LabelMatcher, QueryStrategy, UtilizationMetricQuerier, resolve
from statcore.queriers.container import CONTAINER_SERIES, VALUE_TYPES
from statcore.queriers.interface import PreparedQuerier
from statcore.queriers.matcher import as_labels
from statcore.testing.metrics.dataset import PlantedSeries
from statcore.testing.queriers import FixedQuerier

Labelled: TypeAlias = dict[frozenset[tuple[str, str]], list[tuple[int, str]]]
"""Series by their labels: times in unix milliseconds, and exact values as text, so that NaN equals NaN."""

START_MS: Final = 1_795_000_000_000
REPLICAS: Final = "replica_requests"
KERNELS: Final = tuple(str(UUID(int=number)) for number in range(1, 5))
SESSIONS: Final = tuple(str(UUID(int=number)) for number in range(11, 13))
AGENTS: Final = ("i-1", 'i-"2"\\')
ENDPOINTS: Final = ("", "a", "b", "a|b", "x.y", "xay", '"\n\ufffd', "名前")
SIZES: Final = ("", "1", "10")
METRICS: Final = ("cpu_util", "mem", "net_rx")


@attrs.frozen(kw_only=True)
class ReplicaQuerier(UtilizationMetricQuerier):
    """A querier that the core does not know, with its own labels; it groups by other labels than it filters by."""

    endpoint: str | LabelMatcher
    size: str | LabelMatcher | None = None
    zone: LabelMatcher | None = None
    kept: Sequence[str] = ()
    strategy: QueryStrategy

    def name(self) -> str:
        """Return the series that replicas export."""
        return REPLICAS

    def labels(self) -> Mapping[str, str | LabelMatcher]:
        """Return the filters that are set."""
        filters = {"zone": self.zone, "size": self.size, "endpoint": self.endpoint}
        return {label: matcher for label, matcher in filters.items() if matcher is not None}

    def group_by_labels(self) -> Sequence[str]:
        """Return the labels that the answer keeps."""
        return self.kept

    def query_strategy(self) -> QueryStrategy:
        """Return the strategy."""
        return self.strategy


def _label_sets() -> Iterator[tuple[str, dict[str, str]]]:
    for metric, type_, kernel, session, agent in product(METRICS, VALUE_TYPES, KERNELS, SESSIONS, ("", *AGENTS)):
        owners = {"kernel_id": kernel, "session_id": session, "agent_id": agent}
        yield CONTAINER_SERIES, {"container_metric_name": metric, "value_type": type_, **owners}
    for endpoint, size, zone in product(ENDPOINTS, SIZES, ("", "z")):
        yield REPLICAS, {"endpoint": endpoint, "size": size, "zone": zone}


LABEL_SETS: Final = tuple(_label_sets())
"""All series that may be planted: metric name and labels; empty labels are left out when a series is planted."""


@st.composite
def planted_series(draw: st.DrawFn, numbers: st.SearchStrategy[float], *, many: bool = False) -> list[PlantedSeries]:
    """Draw a few or many series, with samples every 30 seconds or less often; no two have equal values."""
    most = len(LABEL_SETS)
    least = 4 * most // 5 if many else draw(st.sampled_from([0, most // 4, most // 2]))
    chosen = draw(st.lists(st.sampled_from(range(most)), min_size=least, unique=True))
    course = st.lists(st.one_of(numbers, numbers, st.none()), min_size=6, max_size=20)
    courses = draw(st.lists(course, min_size=1, max_size=6))
    planted: list[PlantedSeries] = []
    for order, number in enumerate(chosen):
        name, labels = LABEL_SETS[number]
        samples = [
            (START_MS / 1000 + 30 * turn + order % 7, value + number)
            for turn, value in enumerate(courses[order % len(courses)])
            if value is not None
        ]
        planted.append(PlantedSeries(name, {label: value for label, value in labels.items() if value}, samples))
    return planted


@st.composite
def similar_containers(draw: st.DrawFn) -> list[ContainerMetricQuerier]:
    """Draw queriers that filter by the same labels and differ in one or more values."""
    owners: dict[str, st.SearchStrategy[str]] = {
        "kernel_id": st.sampled_from(KERNELS),
        "session_id": st.sampled_from(SESSIONS),
        "agent_id": st.sampled_from(AGENTS),
    }
    filtered = draw(st.sets(st.sampled_from(sorted(owners))))
    querier = st.builds(
        ContainerMetricQuerier,
        metric_name=st.sampled_from(METRICS),
        value_type=st.sampled_from(("current", *VALUE_TYPES)),
        **{label: owners[label] for label in sorted(filtered)},
    )
    return draw(st.lists(querier, min_size=3, max_size=12))


@st.composite
def similar_replicas(draw: st.DrawFn) -> list[UtilizationMetricQuerier]:
    """Draw queriers of replicas that differ in some fields: a plugin's kind, fixed, or with a label that recurs."""
    values = st.sampled_from(ENDPOINTS)
    endpoints = st.one_of(
        values,
        values,
        values.map(LabelMatcher.equal),
        st.sets(values, min_size=1, max_size=3).map(LabelMatcher.one_of),
        st.sampled_from([LabelMatcher.regex("a|x.*"), LabelMatcher.regex(".*"), LabelMatcher.not_equal("a")]),
    )
    sizes = draw(st.sampled_from([st.none(), st.just("1"), st.sampled_from(SIZES)]))
    zone = draw(st.sampled_from([None, LabelMatcher.equal(""), LabelMatcher.not_regex("y|z"), LabelMatcher.not_equal("y")]))
    kept = draw(st.sets(st.sampled_from(["size", "zone", "absent", "__name__"]), max_size=2))
    strategies = draw(st.lists(st.sampled_from(QueryStrategy), min_size=1, max_size=2))
    querier = st.builds(
        ReplicaQuerier,
        endpoint=endpoints,
        size=sizes,
        zone=st.just(zone),
        kept=st.sampled_from([sorted(kept), ["endpoint", *kept]]),
        strategy=st.sampled_from(strategies),
    )
    kind: st.SearchStrategy[UtilizationMetricQuerier] = draw(
        st.sampled_from([querier, querier.map(_fixed), querier.map(_narrowed)])
    )
    return draw(st.lists(kind, min_size=3, max_size=12))


def _fixed(querier: ReplicaQuerier) -> FixedQuerier:
    labels = dict(reversed([*querier.labels().items()]))
    return FixedQuerier(REPLICAS, labels, group_by=querier.kept, strategy=querier.strategy)


def _narrowed(querier: ReplicaQuerier) -> PreparedQuerier:
    query, narrower = resolve(querier), ("endpoint", LabelMatcher.one_of(ENDPOINTS[1:]))
    return PreparedQuerier(query._replace(wanted=as_labels((*query.matchers, narrower))))


@st.composite
def mixed_queriers(draw: st.DrawFn) -> list[UtilizationMetricQuerier]:
    """Draw queriers of all kinds in any order; many differ in one value, or are equal."""
    groups = draw(st.lists(st.one_of(similar_containers(), similar_replicas(), similar_replicas()), max_size=5))
    return draw(st.permutations([querier for group in groups for querier in group]))


def time_ranges() -> st.SearchStrategy[QueryTimeRange]:
    """Return ranges of a few points, around the time of the samples."""
    return st.builds(
        lambda start_s, steps, step_s: QueryTimeRange(
            start=from_unix_ms(START_MS + 1000 * start_s),
            end=from_unix_ms(START_MS + 1000 * (start_s + steps * step_s)),
            step=timedelta(seconds=step_s),
        ),
        st.integers(0, 400),
        st.integers(0, 6),
        st.integers(1, 120),
    )


def labelled(answer: MatrixResult | VectorResult) -> Labelled:
    """Return the series of an answer by their labels, which are distinct."""
    if isinstance(answer, VectorResult):
        found = [(sample.labels, [(sample.timestamp, sample.value)]) for sample in answer.samples]
    else:
        found = [(series.labels, list(zip(series.timestamps, series.values, strict=True))) for series in answer.series]
    by_labels = {
        frozenset(labels.items()): [(round(time * 1000), repr(value)) for time, value in pairs] for labels, pairs in found
    }
    assert len(found) == len(by_labels)
    return by_labels
