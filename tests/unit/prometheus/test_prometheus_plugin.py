"""The plugin: what it describes, and that it needs no driver."""

from __future__ import annotations

import subprocess
import sys

import pytest

import statcore_prometheus
from statcore.errors import InputError, MissingExtraError
from statcore.model import MatrixResult
from statcore.plugins import API_VERSION
from statcore.ports import MetricQuerierPort, PromQLPort
from statcore_prometheus import plugin


async def test_it_opens_a_client_with_options() -> None:
    """The options are settings by name."""
    (spec,) = plugin.statcore_metric_backends()
    assert (API_VERSION, ("http", "https"), "prometheus") == (plugin.STATCORE_PLUGIN_API, spec.schemes, spec.extra)
    backend = await spec.open("http://127.0.0.1:1", {"timeout_s": 2})
    assert isinstance(backend, MetricQuerierPort)
    assert isinstance(backend, PromQLPort)
    await backend.aclose()
    with pytest.raises(InputError, match="'tiemout'"):
        await spec.open("http://127.0.0.1:1", {"tiemout": "2"})


@pytest.mark.parametrize("module", ["aiohttp", "msgspec"])
async def test_a_missing_driver_names_the_extra(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the module whose import failed, too."""
    for name in [name for name in sys.modules if name.startswith("statcore_prometheus.") and not name.endswith("plugin")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError, match=r"statcore\[prometheus\]") as caught:
        await plugin.open_prometheus("http://127.0.0.1:1", {})
    assert module == caught.value.module


def test_finding_it_imports_no_driver() -> None:
    """Discovery does not import aiohttp and msgspec."""
    code = "import sys, statcore_prometheus.plugin; print({'aiohttp', 'msgspec', 'yarl'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60)
    assert "set()" == done.stdout.strip()


def test_the_public_names_are_there() -> None:
    """There are no others; the result's type has a second name for earlier callers."""
    names = ["PrometheusClient", "PrometheusOptions", "PrometheusQueryRangeResponse"]
    assert names == sorted(statcore_prometheus.__all__)
    assert statcore_prometheus.PrometheusQueryRangeResponse is MatrixResult
    assert all(callable(getattr(statcore_prometheus, name)) for name in statcore_prometheus.__all__)
    with pytest.raises(AttributeError, match="no attribute 'PrometheusServer'"):
        statcore_prometheus.PrometheusServer  # noqa: B018
