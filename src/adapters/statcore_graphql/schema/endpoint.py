"""The GraphQL types of inference endpoints and their replicas."""

from __future__ import annotations

from typing import Self

import strawberry
from strawberry.scalars import JSON

from statcore import services
from statcore.model.inventory import EndpointRecord
from statcore.services import ENDPOINTS
from statcore_graphql.schema.figures import STARTED_AT, Figures, figures_field, read_entry, rfc3339
from statcore_graphql.schema.loaded import metrics_field


@strawberry.type(description="A replica of an inference endpoint.")
class Replica:
    """A replica."""

    endpoint_id: strawberry.Private[str]
    replica_id: str
    session_id: str | None
    active: bool

    live_stat: JSON | None = metrics_field(
        "ReplicaStatistics.by_replica",
        key=lambda replica: (replica.endpoint_id, replica.replica_id),
        description="The metrics of its inference framework, or null when there are none.",
        hides=False,
    )


@strawberry.type(description="An inference endpoint.")
class Endpoint:
    """An endpoint."""

    endpoint_id: str
    replicas: list[Replica]
    user_id: str | None = None
    project_id: str | None = None
    started_at: str | None = strawberry.field(default=None, description=STARTED_AT)
    session_ids: strawberry.Private[tuple[str, ...]] = ()
    listed: strawberry.Private[services.Figures | None] = None

    figures: Figures | None = figures_field(
        ENDPOINTS,
        "EndpointStatistics.kernels_by_endpoint",
        keys=lambda endpoint: ((endpoint.endpoint_id, endpoint.session_ids),),
        read=read_entry,
    )

    live_stat: JSON | None = metrics_field(
        "EndpointStatistics.by_endpoint",
        key=lambda endpoint: endpoint.endpoint_id,
        description="The metrics of its inference framework, or null when there are none.",
        hides=False,
    )

    @classmethod
    def of(cls, record: EndpointRecord, listed: services.Figures | None = None) -> Self:
        """Convert a record of the inventory, with the figures that a list is sorted by."""
        replicas = [
            Replica(
                endpoint_id=record.endpoint_id,
                replica_id=replica.replica_id,
                session_id=replica.session_id,
                active=replica.active,
            )
            for replica in record.replicas
        ]
        return cls(
            endpoint_id=record.endpoint_id,
            replicas=replicas,
            user_id=record.user_id,
            project_id=record.project_id,
            started_at=rfc3339(record.started_at),
            session_ids=record.session_ids,
            listed=listed,
        )


@strawberry.type(description="A page of the inference endpoints.")
class EndpointList:
    """A page of the endpoints."""

    items: list[Endpoint]
    total_count: int
    next_cursor: str | None = strawberry.field(default=None, description="The `after` of the next page, if there is one.")
