"""The hooks of the memory adapter, and how its URL and settings are read."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from statcore.errors import InputError
from statcore.model import MetricValue
from statcore.plugins import API_VERSION
from statcore.ports import MetricQuerierPort, StatisticsPort, StatisticsSinkPort
from statcore_memory import MemoryMetrics, MemoryStatistics, plugin


async def test_a_reader_and_a_writer_of_one_url_meet() -> None:
    """What is written through a URL is read through it, and not through another name."""
    (spec,) = plugin.statcore_statistics_stores()
    assert spec.open_sink is not None
    sink = await spec.open_sink("memory://", {})
    await sink.store_kernel_statistics({"k": {"mem": MetricValue(current="1")}})
    reader = await spec.open("MEMORY:", {})
    other = await spec.open("memory://other/", {})
    assert (True, True) == (isinstance(sink, StatisticsSinkPort), isinstance(reader, StatisticsPort))
    assert [["mem"]] == [list(entry or ()) for entry in await reader.fetch_kernel_statistics(["k"])]
    assert [None] == list(await other.fetch_kernel_statistics(["k"]))


async def test_nothing_is_shared_beyond_a_registry() -> None:
    """Every call of the hooks begins with no instances."""
    first, second = plugin.statcore_metric_backends(), plugin.statcore_metric_backends()
    assert await first[0].open("memory://a", {}) is not await second[0].open("memory://a", {})


async def test_the_backend_is_opened_with_its_settings() -> None:
    """Options become the constructor's arguments."""
    (spec,) = plugin.statcore_metric_backends()
    backend = await spec.open("memory://", {"retention": "2h", "max_series": 5})
    assert isinstance(backend, MemoryMetrics)
    assert isinstance(backend, MetricQuerierPort)
    assert (timedelta(hours=2), 5) == (backend.retention, backend.max_series)
    assert backend is await spec.open("memory://", {"max_series": 5, "retention": "2h"})


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"max_entries": 0}, "max_entries"),
        ({"max_entries": "many"}, "max_entries"),
        ({"max_entry": 5}, "'max_entry'; its settings are max_entries$"),
        ({"clock": "noon"}, "no setting 'clock'"),
        ({"entries": {}}, "'entries'"),
    ],
)
async def test_bad_settings_are_named(options: dict[str, Any], named: str) -> None:
    """A setting that is unknown, or cannot be one, is an error that names it, and opens nothing."""
    (spec,) = plugin.statcore_statistics_stores()
    with pytest.raises(InputError, match=named):
        await spec.open("memory://", options)
    assert isinstance(await spec.open("memory://", {}), MemoryStatistics)


async def test_other_settings_for_what_is_open_are_refused() -> None:
    """Two who mean the same store but not the same settings are told."""
    (spec,) = plugin.statcore_statistics_stores()
    await spec.open("memory://here", {})
    with pytest.raises(InputError, match="memory://here is open already"):
        await spec.open("memory://here", {"max_entries": 5})


@pytest.mark.parametrize(
    "url", ["memory://a?retention=5m", "memory://a/b", "memory://user:secret@a", "memory:a", "memory://[", "memory://a#b"]
)
async def test_a_url_is_no_more_than_a_name(url: str) -> None:
    """Whatever else stands in a URL is refused rather than ignored, and not repeated."""
    (spec,) = plugin.statcore_metric_backends()
    with pytest.raises(InputError, match="given as options") as caught:
        await spec.open(url, {})
    assert "secret" not in str(caught.value)


def test_the_hooks_offer_the_scheme() -> None:
    """Both kinds are chosen by `memory`, need no extra, and are written for this version of the hooks."""
    assert API_VERSION == plugin.STATCORE_PLUGIN_API
    specs = [*plugin.statcore_statistics_stores(), *plugin.statcore_metric_backends()]
    assert [("memory", ("memory",), None)] * 2 == [(spec.name, spec.schemes, spec.extra) for spec in specs]
