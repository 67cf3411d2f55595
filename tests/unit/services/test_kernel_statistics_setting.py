"""Source of kernels' statistics: the store, or the metric backend, as one setting says."""

from __future__ import annotations

import time
from typing import Any
from uuid import UUID

import pytest
from tests.unit.statistics.live_backend import LiveBackend

from statcore.errors import InputError, ProtocolError, UnsupportedError
from statcore.model import StatisticsBatch
from statcore.plugins import PluginRegistry
from statcore.ports import KernelStatisticsPort, StatisticsPort
from statcore.runtime import Settings, open_runtime
from statcore.services import KernelLiveStatService
from statcore.statistics import StatisticsRepositories, StatisticsStatefulSource
from statcore_memory import MemoryMetrics, MemoryStatistics

IDS = [str(UUID(int=number)) for number in range(5)]


class Kernels:
    """A `KernelStatisticsPort` that answers each id with itself, and records calls."""

    def __init__(self, *, lost: int = 0) -> None:
        """Leave out the last `lost`."""
        self.lost = lost
        self.queries: list[list[str]] = []

    async def fetch_kernel_statistics(self, ids: Any, /) -> StatisticsBatch:
        """See the port."""
        self.queries.append(ids)
        return StatisticsBatch([{"id": id_} for id_ in ids[: len(ids) - self.lost]])


async def test_kernels_are_read_in_one_call() -> None:
    """Chunks of the store would be of several moments; ids are canonical text, duplicates included."""
    kernels = Kernels()
    source = StatisticsStatefulSource(MemoryStatistics(), chunk_size=2, kernels=kernels)
    ids: list[UUID | str] = [*IDS, UUID(IDS[0])]
    batch = await source.read_kernel_statistics_batch(ids)
    assert [[*IDS, IDS[0]]] == kernels.queries
    assert [*IDS, IDS[0]] == [entry["id"] for entry in batch if entry]


async def test_other_statistics_are_read_from_the_store() -> None:
    """The source of kernels is not called for them."""
    kernels, store = Kernels(), MemoryStatistics()
    await store.store_session_activity(IDS[0], requests=3, last_response_ms=5)
    repository = StatisticsRepositories.create(store, kernels=kernels).repository
    assert [{"requests": 3, "last_response_ms": 5}] == list(await repository.get_inference_metrics_batch(IDS[:1]))
    assert [None] == list(await repository.get_endpoint_statistics_batch(IDS[:1]))
    assert [] == kernels.queries
    assert [{"id": IDS[1]}] == list(await repository.get_kernel_statistics_batch(IDS[1:2]))


async def test_too_few_answers_are_an_error() -> None:
    """Entries are never paired with the wrong id."""
    source = StatisticsStatefulSource(MemoryStatistics(), kernels=Kernels(lost=1))
    with pytest.raises(ProtocolError, match="answered 4 entries for 5 ids"):
        await source.read_kernel_statistics_batch(IDS)


def test_stores_and_the_service_are_sources_of_kernel_statistics() -> None:
    """`StatisticsPort` is a `KernelStatisticsPort`."""
    assert isinstance(KernelLiveStatService(LiveBackend()), KernelStatisticsPort)
    assert isinstance(MemoryStatistics(), KernelStatisticsPort)
    assert issubclass(StatisticsPort, KernelStatisticsPort)
    assert not isinstance(KernelLiveStatService(LiveBackend()), StatisticsPort)


async def test_the_setting_chooses_the_metric_backend() -> None:
    """The service reads from the opened backend; the default is the store."""
    registry = PluginRegistry.discover()
    urls: dict[str, Any] = {"statistics_url": "memory:", "metrics_url": "http://127.0.0.1:1"}
    async with open_runtime(Settings(**urls, kernel_statistics="metrics"), registry) as runtime:
        assert KernelLiveStatService(runtime.metrics) == runtime.repository.source.kernels  # type: ignore[arg-type]
        assert runtime.statistics is runtime.repository.source.store
    for settings in (Settings(**urls), Settings(**urls, kernel_statistics="store")):
        async with open_runtime(settings, registry) as runtime:
            assert runtime.repository.source.kernels is None


async def test_the_embedded_backend_answers_live_statistics() -> None:
    """Its scrapes are read without a server."""
    settings = Settings(statistics_url="memory:", metrics_url="memory:", kernel_statistics="metrics")
    async with open_runtime(settings, PluginRegistry.discover()) as runtime:
        assert isinstance(runtime.metrics, MemoryMetrics)
        labels = {"container_metric_name": "mem", "kernel_id": IDS[0], "value_type": "current"}
        sample = ("backendai_container_utilization", labels, 4096.0)
        runtime.metrics.append_scrape([sample], target="agent", time=time.time())
        entry, nothing = await runtime.repository.get_kernel_statistics_batch(IDS[:2])
    assert None is nothing
    assert "4096" == (entry or {})["mem"]["current"]


async def test_the_setting_needs_a_backend_that_evaluates_promql(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the setting."""
    monkeypatch.delattr(MemoryMetrics, "query")
    settings = Settings(statistics_url="memory:", metrics_url="memory:", kernel_statistics="metrics")
    with pytest.raises(UnsupportedError, match=r"kernel_statistics is metrics, .* MemoryMetrics does not"):
        async with open_runtime(settings, PluginRegistry.discover()):
            pass


@pytest.mark.parametrize("value", ["hunter2", "", None, True, ["hunter2"]])
def test_another_value_is_refused_at_once(value: Any) -> None:
    """The error has the setting and its values, and not the text, which may be a secret."""
    with pytest.raises(InputError, match=r"kernel_statistics must be one of store, metrics$") as caught:
        Settings(kernel_statistics=value)
    assert "hunter2" not in str(caught.value)
