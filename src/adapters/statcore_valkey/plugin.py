"""The plugin, which contributes the store `valkey` and imports no driver."""

from __future__ import annotations

from statcore.imports import requires_extra
from statcore.plugins.hooks import API_VERSION, Options, StatisticsStoreSpec, hookimpl
from statcore.ports.sink import StatisticsSinkPort
from statcore.ports.statistics import StatisticsPort

STATCORE_PLUGIN_API = API_VERSION


async def open_statistics(url: str, options: Options) -> StatisticsPort:
    """Open a reader of the server at `url` with options of `ValkeyOptions` by name.

    Raises:
        MissingExtraError: the driver is not installed.
        InputError: the URL or an option cannot be used.
    """
    with requires_extra("valkey"):
        from statcore_valkey import ValkeyOptions, ValkeyStatistics  # noqa: PLC0415 - the driver is an extra
    return ValkeyStatistics.from_url(url, options=ValkeyOptions.from_settings(options))


async def open_sink(url: str, options: Options) -> StatisticsSinkPort:
    """Open a writer to the server at `url` with options of `ValkeyOptions` by name.

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
            summary="a Valkey or Redis server, as the agents fill it",
            schemes=("valkey", "valkeys", "redis", "rediss", "unix"),
            open=open_statistics,
            open_sink=open_sink,
            extra="valkey",
        )
    ]
