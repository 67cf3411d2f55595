"""GraphQL over HTTP: one schema, built at start-up, and one context for every request."""

from __future__ import annotations

from json import JSONDecodeError
from typing import cast

import attrs
from aiohttp import web
from strawberry.aiohttp.views import GraphQLView
from strawberry.schema import BaseSchema

from statcore import InventoryPort
from statcore.plugins import PluginRegistry
from statcore.runtime import Runtime
from statcore_graphql import DataLoaderManager, GraphQueryContext
from statcore_graphql.schema import build_schema


@attrs.frozen(kw_only=True)
class ContextFactory:
    """What the contexts of all requests have in common."""

    ports: Runtime
    inventory: InventoryPort
    plugins: PluginRegistry
    dataloader_manager: DataLoaderManager = attrs.field(factory=DataLoaderManager)

    def new(self) -> GraphQueryContext:
        """Return the context of one request."""
        return GraphQueryContext(
            statistics_repository=self.ports.repository,
            inventory=self.inventory,
            metrics=self.ports.metrics,
            plugins=self.plugins,
            dataloader_manager=self.dataloader_manager,
        )


class StatisticsView(GraphQLView[GraphQueryContext, None]):
    """The endpoint; it takes POST alone."""

    def __init__(self, schema: BaseSchema, contexts: ContextFactory) -> None:
        """Serve a schema."""
        super().__init__(schema, graphql_ide=None, allow_queries_via_get=False, subscription_protocols=())
        self._contexts = contexts

    def decode_json(self, data: str | bytes) -> object:
        """Read a body, where the view itself would fail on what is no text, is nested too deeply, or is no query at all."""
        try:
            body: object = super().decode_json(data)
        except (RecursionError, UnicodeDecodeError):
            body = None
        if not isinstance(body, dict | list):
            raise JSONDecodeError("not an object", "", 0)
        return cast("object", body)

    async def get_context(
        self,
        request: web.Request,  # noqa: ARG002 - a real manager would know its user from it
        response: web.Response | web.WebSocketResponse,  # noqa: ARG002
    ) -> GraphQueryContext:
        """Give every request a context, and with it loaders, of its own."""
        return self._contexts.new()


def graphql_view(contexts: ContextFactory) -> StatisticsView:
    """Build the schema, which fails now if a field wants a loader that does not exist."""
    return StatisticsView(build_schema(contexts.dataloader_manager), contexts)
