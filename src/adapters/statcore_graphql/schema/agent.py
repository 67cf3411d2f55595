"""The GraphQL types of agents."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Self, cast

import strawberry
from strawberry.scalars import JSON

from statcore import services
from statcore.model.inventory import AgentRecord
from statcore.model.numbers import finite_number
from statcore.model.statistics import decode_entry, shown_value
from statcore.services import AGENTS
from statcore_graphql.outcomes import Outcome
from statcore_graphql.schema.figures import STARTED_AT, Figures, figures_field, read_entry, rfc3339
from statcore_graphql.schema.loaded import LoadedField, Shown, only_outcome, statistics_field

_LOADER = "AgentStatistics.by_agent"
_OWNER = "Its owner; null for an agent of nobody or of everybody."


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


@strawberry.type(description="A metric of a device of an agent, such as the memory of an accelerator.")
class Device:
    """A metric of a device."""

    metric: str
    device_id: str
    current: float | None
    capacity: float | None = strawberry.field(description="The bound of the current value; null where there is none.")
    pct: float | None
    unit: str | None = strawberry.field(description="The unit of the current value and the capacity, as agents write it.")


def _show_devices(
    _: object, outcomes: Sequence[Outcome], /, *, encoded: bool, fields: Sequence[str] | None = None
) -> Shown:
    del encoded, fields
    entry, problem = only_outcome(outcomes)
    if entry is None:
        return None, ()
    value, problems = decode_entry(entry)
    by_metric = _shown(value).get("devices")
    found = [] if problem is None else [((), problem)]
    found += [((), other) for path, other in problems if path[:1] == ("devices",)]
    return list(_devices(by_metric)), found


def _devices(by_metric: object) -> Iterator[Device]:
    """Yield the devices of each metric, in the order of their names; parts of another form are left out."""
    for metric, by_device in sorted(_items(by_metric)):
        for device_id, fields in sorted(_items(by_device)):
            if isinstance(fields, dict):
                values = cast("dict[str, object]", fields)
                numbers = {name: finite_number(values.get(name)) for name in ("current", "capacity", "pct")}
                unit = values.get("unit_hint")
                yield Device(
                    metric=metric,
                    device_id=device_id,
                    unit=unit if isinstance(unit, str) else None,
                    **{name: None if number is None else float(number) for name, number in numbers.items()},
                )


def _items(value: object) -> Iterable[tuple[str, object]]:
    return cast("dict[str, object]", value).items() if isinstance(value, dict) else ()


@strawberry.type(description="An agent: a node that runs kernels.")
class Agent:
    """An agent."""

    agent_id: str
    user_id: str | None = strawberry.field(default=None, description=_OWNER)
    project_id: str | None = strawberry.field(default=None, description=_OWNER)
    started_at: str | None = strawberry.field(default=None, description=STARTED_AT)
    listed: strawberry.Private[services.Figures | None] = None

    figures: Figures | None = figures_field(AGENTS, _LOADER, keys=lambda agent: (agent.agent_id,), read=read_entry)

    devices: list[Device] | None = LoadedField(
        loader=_LOADER, keys=lambda agent: (agent.agent_id,), show=_show_devices
    ).field(
        description="The metrics of its devices, in the order of metrics and devices; null when there are no statistics.",
        of=list[Device] | None,
    )

    live_stat: JSON | None = statistics_field(
        _LOADER,
        key=lambda agent: agent.agent_id,
        description='The live statistics of its node and its devices ("node", "devices"), or null when there are none. A'
        " number that means nothing, such as the percentage of a metric without a bound, is null.",
        show=_shown,
    )

    @classmethod
    def of(cls, record: AgentRecord, listed: services.Figures | None = None) -> Self:
        """Convert a record of the inventory, with the figures that a list is sorted by."""
        return cls(
            agent_id=record.agent_id,
            user_id=record.user_id,
            project_id=record.project_id,
            started_at=rfc3339(record.started_at),
            listed=listed,
        )


@strawberry.type(description="A page of the agents.")
class AgentList:
    """A page of the agents."""

    items: list[Agent]
    total_count: int
    next_cursor: str | None = strawberry.field(default=None, description="The `after` of the next page, if there is one.")
