"""What is read through a scope is what would be read if nothing outside the scope existed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from tests.support.scoped_world import (
    AGENTS,
    ENDPOINTS,
    KERNELS,
    PRESETS,
    RANGE,
    SESSION_IDS,
    STRATEGIES,
    VALUES,
    Pairs,
    allowed,
    id_of,
    matchers,
    scopes,
    worlds,
)

from statcore.errors import UnsupportedError
from statcore.model.inventory import AgentRecord
from statcore.promql import Selector
from statcore.queriers import ContainerMetricQuerier, QueryStrategy
from statcore.queriers.container import CONTAINER_SERIES, OWNER_LABELS
from statcore.queriers.interface import MetricQuery, PreparedQuerier
from statcore.queriers.matcher import as_labels
from statcore.runtime import Runtime
from statcore.scopes import Scope
from statcore.services.presets import PresetService
from statcore.statistics import SessionStatistics, UtilizationSource


@given(scope=scopes(alternatives=1), wanted=matchers(), data=st.data())
async def test_utilization_of_a_scope(scope: Scope, wanted: Pairs, data: st.DataObject) -> None:
    """Whatever the caller matches, groups by and computes, series of others do not count."""
    confined, smaller = await worlds(scope)
    strategy = data.draw(st.sampled_from(STRATEGIES))
    group_by = tuple(sorted(data.draw(st.sets(st.sampled_from(OWNER_LABELS)))))
    querier = PreparedQuerier(MetricQuery(CONTAINER_SERIES, as_labels(tuple(wanted)), group_by, strategy))

    expected = await smaller.metrics.query_utilization(querier, RANGE)
    assert expected == await confined.metrics.query_utilization(querier, RANGE)
    expected_now = await smaller.metrics.query_utilization_now(querier, time=RANGE.end)
    assert expected_now == await confined.metrics.query_utilization_now(querier, time=RANGE.end)


@given(scope=scopes(), wanted=matchers(), others=st.sets(st.sampled_from(OWNER_LABELS[1:])))
async def test_utilization_of_kernels_in_a_scope_of_alternatives(scope: Scope, wanted: Pairs, others: set[str]) -> None:
    """A kernel that several alternatives allow is in the answer once."""
    confined, smaller = await worlds(scope)
    group_by = tuple(sorted({"kernel_id", *others}))
    querier = PreparedQuerier(MetricQuery(CONTAINER_SERIES, as_labels(tuple(wanted)), group_by, QueryStrategy.GAUGE))

    expected = await smaller.metrics.query_utilization(querier, RANGE)
    answer = await confined.metrics.query_utilization(querier, RANGE)
    assert _by_labels(expected.series) == _by_labels(answer.series)
    assert len(expected.series) == len(answer.series)


@given(scope=scopes(), wanted=matchers())
async def test_sums_over_alternatives_are_refused_or_right(scope: Scope, wanted: Pairs) -> None:
    """A sum over kernels is never wrong: a scope that is not one selector is refused."""
    confined, smaller = await worlds(scope)
    querier = PreparedQuerier(MetricQuery(CONTAINER_SERIES, as_labels(tuple(wanted)), (), QueryStrategy.GAUGE))
    try:
        answer = await confined.metrics.query_utilization(querier, RANGE)
    except UnsupportedError:
        assert len(scope.alternatives) > 1
    else:
        assert await smaller.metrics.query_utilization(querier, RANGE) == answer


@given(scope=scopes(alternatives=1), numbers=st.lists(st.integers(0, 15), min_size=1, max_size=4, unique=True))
async def test_queriers_that_share_a_request(scope: Scope, numbers: list[int]) -> None:
    """Kernels of others have no series, whoever shares their request."""
    confined, smaller = await worlds(scope)
    queriers = [
        ContainerMetricQuerier(metric_name="mem", value_type="current", kernel_id=KERNELS[number].kernel_id)
        for number in numbers
    ]
    expected = await UtilizationSource(smaller.metrics).read_utilization_batch(queriers, RANGE)
    assert expected == await UtilizationSource(confined.metrics).read_utilization_batch(queriers, RANGE)


@given(scope=scopes(), wanted=matchers(), label=st.sampled_from(OWNER_LABELS), is_matched=st.booleans())
async def test_labels_and_series_of_a_scope(scope: Scope, wanted: Pairs, label: str, *, is_matched: bool) -> None:
    """Values and label sets of others are not listed, with or without a selector."""
    confined, smaller = await worlds(scope)
    match = Selector(CONTAINER_SERIES, wanted)

    expected = await smaller.metrics.label_values(label, match=match if is_matched else None)
    assert expected == await confined.metrics.label_values(label, match=match if is_matched else None)
    series = [frozenset(found.items()) for found in await confined.metrics.series(match)]
    assert {frozenset(found.items()) for found in await smaller.metrics.series(match)} == set(series)
    assert len(set(series)) == len(series)


@given(scope=scopes(alternatives=1), label=st.sampled_from(OWNER_LABELS), data=st.data())
async def test_presets_of_a_scope(scope: Scope, label: str, data: st.DataObject) -> None:
    """A preset is evaluated over the series of the scope, whatever is filled in."""
    confined, smaller = await worlds(scope)
    labels = {label: data.draw(st.sampled_from(VALUES[label]))} if data.draw(st.booleans()) else {}
    groups = data.draw(st.lists(st.sampled_from(OWNER_LABELS), max_size=2))

    def service(runtime: Runtime) -> PresetService:
        return PresetService(runtime.metrics, PRESETS)  # type: ignore[arg-type]

    expected = await service(smaller).query_preset("most", time_range=RANGE, labels=labels, group_labels=groups)
    answer = await service(confined).query_preset("most", time_range=RANGE, labels=labels, group_labels=groups)
    assert expected == answer


@given(scope=scopes(), order=st.randoms(use_true_random=False))
async def test_live_statistics_of_a_scope(scope: Scope, order: Any) -> None:
    """An id of others has no entry and no problem, as an unknown id; a session needs all of its kernels."""
    confined, smaller = await worlds(scope)
    ids = [*(kernel.kernel_id for kernel in KERNELS), *SESSION_IDS, id_of("nobody", 1)]
    order.shuffle(ids)
    pairs = [(endpoint.endpoint_id, endpoint.replicas[0].replica_id) for endpoint in ENDPOINTS]
    whole = [
        session_id
        for session_id in SESSION_IDS
        if all(allowed(scope, kernel) for kernel in KERNELS if kernel.session_id == session_id)
    ]
    for fetch, given_ids in (
        ("fetch_kernel_statistics", ids),
        ("fetch_endpoint_statistics", [endpoint_id for endpoint_id, _ in pairs]),
        ("fetch_replica_statistics", pairs),
    ):
        expected = await getattr(smaller.statistics, fetch)(given_ids)
        answer = await getattr(confined.statistics, fetch)(given_ids)
        assert (list(expected), expected.problems) == (list(answer), answer.problems)
    activity = await confined.statistics.fetch_inference_metrics(ids)
    expected_activity = await smaller.statistics.fetch_inference_metrics(ids)
    assert [entry if id_ in whole else None for id_, entry in zip(ids, expected_activity, strict=True)] == list(activity)


@given(scope=scopes())
async def test_inventory_of_a_scope(scope: Scope) -> None:
    """Objects of others do not exist, in lists and by id."""
    confined, smaller = await worlds(scope)
    everywhere = [*(kernel.kernel_id for kernel in KERNELS), *SESSION_IDS, id_of("nobody", 1)]

    assert await smaller.inventory.list_sessions(limit=3, offset=1) == await confined.inventory.list_sessions(
        limit=3, offset=1
    )
    assert await smaller.inventory.list_endpoints() == await confined.inventory.list_endpoints()
    expected = await smaller.inventory.find_sessions(everywhere)
    assert list(expected) == list(await confined.inventory.find_sessions(everywhere))
    agents = [AgentRecord(agent_id=agent_id) for agent_id in AGENTS if scope.includes(agent_id=agent_id)]
    assert [agent.agent_id for agent in agents] == list((await confined.inventory.list_agents()).items)
    expected_sessions = await SessionStatistics(smaller.repository, smaller.inventory).get_session_statistics_batch(
        SESSION_IDS
    )
    sessions = await SessionStatistics(confined.repository, confined.inventory).get_session_statistics_batch(SESSION_IDS)
    assert list(expected_sessions) == list(sessions)


def _by_labels(series: Iterable[Any]) -> dict[frozenset[tuple[str, str]], tuple[Any, Any]]:
    return {frozenset(each.labels.items()): (each.timestamps, each.values) for each in series}
