"""The GraphQL types of sessions and their kernels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self, cast

import strawberry
from strawberry.scalars import JSON

from statcore.concurrency import in_turns
from statcore.errors import InputError
from statcore.model.batch import StatisticsBatch
from statcore.model.inventory import KernelRecord, SessionRecord
from statcore.queriers import ContainerMetricQuerier
from statcore.statistics import session_entry
from statcore_graphql.context import GraphQueryContext
from statcore_graphql.outcomes import Outcome, as_batch, as_error
from statcore_graphql.schema.loaded import (
    LOADER,
    MAX_FIELDS,
    LoadedField,
    Shown,
    metrics_field,
    show_metrics,
    statistics_field,
)
from statcore_graphql.schema.utilization import UTILIZATION_LOADER, Utilization, load_utilization

_KERNEL_LOADER = "KernelStatistics.by_kernel"


@strawberry.type(description="A kernel: one container, of a session or by itself.")
class Kernel:
    """A kernel."""

    kernel_id: str
    agent_id: str | None
    session_id: str | None = None

    live_stat: JSON | None = metrics_field(
        _KERNEL_LOADER,
        key=lambda kernel: kernel.kernel_id,
        description="Its live statistics by metric, or null when there are none. A number that means nothing, such as the"
        " percentage of a metric without a bound, is null.",
        hides=True,
    )

    @classmethod
    def of(cls, record: KernelRecord) -> Self:
        """Convert a record of the inventory."""
        return cls(kernel_id=record.kernel_id, session_id=record.session_id, agent_id=record.agent_id)


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


def _show_session(
    session: ComputeSession, outcomes: Sequence[Outcome], /, *, encoded: bool, fields: Sequence[str] | None = None
) -> Shown:
    batch = _session_entry(session, outcomes)
    entry, problem = batch[0], batch.problems.get(0)
    if entry is not None:
        return show_metrics(entry, problem, fields, encoded=encoded, hides=True)
    if problem is not None:
        raise as_error(problem)
    return None, ()


@strawberry.type(description="A session: kernels that run together.")
class ComputeSession:
    """A session."""

    session_id: str
    kernels: list[Kernel]

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
        return await load_utilization(info.context, querier, start=start, end=end, step=step)

    @classmethod
    def of(cls, record: SessionRecord) -> Self:
        """Convert a record of the inventory."""
        return cls(session_id=record.session_id, kernels=[Kernel.of(kernel) for kernel in record.kernels])


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
