"""A host that embeds statcore with this project's plugin: settings, registry, runtime, repositories, sessions."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import attrs
import pytest
from embedding import CPU, ENDPOINT, KERNELS, REPLICA, SESSION, cluster, embed
from outside_batteries import BatteryMetricQuerier
from outside_batteries.store import BatteryStore

from statcore import (
    InputError,
    PluginError,
    Problem,
    ProblemKind,
    StatisticsRepositories,
    StatisticsRepository,
    StatisticsStatefulSource,
    UnavailableError,
)
from statcore.plugins import PluginRegistry, PluginStatus
from statcore.runtime import Runtime, Settings, open_metrics, open_statistics
from statcore.services import check_health
from statcore.statistics import ClientStatistics, SessionStatistics, session_entry, sum_kernels
from statcore_memory import MemoryStatistics


def test_settings_in_all_forms() -> None:
    """Fields, a mapping of variables, and TOML; secrets are not shown."""
    variables = {"STATCORE_STATISTICS_URL": "valkey://:secret@h", "STATCORE_KERNEL_STATISTICS": "metrics", "OTHER": "x"}
    read = Settings.from_mapping(variables)
    assert read == Settings(statistics_url="valkey://:secret@h", kernel_statistics="metrics")
    assert "secret" not in repr(read)
    text = Settings.from_toml('metrics_url = "http://h"\n[statistics]\nfreshness_s = 60\n[metrics]\ntimeout_s = 1\n')
    assert ({"freshness_s": 60}, {"timeout_s": 1}) == (text.statistics_options, text.metrics_options)
    assert ("http://h", None) == (text.metrics_url, text.statistics_url)
    for refused in ("unknown = 1", "metrics_url = 1", "["):
        with pytest.raises(InputError):
            Settings.from_toml(refused)


def test_the_plugin_is_found_with_all_that_it_offers(registry: PluginRegistry) -> None:
    """The plugin has its entry point's name; what it offers is found by name, kind by kind."""
    (report,) = [report for report in registry.reports if report.name == "batteries"]
    assert (PluginStatus.OK, "outside-batteries", "1.0.0") == (report.status, report.distribution, report.version)
    assert (None, False, False) == (report.error, report.is_ours, report.status.is_fault)
    assert {"battery", "battery-pack", "phase", "container"} <= registry.queriers.keys()
    assert BatteryMetricQuerier is registry.querier("battery").querier
    assert ("pack_measurement", "metric") == attrs.astuple(registry.querier("battery-pack"), recurse=False)[3:5]
    assert report == registry.origin("phase") == registry.preset_origin("battery-charge")
    assert report == registry.statistics_store_origin("battery-store") == registry.metric_backend_origin("battery-metrics")
    assert ["values_are_exact"] == list(registry.metric_backend("battery-metrics").differences)
    assert {"ok"} == {found.status for found in registry.reports}
    with pytest.raises(InputError):
        registry.querier("tape")


def test_urls_choose_the_adapters_that_they_chose(registry: PluginRegistry) -> None:
    """The schemes that settings files name, and the entry points that `STATCORE_DISABLE_PLUGINS` names."""
    stores = {"memory": "memory", **dict.fromkeys(("redis", "rediss", "unix", "valkey", "valkeys"), "valkey")}
    backends = {"memory": "memory", "http": "prometheus", "https": "prometheus"}
    assert stores == {scheme: registry.statistics_store_origin(scheme).name for scheme in stores}
    assert backends == {scheme: registry.metric_backend_origin(scheme).name for scheme in backends}
    assert "builtin" == registry.origin("container").name
    assert {"builtin", "memory", "prometheus", "valkey"} == {found.name for found in registry.reports if found.is_ours}


def test_a_host_disables_plugins_and_reads_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """A disabled plugin is reported as blocked; a name that no plugin has is a warning in `statcore.plugins`."""
    registry = PluginRegistry.discover(disabled=["batteries", "nobody"], timeout_s=30)
    assert "battery" not in registry.queriers
    assert ["blocked"] == [report.status.value for report in registry.reports if report.name == "batteries"]
    assert [("statcore.plugins", "WARNING")] == [(record.name, record.levelname) for record in caplog.records]


def test_a_runtime_over_our_adapters(registry: PluginRegistry, settings: Settings) -> None:
    """Every read of the repository, utilization by our querier, and what exists."""

    async def work(runtime: Runtime, _: PluginRegistry) -> None:
        assert isinstance(runtime.statistics, BatteryStore)
        repository = runtime.repository
        batch = await repository.get_kernel_statistics_batch([UUID(KERNELS[0]), SESSION, KERNELS[0]])
        assert [CPU.to_map(), None, CPU.to_map()] == [entry and entry["cpu_util"] for entry in batch]
        activity = await repository.get_inference_metrics_batch([SESSION, KERNELS[0]])
        assert [{"requests": 3, "last_response_ms": 7}, {"requests": 0, "last_response_ms": 0}] == list(activity)
        assert {1: ProblemKind.INCOMPLETE} == {at: problem.kind for at, problem in activity.problems.items()}
        endpoints: Any = await repository.get_endpoint_statistics_batch(endpoint_ids=[ENDPOINT])
        replicas: Any = await repository.get_replica_statistics_batch(endpoint_replica_ids=[(ENDPOINT, REPLICA)])
        agents = await repository.get_agent_statistics_batch(agent_ids=["i-1"])
        assert ("30", "1") == (endpoints[0]["running"]["current"], replicas[0]["running"]["current"])
        assert {"node": {"mem": CPU.to_map()}, "devices": {}} == agents[0]
        with pytest.raises(InputError):
            await repository.get_kernel_statistics_batch(["no id"])

        answer = await runtime.metrics.query_utilization_now(BatteryMetricQuerier())
        assert [80.0] == [sample.value for sample in answer.samples]
        assert [SESSION] == [session.session_id for session in (await runtime.inventory.list_sessions(limit=5)).items]
        assert [("i-1", 1)] == [(page.items[0], page.total_count) for page in [await runtime.inventory.list_agents()]]
        report = await check_health({"statistics": runtime.statistics, "metrics": runtime.metrics}, timeout_s=5)
        assert (True, 200) == (report.healthy, report.http_status)
        assert ["statistics", "metrics"] == list(report.to_json()["ports"])

    embed(settings, registry, work)


def test_errors_keep_their_kind_and_attributes(registry: PluginRegistry, settings: Settings) -> None:
    """An error of our own store, a URL that no adapter is for, and a health report on a port that does not answer."""

    async def opened(open_: Any, changed: Settings) -> None:
        async with open_(changed, registry):
            pytest.fail("it was opened")

    with pytest.raises(UnavailableError) as caught:
        asyncio.run(opened(open_statistics, attrs.evolve(settings, statistics_options={"flat": True})))
    assert 60.0 == caught.value.retry_after_s
    for url in ("tape://x", "no scheme", None):
        with pytest.raises(InputError):
            asyncio.run(opened(open_metrics, attrs.evolve(settings, metrics_url=url)))

    class Dead:
        async def ping(self) -> None:
            raise UnavailableError("gone", service="db:1")

    report = asyncio.run(check_health({"store": Dead()}))
    assert (False, 503, ["gone"]) == (report.healthy, report.http_status, [str(error) for error in report.errors.values()])


class ManagersClient:
    """A client that a manager already has."""

    async def get_session_statistics_batch(self, session_ids: list[str]) -> Sequence[Mapping[str, Any] | None]:
        """Fail for a batch with a bad id."""
        if KERNELS[1] in session_ids:
            raise ValueError("unpicklable")
        return [{"cpu_util": CPU.to_map(), "requests": 1, "last_response_time": 2} for _ in session_ids]


def test_repositories_in_all_forms() -> None:
    """Over a store, over a source, over two clients; `kernels` is another reader of kernels alone."""
    store, client = MemoryStatistics(), ManagersClient()
    clients: dict[str, Any] = {"valkey_stat": client, "valkey_live": client}
    alone = StatisticsStatefulSource(store, chunk_size=1)
    repositories = [
        StatisticsRepositories.create(store, kernels=ClientStatistics(**clients, timeout_s=5)).repository,
        StatisticsRepositories.create(**clients).repository,
        StatisticsRepository(StatisticsStatefulSource(**clients)),
        StatisticsRepository(source=StatisticsStatefulSource(store=ClientStatistics(**clients))),
        StatisticsRepository(**clients),
        StatisticsRepositories(repository=StatisticsRepository(**clients)).repository,
    ]
    for repository in repositories:
        batch = asyncio.run(repository.get_kernel_statistics_batch(KERNELS))
        assert [CPU.to_map(), None] == [entry and entry["cpu_util"] for entry in batch]
        assert {1: ProblemKind.MALFORMED} == {at: problem.kind for at, problem in batch.problems.items()}
        assert isinstance(repository.source, StatisticsStatefulSource)
    assert (store, 1) == (alone.store, alone.chunk_size)
    assert [None, None] == list(asyncio.run(alone.read_kernel_statistics_batch(session_ids_or_kernel_ids=KERNELS)))
    for refused in ({}, {"valkey_stat": client}, {"store": store, **clients}):
        with pytest.raises(InputError):
            StatisticsRepositories.create(**refused)


def test_sessions_are_put_together_from_their_kernels(registry: PluginRegistry, settings: Settings) -> None:
    """By the inventory, by known kernels, and by hand."""

    async def work(runtime: Runtime, _: PluginRegistry) -> None:
        batch: Any
        sessions = SessionStatistics(runtime.repository, cluster())
        for batch in (await sessions.get_session_statistics_batch([SESSION]), await sessions.read({SESSION: KERNELS})):
            assert ("1800", "2000", "180") == tuple(batch[0]["cpu_util"][name] for name in ("current", "capacity", "pct"))
        read: Any = await runtime.repository.get_kernel_statistics_batch([SESSION, *KERNELS])
        summed: Any = session_entry(KERNELS, read)[0]
        assert "1800" == summed["cpu_util"]["current"]
        entry, left_out = sum_kernels(read[1:])
        assert ("1800", []) == (entry["cpu_util"]["current"], left_out)

    embed(settings, registry, work)


def test_a_store_that_breaks_its_contract_is_named(
    registry: PluginRegistry, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its error names the plugin and the method; an unreadable entry costs itself alone."""

    async def work(runtime: Runtime, _: PluginRegistry) -> None:
        runtime.statistics.plant(KERNELS[1], Problem(ProblemKind.MALFORMED, message="bad"))  # type: ignore[attr-defined]
        batch = await runtime.repository.get_kernel_statistics_batch(KERNELS)
        assert ([True, False], [1]) == ([entry is not None for entry in batch], list(batch.problems))
        monkeypatch.setattr(BatteryStore, "_fetch", lambda *_: None)
        with pytest.raises(PluginError) as caught:
            await runtime.repository.get_kernel_statistics_batch(KERNELS)
        assert "fetch_kernel_statistics" == caught.value.method

    embed(settings, registry, work)
