"""The checks of a metric backend: one plain async function per promise; its docstring is the promise.

Each check takes a backend that holds the series of a `MetricDataset`, and the data set. It raises `AssertionError` when the
promise is broken. The backend may hold other series, too.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

from statcore.ports.metrics import MetricQuerierPort
from statcore.testing.metrics.catalog import (
    check_label_values_can_be_narrowed,
    check_label_values_keep_hostile_text,
    check_label_values_of_all_series,
    check_nothing_exists_a_day_earlier,
    check_series_are_whole_label_sets,
    check_series_obey_matchers,
)
from statcore.testing.metrics.dataset import MetricDataset
from statcore.testing.metrics.lifecycle import (
    check_cancelled_queries_leave_the_backend_usable,
    check_closing_twice_is_allowed,
    check_concurrent_queries_get_their_own_answers,
    check_ping_returns,
)
from statcore.testing.metrics.rejection import (
    check_bad_rate_intervals_are_refused,
    check_bad_times_are_refused,
    check_broken_queriers_are_named,
    check_hostile_names_are_refused,
)
from statcore.testing.metrics.selection import (
    check_group_by_keeps_those_labels_alone,
    check_hostile_values_round_trip,
    check_matchers_select_as_documented,
    check_no_series_is_an_empty_answer,
    check_one_of_takes_values_literally,
    check_queriers_of_containers_are_answered,
)
from statcore.testing.metrics.time import (
    check_a_series_ends_after_the_lookback,
    check_long_ranges_are_answered_whole,
    check_now_is_the_present_by_default,
    check_now_is_the_time_given,
    check_points_lie_on_the_grid,
    check_times_are_kept_to_the_millisecond,
)
from statcore.testing.metrics.values import (
    check_capacities_are_gauges,
    check_gauges_are_the_newest_sample,
    check_one_sample_has_no_rate,
    check_percent_is_of_the_capacity,
    check_rates_are_normalized_by_the_interval,
    check_rates_are_per_second,
    check_rates_survive_a_counter_reset,
    check_values_are_exact,
)

MetricCheck: TypeAlias = Callable[[MetricQuerierPort, MetricDataset], Awaitable[None]]

CHECKS: Final[tuple[MetricCheck, ...]] = (
    check_gauges_are_the_newest_sample,
    check_values_are_exact,
    check_rates_are_per_second,
    check_rates_survive_a_counter_reset,
    check_rates_are_normalized_by_the_interval,
    check_one_sample_has_no_rate,
    check_capacities_are_gauges,
    check_percent_is_of_the_capacity,
    check_points_lie_on_the_grid,
    check_times_are_kept_to_the_millisecond,
    check_a_series_ends_after_the_lookback,
    check_long_ranges_are_answered_whole,
    check_now_is_the_time_given,
    check_now_is_the_present_by_default,
    check_group_by_keeps_those_labels_alone,
    check_matchers_select_as_documented,
    check_one_of_takes_values_literally,
    check_hostile_values_round_trip,
    check_no_series_is_an_empty_answer,
    check_queriers_of_containers_are_answered,
    check_label_values_of_all_series,
    check_label_values_can_be_narrowed,
    check_label_values_keep_hostile_text,
    check_series_are_whole_label_sets,
    check_series_obey_matchers,
    check_nothing_exists_a_day_earlier,
    check_bad_rate_intervals_are_refused,
    check_bad_times_are_refused,
    check_hostile_names_are_refused,
    check_broken_queriers_are_named,
    check_ping_returns,
    check_concurrent_queries_get_their_own_answers,
    check_cancelled_queries_leave_the_backend_usable,
    check_closing_twice_is_allowed,
)

__all__ = ["CHECKS", "MetricCheck", "MetricDataset"]
