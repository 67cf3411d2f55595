"""The scheduler's tick: the inventory counts, the rest is as for deployments."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

import pytest
from tests.unit.consumers.cluster import NOW, Cluster, cpu, id_of, inference_rule, kernel_rule, loads, query_rule, running

from statcore.consumers import ComparatorRule
from statcore.errors import InputError, UnavailableError


async def test_the_count_is_that_of_the_active_replicas() -> None:
    """Inactive ones are not counted, and every kind is read once for all endpoints."""
    cluster = Cluster(found=lambda _querier, _time: loads(3.0))
    rules: dict[str, list[ComparatorRule]] = {}
    for number in range(1, 11):
        endpoint_id = cluster.add_endpoint(number, *[[cpu("50")]] * number, idle=2)
        cluster.endpoint_statistics[endpoint_id] = running(str(10 * number if number % 2 else 0))
        fewer = ComparatorRule(
            name="idle",
            source="kernel",
            metric_name="cpu_util",
            threshold="50",
            comparator="less-than-or-equal",
            step_size=-3,
            min_replicas=2,
        )
        rules[endpoint_id] = [inference_rule(max_replicas=8), fewer]
    decisions = await cluster.schedule.autoscale(rules, now=NOW)
    assert list(rules) == list(decisions)
    counted = [(one.previous, one.replicas) for one in decisions.values() if one]
    assert [(1, 3), (2, 2), (3, 5), (4, 2), (5, 7), (6, 3), (7, 8), (8, 5), (9, 9), (10, 7)] == counted
    assert ["fetch_endpoint_statistics", "fetch_kernel_statistics", "find_endpoints", "find_sessions"] == cluster.asked


async def test_an_endpoint_that_does_not_exist_has_no_decision() -> None:
    """None: there is no count to start from, and nothing is read for it; the others are decided on."""
    cluster = Cluster(found=lambda _querier, _time: loads(9.0))
    there = cluster.add_endpoint(1, [cpu("90")])
    rules = {id_of(9): [kernel_rule(), query_rule()], there: [kernel_rule()]}
    decisions = await cluster.schedule.autoscale(rules, now=NOW)
    assert decisions[id_of(9)] is None
    assert 2 == (decisions[there].replicas if decisions[there] else None)
    assert ["fetch_kernel_statistics", "find_endpoints", "find_sessions"] == cluster.asked


async def test_without_an_inventory_there_is_no_tick() -> None:
    """Its error is raised, and nothing else is read: no count is invented."""
    cluster = Cluster(failing={"find_endpoints": UnavailableError("nobody answers", service="db")})
    with pytest.raises(UnavailableError, match="nobody answers"):
        await cluster.schedule.autoscale({id_of(1): [kernel_rule(), query_rule()]}, now=NOW)
    assert ["find_endpoints"] == cluster.asked


async def test_answers_are_found_under_the_ids_that_were_given() -> None:
    """A UUID, or another spelling of it, asks the inventory for the canonical text."""
    cluster = Cluster()
    there = UUID(cluster.add_endpoint(1, [cpu("90")]))
    assert 2 == getattr((await cluster.schedule.autoscale({there: [kernel_rule()]}, now=NOW))[there], "replicas", None)
    spelled = there.hex.upper()
    assert 2 == getattr((await cluster.schedule.autoscale({spelled: [kernel_rule()]}, now=NOW))[spelled], "replicas", None)
    assert [("find_endpoints", [str(there)])] * 2 == [call for call in cluster.calls if call[0] == "find_endpoints"]


async def test_a_cool_down_is_counted_to_the_time_given() -> None:
    """And queries are evaluated at it."""
    times = []
    cluster = Cluster(found=lambda _querier, time: times.append(time) or loads(9.0))
    endpoint_id = cluster.add_endpoint(1, [])
    rules = {endpoint_id: [query_rule(cooldown_s=60, last_triggered_at=NOW)]}
    replicas = []
    for seconds in (0, 59, 60):
        decision = (await cluster.schedule.autoscale(rules, now=NOW + timedelta(seconds=seconds)))[endpoint_id]
        replicas.append(decision and decision.replicas)
    assert [1, 1, 2] == replicas
    assert [NOW + timedelta(seconds=seconds) for seconds in (0, 59, 60)] == times


async def test_bad_input_is_refused_before_anything_is_read() -> None:
    """No rules need nothing, either."""
    cluster = Cluster()
    with pytest.raises(InputError, match="not an id"):
        await cluster.schedule.autoscale({id_of(1): [kernel_rule()], "x": []}, now=NOW)
    with pytest.raises(InputError, match="without a zone"):
        await cluster.schedule.autoscale({id_of(1): [kernel_rule()]}, now=datetime(2026, 11, 22))  # noqa: DTZ001 - to be refused
    assert {} == await cluster.schedule.autoscale({}, now=NOW)
    assert [] == cluster.calls
