"""The plugin, which contributes the store `glide` and imports no driver."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from statcore.plugins import StatisticsStoreSpec, hookimpl, requires_extra
from statcore.ports import StatisticsPort, StatisticsSinkPort

STATCORE_PLUGIN_API = 1


async def open_statistics(url: str, options: Mapping[str, Any]) -> StatisticsPort:
    """Open a reader of the servers at `url` with options of `ValkeyOptions` by name.

    Raises:
        MissingExtraError: a dependency of statcore-glide is not installed.
        InputError: the URL or an option cannot be used.
    """
    with requires_extra("valkey", requirement="statcore-glide"):
        from statcore_glide.stores import statistics_from_url  # noqa: PLC0415 - the driver takes long to import
        from statcore_valkey import ValkeyOptions  # noqa: PLC0415
    return await statistics_from_url(url, options=ValkeyOptions.from_settings(options))


async def open_sink(url: str, options: Mapping[str, Any]) -> StatisticsSinkPort:
    """Open a writer to the servers at `url` with options of `ValkeyOptions` by name.

    Raises:
        MissingExtraError: a dependency of statcore-glide is not installed.
        InputError: the URL or an option cannot be used.
    """
    with requires_extra("valkey", requirement="statcore-glide"):
        from statcore_glide.stores import sink_from_url  # noqa: PLC0415 - the driver takes long to import
        from statcore_valkey import ValkeyOptions  # noqa: PLC0415
    return await sink_from_url(url, options=ValkeyOptions.from_settings(options))


@hookimpl
def statcore_statistics_stores() -> list[StatisticsStoreSpec]:
    """Contribute the store `glide`, to read and to write."""
    return [
        StatisticsStoreSpec(
            name="glide",
            summary="a Valkey server or cluster, through valkey-glide",
            schemes=("glide", "glides", "glide+cluster", "glides+cluster"),
            open=open_statistics,
            open_sink=open_sink,
        )
    ]
