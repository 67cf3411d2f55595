"""The plugin, which contributes the store `valkey` and imports no driver."""

from __future__ import annotations

from typing import Final

from statcore.imports import requires_extra
from statcore.plugins.hooks import API_VERSION, Options, StatisticsStoreSpec, hookimpl
from statcore.ports.sink import StatisticsSinkPort
from statcore.ports.statistics import StatisticsPort

STATCORE_PLUGIN_API = API_VERSION

_SCHEMES: Final = ("valkey", "valkeys", "redis", "rediss")


async def open_statistics(url: str, options: Options) -> StatisticsPort:
    """Open a reader of the servers at `url` with options of `ValkeyOptions` by name.

    Raises:
        MissingExtraError: the driver is not installed.
        InputError: the URL or an option cannot be used.
    """
    with requires_extra("valkey"):
        from statcore_valkey import ValkeyOptions, ValkeyStatistics  # noqa: PLC0415 - the driver is an extra
    return ValkeyStatistics.from_url(url, options=ValkeyOptions.from_settings(options))


async def open_sink(url: str, options: Options) -> StatisticsSinkPort:
    """Open a writer to the servers at `url` with options of `ValkeyOptions` by name.

    Raises:
        MissingExtraError: the driver is not installed.
        InputError: the URL or an option cannot be used.
    """
    with requires_extra("valkey"):
        from statcore_valkey import ValkeyOptions, ValkeyStatisticsSink  # noqa: PLC0415 - the driver is an extra
    return ValkeyStatisticsSink.from_url(url, options=ValkeyOptions.from_settings(options))


@hookimpl
def statcore_statistics_stores() -> list[StatisticsStoreSpec]:
    """Contribute the store `valkey`, to read and to write."""
    return [
        StatisticsStoreSpec(
            name="valkey",
            summary="a Valkey or Redis server, cluster or master of sentinels, as the agents fill it",
            schemes=(*_SCHEMES, *(f"{scheme}+{kind}" for kind in ("cluster", "sentinel") for scheme in _SCHEMES), "unix"),
            open=open_statistics,
            open_sink=open_sink,
            extra="valkey",
        )
    ]
