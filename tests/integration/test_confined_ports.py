"""What a host reads in Python through `confine` is what servers would answer that hold nothing outside the scope."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest
from tests.support.planted_server import planted_server
from tests.support.two_projects import (
    EVERYTHING,
    NOW,
    PRESET,
    PROJECT,
    Source,
    id_of,
    kernels_of,
    marks_of,
    planted,
    running,
    without_owner,
)

from statcore.errors import StatcoreError
from statcore.model import QueryTimeRange, StatisticsBatch
from statcore.ports.promql import as_promql
from statcore.promql import Selector
from statcore.queriers import ContainerMetricQuerier, LabelMatcher
from statcore.queriers.container import CONTAINER_METRIC_LABEL, CONTAINER_SERIES, OWNER_LABELS
from statcore.runtime import Runtime
from statcore.scopes import Scope, confine
from statcore.services import AGENTS, ENDPOINTS, KERNELS, SESSIONS, ObjectListing, PresetService
from statcore.statistics import SessionStatistics, UtilizationSource
from statcore.testing.servers import Server

Read = Callable[[Runtime, str], Awaitable[Any]]
"""Reads something of a runtime, with the ids of an owner."""
SCOPE: Final = Scope.of(project_id=id_of("project", "mine"))
ANY: Final = LabelMatcher.regex(".*")
OTHERS: Final = LabelMatcher.not_equal(id_of("project", "mine"))
RANGE: Final = QueryTimeRange(start=NOW - 300, end=NOW, step="1m")
TIMES: Final = datetime.fromtimestamp(NOW - 300, UTC), datetime.fromtimestamp(NOW, UTC)

server = planted_server(lambda: planted(EVERYTHING))
smaller_server = planted_server(lambda: planted(PROJECT))


def _ids(kind: str, owner: str) -> list[str]:
    return [id_of(kind, owner, number) for number in range(4)]


def _owner_id(owner: str, label: str) -> str:
    return str(kernels_of(owner)[1].labels[label])


def _querier(owner: str, label: str) -> ContainerMetricQuerier:
    return ContainerMetricQuerier(metric_name="mem", value_type="current", **{label: kernels_of(owner)[1].labels[label]})


def _selector(owner: str, matcher: str | LabelMatcher | None = None) -> Selector:
    return Selector(CONTAINER_SERIES, [("project_id", matcher or id_of("project", owner))])


def _presets(ports: Runtime) -> PresetService:
    return PresetService(as_promql(ports.metrics, reason="this is a preset"), {PRESET.name: PRESET})


def _reads() -> Iterator[tuple[str, Read]]:
    """Yield each way to read, by its name."""
    yield "kernels", lambda ports, owner: ports.statistics.fetch_kernel_statistics(_ids("kernel", owner))
    yield "sessions' own", lambda ports, owner: ports.statistics.fetch_kernel_statistics(_ids("session", owner))
    yield "endpoints", lambda ports, owner: ports.statistics.fetch_endpoint_statistics(_ids("endpoint", owner))
    pairs = partial(zip, strict=True)
    yield (
        "replicas",
        lambda ports, owner: ports.statistics.fetch_replica_statistics(
            list(pairs(_ids("endpoint", owner), _ids("replica", owner)))
        ),
    )
    yield "repository", lambda ports, owner: ports.repository.get_kernel_statistics_batch(_ids("kernel", owner))
    yield (
        "sums of sessions",
        lambda ports, owner: SessionStatistics(ports.repository, ports.inventory).get_session_statistics_batch(
            _ids("session", owner)[:3]
        ),
    )
    yield "find sessions", lambda ports, owner: ports.inventory.find_sessions(_ids("session", owner))
    yield "find kernels", lambda ports, owner: ports.inventory.find_kernels(_ids("kernel", owner))  # type: ignore[attr-defined]
    yield "find endpoints", lambda ports, owner: ports.inventory.find_endpoints(_ids("endpoint", owner))
    yield "list sessions", lambda ports, _: ports.inventory.list_sessions(limit=2, offset=1)
    yield "list endpoints", lambda ports, _: ports.inventory.list_endpoints(limit=1)
    for kind in (SESSIONS, KERNELS, ENDPOINTS):
        for sort in ("id", "-mem_bytes", "user_id"):
            for filters in ([], ["{project}"], ["user_id={user}"]):
                yield (
                    f"listing of {kind.name} by {sort}, {filters}",
                    partial(_listed, kind=kind, sort=sort, filters=filters),
                )
    for label in OWNER_LABELS:
        yield from _reads_by(label)
    yield "names of metrics", lambda ports, _: ports.metrics.label_values(CONTAINER_METRIC_LABEL)
    yield (
        "preset now",
        lambda ports, _: _presets(ports).query_preset_now("most", time=TIMES[1], group_labels=["project_id"]),
    )
    yield "series of an owner", lambda ports, owner: ports.metrics.series(_selector(owner), time_range=TIMES)
    yield "all series", lambda ports, _: ports.metrics.series(_selector("mine", ANY), time_range=TIMES)
    yield "series of others", lambda ports, _: ports.metrics.series(_selector("mine", OTHERS), time_range=TIMES)
    yield (
        "shared requests",
        lambda ports, owner: UtilizationSource(ports.metrics).read_utilization_batch(
            [_querier(name, "kernel_id") for name in ("mine", owner)], RANGE
        ),
    )


def _reads_by(label: str) -> Iterator[tuple[str, Read]]:
    """Yield the ways to read by a label."""
    groups = [*OWNER_LABELS, CONTAINER_METRIC_LABEL]
    yield f"range of {label}", lambda ports, owner: ports.metrics.query_utilization(_querier(owner, label), RANGE)
    yield (
        f"instant of {label}",
        lambda ports, owner: ports.metrics.query_utilization_now(_querier(owner, label), time=TIMES[1]),
    )
    yield (
        f"values of {label}",
        lambda ports, owner: ports.metrics.label_values(label, match=_selector(owner), time_range=TIMES),
    )
    yield f"all values of {label}", lambda ports, _: ports.metrics.label_values(label)
    yield (
        f"preset by {label}",
        lambda ports, owner: _presets(ports).query_preset(
            "most", time_range=RANGE, labels={label: _owner_id(owner, label)}, group_labels=groups
        ),
    )


async def _listed(ports: Runtime, owner: str, *, kind: Any, sort: str, filters: Sequence[str]) -> Any:
    texts = [text.format(project=id_of("project", owner), user=id_of("user", owner)) for text in filters]
    listing = ObjectListing(ports.inventory, ports.repository)
    first = await listing.read(kind, sort=sort, filters=texts, limit=1, figures=True)
    second = await listing.read(kind, sort=sort, filters=texts, after=first.next_cursor, figures=True)
    return first, second


READS: Final[Mapping[str, Read]] = dict(_reads())
OF_ENDPOINTS: Final = {name: read for name, read in READS.items() if "endpoint" in name or "replica" in name}
"""Reads that are errors where series are the inventory, since series name no endpoints."""


async def answer(read: Read, ports: Runtime, owner: str) -> object:
    """Return what is read, or the error, in a form that can be compared."""
    try:
        found = await read(ports, owner)
    except StatcoreError as error:
        return type(error), str(error)
    if isinstance(found, StatisticsBatch):
        return list(found), dict(found.problems)
    return list(found) if isinstance(found, Sequence) else found


@pytest.mark.parametrize("source", ["manager", "series"])
async def test_whatever_is_read_is_of_the_scope_alone(
    source: Source, valkey: Server, start_valkey: Any, server: Server, smaller_server: Server, tmp_path: Path
) -> None:
    """Each read of the ports gives what servers without the other project give; the operator reads the other project."""
    options: dict[str, Any] = {"scope": PROJECT.scope, "source": source}
    seen_by_operator: set[str] = set()
    async with (
        running(EVERYTHING, valkey, server, tmp_path, **options) as both,
        running(PROJECT, start_valkey(), smaller_server, tmp_path, **options) as alone,
    ):
        confined = confine(both.runtime, SCOPE)
        reads = READS if source == "manager" else {name: READS[name] for name in READS.keys() - OF_ENDPOINTS.keys()}
        for name, read in reads.items():
            for owner in ("mine", "theirs"):
                expected, found = await answer(read, alone.runtime, owner), await answer(read, confined, owner)
                assert expected == found, (name, owner)
            found_by_operator = repr(await answer(read, both.runtime, "theirs"))
            seen_by_operator |= {mark for mark in marks_of("theirs") if mark in found_by_operator}
        agents = ["agent-of-mine"] if source == "manager" else []  # series know no owners of agents
        assert agents == list((await confined.inventory.list_agents()).items)
        assert len(agents) == (await ObjectListing(confined.inventory, confined.repository).read(AGENTS)).total_count
        assert [None] == list(await confined.statistics.fetch_agent_statistics(["agent-of-theirs"]))
        activity = await confined.statistics.fetch_inference_metrics([id_of("session", "theirs")])
        assert ([None], {}) == (list(activity), dict(activity.problems))
    endpoints = {id_of(kind, "theirs", number) for kind in ("endpoint", "replica") for number in range(2)}
    unseen = set() if source == "manager" else {"agent-of-theirs", *endpoints}
    assert marks_of("theirs") - unseen <= seen_by_operator


@pytest.mark.parametrize("source", ["manager", "series"])
async def test_unknown_and_not_yours_are_the_same_calls_and_the_same_answer(
    source: Source, valkey: Server, server: Server, tmp_path: Path
) -> None:
    """Whoever has an object, the inventory, the store and the backend get the same calls."""
    agents: dict[str, Read] = {
        "agents": lambda ports, owner: ports.statistics.fetch_agent_statistics([f"agent-of-{owner}"]),
        "find agents": lambda ports, owner: ports.inventory.find_agents([f"agent-of-{owner}"]),  # type: ignore[attr-defined]
        "activity": lambda ports, owner: ports.statistics.fetch_inference_metrics(_ids("session", owner)),
    }
    async with running(EVERYTHING, valkey, server, tmp_path, scope=PROJECT.scope, source=source) as service:
        confined = confine(service.runtime, SCOPE)
        for name, read in {**READS, **agents}.items():
            seen: list[tuple[str, str]] = []
            for owner in ("theirs", "nobody"):
                service.calls.clear()
                found = repr(await answer(read, confined, owner))
                calls = without_owner(without_owner(repr(service.calls), "theirs"), owner)
                seen.append((without_owner(found, owner), calls))
            assert seen[0] == seen[1], name
