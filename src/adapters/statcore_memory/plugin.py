"""How statcore finds this adapter: the URL scheme `memory`."""

from __future__ import annotations

import re
from typing import Final, Generic, TypeVar

import attrs

from statcore.errors import InputError
from statcore.model.settings import from_settings
from statcore.plugins.contributions import MetricBackendSpec, Options, StatisticsStoreSpec
from statcore.plugins.spec import API_VERSION, hookimpl
from statcore_memory.metrics import MemoryMetrics
from statcore_memory.statistics import MemoryStatistics

STATCORE_PLUGIN_API = API_VERSION

_T = TypeVar("_T", MemoryStatistics, MemoryMetrics)
_URL: Final = re.compile(r"memory:(?://([\w.-]*)/?)?", re.IGNORECASE)


@attrs.frozen
class _Instances(Generic[_T]):
    """What one registry has opened, by name: whoever opens the same name meets in the same instance."""

    kind: type[_T]
    _opened: dict[str, tuple[Options, _T]] = attrs.field(factory=dict[str, tuple[Options, _T]], init=False)

    async def open(self, url: str, options: Options) -> _T:
        """Return the instance at `memory://NAME`, made when it is first asked for.

        Raises:
            InputError: the URL holds more than a name; a setting is unknown, cannot be one, or differs from the
                instance's.
        """
        found = _URL.fullmatch(url)
        if found is None:
            raise InputError(
                "the URL of the memory adapter is memory:// or memory://NAME; its settings are given as options"
            )
        name = found[1] or ""
        if name not in self._opened:
            self._opened[name] = (dict(options), from_settings(self.kind, options, adapter="memory://"))
        made_with, instance = self._opened[name]
        if made_with != options:
            raise InputError(f"memory://{name} is open already, with other settings")
        return instance


@hookimpl
def statcore_statistics_stores() -> list[StatisticsStoreSpec]:
    """Contribute the store `memory`, to read and to write."""
    stores = _Instances(MemoryStatistics)
    summary = "in this process, gone when it ends"
    return [
        StatisticsStoreSpec(name="memory", summary=summary, schemes=("memory",), open=stores.open, open_sink=stores.open)
    ]


@hookimpl
def statcore_metric_backends() -> list[MetricBackendSpec]:
    """Contribute the backend `memory`, which is filled by `append_scrape`."""
    summary = "in this process, an hour long by default"
    return [MetricBackendSpec(name="memory", summary=summary, schemes=("memory",), open=_Instances(MemoryMetrics).open)]
