"""The GraphQL types of agents."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, Self, cast

import strawberry
from strawberry.scalars import JSON

from statcore import services
from statcore.model.inventory import AgentRecord
from statcore.model.numbers import finite_number
from statcore.model.statistics import Problem, ProblemKind, decode_entry, shown_value
from statcore.services import AGENTS
from statcore_graphql.outcomes import Outcome
from statcore_graphql.schema.figures import STARTED_AT, Figures, figures_field, read_entry, rfc3339
from statcore_graphql.schema.loaded import LoadedField, Shown, only_outcome, statistics_field

_LOADER = "AgentStatistics.by_agent"
_UNITS: Final = {"bps": "bytes/s", "msec": "ms"}
"""The units that agents write in another way than queriers; they write bps for bytes per second."""
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
    unit: str | None = strawberry.field(description="The unit of the current value and the capacity, such as `bytes/s`.")


def _show_devices(
    _: object, outcomes: Sequence[Outcome], /, *, encoded: bool, fields: Sequence[str] | None = None
) -> Shown:
    del encoded, fields
    entry, problem = only_outcome(outcomes)
    if entry is None:
        return None, ()
    value, problems = decode_entry(entry)
    by_metric = _shown(value).get("devices")
    found = [] if problem is None else [problem]
    found += [other for path, other in problems if path[:1] == ("devices",)]
    faults: list[str] = []
    devices = list(_devices(by_metric, faults))
    found += [Problem(ProblemKind.MALFORMED, message=fault) for fault in faults]
    return devices, [((), each) for each in found]


def _devices(by_metric: object, faults: list[str]) -> Iterator[Device]:
    """Yield the devices of each metric, in the order of their names, and add what cannot be read to `faults`."""
    for metric, by_device in sorted(_items("devices", by_metric, faults)):
        for device_id, fields in sorted(_items(metric, by_device, faults)):
            if not isinstance(fields, dict):
                faults.append(f"{metric} of device {device_id} is a {type(fields).__name__}, not an object")
                continue
            values = cast("dict[str, object]", fields)
            numbers: dict[str, float | None] = {}
            for name in ("current", "capacity", "pct"):
                value = values.get(name)
                number = finite_number(value)
                numbers[name] = None if number is None else float(number)
                if number is None and value is not None:
                    faults.append(
                        f"{metric}.{name} of device {device_id} is {value!r:.100}, not the text of a finite number"
                    )
            hint = values.get("unit_hint")
            unit = _UNITS.get(hint, hint) if isinstance(hint, str) else None
            yield Device(metric=metric, device_id=device_id, unit=unit, **numbers)


def _items(name: str, value: object, faults: list[str]) -> Iterable[tuple[str, object]]:
    if isinstance(value, dict):
        return cast("dict[str, object]", value).items()
    if value is not None:
        faults.append(f"{name} is a {type(value).__name__}, not an object of devices")
    return ()


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
