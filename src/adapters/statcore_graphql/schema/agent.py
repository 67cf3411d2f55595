"""The GraphQL types of agents."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import strawberry
from strawberry.scalars import JSON

from statcore.model.statistics import shown_value
from statcore_graphql.schema.loaded import statistics_field


def _shown(halves: Mapping[str, object]) -> dict[str, object]:
    node, devices = halves.get("node"), halves.get("devices")
    shown = dict(halves)
    if isinstance(node, dict):
        shown["node"] = {metric: shown_value(metric, value) for metric, value in cast("dict[str, object]", node).items()}
    if isinstance(devices, dict):
        shown["devices"] = {
            metric: {device: shown_value(metric, value) for device, value in cast("dict[str, object]", by_device).items()}
            if isinstance(by_device, dict)
            else by_device
            for metric, by_device in cast("dict[str, object]", devices).items()
        }
    return shown


@strawberry.type(description="An agent: a node that runs kernels.")
class Agent:
    """An agent."""

    agent_id: str

    live_stat: JSON | None = statistics_field(
        "AgentStatistics.by_agent",
        key=lambda agent: agent.agent_id,
        description='The live statistics of its node and its devices ("node", "devices"), or null when there are none. A'
        " number that means nothing, such as the percentage of a metric without a bound, is null.",
        show=_shown,
    )


@strawberry.type(description="A page of the agents.")
class AgentList:
    """A page of the agents."""

    items: list[Agent]
    total_count: int
    next_cursor: str | None = strawberry.field(default=None, description="The `after` of the next page, if there is one.")
