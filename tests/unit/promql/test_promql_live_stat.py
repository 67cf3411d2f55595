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
MANY = [UUID(int=number) for number in range(257)]
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


def test_the_window_is_a_setting() -> None:
    """It is the window of the rates, maxima and averages."""
    queries = live_stat_queries([K1], window=timedelta(minutes=90))
    assert render(queries.rate_avg).endswith("[1h30m])))[1h30m:])")


@pytest.mark.parametrize(
    ("ids", "window", "message"),
    [
        pytest.param([], "5m", "at least one value", id="no kernel, which must never mean every kernel"),
        pytest.param([".*"], "5m", "not an id", id="a regex, which would select kernels of others"),
        pytest.param([K1], "5m]) or vector(1) #", "not a duration", id="a window that would leave its brackets"),
        pytest.param(MANY, "5m", "257 kernels in one expression; take at most 256", id="too many kernels"),
    ],
)
def test_bad_arguments_are_refused(ids: list[UUID | str], window: str, message: str) -> None:
    """The error says which argument it is."""
    with pytest.raises(InputError, match=message):
        live_stat_queries(ids, window=window)


def test_ids_come_in_batches() -> None:
    """The ids are distinct, in the order of the input, and text; an expression takes a batch, duplicates aside."""
    ids = [UUID(int=number) for number in range(600)]
    batches = list(id_batches([*ids, *ids]))
    assert [MAX_IDS, MAX_IDS, 600 - 2 * MAX_IDS] == [len(batch) for batch in batches]
    assert [str(id_) for id_ in ids] == [id_ for batch in batches for id_ in batch]
    assert f"|{ids[MAX_IDS - 1]}" in render(live_stat_queries(batches[0] * 2).now)
    assert [] == list(id_batches([]))
