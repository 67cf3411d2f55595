"""The loaders by name, the same for all requests."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Hashable, Mapping, Sequence
from operator import itemgetter
from typing import Any, Final, Self

import attrs

from statcore.errors import InputError
from statcore.model.statistics import Problem
from statcore_graphql.batch_loader import BatchLoader
from statcore_graphql.outcomes import Outcomes
from statcore_graphql.presets import PresetMetrics
from statcore_graphql.request_loaders import HasLoaders
from statcore_graphql.statistics import (
    AgentStatistics,
    EndpointStatistics,
    KernelStatistics,
    ReplicaStatistics,
)
from statcore_graphql.utilization import KernelProcesses, UtilizationMetrics, querier_key


@attrs.frozen
class Loader:
    """How values are loaded for keys.

    Args:
        batch: a coroutine function that takes the context, the keys, and the loader's parameters by name, and returns one
            value or exception per key, in order.
        key: returns a hashable value that is equal for two keys with the same meaning; by default the key itself.
    """

    batch: Callable[..., Awaitable[Sequence[Any]]]
    key: Callable[[Any], Hashable] | None = None

    def identity(self, key: Any) -> Hashable:  # noqa: ANN401 - whatever the loader takes
        """Return a hashable value that is equal for two keys with the same meaning."""
        return key if self.key is None else self.key(key)


_STANDARD: Final[Mapping[str, Loader]] = {
    "KernelStatistics.by_kernel": Loader(KernelStatistics.batch_load_by_kernel),
    "KernelStatistics.by_session": Loader(KernelStatistics.batch_load_by_session),
    "KernelStatistics.inference_metrics_by_kernel": Loader(KernelStatistics.batch_load_inference_metrics_by_kernel),
    "EndpointStatistics.by_endpoint": Loader(EndpointStatistics.batch_load_by_endpoint),
    "EndpointStatistics.kernels_by_endpoint": Loader(EndpointStatistics.batch_load_kernels_by_endpoint, key=itemgetter(0)),
    "ReplicaStatistics.by_replica": Loader(ReplicaStatistics.batch_load_by_replica),
    "AgentStatistics.by_agent": Loader(AgentStatistics.batch_load_by_agent),
    "KernelProcesses.by_kernel": Loader(KernelProcesses.batch_load_by_kernel),
    "PresetMetrics.by_query": Loader(PresetMetrics.batch_load_by_query),
    "UtilizationMetrics.by_querier": Loader(UtilizationMetrics.batch_load_by_querier, key=querier_key),
}


@attrs.frozen(eq=False)
class DataLoaderManager:
    """The loaders by name, fixed at start-up and the same for all requests; a request's context keeps what it loads."""

    _loaders: Mapping[str, Loader] = attrs.field(default=_STANDARD)

    def adding(self, name: str, loader: Loader) -> Self:
        """Return a manager with one more loader.

        Raises:
            InputError: the name is taken.
        """
        if name in self._loaders:
            raise InputError(f"the loader name {name} is taken; take another name")
        return type(self)({**self._loaders, name: loader})

    def check(self, names: Collection[str]) -> None:
        """Check that all names are known.

        Raises:
            InputError: a name is unknown; the message lists the known names.
        """
        if unknown := sorted(set(names) - self._loaders.keys()):
            raise InputError(f"there is no loader {', '.join(unknown)}; known are {', '.join(sorted(self._loaders))}")

    def get_loader(self, ctx: HasLoaders, name: str, **parameters: Hashable) -> BatchLoader[Any]:
        """Return the request's loader with this name and these parameters, the same object in every call.

        Raises:
            InputError: the name is unknown; the message lists the known names.
        """
        loader_key, loaders = (name, frozenset(parameters.items())), ctx.loaders
        if loader_key not in loaders.made:
            self.check([name])
            loader = self._loaders[name]

            async def load(keys: list[Any]) -> Outcomes:
                loaders.count(len(keys))
                return Outcomes.of(await loader.batch(ctx, keys, **parameters))

            loaders.made[loader_key] = BatchLoader(load, identity=loader.key)
        return loaders.made[loader_key]

    def get_remark(self, ctx: HasLoaders, name: str, key: Any) -> Problem | None:  # noqa: ANN401 - as in Loader
        """Return what is wrong with a value that a loader without parameters has returned, or None.

        Raises:
            InputError: the name is unknown; the message lists the known names.
        """
        outcome = self.get_loader(ctx, name).loaded(key)
        return None if outcome is None else outcome.problem
