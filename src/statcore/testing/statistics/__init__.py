"""The checks of a store of live statistics: one plain async function per promise; its docstring is the promise.

Each takes a reader and a writer of the same store, makes up ids of its own, and raises `AssertionError` when the promise
is broken; a store that holds other data already is fine.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

from statcore.ports.sink import StatisticsSinkPort
from statcore.ports.statistics import StatisticsPort
from statcore.testing.statistics.batches import (
    check_columns_are_those_of_the_batch,
    check_duplicates_get_the_same_answer,
    check_entries_are_mappings,
    check_no_ids_give_an_empty_batch,
    check_order_is_kept,
    check_ten_thousand_ids,
    check_unknown_ids_are_none_without_a_problem,
)
from statcore.testing.statistics.kinds import (
    check_agents_round_trip,
    check_endpoints_round_trip,
    check_inference_metrics_round_trip,
    check_kinds_do_not_mix,
    check_missing_inference_metrics_are_incomplete_zeros,
    check_replicas_belong_to_their_endpoint,
    check_sessions_are_stored_like_kernels,
)
from statcore.testing.statistics.lifecycle import (
    check_cancelled_reads_leave_the_store_usable,
    check_cancelled_writes_leave_the_store_usable,
    check_closing_twice_is_allowed,
    check_concurrent_reads_get_their_own_answers,
    check_ping_returns,
)
from statcore.testing.statistics.values import (
    check_any_text_round_trips,
    check_every_field_round_trips,
    check_histograms_round_trip,
    check_numbers_stay_the_text_they_were,
)
from statcore.testing.statistics.writes import (
    check_agent_statistics_expire,
    check_answers_do_not_change_afterwards,
    check_container_counts_are_kept_apart,
    check_reads_see_the_newest_write,
    check_removed_agents_are_gone,
    check_removed_entries_are_gone,
    check_writes_keep_what_they_were_given,
    check_writes_leave_other_entries_alone,
    check_writes_replace_the_whole_entry,
    check_writing_nothing_is_allowed,
)

StatisticsCheck: TypeAlias = Callable[[StatisticsPort, StatisticsSinkPort], Awaitable[None]]

CHECKS: Final[tuple[StatisticsCheck, ...]] = (
    check_no_ids_give_an_empty_batch,
    check_unknown_ids_are_none_without_a_problem,
    check_order_is_kept,
    check_duplicates_get_the_same_answer,
    check_entries_are_mappings,
    check_columns_are_those_of_the_batch,
    check_ten_thousand_ids,
    check_every_field_round_trips,
    check_numbers_stay_the_text_they_were,
    check_any_text_round_trips,
    check_histograms_round_trip,
    check_sessions_are_stored_like_kernels,
    check_endpoints_round_trip,
    check_replicas_belong_to_their_endpoint,
    check_agents_round_trip,
    check_inference_metrics_round_trip,
    check_missing_inference_metrics_are_incomplete_zeros,
    check_kinds_do_not_mix,
    check_reads_see_the_newest_write,
    check_writes_replace_the_whole_entry,
    check_writes_leave_other_entries_alone,
    check_writing_nothing_is_allowed,
    check_writes_keep_what_they_were_given,
    check_answers_do_not_change_afterwards,
    check_removed_entries_are_gone,
    check_removed_agents_are_gone,
    check_container_counts_are_kept_apart,
    check_agent_statistics_expire,
    check_ping_returns,
    check_concurrent_reads_get_their_own_answers,
    check_cancelled_reads_leave_the_store_usable,
    check_cancelled_writes_leave_the_store_usable,
    check_closing_twice_is_allowed,
)

__all__ = ["CHECKS", "StatisticsCheck"]
