"""Three kinds of querier: a dataclass, an attrs class with required fields, and one with strategies of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import ClassVar, Literal
from uuid import UUID

import attrs

from statcore import ExpressionStrategy, InputError, LabelMatcher, QueryStrategy, UtilizationMetricQuerier
from statcore.promql import (
    Aggregation,
    BinaryOperation,
    Call,
    Expression,
    HistogramQuantile,
    Number,
    RangeSelector,
    Selector,
)
from statcore.queriers import PercentOfCapacity, ResolvedQuerier, Strategy


@dataclass(frozen=True, kw_only=True)
class BatteryMetricQuerier(UtilizationMetricQuerier):
    """Every battery, or one by its id.

    Args:
        metric_name: `charge`, a gauge in percent; or `energy`, a counter in joules.
        battery_id: the label `battery_id` of one; every one where it is left out.
        maker: the label `maker`; batteries of all makers where it is left out.
    """

    metric_name: Literal["charge", "energy"] = "charge"
    battery_id: UUID | None = None
    maker: str | None = None

    def name(self) -> str:
        """Return the series of the metric."""
        return f"battery_{self.metric_name}"

    def labels(self) -> dict[str, str]:
        """Return the labels that are set."""
        labels = {"battery_id": None if self.battery_id is None else str(self.battery_id), "maker": self.maker}
        return {label: value for label, value in labels.items() if value is not None}

    def group_by_labels(self) -> list[str]:
        """Return the label that tells batteries apart."""
        return ["battery_id"]

    def query_strategy(self) -> QueryStrategy:
        """Return a rate for the counter, else the value as it is."""
        return QueryStrategy("rate" if self.metric_name == "energy" else "gauge")


class PackMetric(Enum):
    """What is measured of a pack."""

    LOAD = "load"
    CYCLES = "cycles"


@attrs.frozen(kw_only=True)
class PackMetricQuerier(UtilizationMetricQuerier):
    """Packs of a site, without those of one maker.

    Args:
        site: the label `site`.
        metric: what is measured: its load in percent of the capacity, or its cycles.
        other_than: a maker whose packs are left out.
    """

    site: str
    metric: PackMetric = PackMetric.LOAD
    other_than: str | None = None

    def __attrs_post_init__(self) -> None:
        """Refuse a site that would match whatever has none."""
        if not self.site:
            raise InputError("site is empty")

    def name(self) -> str:
        """Return the one series of packs."""
        return "pack_measurement"

    def labels(self) -> Mapping[str, str | LabelMatcher]:
        """Return the site, the metric and the maker to leave out."""
        labels: dict[str, str | LabelMatcher] = {"metric": self.metric.value, "site": LabelMatcher.equal(self.site)}
        if self.other_than is not None:
            labels["maker"] = LabelMatcher.not_equal(self.other_than)
        return labels

    def group_by_labels(self) -> Sequence[str]:
        """Return the label that tells sites apart."""
        return ("site",)

    def query_strategy(self) -> PercentOfCapacity | QueryStrategy:
        """Return the percentage for the load, else a normalized rate."""
        return PercentOfCapacity() if self.metric is PackMetric.LOAD else QueryStrategy.RATE_NORMALIZED


def lowest(query: ResolvedQuerier, window: str, /) -> Expression:
    """Write the lowest value of the window: a strategy that is a function."""
    return Aggregation(
        "min", Call("min_over_time", RangeSelector(Selector(query.name, query.labels), window)), query.group_by
    )


@dataclass(frozen=True)
class PercentOfRating:
    """Writes the current in percent of the rating, whose series lack the label `phase`."""

    replaces: ClassVar = ("phase",)
    full: float = 100

    def __call__(self, query: ResolvedQuerier, window: str, /) -> Expression:
        """Write the expression."""
        del window
        name, wanted, group_by, _ = query
        of_battery = {label: matcher for label, matcher in wanted.items() if label != "phase"}
        current = Aggregation("sum", Selector(name, {**wanted, "state": "on"}), group_by)
        rated = Aggregation("sum", BinaryOperation(">", Selector("battery_rating", of_battery), Number(0)), group_by)
        return BinaryOperation("*", BinaryOperation("/", current, rated), Number(self.full))


@attrs.frozen
class Quantile:
    """Writes the quantile of a histogram, by way of a second strategy."""

    quantile: float

    def __call__(self, query: ResolvedQuerier, window: str, /) -> Expression:
        """Write the expression."""
        return HistogramQuantile(self.quantile, _rate(query._replace(group_by=(*query.group_by, "le")), window))


def _rate(query: ResolvedQuerier, window: str) -> Expression:
    return Aggregation("sum", Call("rate", RangeSelector(Selector(query.name, query.wanted), window)), query.group_by)


_PHASE_METRICS: Mapping[str, tuple[str, ExpressionStrategy]] = {
    "lowest": ("battery_current", lowest),
    "rated": ("battery_current", PercentOfRating()),
    "switching": ("battery_switching_seconds_bucket", Quantile(0.5)),
}


@dataclass(frozen=True, kw_only=True)
class PhaseMetricQuerier(UtilizationMetricQuerier):
    """Phases of batteries.

    Args:
        metric_name: the lowest current; the current in percent of the rating; or the median time to switch over.
        battery_id: the label `battery_id` of one; every one where it is left out.
        phase: the label `phase`; all together where it is left out.
    """

    metric_name: Literal["lowest", "rated", "switching"] = "lowest"
    battery_id: str | None = None
    phase: str | None = None

    def __post_init__(self) -> None:
        """Refuse a metric that no table has."""
        if self.metric_name not in _PHASE_METRICS:
            raise InputError(f"metric_name must be one of {', '.join(_PHASE_METRICS)}, not {self.metric_name!r}")

    def name(self) -> str:
        """Return the series of the metric."""
        return _PHASE_METRICS[self.metric_name][0]

    def labels(self) -> Mapping[str, str]:
        """Return the labels that are set."""
        labels = {"battery_id": self.battery_id, "phase": self.phase}
        return {label: value for label, value in labels.items() if value is not None}

    def group_by_labels(self) -> list[str]:
        """Return the label that tells batteries apart."""
        return ["battery_id"]

    def query_strategy(self) -> Strategy:
        """Return the strategy of the metric."""
        return _PHASE_METRICS[self.metric_name][1]
