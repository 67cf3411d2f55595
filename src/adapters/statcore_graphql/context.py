"""The context of one request: the ports that its resolvers read from, its loaders, and the problems that they found."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import TypeAlias

import attrs

from statcore.model.statistics import Problem
from statcore.plugins import PluginRegistry, Preset
from statcore.ports import InventoryPort, MetricQuerierPort
from statcore.promql import MAX_POINTS, RATE_INTERVAL
from statcore.scopes import ConfinedMetrics
from statcore.statistics import StatisticsRepository
from statcore_graphql.loaders import DataLoaderManager
from statcore_graphql.request_loaders import MAX_IDS, RequestLoaders

FieldProblem: TypeAlias = tuple[list[str | int], Problem]
"""The path of a field in the answer, and the problem of its value."""


def _presets_of_plugins(context: GraphQueryContext) -> Mapping[str, Preset]:
    return context.plugins.presets


def _new_loaders(context: GraphQueryContext) -> RequestLoaders:
    return RequestLoaders(context.max_ids)


@attrs.define(kw_only=True, eq=False, on_setattr=attrs.setters.frozen)
class GraphQueryContext:
    """The context of one request; build a new one for every request, and for each request of a batch.

    It serves plain Strawberry and Strawberry's view for aiohttp; FastAPI's router needs the subclass in
    `statcore_graphql.fastapi`. Its fields are frozen; a host's subclass may have other fields that are set later.

    Args:
        statistics_repository: reads live statistics.
        inventory: lists sessions, endpoints and agents.
        metrics: the backend that utilization is queried from.
        plugins: the registry of the kinds of querier.
        dataloader_manager: the loaders by name, the same for all requests.
        rate_interval: the window that rates are taken over, a duration such as "5m".
        presets: the presets by name; by default the presets of the plugins.
        encoded: whether statistics in the data of responses are JSON text, which is much faster. Then the host's view must
            encode responses with `encode_response`.
        max_ids: how many objects and ids of statistics the request may list and load, counted together.
        max_points: how many points each series of an answer may have.
        limits: further limits of the service by name, for clients to read; the service itself enforces them. `ids` and
            `points` are always there, as `max_ids` and `max_points` say.

    Attributes:
        loaders: the loaders that this request has made.
        problems: what is wrong with values that are in the answer nevertheless, with their paths.
    """

    statistics_repository: StatisticsRepository
    inventory: InventoryPort
    metrics: MetricQuerierPort
    plugins: PluginRegistry
    dataloader_manager: DataLoaderManager = attrs.field(factory=DataLoaderManager)
    rate_interval: timedelta | str = RATE_INTERVAL
    presets: Mapping[str, Preset] = attrs.field(default=attrs.Factory(_presets_of_plugins, takes_self=True))
    encoded: bool = False
    max_ids: int = MAX_IDS
    max_points: int = MAX_POINTS
    limits: Mapping[str, float] = attrs.field(factory=dict[str, float])
    loaders: RequestLoaders = attrs.field(default=attrs.Factory(_new_loaders, takes_self=True), init=False)
    problems: list[FieldProblem] = attrs.field(factory=list[FieldProblem], init=False)

    @property
    def is_confined(self) -> bool:
        """Whether the caller may see only a part, so that fields about the service itself show no addresses and errors."""
        return isinstance(self.metrics, ConfinedMetrics)
