"""GraphQL over HTTP: the schema is built once at start-up, a context for every request."""

from __future__ import annotations

from json import JSONDecodeError
from typing import cast

import attrs
from aiohttp import web
from strawberry.aiohttp.views import GraphQLView
from strawberry.http import GraphQLHTTPResponse
from strawberry.schema import BaseSchema

from statcore import InventoryPort
from statcore.plugins import PluginRegistry
from statcore.runtime import Runtime
from statcore_graphql import DataLoaderManager, GraphQueryContext
from statcore_graphql.schema import build_schema, encode_response


@attrs.frozen(kw_only=True)
class ContextFactory:
    """Makes the contexts of requests from what all requests share."""

    ports: Runtime
    inventory: InventoryPort
    plugins: PluginRegistry
    dataloader_manager: DataLoaderManager = attrs.field(factory=DataLoaderManager)

    def new(self) -> GraphQueryContext:
        """Return the context for one request."""
        return GraphQueryContext(
            statistics_repository=self.ports.repository,
            inventory=self.inventory,
            metrics=self.ports.metrics,
            plugins=self.plugins,
            dataloader_manager=self.dataloader_manager,
            encoded=True,
        )


class StatisticsView(GraphQLView[GraphQueryContext, None]):
    """The HTTP endpoint, for POST requests only."""

    def __init__(self, schema: BaseSchema, contexts: ContextFactory) -> None:
        """Serve a schema with contexts from a factory."""
        super().__init__(schema, graphql_ide=None, allow_queries_via_get=False, subscription_protocols=())
        self._contexts = contexts

    def decode_json(self, data: str | bytes) -> object:
        """Parse a request body.

        Strawberry's own parsing answers some bad bodies with status 500: not UTF-8, nested too deeply, not an object.

        Raises:
            JSONDecodeError: the body is not a JSON object or a list; Strawberry answers with status 400.
        """
        try:
            body: object = super().decode_json(data)
        except (RecursionError, UnicodeDecodeError):
            body = None
        if not isinstance(body, dict | list):
            raise JSONDecodeError("not an object", "", 0)
        return cast("object", body)

    def create_response(
        self, response_data: GraphQLHTTPResponse | list[GraphQLHTTPResponse], sub_response: web.Response
    ) -> web.Response:
        """Return the response with its body, which Strawberry's own method would decode and encode again."""
        sub_response.content_type = "application/json"
        sub_response.body = encode_response(response_data)
        return sub_response

    async def get_context(
        self,
        request: web.Request,  # noqa: ARG002 - a real manager would read the user from it
        response: web.Response | web.WebSocketResponse,  # noqa: ARG002
    ) -> GraphQueryContext:
        """Return a new context, so that no loaders are shared between requests."""
        return self._contexts.new()


def graphql_view(contexts: ContextFactory) -> StatisticsView:
    """Build the schema, and return its view.

    Raises:
        InputError: a field of the schema needs a loader that does not exist.
    """
    return StatisticsView(build_schema(contexts.dataloader_manager), contexts)
