"""Health report: every port is pinged, and a port that fails neither raises nor hides the others."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from statcore.errors import PluginError, TimedOutError, UnavailableError
from statcore.services import check_health
from statcore_memory import MemoryMetrics, MemoryStatistics

AWAY = UnavailableError("valkey://db:6379 cannot be reached", service="db:6379")


class Failing:
    """A port whose ping raises."""

    def __init__(self, error: BaseException) -> None:
        """Raise this."""
        self._error = error

    async def ping(self) -> None:
        """Fail."""
        raise self._error


class Hung:
    """A port that never answers."""

    async def ping(self) -> None:
        """Wait for ever."""
        await asyncio.Event().wait()


@given(st.dictionaries(st.text(), st.booleans()))
async def test_the_report_says_of_each_port_whether_it_answered(answering: dict[str, bool]) -> None:
    """It is healthy if all of them answered."""
    ports = {name: MemoryStatistics() if well else Failing(AWAY) for name, well in answering.items()}
    report = await check_health(ports)
    assert {name: None if well else AWAY for name, well in answering.items()} == dict(report.errors)
    assert all(answering.values()) is report.healthy
    assert (200 if report.healthy else 503) == report.http_status


async def test_the_report_as_json() -> None:
    """A host may use it as the body of a health route."""
    report = await check_health({"statistics": Failing(AWAY), "metrics": MemoryMetrics()})
    expected: dict[str, Any] = {
        "healthy": False,
        "ports": {"statistics": {"healthy": False, "error": str(AWAY)}, "metrics": {"healthy": True, "error": None}},
    }
    assert expected == json.loads(json.dumps(report.to_json()))


async def test_a_port_that_hangs_timed_out() -> None:
    """The others are reported nevertheless."""
    report = await check_health({"hung": Hung(), "well": MemoryStatistics()}, timeout_s=0.01)
    assert isinstance(report.errors["hung"], TimedOutError)
    assert None is report.errors["well"]


async def test_a_port_with_a_shorter_time_out_of_its_own_timed_out() -> None:
    """Its `TimeoutError` is not an error of the adapter's code."""
    report = await check_health({"slow": Failing(TimeoutError())})
    assert isinstance(report.errors["slow"], TimedOutError)


async def test_a_foreign_error_is_a_plugin_error() -> None:
    """The report has its type, and not its message, which may contain a password."""
    cause = OSError("cannot connect to valkey://u:hunter2@db")
    report = await check_health({"odd": Failing(cause)})
    assert isinstance(report.errors["odd"], PluginError)
    assert "Failing" in report.errors["odd"].plugin
    assert cause is report.errors["odd"].__cause__
    assert "OSError" in str(report.to_json())
    assert "hunter2" not in str(report.to_json())


async def test_a_cancellation_is_raised() -> None:
    """It is not a result of the port."""
    with pytest.raises(asyncio.CancelledError):
        await check_health({"cancelled": Failing(asyncio.CancelledError())})
