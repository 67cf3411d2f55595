"""The querier of processes."""

from __future__ import annotations

from typing import Final, get_args
from uuid import UUID

import attrs
from attrs.validators import optional

from statcore import QueryStrategy, UtilizationMetricQuerier
from statcore.model import check_label_value, check_one_of, check_whole_number, optional_uuid
from statcore.queriers.container import PROCESS_METRIC_LABEL, PROCESS_SERIES
from statcore_agent.counters import ValueType, strategy_of

_OWNERS: Final = ("kernel_id", "session_id", "agent_id", "user_id", "project_id", "container_id", "pid")


@attrs.frozen(kw_only=True)
class ProcessMetricQuerier(UtilizationMetricQuerier):
    """Processes in containers, by kernel, agent and process id.

    Args:
        metric_name: what the agents export, for example `cpu_util`, `mem`, `io_read`.
        value_type: `current` or `capacity`.
        kernel_id, session_id, user_id, project_id: a UUID, or text that spells one; by default all.
        agent_id: the agent's name.
        container_id: the container's id, as the agent's runtime spells it.
        pid: the process's number.

    Raises:
        InputError: an unknown value type, an id that is not a UUID, text that is empty or cannot be sent, or a pid below 1.
    """

    metric_name: str = attrs.field(validator=check_label_value)
    value_type: ValueType = attrs.field(validator=check_one_of(get_args(ValueType)))
    kernel_id: UUID | None = attrs.field(default=None, converter=optional_uuid)
    agent_id: str | None = attrs.field(default=None, validator=optional(check_label_value))
    session_id: UUID | None = attrs.field(default=None, converter=optional_uuid)
    user_id: UUID | None = attrs.field(default=None, converter=optional_uuid)
    project_id: UUID | None = attrs.field(default=None, converter=optional_uuid)
    container_id: str | None = attrs.field(default=None, validator=optional(check_label_value))
    pid: int | None = attrs.field(default=None, validator=optional(check_whole_number(1)))

    def name(self) -> str:
        """Return the series that the agents export for processes."""
        return PROCESS_SERIES

    def labels(self) -> dict[str, str]:
        """Return the metric, the value type, and the owners that are set."""
        owners = {label: getattr(self, label) for label in self._filtered()}
        texts = {label: value if isinstance(value, str) else str(value) for label, value in owners.items()}
        return {PROCESS_METRIC_LABEL: self.metric_name, "value_type": self.value_type, **texts}

    def group_by_labels(self) -> list[str]:
        """Return the labels that distinguish processes, even of unknown kernels, and the labels that are matched."""
        return ["value_type", "kernel_id", "agent_id", "pid", *self._filtered()]

    def query_strategy(self) -> QueryStrategy:
        """Return the rate for current values of counters, and the gauge for all other values."""
        return strategy_of(self.metric_name, self.value_type)

    def _filtered(self) -> list[str]:
        return [label for label in _OWNERS if getattr(self, label) is not None]
