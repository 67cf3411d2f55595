"""The plugins of the adapters of network servers: found by scheme without a driver, opened with it."""

from __future__ import annotations

import importlib
import sys
from typing import Any

import pytest

from statcore.errors import InputError, MissingExtraError
from statcore.plugins import API_VERSION, PluginRegistry
from statcore.ports import MetricQuerierPort, PromQLPort, TenantPort
from statcore_prometheus import plugin as prometheus
from statcore_valkey import ValkeyStatistics, ValkeyStatisticsSink
from statcore_valkey import plugin as valkey

OPEN: dict[str, list[Any]] = {
    "valkey": [valkey.open_statistics, valkey.open_sink],
    "prometheus": [prometheus.open_prometheus],
}
URL = {"valkey": "valkey://127.0.0.1:1", "prometheus": "http://127.0.0.1:1"}


@pytest.mark.parametrize("scheme", ["valkey", "valkeys", "redis", "rediss", "unix", "http", "https"])
def test_the_registry_finds_it_by_scheme(scheme: str) -> None:
    """Each adapter is installed as an entry point, as any plugin."""
    registry = PluginRegistry.discover()
    spec = registry.metric_backend(scheme) if scheme.startswith("http") else registry.statistics_store(scheme)
    assert spec.name == spec.extra == ("prometheus" if scheme.startswith("http") else "valkey")
    assert API_VERSION == valkey.STATCORE_PLUGIN_API == prometheus.STATCORE_PLUGIN_API


async def test_it_opens_clients_with_settings_by_name() -> None:
    """A reader, a writer and a metric backend are opened without connecting."""
    (store,), (backend,) = valkey.statcore_statistics_stores(), prometheus.statcore_metric_backends()
    assert store.open_sink is not None
    assert isinstance(await store.open(URL["valkey"], {"timeout_s": 3}), ValkeyStatistics)
    assert isinstance(await store.open_sink(URL["valkey"], {}), ValkeyStatisticsSink)
    client = await backend.open(URL["prometheus"], {"timeout_s": 3})
    assert isinstance(client, MetricQuerierPort)
    assert isinstance(client, PromQLPort)
    assert isinstance(client, TenantPort)
    await client.aclose()


@pytest.mark.parametrize("extra", OPEN)
@pytest.mark.parametrize(("options", "named"), [({"timeout_s": "soon"}, "timeout_s"), ({"tiemout": 2}, "'tiemout'")])
async def test_a_bad_setting_is_an_input_error(extra: str, options: dict[str, Any], named: str) -> None:
    """The error names the setting."""
    for open_ in OPEN[extra]:
        with pytest.raises(InputError, match=named):
            await open_(URL[extra], options)


@pytest.mark.parametrize(
    ("extra", "module"),
    [
        *(("valkey", module) for module in ("redis", "hiredis", "msgspec")),
        *(("prometheus", module) for module in ("aiohttp", "msgspec")),
    ],
)
async def test_a_missing_driver_names_the_extra(extra: str, module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the module whose import failed, too."""
    package = importlib.import_module(f"statcore_{extra}")
    for name in vars(package).keys() & set(package.__all__):  # names that were used are kept there
        monkeypatch.delattr(package, name)
    for name in list(sys.modules):
        if name.split(".")[0] == module or (name.startswith(f"statcore_{extra}.") and not name.endswith(".plugin")):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)
    for open_ in OPEN[extra]:
        with pytest.raises(MissingExtraError, match=rf"statcore\[{extra}\]") as caught:
            await open_(URL[extra], {})
        assert (extra, module) == (caught.value.extra, (caught.value.module or "").split(".")[0])
