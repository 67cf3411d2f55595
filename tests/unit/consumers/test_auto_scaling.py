"""Auto-scaling: what is read and how often, which rules a failed read makes blind, and how the event loop is shared."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import attrs
import pytest
from tests.support.lazy_entries import Lazy
from tests.support.turns import counting_turns
from tests.unit.consumers.cluster import (
    LOAD,
    NOW,
    Cluster,
    cpu,
    decide_one,
    id_of,
    inference_rule,
    kernel_rule,
    loads,
    query_rule,
    running,
)

from statcore.consumers import (
    ComparatorRule,
    Deployment,
    DeploymentRepository,
    PresetQuery,
    ScalingDecision,
    ScalingRule,
    ThresholdRule,
    Verdict,
)
from statcore.errors import InputError, PluginError, StatcoreError, TimedOutError, UnavailableError, UnsupportedError
from statcore.model import MatrixResult, Problem, ProblemKind, VectorResult
from statcore.model.inventory import EndpointRecord, ReplicaRecord
from statcore.promql.templates import Preset
from statcore.queriers import UtilizationMetricQuerier
from statcore.statistics import StatisticsStatefulSource

DOWN = UnavailableError("nobody answers", service="db")


def reasons(decision: ScalingDecision) -> list[str]:
    """Return what the decision says of each rule."""
    return [outcome.reason for outcome in decision.outcomes]


async def test_everything_is_read_once_for_all_deployments() -> None:
    """Fifty endpoints have rules of three sources, and one occurs twice; each gets the decision on its own data."""
    cluster = Cluster(found=lambda _querier, _time: loads(0.5))
    deployments = []
    for number in range(1, 51):
        endpoint_id = cluster.add_endpoint(number, [cpu("79"), {}], [cpu(str(number + 55))], idle=number % 3)
        cluster.endpoint_statistics[endpoint_id] = running(str(number))
        rules = (inference_rule(threshold=20), kernel_rule(upper_threshold=90), kernel_rule(), query_rule())
        deployments.append(Deployment(endpoint_id=endpoint_id, replicas=5, rules=rules))
    decisions = await cluster.deployments.decide_replicas([*deployments, deployments[0]], now=NOW)
    # Forty requests are twenty for each of two replicas; the mean of 79 and 82 is above 80; every load is below 1.
    expected = [7 if number >= 40 else 6 if number > 26 else 4 for number in range(1, 51)]
    assert [*expected, expected[0]] == [decision.replicas for decision in decisions]
    statistics = ["fetch_endpoint_statistics", "fetch_kernel_statistics", "find_endpoints", "find_sessions"]
    assert [*statistics, "query_utilization_now"] == cluster.reads
    ids_of_call = dict(cluster.calls)
    assert (
        [id_of(number) for number in range(1, 51)]
        == ids_of_call["find_endpoints"]
        == ids_of_call["fetch_endpoint_statistics"]
    )
    assert (100, 150) == (len(ids_of_call["find_sessions"]), len(ids_of_call["fetch_kernel_statistics"]))


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ([], []),
        ([kernel_rule()], ["fetch_kernel_statistics", "find_endpoints", "find_sessions"]),
        ([inference_rule()], ["fetch_endpoint_statistics", "find_endpoints"]),
        ([query_rule()], ["query_utilization_now"]),
    ],
)
async def test_only_the_data_of_the_rules_is_read(rules: Sequence[ScalingRule], expected: list[str]) -> None:
    """A kind of data is read only if a rule looks at it."""
    cluster = Cluster()
    decision = await decide_one(cluster, *rules, endpoint_id=cluster.add_endpoint(1, [cpu("50")]))
    assert expected == cluster.reads
    assert (len(rules), False) == (len(decision.outcomes), decision.changed)


async def test_an_endpoint_without_active_replicas_has_no_sessions_to_ask_for() -> None:
    """Its own metrics count as those of one replica."""
    cluster = Cluster()
    endpoint_id = cluster.add_endpoint(1, idle=2)
    cluster.endpoint_statistics[endpoint_id] = running("10")
    decision = await decide_one(cluster, kernel_rule(), inference_rule(), endpoint_id=endpoint_id, replicas=0)
    assert ["abstained: none of 0 kernels has cpu_util", "running 10 >= 10: +2"] == reasons(decision)
    assert ["fetch_endpoint_statistics", "find_endpoints"] == cluster.reads


async def test_different_kinds_are_read_concurrently() -> None:
    """Sessions, endpoints' statistics and queries are all being read before any of them is answered."""
    together = {"find_sessions", "fetch_endpoint_statistics", "query_utilization_now"}
    all_there = asyncio.Event()

    async def wait_for_the_others(name: str) -> None:
        together.discard(name)
        if not together:
            all_there.set()
        if name != "find_endpoints":
            await all_there.wait()

    cluster = Cluster(before=wait_for_the_others, found=lambda _querier, _time: loads(3.0))
    endpoint_id = cluster.add_endpoint(1, [cpu("50")])
    cluster.endpoint_statistics[endpoint_id] = running("5")
    async with asyncio.timeout(10):
        decision = await decide_one(cluster, kernel_rule(), inference_rule(), query_rule(), endpoint_id=endpoint_id)
    assert ["cpu_util 50 <= 80 and >= 20", "running 5 not >= 10", "load 3 <= 5 and >= 1"] == reasons(decision)


@pytest.mark.parametrize(
    ("read", "untouched"),
    [
        ("find_endpoints", [2]),
        ("find_sessions", [1, 2]),
        ("fetch_kernel_statistics", [1, 2]),
        ("fetch_endpoint_statistics", [0, 2]),
        ("query_utilization_now", [0, 1]),
    ],
)
@pytest.mark.parametrize("error", [DOWN, TimedOutError("late", timeout_s=1), UnsupportedError("cannot know")])
async def test_a_failed_read_makes_only_its_rules_blind(read: str, untouched: list[int], error: StatcoreError) -> None:
    """They give the failure as the reason, and the other rules decide. A failure is never a zero that scales down."""
    cluster = Cluster(failing={read: error}, found=lambda _querier, _time: loads(9.0))
    endpoint_id = cluster.add_endpoint(1, [cpu("90")])
    cluster.endpoint_statistics[endpoint_id] = running("30")
    rules = (kernel_rule(), inference_rule(), query_rule())
    for position, rule in enumerate(rules):
        decision = await decide_one(cluster, rule, endpoint_id=endpoint_id)
        (outcome,) = decision.outcomes
        if position in untouched:
            assert decision.changed
        else:
            assert (3, Verdict.ABSTAINED) == (decision.replicas, outcome.verdict)
            assert f"{type(error).__name__}: {error}" in outcome.reason
    decision = await decide_one(cluster, *rules, endpoint_id=endpoint_id)
    assert rules[untouched[0]] is decision.rule


@pytest.mark.parametrize("kind", ProblemKind)
async def test_a_kernel_with_a_problem_makes_only_rules_of_its_endpoint_blind(kind: ProblemKind) -> None:
    """This is so for every kind of problem; the other endpoint is scaled."""
    cluster = Cluster()
    first = cluster.add_endpoint(1, [cpu("90"), cpu("90")], [cpu("90")])
    second = cluster.add_endpoint(2, [cpu("90")])
    bad = cluster.sessions[id_of(100)].kernels[1].kernel_id
    cluster.problems[bad] = Problem(kind, message="look here")
    deployments = [Deployment(endpoint_id=id_, replicas=3, rules=[kernel_rule()]) for id_ in (first, second)]
    stopped, scaled = await cluster.deployments.decide_replicas(deployments, now=NOW)
    assert [f"abstained: kernel {bad} has {kind} data: look here"] == reasons(stopped)
    assert (3, 4) == (stopped.replicas, scaled.replicas)


async def test_an_endpoint_that_does_not_exist_abstains() -> None:
    """Rules on kernels and the endpoint's own metrics need the inventory; a query does not."""
    cluster = Cluster(found=lambda _querier, _time: loads(9.0))
    decision = await decide_one(cluster, kernel_rule(), inference_rule(), query_rule(), endpoint_id=id_of(7))
    missing = f"abstained: endpoint {id_of(7)} does not exist"
    assert [missing, missing, "load 9 > 5: +1"] == reasons(decision)
    assert ["find_endpoints", "query_utilization_now"] == cluster.reads


async def test_inactive_replicas_do_not_count() -> None:
    """Their kernels are not read, and metrics are not divided by them. A session of two replicas counts once."""
    cluster = Cluster()
    endpoint_id = cluster.add_endpoint(1, [cpu("60")], [cpu("90"), cpu("90")])
    known = cluster.endpoints[endpoint_id].replicas
    idle = cluster.add_endpoint(2, [cpu("0")])
    replicas = (
        *known,
        known[1],
        ReplicaRecord(replica_id=id_of(3), session_id=cluster.endpoints[idle].replicas[0].session_id, active=False),
    )
    cluster.endpoints[endpoint_id] = EndpointRecord(endpoint_id=endpoint_id, replicas=replicas)
    cluster.endpoint_statistics[endpoint_id] = running("20")
    decision = await decide_one(cluster, kernel_rule(), inference_rule(), endpoint_id=endpoint_id)
    assert ["cpu_util 80 <= 80 and >= 20", "running 6.66666666667 not >= 10"] == reasons(decision)


@pytest.mark.parametrize("session_id", [None, id_of(4)])
async def test_an_active_replica_whose_session_is_not_known_may_hide_load(session_id: str | None) -> None:
    """It has no session, or one that the inventory does not know, and counts without data; only ids are looked up."""
    cluster = Cluster()
    endpoint_id = cluster.add_endpoint(1, [cpu("10")])
    replicas = (*cluster.endpoints[endpoint_id].replicas, ReplicaRecord(replica_id=id_of(5), session_id=session_id))
    cluster.endpoints[endpoint_id] = EndpointRecord(endpoint_id=endpoint_id, replicas=replicas)
    decision = await decide_one(cluster, kernel_rule(), endpoint_id=endpoint_id)
    assert ["cpu_util 5 to 55 (1 of 2 without data) depends on the missing values"] == reasons(decision)
    assert [id_of(100), *([session_id] if session_id else [])] == dict(cluster.calls)["find_sessions"]


async def test_a_replica_without_data_is_a_replica() -> None:
    """A kernel may have no entry, or a session no kernels yet: the other replicas alone do not decide."""
    cluster = Cluster()
    endpoint_id = cluster.add_endpoint(1, [cpu("10")], [None], [])
    decision = await decide_one(cluster, kernel_rule(), endpoint_id=endpoint_id)
    assert ["cpu_util 3.33333333333 to 70 (2 of 3 without data) depends on the missing values"] == reasons(decision)


async def test_a_void_rule_reads_nothing() -> None:
    """The decision says that it is void; another rule of the endpoint reads its own data, and decides."""
    cluster = Cluster()
    endpoint_id = cluster.add_endpoint(1, [{"net_rx": {"current": "10005.5", "capacity": "1820", "pct": "549.75"}}])
    cluster.endpoint_statistics[endpoint_id] = running("10")
    void = kernel_rule(metric_name="net_rx")
    alone = await decide_one(cluster, void, endpoint_id=endpoint_id)
    assert ([], 3, Verdict.VOID) == (cluster.reads, alone.replicas, alone.outcomes[0].verdict)
    beside = await decide_one(cluster, void, inference_rule(), endpoint_id=endpoint_id)
    assert (["fetch_endpoint_statistics", "find_endpoints"], 5) == (cluster.reads, beside.replicas)


def preset_rule(**changes: Any) -> ThresholdRule:
    """Return a rule on a preset."""
    query = PresetQuery("busy", labels={"session_id": ["s-1", "s-2"]})
    return query_rule(**{"name": "busy", "source": "preset", "querier": None, "preset": query, **changes})


@attrs.define(kw_only=True)
class PromQLCluster(Cluster):
    """A cluster whose metric backend evaluates PromQL."""

    queries: list[tuple[str, datetime | None]] = attrs.field(factory=list)

    async def query(self, promql: str, /, *, time: datetime | None = None) -> VectorResult:
        """See `PromQLPort`."""
        self.queries.append((promql, time))
        return self.found(LOAD, time)

    async def query_range(self, *_: object) -> MatrixResult:
        """Fail, since no range is queried."""
        raise AssertionError


PRESETS = {
    "busy": Preset(
        name="busy",
        description="How busy sessions are.",
        template='sum(rate(load{job="a",${{ labels }}}[${{ window }}]))',
        filter_labels=["session_id"],
    )
}


async def decide_by_preset(cluster: Cluster, *rules: ScalingRule) -> ScalingDecision:
    """Decide for an endpoint where the presets are known."""
    repository = DeploymentRepository(
        StatisticsStatefulSource(cluster),  # type: ignore[call-overload]
        cluster,  # type: ignore[arg-type]
        metrics=cluster,  # type: ignore[arg-type]
        presets=PRESETS,
    )
    deployment = Deployment(endpoint_id=id_of(1), replicas=3, rules=rules)
    (decision,) = await repository.decide_replicas([deployment], now=NOW)
    return decision


async def test_a_rule_may_name_a_preset() -> None:
    """Its parameters are the rule's; equal queries are sent once, and evaluated at the time of the decision."""
    cluster = PromQLCluster(found=lambda _querier, _time: loads(9.0))
    other = preset_rule(preset=PresetQuery("busy", window="1m"), upper_threshold=90)
    decision = await decide_by_preset(cluster, other, preset_rule(upper_threshold=90), preset_rule())
    assert (4, "busy 9 > 5: +1") == (decision.replicas, reasons(decision)[2])
    expected = {'sum(rate(load{job="a"}[1m]))', 'sum(rate(load{job="a",session_id=~"s-1|s-2"}[5m]))'}
    assert (expected, {NOW}, 2) == (
        {promql.replace(" ", "").replace(",}", "}") for promql, _ in cluster.queries},
        {time for _, time in cluster.queries},
        len(cluster.queries),
    )


@pytest.mark.parametrize(
    ("cluster", "rule", "reason"),
    [
        (PromQLCluster(), preset_rule(preset="idle"), "there is no preset 'idle'; known are: busy"),
        (PromQLCluster(), preset_rule(preset=PresetQuery("busy", labels={"x": "1"})), "cannot be filtered by 'x'"),
        (PromQLCluster(found=lambda _querier, _time: loads(1.0, 2.0)), preset_rule(), "the query found 2 samples"),
        (Cluster(), preset_rule(), "presets cannot be read: UnsupportedError: a rule names a preset"),
    ],
)
async def test_a_preset_without_one_sample_makes_its_rule_blind(cluster: Cluster, rule: ScalingRule, reason: str) -> None:
    """The reason says what is wrong, and the other rule decides."""
    cluster.endpoint_statistics[cluster.add_endpoint(1, [])] = running("30")
    decision = await decide_by_preset(cluster, rule, inference_rule(threshold=20))
    assert (5, Verdict.ABSTAINED) == (decision.replicas, decision.outcomes[0].verdict)
    assert reason in decision.outcomes[0].reason


async def test_an_entry_whose_store_fails_when_it_is_read_makes_its_rule_blind() -> None:
    """Entries of a third party's store may decode themselves only then; the other endpoint is scaled."""
    error = PluginError("acme-store: fetch_kernel_statistics() raised ZeroDivisionError")
    cluster = Cluster()
    endpoints = [cluster.add_endpoint(1, [Lazy({"cpu_util": error})]), cluster.add_endpoint(2, [cpu("90")])]
    deployments = [Deployment(endpoint_id=endpoint, replicas=1, rules=(kernel_rule(),)) for endpoint in endpoints]
    blind, seeing = await cluster.deployments.decide_replicas(deployments, now=NOW)
    assert (1, 2) == (blind.replicas, seeing.replicas)
    assert "abstained: cpu_util cannot be read: PluginError: acme-store" in blind.reason


async def test_without_a_metric_backend_its_rules_abstain() -> None:
    """These are rules on queriers and on presets. They may be one user's; the rules of other users still decide."""
    cluster = Cluster()
    endpoint_id = cluster.add_endpoint(1, [cpu("90")])
    repository = DeploymentRepository(StatisticsStatefulSource(cluster), cluster)  # type: ignore[arg-type,call-overload]
    deployment = Deployment(endpoint_id=endpoint_id, replicas=1, rules=[query_rule(), preset_rule(), kernel_rule()])
    (decision,) = await repository.decide_replicas([deployment], now=NOW)
    assert 2 == decision.replicas
    assert [*["abstained: there is no metric backend"] * 2, "cpu_util 90 > 80: +1"] == reasons(decision)


@pytest.mark.parametrize("now", [datetime(2026, 11, 22, 10), None, "yesterday"])  # noqa: DTZ001 - it is to be refused
async def test_a_time_without_a_zone_is_refused_before_anything_is_read(now: Any) -> None:
    """A value that is not a time is refused, too."""
    cluster = Cluster()
    deployment = Deployment(endpoint_id=id_of(1), replicas=1, rules=[kernel_rule(), query_rule()])
    with pytest.raises(InputError, match="time"):
        await cluster.deployments.decide_replicas([deployment], now=now)
    assert [] == cluster.calls


@pytest.mark.parametrize("bad", [{"endpoint_id": "x"}, {"replicas": -1}, {"replicas": 1.5}, {"replicas": True}])
def test_a_deployment_has_an_id_and_a_count(bad: dict[str, Any]) -> None:
    """The error names the argument."""
    with pytest.raises(InputError, match=r"not an id|replicas"):
        Deployment(**{"endpoint_id": id_of(1), "replicas": 1, "rules": (), **bad})


async def test_the_count_is_that_of_the_active_replicas() -> None:
    """Inactive replicas are not counted, and each kind of data is read once for all endpoints."""
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
    counted = [(decision.previous, decision.replicas) for decision in decisions.values() if decision]
    assert [(1, 3), (2, 2), (3, 5), (4, 2), (5, 7), (6, 3), (7, 8), (8, 5), (9, 9), (10, 7)] == counted
    assert ["fetch_endpoint_statistics", "fetch_kernel_statistics", "find_endpoints", "find_sessions"] == cluster.reads


async def test_an_endpoint_that_does_not_exist_has_no_decision() -> None:
    """There is no number of replicas to start from, and nothing is read for it; the other endpoint is scaled."""
    cluster = Cluster(found=lambda _querier, _time: loads(9.0))
    there = cluster.add_endpoint(1, [cpu("90")])
    rules = {id_of(9): [kernel_rule(), query_rule()], there: [kernel_rule()]}
    decisions = await cluster.schedule.autoscale(rules, now=NOW)
    assert decisions[id_of(9)] is None
    decision = decisions[there]
    assert decision is not None
    assert 2 == decision.replicas
    assert ["fetch_kernel_statistics", "find_endpoints", "find_sessions"] == cluster.reads


async def test_an_inventory_that_fails_ends_the_schedulers_tick() -> None:
    """Its error is raised, and nothing else is read: no number of replicas is made up."""
    cluster = Cluster(failing={"find_endpoints": UnavailableError("nobody answers", service="db")})
    with pytest.raises(UnavailableError, match="nobody answers"):
        await cluster.schedule.autoscale({id_of(1): [kernel_rule(), query_rule()]}, now=NOW)
    assert ["find_endpoints"] == cluster.reads


async def test_decisions_are_under_the_ids_that_were_given() -> None:
    """An id may be a UUID or another spelling; the inventory gets the canonical text."""
    cluster = Cluster()
    there = UUID(cluster.add_endpoint(1, [cpu("90")]))
    assert 2 == getattr((await cluster.schedule.autoscale({there: [kernel_rule()]}, now=NOW))[there], "replicas", None)
    spelled = there.hex.upper()
    assert 2 == getattr((await cluster.schedule.autoscale({spelled: [kernel_rule()]}, now=NOW))[spelled], "replicas", None)
    assert [("find_endpoints", [str(there)])] * 2 == [call for call in cluster.calls if call[0] == "find_endpoints"]


async def test_a_cool_down_is_counted_to_the_time_given() -> None:
    """Queries are evaluated at it, too."""
    times: list[datetime | None] = []

    def found(_: UtilizationMetricQuerier, time: datetime | None) -> VectorResult:
        times.append(time)
        return loads(9.0)

    cluster = Cluster(found=found)
    endpoint_id = cluster.add_endpoint(1, [])
    rules = {endpoint_id: [query_rule(cooldown_s=60, last_triggered_at=NOW)]}
    replicas = []
    for seconds in (0, 59, 60):
        decision = (await cluster.schedule.autoscale(rules, now=NOW + timedelta(seconds=seconds)))[endpoint_id]
        replicas.append(decision and decision.replicas)
    assert [1, 1, 2] == replicas
    assert [NOW + timedelta(seconds=seconds) for seconds in (0, 59, 60)] == times


async def test_bad_input_is_refused_before_anything_is_read() -> None:
    """A call without rules reads nothing, either."""
    cluster = Cluster()
    with pytest.raises(InputError, match="not an id"):
        await cluster.schedule.autoscale({id_of(1): [kernel_rule()], "x": []}, now=NOW)
    with pytest.raises(InputError, match="without a zone"):
        await cluster.schedule.autoscale({id_of(1): [kernel_rule()]}, now=datetime(2026, 11, 22))  # noqa: DTZ001 - to be refused
    assert {} == await cluster.schedule.autoscale({}, now=NOW)
    assert [] == cluster.calls


@pytest.mark.parametrize("turns", range(6))
async def test_a_cancelled_decision_cancels_its_reads(turns: int) -> None:
    """At any point the caller gets `CancelledError`, and no read goes on."""
    running_reads = 0

    async def hang(_: str) -> None:
        nonlocal running_reads
        running_reads += 1
        try:
            await asyncio.Event().wait()
        finally:
            running_reads -= 1

    cluster = Cluster(before=hang)
    endpoint_id = cluster.add_endpoint(1, [cpu("90")])
    task = asyncio.create_task(decide_one(cluster, kernel_rule(), query_rule(), endpoint_id=endpoint_id))
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert 0 == running_reads


async def test_other_tasks_run_between_deployments() -> None:
    """There may be thousands, and gathering their kernels and decoding their entries takes time."""
    cluster = Cluster()
    ids = [cluster.add_endpoint(number, [cpu("90")]) for number in range(1, 21)]
    deployments = [Deployment(endpoint_id=id_, replicas=1, rules=[kernel_rule()]) for id_ in ids]
    async with counting_turns() as turns:
        decisions = await cluster.deployments.decide_replicas(deployments, now=datetime.now(UTC))
    assert [2] * 20 == [decision.replicas for decision in decisions]
    assert 40 <= turns.count
