"""Agents."""

from __future__ import annotations

import strawberry
from strawberry.scalars import JSON

from statcore_graphql.schema.loaded import statistics_field


@strawberry.type(description="An agent: a node that runs kernels.")
class Agent:
    """An agent."""

    agent_id: str

    live_stat: JSON | None = statistics_field(
        "AgentStatistics.by_agent",
        key=lambda agent: agent.agent_id,
        description='The live statistics of its node and its devices ("node", "devices"); null where there are none.',
    )


@strawberry.type(description="A page of the agents.")
class AgentList:
    """Some of the agents."""

    items: list[Agent]
    total_count: int
