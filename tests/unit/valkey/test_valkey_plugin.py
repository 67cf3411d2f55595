"""The plugin: found without the driver, opened with it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from statcore.errors import InputError, MissingExtraError
from statcore.plugins import PluginRegistry
from statcore_valkey import ValkeyStatistics, ValkeyStatisticsSink, plugin

URL = "valkey://127.0.0.1:1"


@pytest.mark.parametrize("scheme", ["valkey", "valkeys", "redis", "rediss", "unix"])
def test_the_registry_finds_it_by_scheme(scheme: str) -> None:
    """It is installed as an entry point, as any plugin."""
    spec = PluginRegistry.discover().statistics_store(scheme)
    assert ("valkey", "valkey") == (spec.name, spec.extra)


async def test_it_opens_a_reader_and_a_writer() -> None:
    """Both are opened from a URL and settings by name, without connecting."""
    (spec,) = plugin.statcore_statistics_stores()
    assert spec.open_sink is not None
    assert isinstance(await spec.open(URL, {"timeout_s": 3}), ValkeyStatistics)
    assert isinstance(await spec.open_sink(URL, {}), ValkeyStatisticsSink)


async def test_a_bad_setting_is_an_input_error() -> None:
    """Reader and writer refuse it."""
    for open_ in (plugin.open_statistics, plugin.open_sink):
        with pytest.raises(InputError, match="timeout_s"):
            await open_(URL, {"timeout_s": "soon"})


def test_finding_it_loads_no_driver() -> None:
    """redis-py and msgspec are imported when a store is opened."""
    program = (
        "import sys, statcore_valkey, statcore_valkey.plugin as plugin; plugin.statcore_statistics_stores();"
        "print(sorted({'redis', 'hiredis', 'msgspec'} & set(sys.modules)))"
    )
    assert b"[]\n" == subprocess.check_output([sys.executable, "-c", program])


@pytest.mark.parametrize("module", ["redis", "hiredis", "msgspec"])
async def test_a_missing_driver_names_the_extra(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error is no ImportError."""
    for name in [name for name in sys.modules if name.startswith("statcore_valkey.") and name != plugin.__name__]:
        monkeypatch.delitem(sys.modules, name)
    for name in [name for name in sys.modules if name.split(".")[0] == module]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)
    for open_ in (plugin.open_statistics, plugin.open_sink):
        with pytest.raises(MissingExtraError, match=r"statcore\[valkey\]") as error:
            await open_(URL, {})
        assert ("valkey", module) == (error.value.extra, (error.value.module or "").split(".")[0])


def test_an_unknown_public_name_is_an_attribute_error() -> None:
    """The module raises what any module raises."""
    import statcore_valkey  # noqa: PLC0415 - the module itself is what is tested

    with pytest.raises(AttributeError, match="ValkeyCluster"):
        statcore_valkey.ValkeyCluster  # noqa: B018
