"""Confined ports: what is refused, what is called, and what happens when owners cannot be checked."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Any, cast
from unittest.mock import AsyncMock
from uuid import uuid4

import attrs
import pytest
from tests.support.turns import counting_turns

from statcore.errors import ProtocolError, UnavailableError, UnsupportedError
from statcore.model import MatrixResult, MetricValue, QueryTimeRange, StatisticsBatch, VectorResult
from statcore.model.inventory import AgentRecord, KernelRecord, Page, SessionRecord
from statcore.promql.templates import Preset, Template
from statcore.queriers import QueryStrategy
from statcore.queriers.container import CONTAINER_SERIES
from statcore.queriers.interface import MetricQuery, PreparedQuerier
from statcore.runtime import Runtime
from statcore.scopes import Scope, confine
from statcore.scopes.inventory import ConfinedInventory
from statcore.scopes.owners import Owners
from statcore.services.presets import PresetService
from statcore.statistics import StatisticsRepositories
from statcore.statistics.series_inventory import SeriesInventory
from statcore_memory import MemoryInventory, MemoryMetrics, MemoryStatistics

MINE, OTHERS, NOBODYS = sorted(str(uuid4()) for _ in range(3))
PROJECT, OTHER_PROJECT, USER = (str(uuid4()) for _ in range(3))
SCOPE = Scope.of(project_id=PROJECT)
RANGE = QueryTimeRange(start=0, end=60, step="30s")


def runtime(**ports: Any) -> Runtime:
    """Return a runtime in memory with two kernels; `ports` replaces some of its ports."""
    store, inventory = ports.pop("statistics", None) or MemoryStatistics(), MemoryInventory()
    inventory.register_kernel(KernelRecord(kernel_id=MINE, project_id=PROJECT))
    inventory.register_kernel(KernelRecord(kernel_id=OTHERS, project_id=OTHER_PROJECT))
    repository = StatisticsRepositories.create(store).repository
    whole = Runtime(statistics=store, repository=repository, metrics=MemoryMetrics(), inventory=inventory)
    return attrs.evolve(whole, **ports)


def test_everything_is_not_confined() -> None:
    """An operator reads through the same code and the same ports."""
    whole = runtime()
    assert whole is confine(whole, Scope.everything())


def test_an_inventory_without_owners_cannot_be_confined() -> None:
    """The error says which methods are missing."""

    class Listing:
        find_sessions = list_sessions = find_endpoints = list_endpoints = list_agents = None

    with pytest.raises(UnsupportedError, match="Listing does not find kernels and agents by id"):
        confine(runtime(inventory=Listing()), SCOPE)


@attrs.frozen(eq=False)
class Recorder:
    """Records the calls of a port."""

    port: Any
    calls: list[tuple[str, Any]]

    def __getattr__(self, name: str) -> Any:
        """Return a method that notes how many ids it gets."""
        method = getattr(self.port, name)

        async def call(*arguments: Any) -> Any:
            self.calls.append((name, [len(argument) for argument in arguments]))
            return await method(*arguments)

        return call


async def test_unknown_and_not_yours_are_the_same_calls_and_the_same_answer() -> None:
    """The inventory gets the same calls for both, and the store is asked for neither."""
    answers: list[Any] = []
    for kernel_id in (OTHERS, NOBODYS):
        calls: list[tuple[str, Any]] = []
        whole = runtime()
        store = MemoryStatistics()
        await store.store_kernel_statistics({OTHERS: {"mem": MetricValue(current="1")}})
        recorded = runtime(statistics=Recorder(store, calls), inventory=Recorder(whole.inventory, calls))
        batch = await confine(recorded, SCOPE).repository.get_kernel_statistics_batch([kernel_id])
        answers.append((list(batch), batch.problems, calls))
    not_yours, unknown = answers
    assert not_yours == unknown
    assert [("find_kernels", [1]), ("find_sessions", [1]), ("fetch_kernel_statistics", [0])] == unknown[2]


async def test_a_session_without_kernels_has_no_owner() -> None:
    """So it is in no scope: it is neither listed nor found, and its statistics are not read."""
    session, inventory, store = SessionRecord(session_id=MINE), AsyncMock(spec=MemoryInventory), MemoryStatistics()
    inventory.find_kernels.return_value = [None]
    inventory.find_sessions.return_value = [session]
    inventory.list_sessions.return_value = Page(items=[session], total_count=1)
    await store.store_kernel_statistics({MINE: {"mem": MetricValue(current="1")}})
    await store.store_session_activity(MINE, requests=1, last_response_ms=1)
    confined = confine(runtime(statistics=store, inventory=inventory), SCOPE)
    assert [None] == list(await confined.repository.get_kernel_statistics_batch([MINE]))
    assert [None] == list(await confined.repository.get_inference_metrics_batch([MINE]))
    assert [None] == list(await confined.inventory.find_sessions([MINE]))
    assert Page(items=[], total_count=0) == await confined.inventory.list_sessions()


async def test_an_id_of_a_kernel_and_of_a_session_is_read_where_both_are_allowed() -> None:
    """A session of the caller, with the id of a kernel of others, does not show their kernel."""
    store, inventory = MemoryStatistics(), MemoryInventory()
    await store.store_kernel_statistics({OTHERS: {"mem": MetricValue(current="1")}})
    inventory.register_kernel(KernelRecord(kernel_id=OTHERS, project_id=OTHER_PROJECT))
    inventory.register_kernel(KernelRecord(kernel_id=MINE, session_id=OTHERS, project_id=PROJECT))
    whole = runtime(statistics=store, inventory=inventory)
    for projects, is_read in (([PROJECT], False), ([OTHER_PROJECT], False), ([PROJECT, OTHER_PROJECT], True)):
        confined = confine(whole, Scope.of(project_id=projects))
        (entry,) = await confined.repository.get_kernel_statistics_batch([OTHERS])
        assert is_read is (entry is not None)


@pytest.mark.parametrize(
    ("fetch", "ids"),
    [
        ("fetch_kernel_statistics", [MINE]),
        ("fetch_inference_metrics", [MINE]),
        ("fetch_endpoint_statistics", [MINE]),
        ("fetch_replica_statistics", [(MINE, MINE)]),
        ("fetch_agent_statistics", ["i-1"]),
    ],
)
async def test_nothing_is_read_while_owners_cannot_be_checked(fetch: str, ids: Sequence[Any]) -> None:
    """The error of the inventory is raised, and the store is not asked."""
    inventory, store = AsyncMock(spec=MemoryInventory), AsyncMock(spec=MemoryStatistics)
    for method in ("find_kernels", "find_sessions", "find_endpoints", "find_agents"):
        getattr(inventory, method).side_effect = UnavailableError("the database is away")
    confined = confine(runtime(statistics=store, inventory=inventory), SCOPE)
    with pytest.raises(UnavailableError, match="the database is away"):
        await getattr(confined.statistics, fetch)(ids)
    assert [] == store.mock_calls


async def test_checks_of_many_owners_do_not_hold_the_event_loop() -> None:
    """Other tasks run while the owners of thousands of kernels and sessions are checked."""
    inventory = MemoryInventory()
    for _ in range(2_000):
        inventory.register_kernel(KernelRecord(kernel_id=str(uuid4()), session_id=str(uuid4()), project_id=PROJECT))
    owners = Owners(inventory, SCOPE)
    kernels = (await inventory.list_kernels()).items
    ids = [id_ for kernel in kernels for id_ in (kernel.kernel_id, kernel.session_id) if id_ is not None]

    async with counting_turns() as turns:
        allowed = await owners.kernels_and_sessions(ids)

    assert set(ids) == allowed
    assert turns.count >= len(ids) / 256


async def test_a_store_that_answers_too_few_entries_is_found_out() -> None:
    """No entry is given to another id."""
    store = AsyncMock(spec=MemoryStatistics)
    store.fetch_kernel_statistics.return_value = StatisticsBatch()
    with pytest.raises(ProtocolError, match="the store answered 0 entries for 1 ids"):
        await confine(runtime(statistics=store), SCOPE).statistics.fetch_kernel_statistics([OTHERS, MINE])


async def test_an_agent_of_a_project_is_in_its_scope() -> None:
    """The inventory of a host may know owners of agents."""
    store, inventory = MemoryStatistics(), AsyncMock(spec=MemoryInventory)
    for agent_id in ("i-1", "i-2"):
        await store.store_agent_statistics(agent_id, node={"mem": MetricValue(current="1")}, devices={}, interval_s=5)
    inventory.find_agents.return_value = [AgentRecord(agent_id="i-1", project_id=PROJECT), AgentRecord(agent_id="i-2")]
    confined = confine(runtime(statistics=store, inventory=inventory), SCOPE)
    mine, others = await confined.repository.get_agent_statistics_batch(["i-1", "i-2"])
    assert mine is not None
    assert others is None


@pytest.mark.parametrize(
    ("template", "named"),
    [
        ("sum(up{${{ labels }}}) / sum(up)", r"^up\{\} in the preset reads the series of all owners"),
        ("sum(up)", r"^up\{\} in the preset reads the series of all owners"),
        ("sum(rate(up[5m])) + sum(up{${{ labels }}})", "reads the series of all owners"),
        ("sum(info(up{${{ labels }}}))", r"^info\(up\{\$\{\{ labels \}\}\}\) in the preset"),
        ('sum(up{${{ labels }}}) + sum(up{job="a" or job="b"})', "reads the series of all owners"),
    ],
)
async def test_a_preset_that_reads_more_is_refused(template: str, named: str) -> None:
    """The error shows the selector that has no place for the scope; callers who may see everything may use it."""
    preset = Preset(name="p", description="d", template=template)
    with pytest.raises(UnsupportedError, match=named):
        await PresetService(confine(runtime(), SCOPE).metrics, {"p": preset}).query_preset_now("p")  # type: ignore[arg-type]


async def test_a_preset_is_refused_for_alternatives() -> None:
    """A kernel that two alternatives allow could be counted twice."""
    scope = Scope.any_of([SCOPE, Scope.of(user_id=USER)])
    preset = Preset(name="p", description="d", template="sum(up{${{ labels }}})")
    with pytest.raises(UnsupportedError, match="the scope has 2 alternatives"):
        await PresetService(confine(runtime(), scope).metrics, {"p": preset}).query_preset_now("p")  # type: ignore[arg-type]


RAW_QUERIES: list[Callable[[Any], Awaitable[Any]]] = [
    lambda metrics: metrics.query("up"),
    lambda metrics: metrics.query_range("up", RANGE),
    lambda metrics: metrics.query(str(Template("up{${{ labels }}}").render(window="5m"))),
]


@pytest.mark.parametrize("call", RAW_QUERIES)
async def test_promql_is_for_callers_who_may_see_everything(call: Callable[[Any], Awaitable[Any]]) -> None:
    """A text is refused, even if a preset could have written it."""
    with pytest.raises(UnsupportedError, match="use a querier or a preset"):
        await call(confine(runtime(), SCOPE).metrics)


async def test_the_scope_is_beside_what_a_caller_fills_in() -> None:
    """No value replaces the scope's matcher, and a comma in the template is right with and without values."""
    backend = AsyncMock(spec=MemoryMetrics)
    metrics = confine(runtime(metrics=backend), SCOPE).metrics
    preset = Preset(
        name="p",
        description="d",
        template=f'{CONTAINER_SERIES}{{job="a",${{{{ labels }}}}}}',
        filter_labels=["project_id"],
    )
    service = PresetService(metrics, {"p": preset})  # type: ignore[arg-type]
    await service.query_preset_now("p")
    await service.query_preset_now("p", labels={"project_id": OTHER_PROJECT})
    sent = [call.args[0] for call in backend.query.mock_calls]
    assert [
        f'{CONTAINER_SERIES}{{job="a",project_id="{PROJECT}"}}',
        f'{CONTAINER_SERIES}{{job="a",project_id="{OTHER_PROJECT}",project_id="{PROJECT}"}}',
    ] == sent


async def test_the_notes_of_all_alternatives_are_kept() -> None:
    """Each text is there once, and the answer is partial if one of them is."""
    notes: list[dict[str, Any]] = [{"warnings": ("w", "v"), "infos": ("i",)}, {"warnings": ("u", "w"), "partial": True}]
    backend = AsyncMock(spec=MemoryMetrics)
    backend.query_utilization.side_effect = [MatrixResult(series=(), **of_alternative) for of_alternative in notes]
    backend.query_utilization_now.side_effect = [VectorResult(samples=(), **of_alternative) for of_alternative in notes]
    metrics = confine(runtime(metrics=backend), Scope.any_of([SCOPE, Scope.of(user_id=USER)])).metrics
    querier = PreparedQuerier(MetricQuery("x", {}, ("kernel_id",), QueryStrategy.GAUGE))
    for answer in (await metrics.query_utilization(querier, RANGE), await metrics.query_utilization_now(querier)):
        assert (("w", "v", "u"), ("i",), True) == (answer.warnings, answer.infos, answer.partial)


async def test_a_kernel_that_changed_its_owner_has_all_its_points_in_a_scope_of_both() -> None:
    """Each of the two alternatives allows a part of the range; the answer has both parts, in order of time."""
    owners = [{"project_id": PROJECT, "user_id": USER}, {"project_id": OTHER_PROJECT, "user_id": OTHERS}]
    metrics = MemoryMetrics()
    for minute, of_minute in enumerate([owners[0], owners[0], owners[1], owners[1]]):
        labels = {"kernel_id": MINE, **of_minute}
        metrics.append_scrape([("x", labels, float(minute))], target="agent", time=60 * minute)
    scope = Scope.any_of(Scope.of(**of_alternative) for of_alternative in owners)
    querier = PreparedQuerier(MetricQuery("x", {}, ("kernel_id",), QueryStrategy.GAUGE))
    time_range = QueryTimeRange(start=0, end=180, step="60s")

    expected = await metrics.query_utilization(querier, time_range)
    confined = confine(runtime(metrics=metrics), scope)
    assert expected == await confined.metrics.query_utilization(querier, time_range)


async def test_a_kernel_that_changed_its_owner_exists_for_the_new_owner_alone() -> None:
    """Series under the former owner are recent, but the newest decide, in lists as for ids."""
    metrics, session_id = MemoryMetrics(), str(uuid4())
    for time, project_id in ((0, PROJECT), (75, OTHER_PROJECT)):
        labels = {"kernel_id": MINE, "session_id": session_id, "project_id": project_id, "value_type": "current"}
        metrics.append_scrape([(CONTAINER_SERIES, labels, 1.0)], target="agent", time=time)
    whole = runtime(metrics=metrics, inventory=SeriesInventory(metrics, clock=lambda: datetime.fromtimestamp(75, UTC)))

    for project_id, expected in ((PROJECT, 0), (OTHER_PROJECT, 1)):
        inventory = cast("ConfinedInventory", confine(whole, Scope.of(project_id=project_id)).inventory)
        assert expected == (await inventory.list_sessions()).total_count
        assert expected == (await inventory.list_kernels()).total_count
        found = [*await inventory.find_kernels([MINE]), *await inventory.find_sessions([session_id])]
        assert 2 * expected == len([record for record in found if record is not None])
