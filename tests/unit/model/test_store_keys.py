"""Wire format of the statistics store: keys, times to live and the entries made of several values."""

from __future__ import annotations

import math
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from statcore.errors import InputError
from statcore.model import MetricValue, ProblemKind
from statcore.model.store_keys import (
    INFERENCE_TTL_S,
    KERNEL_TTL_S,
    activity_entry,
    activity_keys,
    agent_entry,
    agent_ttl_s,
    container_count_key,
    endpoint_key,
    metrics_entry,
    replica_key,
)

VALUE = MetricValue(current="1")


def test_keys_are_those_of_agents_and_managers() -> None:
    """Other programs read and write the same keys."""
    assert "inference.e.app" == endpoint_key("e")
    assert "inference.e.replica.r" == replica_key(("e", "r"))
    assert "container_count.i-1" == container_count_key("i-1")
    assert ("session.s.requests", "session.s.last_response_time") == activity_keys("s")


def test_kernels_live_for_a_day_and_inference_for_two_minutes() -> None:
    """Both times to live are in seconds."""
    assert (24 * 60 * 60, 2 * 60) == (KERNEL_TTL_S, INFERENCE_TTL_S)


@given(st.floats(min_value=1e-9, max_value=1e6))
def test_an_agent_lives_for_four_intervals_and_at_least_a_second(interval_s: float) -> None:
    """Rounded up to whole seconds, it is the smallest whole number of seconds that four intervals fit in."""
    ttl_s = agent_ttl_s(interval_s)
    assert max(4 * interval_s, 1) == ttl_s
    assert math.ceil(4 * interval_s) == math.ceil(ttl_s)


@pytest.mark.parametrize("interval_s", [0.0, -1.0, math.nan, math.inf])
def test_an_interval_that_is_not_above_zero_is_refused(interval_s: float) -> None:
    """No entry could be kept for so long."""
    with pytest.raises(InputError, match="interval_s"):
        agent_ttl_s(interval_s)


def test_activity_needs_both_numbers() -> None:
    """With one number missing, both are 0 and the problem names the missing key."""
    keys = activity_keys("s")
    assert ({"requests": 0, "last_response_ms": 12}, None) == activity_entry(keys, (0, 12))
    for counts, missing in (((None, 12), keys[0]), ((3, None), keys[1])):
        entry, problem = activity_entry(keys, counts)
        assert {"requests": 0, "last_response_ms": 0} == entry
        assert problem is not None
        assert (ProblemKind.INCOMPLETE, missing) == (problem.kind, problem.key)
    _, problem = activity_entry(keys, (None, None))
    assert problem is not None
    assert all(key in problem.message for key in keys)


def test_an_agent_has_its_node_and_its_devices() -> None:
    """Devices are by metric, then by device id."""
    value = VALUE.to_map()
    assert {"node": {"mem": value}, "devices": {"cuda_mem": {"0": value}}} == agent_entry(
        node={"mem": VALUE}, devices={"cuda_mem": {"0": VALUE}}
    )


@pytest.mark.parametrize("metrics", [None, [VALUE], {"mem": None}, {"mem": {"current": "1"}}])
def test_metrics_that_are_not_values_are_refused(metrics: object) -> None:
    """Writers may be untyped; nothing but `MetricValue` can be stored."""
    with pytest.raises(InputError, match="MetricValue"):
        metrics_entry(cast("Any", metrics))
