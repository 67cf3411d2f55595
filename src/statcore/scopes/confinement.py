"""Confinement: the ports of a runtime, confined to a scope."""

from __future__ import annotations

from typing import Any, Protocol, TypeVar, cast

import attrs

from statcore.errors import UnsupportedError
from statcore.ports.inventory import InventoryPort, owner_inventory
from statcore.ports.metrics import MetricQuerierPort
from statcore.ports.statistics import StatisticsPort
from statcore.scopes.inventory import ConfinedInventory
from statcore.scopes.metrics import ConfinedMetrics
from statcore.scopes.owners import Owners
from statcore.scopes.scope import Scope
from statcore.scopes.statistics import ConfinedKernelStatistics, ConfinedStatistics
from statcore.statistics.repository import StatisticsRepository
from statcore.statistics.series_inventory import SeriesInventory
from statcore.statistics.stateful_source import StatisticsStatefulSource


class _Ports(Protocol):
    """The ports of a runtime."""

    @property
    def statistics(self) -> StatisticsPort: ...
    @property
    def repository(self) -> StatisticsRepository: ...
    @property
    def metrics(self) -> MetricQuerierPort: ...
    @property
    def inventory(self) -> InventoryPort: ...


_Runtime = TypeVar("_Runtime", bound=_Ports)


def confine(runtime: _Runtime, scope: Scope) -> _Runtime:
    """Return a runtime whose ports cannot read outside a scope; with them, loaders, presets and consumers cannot, either.

    It uses the connections of the given runtime, which also closes them, so one can be made for each request.

    Args:
        runtime: a `statcore.runtime.Runtime`. A host with an inventory of its own puts it in place of the runtime's:
            `attrs.evolve(runtime, inventory=…)`.
        scope: what the caller may see.

    Raises:
        UnsupportedError: the inventory is no `OwnerInventoryPort`, so owners cannot be checked.
    """
    if scope.is_everything:
        return runtime
    inventory, source = runtime.inventory, runtime.repository.source
    known = owner_inventory(inventory)
    if known is None:
        raise UnsupportedError(
            f"{inventory.__class__.__name__} does not find kernels and agents by id, so reads cannot be confined; "
            "implement find_kernels and find_agents of OwnerInventoryPort"
        )
    owners = Owners(known, scope)
    metrics = ConfinedMetrics(runtime.metrics, scope)
    candidates: SeriesInventory | None = None
    if isinstance(known, SeriesInventory) and len(scope.alternatives) == 1:
        candidates = attrs.evolve(known, metrics=ConfinedMetrics(known.metrics, scope))  # reads fewer series
    repository = StatisticsRepository(
        StatisticsStatefulSource(
            ConfinedStatistics(source.store, owners),
            chunk_size=source.chunk_size,
            kernels=None if source.kernels is None else ConfinedKernelStatistics(source.kernels, owners),
        )
    )
    confined: _Runtime = attrs.evolve(
        cast("Any", runtime),
        statistics=ConfinedStatistics(runtime.statistics, owners),
        repository=repository,
        metrics=metrics,
        inventory=ConfinedInventory(known, owners, candidates),
    )
    return confined
