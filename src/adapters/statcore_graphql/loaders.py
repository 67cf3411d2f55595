"""Which loaders there are, by name, and the ones that a request has made: batched, cached, and its own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol, Self, TypeAlias

import attrs

from statcore.errors import InputError
from statcore.imports import requires_extra
from statcore.model.batch import Problem
from statcore_graphql.outcomes import Outcomes
from statcore_graphql.presets import PresetMetrics
from statcore_graphql.statistics import AgentStatistics, EndpointStatistics, KernelStatistics, ReplicaStatistics
from statcore_graphql.utilization import UtilizationMetrics, querier_key

if TYPE_CHECKING:
    from strawberry.dataloader import DataLoader

MAX_KEYS: Final = 50_000
"""How many objects one request may list, and keys it may load, in all."""

LoaderKey: TypeAlias = tuple[str, frozenset[tuple[str, Hashable]]]
"""A loader's name and parameters, compared by value: a hash of them could meet another's."""


@attrs.frozen
class Loader:
    """How the values of keys are loaded.

    Args:
        batch: a coroutine function of the context and the keys, and of the loader's parameters by name; it returns one
            value, or an exception, per key in order.
        key: what makes two keys the same; by default they are when they are equal.
    """

    batch: Callable[..., Awaitable[Sequence[Any]]]
    key: Callable[[Any], Hashable] | None = None

    def identity(self, key: Any) -> Hashable:  # noqa: ANN401 - whatever the loader takes
        """Return what is equal for the same keys."""
        return key if self.key is None else self.key(key)


@attrs.define(eq=False)
class RequestLoaders:
    """The loaders that one request has made, what was remarked about their values, and how much it has asked for."""

    made: dict[LoaderKey, DataLoader[Any, Any]] = attrs.field(factory=dict[LoaderKey, Any], init=False)
    remarks: dict[tuple[LoaderKey, Hashable], Problem] = attrs.field(
        factory=dict[tuple[LoaderKey, Hashable], Problem], init=False
    )
    asked: int = attrs.field(default=0, init=False)

    def count(self, more: int) -> None:
        """Count objects that are listed, or keys that are about to be loaded.

        Raises:
            InputError: they are more than a request may ask for.
        """
        self.asked += more
        if self.asked > MAX_KEYS:
            raise InputError(f"the request asks for more than {MAX_KEYS} objects and statistics of objects; ask for fewer")


class HasLoaders(Protocol):
    """The part of a request's context that is needed here."""

    @property
    def loaders(self) -> RequestLoaders:
        """The request's own."""
        ...


_STANDARD: Final[Mapping[str, Loader]] = {
    "KernelStatistics.by_kernel": Loader(KernelStatistics.batch_load_by_kernel),
    "KernelStatistics.by_session": Loader(KernelStatistics.batch_load_by_session),
    "KernelStatistics.inference_metrics_by_kernel": Loader(KernelStatistics.batch_load_inference_metrics_by_kernel),
    "EndpointStatistics.by_endpoint": Loader(EndpointStatistics.batch_load_by_endpoint),
    "ReplicaStatistics.by_replica": Loader(ReplicaStatistics.batch_load_by_replica),
    "AgentStatistics.by_agent": Loader(AgentStatistics.batch_load_by_agent),
    "PresetMetrics.by_query": Loader(PresetMetrics.batch_load_by_query),
    "UtilizationMetrics.by_querier": Loader(UtilizationMetrics.batch_load_by_querier, key=querier_key),
}


@attrs.frozen(eq=False)
class DataLoaderManager:
    """The loaders by name: filled at start-up, the same for all requests; what a request loads is kept in its context."""

    _loaders: Mapping[str, Loader] = attrs.field(default=_STANDARD)

    def adding(self, name: str, loader: Loader) -> Self:
        """Return a manager that has another loader, too.

        Raises:
            InputError: the name is taken.
        """
        if name in self._loaders:
            raise InputError(f"the loader name {name} is taken")
        return type(self)({**self._loaders, name: loader})

    def check(self, names: Collection[str]) -> None:
        """Return when all the names are known.

        Raises:
            InputError: some are not; the message lists the known ones.
        """
        if unknown := sorted(set(names) - self._loaders.keys()):
            raise InputError(f"there is no loader {', '.join(unknown)}; known are {', '.join(sorted(self._loaders))}")

    def get_loader(self, ctx: HasLoaders, name: str, **parameters: Hashable) -> DataLoader[Any, Any]:
        """Return the request's loader of that name and with those parameters: the same one every time it is asked for.

        Raises:
            InputError: there is none of that name.
            MissingExtraError: Strawberry, whose loaders these are, is not installed.
        """
        known_as, ours = _loader_key(name, parameters), ctx.loaders
        if known_as not in ours.made:
            self.check([name])
            with requires_extra("graphql"):
                from strawberry.dataloader import DataLoader  # noqa: PLC0415 - hosts of other frameworks do without

            loader = self._loaders[name]

            async def load(keys: list[Any]) -> Sequence[Any]:
                ours.count(len(keys))
                outcomes = Outcomes.of(await loader.batch(ctx, keys, **parameters))
                for position, problem in outcomes.remarks.items():
                    ours.remarks[known_as, loader.identity(keys[position])] = problem
                return outcomes.values

            ours.made[known_as] = DataLoader(load, cache_key_fn=loader.key)
        return ours.made[known_as]

    def get_remark(self, ctx: HasLoaders, name: str, key: Any) -> Problem | None:  # noqa: ANN401 - as in Loader
        """Return what is wrong with a value that a loader without parameters gave all the same, if anything is."""
        return ctx.loaders.remarks.get((_loader_key(name, {}), self._loaders[name].identity(key)))


def _loader_key(name: str, parameters: Mapping[str, Hashable]) -> LoaderKey:
    return name, frozenset(parameters.items())
