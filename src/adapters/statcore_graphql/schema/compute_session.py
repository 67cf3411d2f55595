"""The GraphQL types of sessions and their kernels."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Self, cast

import strawberry
from strawberry.scalars import JSON

from statcore import services
from statcore.concurrency import in_turns
from statcore.errors import InputError
from statcore.model.batch import StatisticsBatch
from statcore.model.inventory import KernelRecord, SessionRecord
from statcore.model.statistics import Entry, Problem
from statcore.plugins.querier_kinds import prepare
from statcore.queriers import ContainerMetricQuerier
from statcore.queriers.container import UNITS
from statcore.services import KERNELS, SESSIONS
from statcore.statistics import processes, session_entry
from statcore_graphql.context import GraphQueryContext
from statcore_graphql.outcomes import Outcome, as_batch, as_error
from statcore_graphql.schema.figures import STARTED_AT, Figures, figures_field, read_entry, rfc3339
from statcore_graphql.schema.loaded import (
    LOADER,
    MAX_FIELDS,
    LoadedField,
    Shown,
    metrics_field,
    only_outcome,
    show_metrics,
    statistics_field,
)
from statcore_graphql.schema.utilization import UTILIZATION_LOADER, Utilization, load_utilization

_KERNEL_LOADER = "KernelStatistics.by_kernel"
_OWNER = "The owner of its kernels, as far as their owners are known; null where none is known, or where they have several."


@strawberry.type(description="A process of a kernel; null is a number that is not known.")
class Process:
    """A process."""

    pid: int
    cpu_pct: float | None = strawberry.field(description="CPU use in percent of one core.")
    mem_bytes: float | None = strawberry.field(description="Memory in use.")

    @classmethod
    def of(cls, process: processes.Process) -> Self:
        """Convert a process of the metric backend."""
        return cls(pid=process.pid, cpu_pct=process.cpu_pct, mem_bytes=process.mem_bytes)


def _show_processes(
    _: object, outcomes: Sequence[Outcome], /, *, encoded: bool, fields: Sequence[str] | None = None
) -> Shown:
    del encoded, fields
    found: processes.ProcessList = only_outcome(outcomes).value
    return [Process.of(process) for process in found.processes], () if found.problem is None else [((), found.problem)]


@strawberry.type(description="A kernel: one container, of a session or by itself.")
class Kernel:
    """A kernel."""

    kernel_id: str
    agent_id: str | None
    session_id: str | None = None
    user_id: str | None = None
    project_id: str | None = None
    started_at: str | None = strawberry.field(default=None, description=STARTED_AT)
    listed: strawberry.Private[services.Figures | None] = None

    figures: Figures | None = figures_field(
        KERNELS, _KERNEL_LOADER, keys=lambda kernel: (kernel.kernel_id,), read=read_entry
    )

    processes: list[Process] | None = LoadedField(
        loader="KernelProcesses.by_kernel", keys=lambda kernel: (kernel.kernel_id,), show=_show_processes
    ).field(
        description="Its processes in the order of their pids, as the metric backend knows them; none where it has no"
        " series of them.",
        of=list[Process] | None,
    )

    live_stat: JSON | None = metrics_field(
        _KERNEL_LOADER,
        key=lambda kernel: kernel.kernel_id,
        description="Its live statistics by metric, or null when there are none. A number that means nothing, such as the"
        " percentage of a metric without a bound, is null.",
        hides=True,
    )

    @classmethod
    def of(cls, record: KernelRecord, listed: services.Figures | None = None) -> Self:
        """Convert a record of the inventory, with the figures that a list is sorted by."""
        return cls(
            kernel_id=record.kernel_id,
            session_id=record.session_id,
            agent_id=record.agent_id,
            user_id=record.user_id,
            project_id=record.project_id,
            started_at=rfc3339(record.started_at),
            listed=listed,
        )


@strawberry.type(description="A page of the kernels.")
class KernelList:
    """A page of the kernels."""

    items: list[Kernel]
    total_count: int
    next_cursor: str | None = strawberry.field(default=None, description="The `after` of the next page, if there is one.")


def _session_keys(session: ComputeSession) -> list[str]:
    return [session.session_id, *(kernel.kernel_id for kernel in session.kernels)]


def _session_entry(session: ComputeSession, outcomes: Sequence[Outcome | None]) -> StatisticsBatch:
    """Return the entry of a session as a batch of one.

    Raises:
        BaseException: the outcome of the session itself, if that is an exception and no kernel has an entry.
    """
    loaded = cast("Sequence[Outcome]", outcomes)
    batch = session_entry([kernel.kernel_id for kernel in session.kernels], as_batch(loaded))
    own = loaded[0].value
    if batch[0] is None and isinstance(own, BaseException):
        raise own
    return batch


def _read_session(session: ComputeSession, outcomes: Sequence[Outcome], /) -> tuple[Entry | None, Problem | None]:
    batch = _session_entry(session, outcomes)
    entry, problem = batch[0], batch.problems.get(0)
    if entry is None and problem is not None:
        raise as_error(problem)
    return entry, problem


def _show_session(
    session: ComputeSession, outcomes: Sequence[Outcome], /, *, encoded: bool, fields: Sequence[str] | None = None
) -> Shown:
    entry, problem = _read_session(session, outcomes)
    return (None, ()) if entry is None else show_metrics(entry, problem, fields, encoded=encoded, hides=True)


def _only(ids: Iterable[str | None]) -> str | None:
    """Return the only id that is known, or None where none or several are known."""
    known = {id_ for id_ in ids if id_ is not None}
    return known.pop() if len(known) == 1 else None


@strawberry.type(description="A session: kernels that run together.")
class ComputeSession:
    """A session."""

    session_id: str
    kernels: list[Kernel]
    user_id: str | None = strawberry.field(default=None, description=_OWNER)
    project_id: str | None = strawberry.field(default=None, description=_OWNER)
    started_at: str | None = strawberry.field(default=None, description=STARTED_AT)
    listed: strawberry.Private[services.Figures | None] = None

    figures: Figures | None = figures_field(SESSIONS, _KERNEL_LOADER, keys=_session_keys, read=_read_session)

    inference_metrics: JSON | None = statistics_field(
        "KernelStatistics.inference_metrics_by_kernel",
        key=lambda session: session.session_id,
        description="Its number of requests and last response time in milliseconds. Missing data is zero, and is listed in"
        " extensions.problems.",
    )

    live_stat: JSON | None = LoadedField(
        loader=_KERNEL_LOADER,
        keys=_session_keys,
        show=_show_session,
    ).field(
        description="The live statistics of its kernels combined, or null when there are none. Statistics that are stored"
        " for the session itself take precedence. A kernel without statistics is listed in extensions.problems.",
        selects=True,
    )

    @strawberry.field(
        description="Its utilization over time. Times are RFC 3339 with a zone or unix seconds; the step is a duration such"
        " as 1m.",
        metadata={LOADER: UTILIZATION_LOADER},
    )
    async def utilization(
        self,
        info: strawberry.Info[GraphQueryContext],
        metric_name: str,
        start: str,
        end: str,
        step: str,
        value_type: str = "current",
    ) -> Utilization | None:
        """Query the sum over the session's kernels."""
        querier = ContainerMetricQuerier(metric_name=metric_name, value_type=value_type, session_id=self.session_id)
        return await load_utilization(info.context, prepare(querier, UNITS), start=start, end=end, step=step)

    @classmethod
    def of(cls, record: SessionRecord, listed: services.Figures | None = None) -> Self:
        """Convert a record of the inventory, with the figures that a list is sorted by."""
        return cls(
            session_id=record.session_id,
            kernels=[Kernel.of(kernel) for kernel in record.kernels],
            user_id=_only(kernel.user_id for kernel in record.kernels),
            project_id=_only(kernel.project_id for kernel in record.kernels),
            started_at=rfc3339(record.started_at),
            listed=listed,
        )


@strawberry.type(description="One field of the statistics of all items of a page.")
class MetricColumn:
    """A column."""

    field: str
    values: JSON


@strawberry.type(description="A page of the sessions.")
class ComputeSessionList:
    """A page of the sessions."""

    items: list[ComputeSession]
    total_count: int
    next_cursor: str | None = strawberry.field(default=None, description="The `after` of the next page, if there is one.")

    @strawberry.field(
        description='Some fields of `live_stat` of all items, such as "cpu_util.pct". `values` has a text or null for each'
        " item, in their order. A value that cannot be read is null, and is listed in extensions.problems.",
        metadata={LOADER: _KERNEL_LOADER},
    )
    async def columns(self, info: strawberry.Info[GraphQueryContext], fields: list[str]) -> list[MetricColumn] | None:
        """Read the sessions and their kernels at once."""
        if len(fields) > MAX_FIELDS:
            raise InputError(f"fields has {len(fields)} names, more than {MAX_FIELDS}")
        context, path = info.context, info.path.as_list()
        loader = context.dataloader_manager.get_loader(context, _KERNEL_LOADER)
        await loader.request([key for session in self.items for key in _session_keys(session)]).ended()
        sessions: list[StatisticsBatch] = []
        async for part in in_turns(self.items):
            sessions += [
                _session_entry(session, [loader.loaded(key) for key in _session_keys(session)]) for session in part
            ]
        columns = await StatisticsBatch.join(sessions).shown_columns(*fields)
        for position, problems in columns.problems.items():
            for number in range(len(fields)):
                context.problems.extend(([*path, number, "values", position], problem) for problem in problems)
        return [MetricColumn(field=field, values=JSON(list(column))) for field, column in columns.items()]
