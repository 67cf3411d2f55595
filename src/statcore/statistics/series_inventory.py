"""Inventory of sessions, kernels and agents from the series of a metric backend: implements `InventoryPort`."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, Literal, TypeAlias, TypeVar

import attrs

from statcore.concurrency import ITEMS_PER_TURN, give_way, in_turns, map_concurrently, run_both
from statcore.errors import InputError, PartialAnswerError, UnsupportedError
from statcore.model.inventory import AgentRecord, EndpointRecord, KernelRecord, Page, SessionRecord
from statcore.model.results import Series
from statcore.model.text import id_text
from statcore.model.time import MILLISECOND, QueryTimeRange, format_duration, parse_duration
from statcore.ports.metrics import MetricQuerierPort
from statcore.promql.live_stat import distinct_batches
from statcore.queriers.container import CONTAINER_SERIES, DEVICE_METRIC_LABEL, DEVICE_SERIES, OWNER_LABELS, UNKNOWN_OWNER
from statcore.queriers.interface import QueryStrategy, UtilizationMetricQuerier
from statcore.queriers.matcher import LabelMatcher

_logger: Final = logging.getLogger(__name__)

_Record = TypeVar("_Record")
_Recency: TypeAlias = tuple[float, float]
"""The times of the last and the first sample of a series; the larger is of the newer series."""

_STEPS: Final = 4
_NO_ENDPOINTS: Final = (
    "the series of agents do not name inference endpoints; they are known only to a host that passes an inventory of its"
    " own, such as the manager's database"
)


@attrs.frozen
class _Present(UtilizationMetricQuerier):
    """Querier of current values of any metric, for the groups that have one."""

    series: str
    by: Sequence[str]
    matchers: Mapping[str, str | LabelMatcher]

    def name(self) -> str:
        return self.series

    def labels(self) -> Mapping[str, str | LabelMatcher]:
        return {"value_type": "current", **self.matchers}

    def group_by_labels(self) -> Sequence[str]:
        return self.by

    def query_strategy(self) -> QueryStrategy:
        return QueryStrategy.GAUGE


def _containers(by: Sequence[str], of: str = "", ids: Sequence[str] | None = None) -> _Present:
    """Return the querier of all containers, or of those whose label `of` has one of some ids.

    Every metric of a kernel has a current value, but not always a capacity. No metric is sure to exist for every kernel, so
    all metrics are read.
    """
    return _Present(CONTAINER_SERIES, by, {} if ids is None else {of: LabelMatcher.one_of(ids)})


def _nodes(ids: Sequence[str] | None) -> _Present:
    """Return the querier of the nodes of all agents, or of some: of their memory, a single series of each agent."""
    agents = {} if ids is None else {"agent_id": LabelMatcher.one_of(ids)}
    return _Present(DEVICE_SERIES, ["agent_id"], {DEVICE_METRIC_LABEL: "mem", **agents})


def _text(series: Series, label: str) -> str | None:
    value = series.labels.get(label)
    return value if value and value != UNKNOWN_OWNER else None


class _Ids:
    """Reads ids from labels, and collects values that are not ids for one warning."""

    def __init__(self) -> None:
        self.unfit: set[str] = set()

    def read(self, series: Series, label: str) -> str | None:
        value = _text(series, label)
        try:
            # Another spelling of an id does not count: queries for the id would not find its series.
            if value is None or id_text(value) == value:
                return value
        except InputError:
            pass
        self.unfit.add(f"{label} {value!r:.100}")
        return None

    def warn(self) -> None:
        if self.unfit:
            first = ", ".join(sorted(self.unfit)[:3])
            _logger.warning("%d label values are not ids and count as unknown, such as %s", len(self.unfit), first)


def _lookback(value: timedelta | str) -> timedelta:
    return parse_duration(format_duration(value))


@attrs.frozen(eq=False)
class SeriesInventory:
    """An `OwnerInventoryPort` and `KernelInventoryPort` over any metric backend: a kernel exists if it has series.

    Series are read at the present and at four points in time before it, evenly over the lookback. A failed scrape makes the
    series of its target vanish for a moment; a kernel that has series at another point is still listed. A kernel that ended
    is listed until the lookback has passed since its agent last exported it.

    A kernel without a session is in no session. Agents are known by the kernels that they run and by the memory of their
    nodes. If a kernel has a new agent, user or project, the new owner counts; a kernel that moved to another session is in
    both for a while. A label value that is not an id counts as unknown, and is logged.

    `started_at` is None: agents export no series with the time at which a kernel or an agent started. The first sample of a
    range is not that time, because there may be samples before the range.

    Samples are read and not label values, because Prometheus also answers label values that are hours old. In every call
    the backend reads the newest samples of all current values, or of the current values of the given objects.

    Args:
        metrics: the backend; the caller closes it.
        clock: returns the time now, aware.
        lookback: as text such as 5m, or a timedelta.

    Raises:
        InputError: the lookback is not a positive duration.
    """

    metrics: MetricQuerierPort
    clock: Callable[[], datetime] = attrs.field(kw_only=True)
    lookback: timedelta = attrs.field(default=timedelta(minutes=5), kw_only=True, converter=_lookback)

    async def list_sessions(self, *, limit: int | None = None, offset: int = 0) -> Page[SessionRecord]:
        """Return a page of the sessions in the order of their ids, each with all of its kernels.

        Raises:
            InputError: `limit` or `offset` is negative.
            PartialAnswerError: the backend says that its answer may lack series; their sessions would seem not to exist.
            StatcoreError: the backend failed, as `MetricQuerierPort` says.
        """
        return await self._page("session_id", limit, offset, _sessions)

    async def list_kernels(self, *, limit: int | None = None, offset: int = 0) -> Page[KernelRecord]:
        """Return a page of the kernels in the order of their ids, with those that have no session.

        Raises:
            InputError: `limit` or `offset` is negative.
            PartialAnswerError: the backend says that its answer may lack series.
            StatcoreError: the backend failed, as `MetricQuerierPort` says.
        """
        return await self._page("kernel_id", limit, offset, _kernels)

    async def find_sessions(self, session_ids: Sequence[str], /) -> Sequence[SessionRecord | None]:
        """Return the session of each id, in order; None for a session that does not exist.

        Raises:
            InputError: an id is not a UUID.
            PartialAnswerError: the backend says that its answer may lack series.
            StatcoreError: the backend failed, as `MetricQuerierPort` says.
        """
        ids = [id_text(session_id) for session_id in session_ids]
        sessions = await _sessions(await self._owners("session_id", ids, self._recent()))
        return [sessions.get(session_id) for session_id in ids]

    async def find_kernels(self, kernel_ids: Sequence[str], /) -> Sequence[KernelRecord | None]:
        """Return the kernel of each id, in order; None for a kernel that does not exist.

        Raises:
            InputError: an id is not a UUID.
            PartialAnswerError: the backend says that its answer may lack series.
            StatcoreError: the backend failed, as `MetricQuerierPort` says.
        """
        ids = [id_text(kernel_id) for kernel_id in kernel_ids]
        kernels = await _kernels(await self._owners("kernel_id", ids, self._recent()))
        return [kernels.get(kernel_id) for kernel_id in ids]

    async def list_endpoints(self, *, limit: int | None = None, offset: int = 0) -> Page[EndpointRecord]:  # noqa: ARG002
        """Raise `UnsupportedError`: series do not name endpoints."""
        raise UnsupportedError(_NO_ENDPOINTS)

    async def find_endpoints(self, endpoint_ids: Sequence[str], /) -> Sequence[EndpointRecord | None]:  # noqa: ARG002
        """Raise `UnsupportedError`: series do not name endpoints."""
        raise UnsupportedError(_NO_ENDPOINTS)

    async def list_agents(self, *, limit: int | None = None, offset: int = 0) -> Page[str]:
        """Return a page of the ids of the agents, in order, whether they run kernels or not.

        Raises:
            InputError: `limit` or `offset` is negative.
            PartialAnswerError: the backend says that its answer may lack series.
            StatcoreError: the backend failed, as `MetricQuerierPort` says.
        """
        Page.cut((), limit=limit, offset=offset)  # raises before anything is sent
        return Page.cut(sorted(await self._agents(None)), limit=limit, offset=offset)

    async def find_agents(self, agent_ids: Sequence[str], /) -> Sequence[AgentRecord | None]:
        """Return each agent that exists, in order; None for another id. Its owners are not known.

        Raises:
            InputError: an id is not text.
            PartialAnswerError: the backend says that its answer may lack series.
            StatcoreError: the backend failed, as `MetricQuerierPort` says.
        """
        batches = await map_concurrently(distinct_batches(agent_ids), self._agents)
        known = {agent_id for batch in batches for agent_id in batch}
        return [AgentRecord(agent_id=agent_id) if agent_id in known else None for agent_id in agent_ids]

    def _recent(self) -> QueryTimeRange:
        end = self.clock()
        step = -(-self.lookback // (_STEPS * MILLISECOND)) * MILLISECOND
        return QueryTimeRange(start=end - _STEPS * step, end=end, step=step)

    async def _query(self, querier: UtilizationMetricQuerier, time_range: QueryTimeRange) -> list[Series]:
        result = await self.metrics.query_utilization(querier, time_range)
        if result.warnings or result.partial:
            reasons = "; ".join(result.warnings) or "the backend says that the answer is partial"
            raise PartialAnswerError(f"the inventory is incomplete: {reasons}", warnings=result.warnings)
        return [series for series in result.series if len(series)]

    async def _page(
        self,
        of: Literal["session_id", "kernel_id"],
        limit: int | None,
        offset: int,
        records_of: Callable[[list[Series]], Awaitable[dict[str, _Record]]],
    ) -> Page[_Record]:
        """Return a page of records: of all objects with one query, of a part with a query for the ids and further ones."""
        Page.cut((), limit=limit, offset=offset)  # raises before anything is sent
        recent = self._recent()
        if limit is None and not offset:
            records = await records_of(await self._query(_containers(OWNER_LABELS), recent))
            return Page(items=list(records.values()), total_count=len(records))
        ids = _Ids()
        known: set[str] = set()
        async for part in in_turns(await self._query(_containers([of]), recent)):
            known.update(id_ for series in part if (id_ := ids.read(series, of)))
        ids.warn()
        page = Page.cut(sorted(known), limit=limit, offset=offset)
        records = await records_of(await self._owners(of, page.items, recent))
        return Page(items=[records[id_] for id_ in page.items if id_ in records], total_count=page.total_count)

    async def _agents(self, ids: Sequence[str] | None) -> set[str]:
        """Return the ids of all agents, or of those among some ids that exist."""
        recent = self._recent()
        answers = await run_both(
            self._query(_containers(["agent_id"], "agent_id", ids), recent), self._query(_nodes(ids), recent)
        )
        return {agent_id for answer in answers for series in answer if (agent_id := _text(series, "agent_id"))}

    async def _owners(
        self, of: Literal["session_id", "kernel_id"], ids: Sequence[str], time_range: QueryTimeRange
    ) -> list[Series]:
        """Return the series of the objects with these ids, grouped by their owners."""

        async def read(batch: Sequence[str]) -> list[Series]:
            return await self._query(_containers(OWNER_LABELS, of, batch), time_range)

        return [series for batch in await map_concurrently(distinct_batches(ids), read) for series in batch]


async def _records(owners: list[Series]) -> AsyncIterator[tuple[_Recency, str | None, KernelRecord | None]]:
    """Yield the session id and the kernel of each series, with its recency, and give way to the event loop.

    A series is newer if it ended later or, if both go on, if it began later. The list is emptied turn by turn, because to
    free thousands of series at once takes milliseconds.
    """
    ids = _Ids()
    owners.reverse()
    while owners:
        part = owners[: -ITEMS_PER_TURN - 1 : -1]
        del owners[-ITEMS_PER_TURN:]
        await give_way()
        for series in part:
            session_id, kernel_id = ids.read(series, "session_id"), ids.read(series, "kernel_id")
            kernel = kernel_id and KernelRecord(
                kernel_id=kernel_id,
                session_id=session_id,
                agent_id=_text(series, "agent_id"),
                user_id=ids.read(series, "user_id"),
                project_id=ids.read(series, "project_id"),
            )
            yield (series.timestamps[-1], series.timestamps[0]), session_id, kernel or None
    ids.warn()


@attrs.define
class _Newest:
    """Keeps the newest record of each kernel."""

    records: dict[str, tuple[_Recency, KernelRecord]] = attrs.field(factory=dict[str, Any], init=False)

    def add(self, recency: _Recency, kernel: KernelRecord) -> None:
        known = self.records.get(kernel.kernel_id)
        if known is None or known[0] <= recency:
            self.records[kernel.kernel_id] = (recency, kernel)

    def kernels(self) -> tuple[KernelRecord, ...]:
        """Return the kernels in the order of their ids."""
        return tuple(self.records[id_][1] for id_ in sorted(self.records))


async def _kernels(owners: list[Series]) -> dict[str, KernelRecord]:
    """Return the kernels by id, in order."""
    newest = _Newest()
    async for recency, _, kernel in _records(owners):
        if kernel is not None:
            newest.add(recency, kernel)
    kernels: dict[str, KernelRecord] = {}
    async for part in in_turns(sorted(newest.records)):
        kernels.update((id_, newest.records.pop(id_)[1]) for id_ in part)
    return kernels


async def _sessions(owners: list[Series]) -> dict[str, SessionRecord]:
    """Return the sessions by id, in order."""
    newest: dict[str, _Newest] = {}
    async for recency, session_id, kernel in _records(owners):
        if session_id is not None:
            of_session = newest.setdefault(session_id, _Newest())
            if kernel is not None:
                of_session.add(recency, kernel)
    sessions: dict[str, SessionRecord] = {}
    async for part in in_turns(sorted(newest)):
        for session_id in part:
            sessions[session_id] = SessionRecord(session_id=session_id, kernels=newest.pop(session_id).kernels())
    return sessions
