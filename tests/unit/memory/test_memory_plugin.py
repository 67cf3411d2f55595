"""The hooks of the memory adapter, its URL and its settings."""

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
    """Statistics written through a URL are read through the same URL, and not through another name."""
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
    """Each call of the hooks starts without instances."""
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
    """The error names an unknown or bad setting, and nothing is opened."""
    (spec,) = plugin.statcore_statistics_stores()
    with pytest.raises(InputError, match=named):
        await spec.open("memory://", options)
    assert isinstance(await spec.open("memory://", {}), MemoryStatistics)


async def test_other_settings_of_an_open_name_are_refused() -> None:
    """A name that is open with other settings is an error."""
    (spec,) = plugin.statcore_statistics_stores()
    await spec.open("memory://here", {})
    with pytest.raises(InputError, match="memory://here is open already"):
        await spec.open("memory://here", {"max_entries": 5})


@pytest.mark.parametrize(
    "url", ["memory://a?retention=5m", "memory://a/b", "memory://user:secret@a", "memory:a", "memory://[", "memory://a#b"]
)
async def test_a_url_is_no_more_than_a_name(url: str) -> None:
    """Other parts of a URL are refused, and the error does not quote them."""
    (spec,) = plugin.statcore_metric_backends()
    with pytest.raises(InputError, match="given as options") as caught:
        await spec.open(url, {})
    assert "secret" not in str(caught.value)


def test_the_hooks_offer_the_scheme() -> None:
    """Store and backend have the scheme `memory`, need no extra, and are written for this version of the hooks."""
    assert API_VERSION == plugin.STATCORE_PLUGIN_API
    specs = [*plugin.statcore_statistics_stores(), *plugin.statcore_metric_backends()]
    assert [("memory", ("memory",), None)] * 2 == [(spec.name, spec.schemes, spec.extra) for spec in specs]
