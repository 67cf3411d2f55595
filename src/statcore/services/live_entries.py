"""From the answers to the six live expressions to entries as the store has them: pure."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any, Final, TypeAlias

import attrs

from statcore.errors import InputError, ProtocolError
from statcore.model.number_text import decimal_text, percent_text
from statcore.model.statistics import STATS, UNBOUNDED, MetricValue
from statcore.model.units import has_bound, unit_hint
from statcore.model.vector import VectorResult
from statcore.promql.live_stat import RATED_METRICS
from statcore.queriers.container import CONTAINER_METRIC_LABEL

_OTHER_COUNTERS: Final = frozenset({"cpu_used", "io_read", "io_write"})
"""Shown as they are counted; the highest and the average of a counter mean nothing."""

Figures: TypeAlias = Mapping[str, Mapping[tuple[str, str], float]]
"""By kernel, then by metric and value type."""


def figures(answer: VectorResult, kernel_ids: Collection[str]) -> Figures:
    """Sort an answer's samples by kernel and metric; those without the name of a metric are none of ours.

    Raises:
        ProtocolError: the answer has a kernel that was not asked for.
    """
    found: dict[str, dict[tuple[str, str], float]] = {}
    for sample in answer.samples:
        labels = sample.labels
        kernel_id = labels.get("kernel_id", "")
        if kernel_id not in kernel_ids:
            raise ProtocolError(f"the metric backend answered with kernel_id {kernel_id!r:.100}, which was not asked for")
        if metric := labels.get(CONTAINER_METRIC_LABEL):
            found.setdefault(kernel_id, {})[metric, labels.get("value_type", "current")] = sample.value
    return found


@attrs.frozen(kw_only=True)
class LiveFigures:
    """The six answers for some kernels; all but `now` are of current values."""

    now: Figures
    rate_now: Figures
    max: Figures
    avg: Figures
    rate_max: Figures
    rate_avg: Figures

    def entry(self, kernel_id: str) -> tuple[dict[str, Any] | None, list[str]]:
        """Return `{metric: MetricValue map}` of a kernel, None without samples, and what of it is not finite.

        A metric without a finite current value is left out of the map: 0 would be taken for a figure. A counter whose
        current value is its rate is left out while it has none. A capacity that is not a number leaves the metric without
        a bound; an infinite one says that there is none, and is no fault.
        """
        now = self.now.get(kernel_id)
        if now is None:
            return None, []
        metrics: dict[str, Any] = {}
        not_finite: list[str] = []
        for (metric, value_type), figure in now.items():
            if value_type != "current":
                if has_bound(metric) and not figure > -math.inf:
                    not_finite.append(f"the {value_type} of {metric}")
                continue
            try:
                value = self._value(kernel_id, metric)
            except InputError:
                not_finite.append(metric)
                continue
            if value is not None:
                # The key is there, and nil, in the live statistics that managers make of the same answers.
                metrics[metric] = {**value.to_map(), "stats.version": None}
        return metrics, not_finite

    def _value(self, kernel_id: str, metric: str) -> MetricValue | None:
        key, now = (metric, "current"), self.now[kernel_id]
        rated = metric in RATED_METRICS
        current = self.rate_now.get(kernel_id, {}).get(key) if rated else now[key]
        if current is None:
            return None
        limit = now.get((metric, "capacity"), math.inf)
        capacity = decimal_text(limit) if has_bound(metric) and math.isfinite(limit) else None
        return MetricValue(
            current=decimal_text(current),
            capacity=UNBOUNDED if capacity is None else capacity,
            pct=_two_places(percent_text(current, capacity)),
            unit_hint=unit_hint(metric),
            stats=_all_stats({}) if metric in _OTHER_COUNTERS else self._stats(kernel_id, key, current),
        )

    def _stats(self, kernel_id: str, key: tuple[str, str], current: float) -> dict[str, str]:
        """Return the moving statistics; the maximum and the average of a window without a step are the current value."""
        metric, _ = key
        rated = metric in RATED_METRICS
        maxima, averages = (self.rate_max, self.rate_avg) if rated else (self.max, self.avg)
        highest, average = (some.get(kernel_id, {}).get(key, current) for some in (maxima, averages))
        # The window is looked at in steps, of which the current value need not be one.
        known = {"max": current if math.isnan(highest) else max(highest, current), "avg": average}
        finite = {name: decimal_text(number) for name, number in known.items() if math.isfinite(number)}
        rate = {"rate": decimal_text(current)} if rated else {}
        if metric == "cpu_util":
            rate["diff"] = rate["rate"]  # where managers answer it
        return {name: text for name, text in _all_stats(finite | rate).items() if name in finite or name not in known}


def _all_stats(known: Mapping[str, str]) -> dict[str, str]:
    """Return every moving statistic, "0" where one does not apply."""
    return {name: known.get(name, "0") for name in STATS}


def _two_places(text: str) -> str:
    whole, _, fraction = text.partition(".")
    return f"{whole}.{fraction:0<2}"
