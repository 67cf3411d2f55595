"""Reading what the rules of many endpoints look at: one read of each kind for all of them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Coroutine, Mapping, Sequence
from datetime import datetime
from functools import wraps
from typing import Any, ParamSpec, TypeAlias, TypeVar

from statcore.concurrency import map_keeping_errors
from statcore.consumers.observation import Abstention, Observation, current_per_replica, mean_pct, only_sample
from statcore.consumers.rules import ScalingRule
from statcore.errors import InputError, ProtocolError, StatcoreError
from statcore.model.inventory import EndpointRecord, ReplicaRecord
from statcore.model.results import VectorResult
from statcore.model.text import describe
from statcore.ports.inventory import InventoryPort
from statcore.ports.metrics import MetricQuerierPort
from statcore.ports.promql import as_promql
from statcore.promql.preset import Preset
from statcore.statistics.stateful_source import StatisticsStatefulSource
from statcore.statistics.utilization import UtilizationSource

_P = ParamSpec("_P")
_Record = TypeVar("_Record")
Observe: TypeAlias = Callable[[str, ScalingRule], Observation]
"""Tells what a rule of an endpoint finds in what was read."""


def or_abstain(what: str) -> Callable[[Callable[_P, Awaitable[Observe]]], Callable[_P, Coroutine[Any, Any, Observe]]]:
    """Turn the failure of a read into an abstention for every rule that rests on it."""

    def decorate(read: Callable[_P, Awaitable[Observe]]) -> Callable[_P, Coroutine[Any, Any, Observe]]:
        @wraps(read)
        async def attempt(*args: _P.args, **kwargs: _P.kwargs) -> Observe:
            try:
                return await read(*args, **kwargs)
            except StatcoreError as error:
                return _abstain(f"{what} cannot be read: {describe(error)}")

        return attempt

    return decorate


async def find_records(
    find: Callable[[Sequence[str]], Awaitable[Sequence[_Record | None]]], ids: Collection[str]
) -> dict[str, _Record]:
    """Return the records of those ids that exist; without ids, nothing is asked."""
    asked = list(dict.fromkeys(ids))
    records = await find(asked) if asked else ()
    if len(records) != len(asked):
        raise ProtocolError(f"the inventory answered {len(records)} records for {len(asked)} ids")
    return {id_: record for id_, record in zip(asked, records, strict=True) if record is not None}


def active_replicas(endpoint: EndpointRecord) -> list[ReplicaRecord]:
    """Return the replicas that serve."""
    return [replica for replica in endpoint.replicas if replica.active]


@or_abstain("kernels")
async def observe_kernels(
    endpoints: Mapping[str, EndpointRecord], *, source: StatisticsStatefulSource, inventory: InventoryPort
) -> Observe:
    """Read the statistics of all kernels of the endpoints' active replicas.

    A replica whose session is not known, or unknown to the inventory, has no kernels here, and so lacks data. Replicas
    that name the same session count as one.
    """
    sessions_of = {id_: _distinct(active_replicas(endpoint)) for id_, endpoint in endpoints.items()}
    known = [id_ for session_ids in sessions_of.values() for id_ in session_ids if id_ is not None]
    sessions = await find_records(inventory.find_sessions, known)
    kernel_ids: list[str] = []
    replicas_of: dict[str, list[Sequence[int]]] = {}
    for endpoint_id, session_ids in sessions_of.items():
        replicas: list[Sequence[int]] = []
        for session_id in session_ids:
            start = len(kernel_ids)
            if session_id is not None and session_id in sessions:
                kernel_ids += [kernel.kernel_id for kernel in sessions[session_id].kernels]
            replicas.append(range(start, len(kernel_ids)))
        replicas_of[endpoint_id] = replicas
        await asyncio.sleep(0)  # there may be thousands, and others want their turns
    batch = await source.read_kernel_statistics_batch(kernel_ids)
    return lambda endpoint_id, rule: mean_pct(rule.subject, replicas_of[endpoint_id], kernel_ids, batch)


def _distinct(replicas: Sequence[ReplicaRecord]) -> list[str | None]:
    """Return the sessions of replicas, each session once, None for each replica whose session is not known."""
    known = dict.fromkeys(replica.session_id for replica in replicas if replica.session_id is not None)
    return [*known, *(None for replica in replicas if replica.session_id is None)]


@or_abstain("the endpoints' own statistics")
async def observe_endpoints(endpoints: Mapping[str, EndpointRecord], *, source: StatisticsStatefulSource) -> Observe:
    """Read the endpoints' own statistics."""
    ids = list(endpoints)
    batch = await source.read_endpoint_statistics_batch(ids)
    position_of = {id_: position for position, id_ in enumerate(ids)}

    def observe(endpoint_id: str, rule: ScalingRule) -> Observation:
        own = batch.select([position_of[endpoint_id]])
        return current_per_replica(rule.subject, own, active=len(active_replicas(endpoints[endpoint_id])))

    return observe


@or_abstain("presets")
async def observe_presets(
    rules: Sequence[ScalingRule],
    *,
    presets: Mapping[str, Preset],
    metrics: MetricQuerierPort | None,
    now: datetime,
) -> Observe:
    """Ask the presets of the rules, each distinct query once, all evaluated at `now`."""
    queries = [(rule, rule.preset) for rule in rules if rule.preset is not None]
    if metrics is None or not queries:
        return _abstain("there is no metric backend to ask")
    backend = as_promql(metrics, wanted_by="a rule names a preset")
    # By the rule's identity, since a querier need not be hashable.
    text_of: dict[int, str | Abstention] = {}
    for rule, query in queries:
        try:
            text_of[id(rule)] = query.promql(presets)
        except InputError as error:
            text_of[id(rule)] = Abstention(str(error))
    texts = list(dict.fromkeys(text for text in text_of.values() if isinstance(text, str)))

    async def ask(text: str) -> VectorResult:
        return await backend.query(text, time=now)

    answer_of = dict(zip(texts, await map_keeping_errors(texts, ask), strict=True))

    def observe(_: str, rule: ScalingRule) -> Observation:
        text = text_of[id(rule)]
        return text if isinstance(text, Abstention) else only_sample(answer_of[text])

    return observe


@or_abstain("utilization")
async def observe_queries(rules: Sequence[ScalingRule], *, metrics: MetricQuerierPort | None, now: datetime) -> Observe:
    """Ask the queriers of the rules, all evaluated at `now`."""
    asked = [(rule, rule.querier) for rule in rules if rule.querier is not None]
    if metrics is None or not asked:
        return _abstain("there is no metric backend to ask")
    answers = await UtilizationSource(metrics).read_utilization_now_batch([querier for _, querier in asked], time=now)
    # By the rule's identity, since a querier need not be hashable.
    answer_of = {id(rule): answer for (rule, _), answer in zip(asked, answers, strict=True)}
    return lambda _, rule: only_sample(answer_of[id(rule)])


def _abstain(reason: str) -> Observe:
    abstention = Abstention(reason)
    return lambda _endpoint_id, _rule: abstention
