"""The main figures of an object: which metrics of a live entry they are, and how several accelerators become one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Self, cast

import attrs

from statcore.errors import MalformedEntryError, StatcoreError
from statcore.model.numbers import finite_number
from statcore.model.statistics import Entry, shown_pct

_CPU: Final = "cpu_util"


@attrs.frozen(kw_only=True)
class Figures:
    """The main numbers of an object; None is a number that is not known.

    Args:
        cpu_pct: CPU use in percent of one core; for an agent, the sum over its cores.
        mem_bytes: memory in use.
        accelerator_pct: use of the accelerators in percent, of the busiest kind if there are several kinds.
        accelerator_mem_bytes: memory of accelerators in use.
        rx_bytes_per_s, tx_bytes_per_s: received and sent bytes per second.
        age_s: the seconds since the statistics were written.
        devices: by metric, the sorted ids of the devices of an agent that have it.
        problem: what is wrong with the statistics, or None.
    """

    cpu_pct: float | None = None
    mem_bytes: float | None = None
    accelerator_pct: float | None = None
    accelerator_mem_bytes: float | None = None
    rx_bytes_per_s: float | None = None
    tx_bytes_per_s: float | None = None
    age_s: float | None = None
    devices: Mapping[str, Sequence[str]] | None = None
    problem: str | None = None

    @classmethod
    def of_entry(cls, entry: Entry, *, age_s: float | None = None, problem: str | None = None) -> Self:
        """Return the figures of an entry of metrics; a metric that cannot be read is not known, and part of the problem."""
        faults: list[str] = []
        try:
            numbers: dict[str, Any] = {name: source.number(entry, faults) for name, source in SOURCES.items()}
        except StatcoreError as error:  # an entry may decode itself only now
            return cls(age_s=age_s, problem=join_problems(problem, str(error)))
        return cls(**numbers, age_s=age_s, problem=join_problems(problem, *faults))

    @classmethod
    def of_agent(cls, entry: Entry, *, age_s: float | None = None, problem: str | None = None) -> Self:
        """Return the figures of an agent's node, with the devices of the agent."""
        try:
            node, devices = node_of(entry), entry.get("devices")
        except StatcoreError as error:
            return cls(age_s=age_s, problem=join_problems(problem, str(error)))
        figures = cls.of_entry(node, age_s=age_s, problem=problem)
        if not isinstance(devices, Mapping):
            return figures
        by_metric = cast("Mapping[str, object]", devices)
        ids = {
            metric: sorted(map(str, cast("Entry", of_metric)))
            for metric, of_metric in by_metric.items()
            if isinstance(of_metric, Mapping)
        }
        return attrs.evolve(figures, devices=ids)


@attrs.frozen
class FigureSource:
    """Where a figure is in an entry: in a field of a metric, or of all metrics of accelerators with a suffix together."""

    metric: str
    field: str
    combine: Callable[[Sequence[float]], float] | None = None
    """For accelerators, whose metrics have the name as a suffix."""

    def is_of(self, metric: str) -> bool:
        """Return whether the figure depends on a metric."""
        if self.combine is None:
            return metric == self.metric
        return metric.endswith(self.metric) and metric != _CPU

    def number(self, entry: Entry, faults: list[str]) -> float | None:
        """Return the figure of an entry, None if it is not known; what cannot be read is added to the faults.

        Raises:
            StatcoreError: the names of the metrics cannot be read.
        """
        metrics = [self.metric] if self.combine is None else [name for name in map(str, entry) if self.is_of(name)]
        known: list[float] = []
        for metric in metrics:
            try:
                number = _number(entry, metric, self.field)
            except StatcoreError as error:
                faults.append(str(error))
            else:
                known += [] if number is None else [number]
        if not known:
            return None
        return known[0] if self.combine is None else self.combine(known)


SOURCES: Final = {
    "cpu_pct": FigureSource(_CPU, "pct"),
    "mem_bytes": FigureSource("mem", "current"),
    "accelerator_pct": FigureSource("_util", "pct", max),
    "accelerator_mem_bytes": FigureSource("_mem", "current", sum),
    "rx_bytes_per_s": FigureSource("net_rx", "current"),
    "tx_bytes_per_s": FigureSource("net_tx", "current"),
}
"""The figures that are in an entry."""
FIGURES: Final = (*SOURCES, "age_s")
"""The names of the figures that are numbers."""


def node_of(entry: Entry) -> Entry:
    """Return the metrics of an agent's node.

    Raises:
        StatcoreError: they cannot be read.
    """
    node = entry.get("node")
    return cast("Entry", node) if isinstance(node, Mapping) else {}


def join_problems(*problems: str | None) -> str | None:
    """Return the texts of problems as one text, None if there is none."""
    return "; ".join(filter(None, problems)) or None


def _number(entry: Entry, metric: str, field: str) -> float | None:
    """Return the number in a field of a metric, None if there is none.

    Raises:
        StatcoreError: the metric cannot be read, or has something else in the field.
    """
    value: object = entry.get(metric)
    if isinstance(value, Mapping):
        fields = cast("Mapping[str, Any]", value)
        value = shown_pct(metric, fields) if field == "pct" else fields.get(field)
    number = finite_number(value)
    if number is None and value is not None:
        raise MalformedEntryError(f"{metric}.{field} is {value!r:.100}, not the text of a finite number", key="")
    return None if number is None else float(number)
