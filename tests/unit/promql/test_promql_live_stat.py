"""The exact text of the six expressions of live statistics."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import attrs
import pytest

from statcore.errors import InputError
from statcore.promql import id_batches, live_stat_queries, render
from statcore.promql.live_stat import MAX_IDS

K1 = "0f0c5a0e-6f5b-4f43-9f0e-57a7c04e0001"
K2 = "0f0c5a0e-6f5b-4f43-9f0e-57a7c04e0002"
NOW = (
    "sum by (container_metric_name,kernel_id,value_type)(backendai_container_utilization"
    f'{{kernel_id=~"{K1}|{K2}",value_type=~"current|capacity"}})'
)
RATE_NOW = (
    "sum by (container_metric_name,kernel_id)(rate(backendai_container_utilization"
    f'{{kernel_id=~"{K1}|{K2}",container_metric_name=~"cpu_util|net_rx|net_tx",value_type="current"}}[5m]))'
)
CURRENT = (
    "sum by (container_metric_name,kernel_id)(backendai_container_utilization"
    f'{{kernel_id=~"{K1}|{K2}",value_type="current"}})'
)


def test_the_six_expressions() -> None:
    """Their exact texts; ids are sorted and distinct, whether they are UUIDs or text."""
    queries = live_stat_queries([UUID(K2), K1, K2.upper()])
    assert {
        "now": NOW,
        "rate_now": RATE_NOW,
        "max": f"max_over_time(({CURRENT})[5m:])",
        "avg": f"avg_over_time(({CURRENT})[5m:])",
        "rate_max": f"max_over_time(({RATE_NOW})[5m:])",
        "rate_avg": f"avg_over_time(({RATE_NOW})[5m:])",
    } == {name: render(query) for name, query in attrs.asdict(queries, recurse=False).items()}


def test_one_kernel_is_matched_exactly() -> None:
    """A set of one value is not a regex."""
    expected = f'{{kernel_id="{K1}",value_type="current"}}'
    assert expected in render(live_stat_queries([K1]).max)


def test_the_window_is_a_setting() -> None:
    """It is the window of the rates, maxima and averages."""
    queries = live_stat_queries([K1], window=timedelta(minutes=90))
    assert render(queries.rate_avg).endswith("[1h30m])))[1h30m:])")


def test_no_kernel_is_refused() -> None:
    """It must never mean every kernel."""
    with pytest.raises(InputError, match="at least one value"):
        live_stat_queries([])


def test_a_value_that_is_not_an_id_is_refused() -> None:
    """An id that is a regular expression would select kernels of others."""
    with pytest.raises(InputError, match="not an id"):
        live_stat_queries([".*"])


def test_an_expression_names_at_most_256_kernels() -> None:
    """A batch of `id_batches` has as many; duplicates do not count."""
    ids = [UUID(int=number) for number in range(257)]
    assert "|00000000-0000-0000-0000-0000000000ff" in render(live_stat_queries(ids[:256] * 2).now)
    with pytest.raises(InputError, match="257 kernels in one expression; take at most 256"):
        live_stat_queries(ids)


def test_a_bad_window_is_refused() -> None:
    """It could leave its brackets."""
    with pytest.raises(InputError, match="not a duration"):
        live_stat_queries([K1], window="5m]) or vector(1) #")


def test_ids_come_in_batches() -> None:
    """The ids are distinct, in the order of the input, and text."""
    ids = [UUID(int=number) for number in range(600)]
    batches = list(id_batches([*ids, *ids]))
    assert [MAX_IDS, MAX_IDS, 600 - 2 * MAX_IDS] == [len(batch) for batch in batches]
    assert [str(id_) for id_ in ids] == [id_ for batch in batches for id_ in batch]
    assert [] == list(id_batches([]))
