"""The plugin, which contributes the store and the backend `memory`."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Generic, TypeVar

import statcore_memory
from statcore.errors import InputError
from statcore.model.validation import from_settings
from statcore.plugins.hooks import API_VERSION, MetricBackendSpec, Options, StatisticsStoreSpec, hookimpl

if TYPE_CHECKING:
    from statcore_memory import MemoryMetrics, MemoryStatistics

STATCORE_PLUGIN_API = API_VERSION

_T = TypeVar("_T", "MemoryStatistics", "MemoryMetrics")
_URL: Final = r"memory:(?://([\w.-]*)/?)?(?:\?semantics=([0-9]))?"


class _Instances(Generic[_T]):
    """The instances that one registry has opened, by name; opening a name again returns the same instance."""

    def __init__(self, load: Callable[[], type[_T]]) -> None:
        self._load: Callable[[], type[_T]] = load  # listing plugins does not need the class, which is slow to import
        self._opened: dict[str, tuple[Options, _T]] = {}

    async def open(self, url: str, options: Options) -> _T:
        """Return the instance at `memory://NAME`, which the first call makes.

        Raises:
            InputError: the URL holds more than a name and `semantics`, a setting does not exist or cannot be used, or the
                instance was made with other settings.
        """
        found = re.fullmatch(_URL, url, re.IGNORECASE)
        if found is None:
            raise InputError(
                "the URL of the memory adapter is memory:// or memory://NAME, for metrics also memory://?semantics=2;"
                " its other settings are given as options"
            )
        name = found[1] or ""
        settings = {**options, "semantics": int(found[2])} if found[2] else dict(options)
        if name not in self._opened:
            self._opened[name] = (settings, from_settings(self._load(), settings, adapter="memory://"))
        made_with, instance = self._opened[name]
        if made_with != settings:
            raise InputError(f"memory://{name} is open already, with other settings")
        return instance


@hookimpl
def statcore_statistics_stores() -> list[StatisticsStoreSpec]:
    """Contribute the store `memory`, to read and to write."""
    stores = _Instances(lambda: statcore_memory.MemoryStatistics)
    summary = "in this process, gone when it ends"
    return [
        StatisticsStoreSpec(name="memory", summary=summary, schemes=("memory",), open=stores.open, open_sink=stores.open)
    ]


@hookimpl
def statcore_metric_backends() -> list[MetricBackendSpec]:
    """Contribute the backend `memory`, which is filled by `append_scrape`."""
    backends = _Instances(lambda: statcore_memory.MemoryMetrics)
    summary = "in this process, an hour long by default"
    return [MetricBackendSpec(name="memory", summary=summary, schemes=("memory",), open=backends.open)]
