"""Hypothesis strategies for the values that statcore speaks in: ids, statistics, label values, queriers, times."""

from __future__ import annotations

from statcore.testing.strategies.ids import agent_ids, ids
from statcore.testing.strategies.names import hostile_texts, label_names, label_values, metric_names
from statcore.testing.strategies.queriers import container_queriers, label_matchers, queriers
from statcore.testing.strategies.statistics import inference_values, metric_maps, metric_values, number_texts
from statcore.testing.strategies.times import durations, time_ranges, times

__all__ = [
    "agent_ids",
    "container_queriers",
    "durations",
    "hostile_texts",
    "ids",
    "inference_values",
    "label_matchers",
    "label_names",
    "label_values",
    "metric_maps",
    "metric_names",
    "metric_values",
    "number_texts",
    "queriers",
    "time_ranges",
    "times",
]
