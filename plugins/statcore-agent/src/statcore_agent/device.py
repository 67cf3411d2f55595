"""The querier of agents' devices."""

from __future__ import annotations

from typing import Final, get_args

import attrs
from attrs.validators import optional

from statcore import QueryStrategy, UtilizationMetricQuerier
from statcore.model import check_label_value, check_one_of
from statcore.queriers.container import DEVICE_METRIC_LABEL, DEVICE_SERIES
from statcore_agent.counters import ValueType, strategy_of

_OWNERS: Final = ("agent_id", "device_id")


@attrs.frozen(kw_only=True)
class AgentDeviceMetricQuerier(UtilizationMetricQuerier):
    """Devices of agents: cores, disks, network cards, accelerators.

    Args:
        metric_name: what the agents export, for example `cpu_util`, `mem`, `cuda_mem`.
        value_type: `current` or `capacity`.
        agent_id: the agent's name; by default every agent.
        device_id: the device's name on its agent, for example `0` or `eth0`; by default every device.

    Raises:
        InputError: another value type, or a text that is empty or cannot be sent.
    """

    metric_name: str = attrs.field(validator=check_label_value)
    value_type: ValueType = attrs.field(validator=check_one_of(get_args(ValueType)))
    agent_id: str | None = attrs.field(default=None, validator=optional(check_label_value))
    device_id: str | None = attrs.field(default=None, validator=optional(check_label_value))

    def name(self) -> str:
        """Return the series that the agents export for devices."""
        return DEVICE_SERIES

    def labels(self) -> dict[str, str]:
        """Return the metric, the value type, and the agent and the device where they are set."""
        owners = {label: getattr(self, label) for label in _OWNERS}
        labels = {DEVICE_METRIC_LABEL: self.metric_name, "value_type": self.value_type, **owners}
        return {label: value for label, value in labels.items() if value is not None}

    def group_by_labels(self) -> list[str]:
        """Return the labels that distinguish devices: values of different devices must not be added."""
        return ["value_type", *_OWNERS]

    def query_strategy(self) -> QueryStrategy:
        """Return the rate for current values of counters, and the gauge for all other values."""
        return strategy_of(self.metric_name, self.value_type)
