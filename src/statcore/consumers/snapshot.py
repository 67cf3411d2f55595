"""Snapshot of what the rules of many endpoints look at: `collect` reads it, `observe` takes a rule's value from it.

Each kind of data is read at most once for all rules, and not at all if no rule needs it. A read that fails makes only the
rules that need its data blind.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final, TypeAlias

import attrs

from statcore.concurrency import give_way, map_keeping_errors, run_both
from statcore.consumers.observation import Abstention, Observation, current_per_replica, mean_pct, only_sample
from statcore.consumers.rules import MetricSource, ScalingRule
from statcore.errors import InputError, StatcoreError
from statcore.model.batch import StatisticsBatch
from statcore.model.inventory import EndpointRecord, ReplicaRecord
from statcore.model.results import VectorResult
from statcore.model.text import describe
from statcore.ports.inventory import InventoryPort, find_records
from statcore.ports.metrics import MetricQuerierPort
from statcore.ports.promql import as_promql
from statcore.promql.templates import Preset
from statcore.statistics.stateful_source import StatisticsStatefulSource
from statcore.statistics.utilization import UtilizationSource

Answer: TypeAlias = VectorResult | StatcoreError | Abstention
"""Answer to a query, its error, or why it was not sent."""
_NO_BACKEND: Final = Abstention("there is no metric backend")


@attrs.frozen(kw_only=True)
class KernelData:
    """Statistics of the kernels of endpoints.

    Args:
        kernel_ids: the kernels.
        batch: their statistics, in the same order.
        replicas: by endpoint id, for each active replica the positions of its kernels.
    """

    kernel_ids: Sequence[str]
    batch: StatisticsBatch
    replicas: Mapping[str, Sequence[Sequence[int]]]


@attrs.frozen(kw_only=True)
class EndpointData:
    """Endpoints' own statistics.

    Args:
        batch: the statistics.
        position_of: by endpoint id, the position in the batch.
    """

    batch: StatisticsBatch
    position_of: Mapping[str, int]


Endpoints: TypeAlias = Mapping[str, EndpointRecord] | Abstention
Answers: TypeAlias = Mapping[int, Answer] | Abstention


@attrs.frozen(kw_only=True)
class Snapshot:
    """Data that was read for one decision on several endpoints; an abstention replaces data that could not be read.

    Args:
        endpoints: by id, the endpoints that exist.
        kernels: the statistics of their kernels.
        own: their own statistics.
        queriers: by `id` of a rule's querier, which need not be hashable, its answer.
        presets: by `id` of a rule's preset query, which need not be hashable, its answer.
    """

    endpoints: Endpoints
    kernels: KernelData | Abstention
    own: EndpointData | Abstention
    queriers: Answers
    presets: Answers


def observe(rule: ScalingRule, endpoint_id: str, snapshot: Snapshot) -> Observation:
    """Return the value of a rule for an endpoint, or why it has none; pure.

    Args:
        rule: a rule that the snapshot was collected for.
        endpoint_id: the endpoint of the rule.
        snapshot: as `collect` returns it.
    """
    if rule.void_reason:
        return Abstention(rule.void_reason)
    if rule.source is MetricSource.PROMETHEUS:
        return _observe_answer(snapshot.queriers, rule.querier)
    if rule.source is MetricSource.PRESET:
        return _observe_answer(snapshot.presets, rule.preset)
    try:
        return _observe_statistics(rule, endpoint_id, snapshot)
    except StatcoreError as error:  # an entry of a third party's store may decode itself only now
        return Abstention(f"{rule.subject} cannot be read: {describe(error)}")


def _observe_statistics(rule: ScalingRule, endpoint_id: str, snapshot: Snapshot) -> Observation:
    if isinstance(snapshot.endpoints, Abstention):
        return snapshot.endpoints
    if endpoint_id not in snapshot.endpoints:
        return Abstention(f"endpoint {endpoint_id} does not exist")
    data = snapshot.kernels if rule.source is MetricSource.KERNEL else snapshot.own
    if isinstance(data, Abstention):
        return data
    if isinstance(data, KernelData):
        return mean_pct(rule.subject, data.replicas[endpoint_id], data.kernel_ids, data.batch)
    own = data.batch.select([data.position_of[endpoint_id]])
    return current_per_replica(rule.subject, own, active=len(active_replicas(snapshot.endpoints[endpoint_id])))


def _observe_answer(answers: Answers, query: object) -> Observation:
    answer = answers if isinstance(answers, Abstention) else answers[id(query)]
    return answer if isinstance(answer, Abstention) else only_sample(answer)


def active_replicas(endpoint: EndpointRecord) -> list[ReplicaRecord]:
    """Return the replicas that serve requests."""
    return [replica for replica in endpoint.replicas if replica.active]


async def collect(
    needs: Iterable[tuple[str, ScalingRule]],
    *,
    now: datetime,
    source: StatisticsStatefulSource,
    inventory: InventoryPort,
    metrics: MetricQuerierPort | None,
    presets: Mapping[str, Preset],
    endpoints: Mapping[str, EndpointRecord] | None = None,
) -> Snapshot:
    """Read concurrently what rules look at; a read that fails is an abstention and does not raise.

    Args:
        needs: pairs of an endpoint id and a rule of that endpoint; nothing is read for void rules.
        now: the time at which queries are evaluated.
        source: live statistics of kernels and endpoints.
        inventory: the replicas of endpoints, and the kernels of their sessions.
        metrics: the backend of queriers and presets, or None.
        presets: presets by name.
        endpoints: by id, the endpoints that exist, if they were read before.
    """
    rules: list[ScalingRule] = []
    with_kernels: list[str] = []
    with_own: list[str] = []
    for endpoint_id, rule in needs:
        if rule.void_reason:
            continue
        rules.append(rule)
        if rule.source is MetricSource.KERNEL:
            with_kernels.append(endpoint_id)
        elif rule.source is MetricSource.INFERENCE_FRAMEWORK:
            with_own.append(endpoint_id)

    async def read_statistics() -> tuple[Endpoints, KernelData | Abstention, EndpointData | Abstention]:
        known = endpoints
        if known is None:
            try:
                known = await find_records(inventory.find_endpoints, [*with_kernels, *with_own])
            except StatcoreError as error:
                unread = _unread("the inventory", error)
                return unread, unread, unread
        kernels, own = await run_both(
            _read_kernels({id_: known[id_] for id_ in with_kernels if id_ in known}, source=source, inventory=inventory),
            _read_own([id_ for id_ in with_own if id_ in known], source=source),
        )
        return known, kernels, own

    queries = run_both(
        _query_queriers(rules, metrics=metrics, now=now), _query_presets(rules, presets=presets, metrics=metrics, now=now)
    )
    (known, kernels, own), (of_queriers, of_presets) = await run_both(read_statistics(), queries)
    return Snapshot(endpoints=known, kernels=kernels, own=own, queriers=of_queriers, presets=of_presets)


async def _read_kernels(
    endpoints: Mapping[str, EndpointRecord], *, source: StatisticsStatefulSource, inventory: InventoryPort
) -> KernelData | Abstention:
    """Read the statistics of all kernels of the endpoints' active replicas.

    A replica without a session, or with a session that the inventory does not know, has no kernels here, and so lacks
    data. Replicas with the same session count as one replica.
    """
    sessions_of = {id_: _distinct_sessions(active_replicas(endpoint)) for id_, endpoint in endpoints.items()}
    known = [id_ for session_ids in sessions_of.values() for id_ in session_ids if id_ is not None]
    kernel_ids: list[str] = []
    replicas_of: dict[str, list[Sequence[int]]] = {}
    try:
        sessions = await find_records(inventory.find_sessions, known)
        for endpoint_id, session_ids in sessions_of.items():
            replicas: list[Sequence[int]] = []
            for session_id in session_ids:
                start = len(kernel_ids)
                if session_id is not None and session_id in sessions:
                    kernel_ids += [kernel.kernel_id for kernel in sessions[session_id].kernels]
                replicas.append(range(start, len(kernel_ids)))
            replicas_of[endpoint_id] = replicas
            await give_way()  # there may be thousands of endpoints
        batch = await source.read_kernel_statistics_batch(kernel_ids)
    except StatcoreError as error:
        return _unread("kernels", error)
    return KernelData(kernel_ids=kernel_ids, batch=batch, replicas=replicas_of)


def _distinct_sessions(replicas: Sequence[ReplicaRecord]) -> list[str | None]:
    """Return the sessions of replicas, each once, and None for each replica without a session."""
    known = dict.fromkeys(replica.session_id for replica in replicas if replica.session_id is not None)
    return [*known, *(None for replica in replicas if replica.session_id is None)]


async def _read_own(endpoint_ids: Iterable[str], *, source: StatisticsStatefulSource) -> EndpointData | Abstention:
    """Read the endpoints' own statistics."""
    ids = list(dict.fromkeys(endpoint_ids))
    try:
        batch = await source.read_endpoint_statistics_batch(ids)
    except StatcoreError as error:
        return _unread("the endpoints' own statistics", error)
    return EndpointData(batch=batch, position_of={id_: position for position, id_ in enumerate(ids)})


async def _query_queriers(rules: Iterable[ScalingRule], *, metrics: MetricQuerierPort | None, now: datetime) -> Answers:
    """Query the queriers of rules, all evaluated at `now`."""
    if metrics is None:
        return _NO_BACKEND
    queriers = {id(rule.querier): rule.querier for rule in rules if rule.querier is not None}
    answers = await UtilizationSource(metrics).read_utilization_now_batch(list(queriers.values()), time=now)
    return dict(zip(queriers, answers, strict=True))


async def _query_presets(
    rules: Iterable[ScalingRule], *, presets: Mapping[str, Preset], metrics: MetricQuerierPort | None, now: datetime
) -> Answers:
    """Query the presets of rules, each distinct query once, all evaluated at `now`."""
    if metrics is None:
        return _NO_BACKEND
    queries = {id(rule.preset): rule.preset for rule in rules if rule.preset is not None}
    if not queries:
        return {}
    try:
        backend = as_promql(metrics, reason="a rule names a preset")
        answers: dict[int, Answer] = {}
        promql_of: dict[int, str] = {}
        for key, query in queries.items():
            try:
                promql_of[key] = query.promql(presets)
            except InputError as error:
                answers[key] = Abstention(str(error))
        distinct = list(dict.fromkeys(promql_of.values()))
        outcomes = await map_keeping_errors(distinct, lambda promql: backend.query(promql, time=now))
    except StatcoreError as error:
        return _unread("presets", error)
    answer_to = dict(zip(distinct, outcomes, strict=True))
    return answers | {key: answer_to[promql] for key, promql in promql_of.items()}


def _unread(what: str, error: StatcoreError) -> Abstention:
    return Abstention(f"{what} cannot be read: {describe(error)}")
