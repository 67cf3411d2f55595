"""GraphQL in a FastAPI application: the routes, and the context that Strawberry's router for FastAPI accepts.

It is a module of its own because it imports FastAPI.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from json import JSONDecodeError
from typing import Any, Final, cast

import attrs
from fastapi import Depends
from strawberry.fastapi import BaseContext, GraphQLRouter

from statcore.plugins import PluginRegistry, Preset
from statcore.runtime import Runtime
from statcore_graphql.context import GraphQueryContext
from statcore_graphql.loaders import DataLoaderManager
from statcore_graphql.schema import Query, build_schema, encode_response
from statcore_graphql.schema.limits import MAX_ALIASES, MAX_DEPTH, MAX_TOKENS

_QUERY_LIMITS: Final = {"depth": MAX_DEPTH, "aliases": MAX_ALIASES, "tokens": MAX_TOKENS}
"""The limits that `build_schema` has by default."""


@attrs.define(kw_only=True, eq=False, slots=False, on_setattr=attrs.setters.frozen)
class FastAPIQueryContext(GraphQueryContext, BaseContext):
    """A `GraphQueryContext` with the fields `request`, `response` and `background_tasks`, which the router sets."""

    def __attrs_pre_init__(self) -> None:
        """Initialize the router's fields with None."""
        BaseContext.__init__(self)


class StatisticsRouter(GraphQLRouter[FastAPIQueryContext, None]):
    """The GraphQL routes, for POST requests only; `app.include_router(router, prefix="/graphql")` mounts them."""

    def __init__(
        self,
        runtime: Callable[..., Any],
        plugins: PluginRegistry,
        *,
        query: type = Query,
        presets: Mapping[str, Preset] | None = None,
    ) -> None:
        """Build the schema.

        Args:
            runtime: a dependency of FastAPI that returns the ports for the caller of a request, a `Runtime`:
                `confine(runtime, scope)`, or the open runtime itself for a caller who sees everything.
            plugins: the registry of the kinds of querier.
            query: the schema's `Query`, or the host's subclass of it with more fields.
            presets: the presets by name; by default the presets of the plugins.

        Raises:
            InputError: a field of the schema needs a loader that does not exist.
        """
        loaders = DataLoaderManager()
        chosen_presets = plugins.presets if presets is None else presets

        # FastAPI reads annotations outside this function, so they cannot name `runtime`; a default value can.
        async def new_context(ports: Runtime = Depends(runtime)) -> FastAPIQueryContext:  # noqa: B008
            return FastAPIQueryContext(
                statistics_repository=ports.repository,
                inventory=ports.inventory,
                metrics=ports.metrics,
                plugins=plugins,
                dataloader_manager=loaders,
                presets=chosen_presets,
                encoded=True,
                limits=_QUERY_LIMITS,
            )

        super().__init__(
            build_schema(loaders, query=query),
            context_getter=new_context,
            graphql_ide=None,
            allow_queries_via_get=False,
            subscription_protocols=(),
        )

    def decode_json(self, data: str | bytes) -> object:
        """Parse a request body.

        Strawberry's own parsing answers some bad bodies with status 500: not UTF-8, nested too deeply, not an object.

        Raises:
            JSONDecodeError: the body is not a JSON object; Strawberry answers with status 400.
        """
        try:
            body: object = super().decode_json(data)
        except (RecursionError, UnicodeDecodeError):
            body = None
        if not isinstance(body, dict):
            raise JSONDecodeError("not an object", "", 0)
        return cast("object", body)

    def encode_json(self, data: object) -> bytes:
        """Return a response as JSON text."""
        return encode_response(data)
