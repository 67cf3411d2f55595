"""What the resolvers of one request work with."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import TypeAlias

import attrs

from statcore.model.batch import Problem
from statcore.plugins import PluginRegistry, Preset
from statcore.ports import InventoryPort, MetricQuerierPort
from statcore.promql import RATE_INTERVAL
from statcore.statistics import StatisticsRepository
from statcore_graphql.loaders import DataLoaderManager, RequestLoaders

FieldProblem: TypeAlias = tuple[list[str | int], Problem]
"""A problem, and its path in the answer."""


def _presets_of_plugins(context: GraphQueryContext) -> Mapping[str, Preset]:
    return context.plugins.presets


@attrs.define(kw_only=True, eq=False, on_setattr=attrs.setters.frozen)
class GraphQueryContext:
    """Built anew for every request, and for each of a batch of them, of what the host has opened.

    It is the context of plain Strawberry and of its view for aiohttp; for FastAPI's router there is
    `statcore_graphql.fastapi`. Its fields are frozen; a host's subclass may have others that are set later.

    Args:
        statistics_repository: where live statistics are read.
        inventory: which sessions, endpoints and agents there are.
        metrics: the backend that utilization is queried from.
        plugins: which kinds of querier there are.
        dataloader_manager: which loaders there are; the same for all requests.
        rate_interval: the window that rates are taken over.
        presets: which presets there are, by name; by default those of the plugins.

    Attributes:
        loaders: the request's own.
        problems: what is wrong with values that are answered all the same.
    """

    statistics_repository: StatisticsRepository
    inventory: InventoryPort
    metrics: MetricQuerierPort
    plugins: PluginRegistry
    dataloader_manager: DataLoaderManager = attrs.field(factory=DataLoaderManager)
    rate_interval: timedelta | str = RATE_INTERVAL
    presets: Mapping[str, Preset] = attrs.field(default=attrs.Factory(_presets_of_plugins, takes_self=True))
    loaders: RequestLoaders = attrs.field(factory=RequestLoaders, init=False)
    problems: list[FieldProblem] = attrs.field(factory=list[FieldProblem], init=False)
