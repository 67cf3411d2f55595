"""Readers that are broken on purpose: the target of each fails, with its seeds alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, NoReturn, TypeAlias

import attrs
import pytest
from tests.fuzz import prometheus_targets, settings_targets, valkey_targets
from tests.fuzz.targets import TARGETS, Target

from statcore.errors import MalformedEntryError, ProtocolError
from statcore.plugins.presets import PresetCatalog
from statcore.runtime import Settings
from statcore.scopes import Scope
from statcore_prometheus.options import PrometheusOptions
from statcore_prometheus.server import Server
from statcore_prometheus.wire import MatrixReader
from statcore_valkey.extensions import ExtensionError
from statcore_valkey.options import ValkeyOptions
from statcore_valkey.server import ServerUrl

Fault: TypeAlias = tuple[str, object, str, Callable[..., Any]]
"""A target, where the reader is, its name there, and what makes a broken one of the right one."""


def changing(change: Callable[[Any], Any]) -> Callable[..., Any]:
    """Return what breaks a reader, so that it returns something else."""
    return lambda read: lambda *arguments, **options: change(read(*arguments, **options))


def raising(error: Exception) -> Callable[..., Any]:
    """Return what breaks a reader, so that it refuses everything."""

    def refuse(*_: object, **__: object) -> NoReturn:
        raise error

    return lambda _: refuse


def each_token(**changes: Any) -> Callable[..., Any]:
    """Return what breaks the reader of tokens, so that each has other values."""
    return changing(lambda tokens: tuple(attrs.evolve(token, **changes) for token in tokens))


def without_pause(error: Any) -> Any:
    """Return an error of a server that asks for no pause."""
    error.retry_after_s = None
    return error


NO_ENTRY: Final = MalformedEntryError("refused", key="k")
FAULTS: Final[Mapping[str, Fault]] = {
    "no count": ("codec", valkey_targets, "decode_count", changing(lambda _: None)),
    "no entry": ("entry", valkey_targets, "read_metrics", raising(NO_ENTRY)),
    "no agent": ("entry", valkey_targets, "read_agent", raising(NO_ENTRY)),
    "no rows": ("entry", valkey_targets, "row_reader", lambda _: lambda _fields: lambda *_, **__: None),
    "no extension": ("extension", valkey_targets, "decode_extension", raising(ExtensionError("refused"))),
    "zero for decimals": (
        "extension",
        valkey_targets,
        "decode_extension",
        changing(lambda text: "0" if text == "1.50" else text),
    ),
    "no answer": ("wire", MatrixReader, "finish", raising(ProtocolError("refused"))),
    "no warnings": ("wire", MatrixReader, "finish", changing(lambda result: attrs.evolve(result, warnings=()))),
    "no pause": (
        "retry-after",
        prometheus_targets,
        "from_status",
        changing(without_pause),
    ),
    "no password": ("url", ServerUrl, "from_url", changing(lambda url: attrs.evolve(url, password=None))),
    "no database": ("url", ServerUrl, "from_url", changing(lambda url: attrs.evolve(url, db=None))),
    "no TLS": ("url", ServerUrl, "from_url", changing(lambda url: attrs.evolve(url, tls=False))),
    "no credential": ("url", Server, "from_url", changing(lambda server: attrs.evolve(server, credential=None))),
    "default options of Valkey": ("options", ValkeyOptions, "from_settings", changing(lambda _: ValkeyOptions())),
    "default options of Prometheus": (
        "options",
        PrometheusOptions,
        "from_settings",
        changing(lambda _: PrometheusOptions()),
    ),
    "no backend": ("settings", Settings, "from_toml", changing(lambda read: attrs.evolve(read, metrics_url=None))),
    "no tokens": ("tokens", settings_targets, "read_tokens", changing(lambda _: ())),
    "any scope": ("tokens", settings_targets, "read_tokens", each_token(scope=Scope.everything())),
    "no expiry": ("tokens", settings_targets, "read_tokens", each_token(expires=None)),
    "no presets": ("presets", PresetCatalog, "read", changing(lambda read: attrs.evolve(read, presets={}))),
}


def check_seeds(target: Target) -> None:
    """Check a target with each of its seeds."""
    for seed in target.seeds:
        target.check(seed)


@pytest.mark.parametrize(("target", "place", "name", "breaking"), FAULTS.values(), ids=FAULTS)
def test_a_target_fails_for_a_broken_reader(
    target: str, place: object, name: str, breaking: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A check of the target fails; an error of the broken reader itself does not count."""
    monkeypatch.setattr(place, name, breaking(getattr(place, name)))
    with pytest.raises(AssertionError):
        check_seeds(TARGETS[target])
