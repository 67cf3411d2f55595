"""The hooks of the memory adapter, its URL and its settings."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Any

import pytest

from statcore.errors import InputError
from statcore.model import MetricValue
from statcore.plugins import API_VERSION, MetricBackendSpec, StatisticsStoreSpec
from statcore.ports import MetricQuerierPort, PromQLPort, StatisticsPort, StatisticsSinkPort
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
    assert isinstance(backend, PromQLPort)
    assert (timedelta(hours=2), 5) == (backend.retention, backend.max_series)
    assert backend is await spec.open("memory://", {"max_series": 5, "retention": "2h"})


@pytest.mark.parametrize(
    ("kind", "setting", "value"),
    [
        *((MemoryStatistics, "max_entries", value) for value in (0, -1, 1.5, "10", True, None)),
        *((MemoryMetrics, "max_series", value) for value in (0, 1.5, "10", True)),
        *((MemoryMetrics, "retention", value) for value in ("1x", "", 3600, None, timedelta(0), timedelta(microseconds=1))),
        *((MemoryMetrics, "normalization_interval_s", value) for value in (0, -5.0, math.inf, math.nan, "5", True)),
        *((MemoryMetrics, "semantics", value) for value in ("3", "two", None, True, 2.5)),
    ],
)
def test_a_bad_setting_is_named(kind: Any, setting: str, value: Any) -> None:
    """The error names the setting."""
    with pytest.raises(InputError, match=f"^{setting}"):
        kind(**{setting: value})


@pytest.mark.parametrize(
    ("url", "options", "named"),
    [
        ("memory://", {"max_entries": "many"}, "max_entries"),
        ("memory://", {"max_entry": 5}, "'max_entry'; its settings are max_entries$"),
        ("memory://", {"clock": "noon"}, "no setting 'clock'"),
        ("memory://", {"entries": {}}, "'entries'"),
        ("memory://?semantics=2", {}, "memory:// has no setting 'semantics'"),
    ],
)
async def test_bad_settings_of_a_url_are_named(url: str, options: dict[str, Any], named: str) -> None:
    """The error names an unknown or bad setting, and nothing is opened; a store has no setting that concerns metrics."""
    (spec,) = plugin.statcore_statistics_stores()
    with pytest.raises(InputError, match=named):
        await spec.open(url, options)
    assert isinstance(await spec.open("memory://", {}), MemoryStatistics)


async def test_other_settings_of_an_open_name_are_refused() -> None:
    """A name that is open with other settings is an error, also where they stand in the URL."""
    (store,), (backend,) = plugin.statcore_statistics_stores(), plugin.statcore_metric_backends()
    await store.open("memory://here", {})
    with pytest.raises(InputError, match="memory://here is open already, with other settings"):
        await store.open("memory://here", {"max_entries": 5})
    await backend.open("memory://?semantics=2", {})
    with pytest.raises(InputError, match="memory:// is open already, with other settings"):
        await backend.open("memory://", {})


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
    specs: list[StatisticsStoreSpec | MetricBackendSpec] = [
        *plugin.statcore_statistics_stores(),
        *plugin.statcore_metric_backends(),
    ]
    assert [("memory", ("memory",), None)] * 2 == [(spec.name, spec.schemes, spec.extra) for spec in specs]
