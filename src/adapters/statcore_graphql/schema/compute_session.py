"""Sessions and their kernels."""

from __future__ import annotations

from typing import Self

import strawberry
from strawberry.scalars import JSON

from statcore.model.inventory import KernelRecord, SessionRecord
from statcore.queriers import ContainerMetricQuerier
from statcore_graphql.context import GraphQueryContext
from statcore_graphql.schema.loaded import LOADER, statistics_field
from statcore_graphql.schema.utilization import UTILIZATION_LOADER, Utilization, load_utilization

_KERNEL_LOADER = "KernelStatistics.by_kernel"


@strawberry.type(description="A kernel: one container of a session.")
class Kernel:
    """A kernel."""

    kernel_id: str
    agent_id: str | None

    live_stat: JSON | None = statistics_field(
        _KERNEL_LOADER,
        key=lambda kernel: kernel.kernel_id,
        description="Its live statistics by metric; null where there are none.",
    )

    @classmethod
    def of(cls, record: KernelRecord) -> Self:
        """Read a record."""
        return cls(kernel_id=record.kernel_id, agent_id=record.agent_id)


@strawberry.type(description="A session: kernels that run together.")
class ComputeSession:
    """A session."""

    session_id: str
    kernels: list[Kernel]

    live_stat: JSON | None = statistics_field(
        _KERNEL_LOADER,
        key=lambda session: session.session_id,
        description="Its live statistics by metric; null where there are none.",
    )
    inference_metrics: JSON | None = statistics_field(
        "KernelStatistics.inference_metrics_by_kernel",
        key=lambda session: session.session_id,
        description="Its number of requests and last response time in milliseconds. Zeros that stand for missing data are"
        " listed in extensions.problems.",
    )

    @strawberry.field(
        description="Its utilization over time; times are RFC 3339 with a zone or unix seconds, the step a duration (1m).",
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
        """Read a record."""
        return cls(session_id=record.session_id, kernels=[Kernel.of(kernel) for kernel in record.kernels])


@strawberry.type(description="A page of the sessions.")
class ComputeSessionList:
    """Some of the sessions."""

    items: list[ComputeSession]
    total_count: int
