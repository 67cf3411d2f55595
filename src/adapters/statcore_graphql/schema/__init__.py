"""The Strawberry schema for sessions, endpoints, agents, queriers and presets; the host's web framework serves it."""

from statcore.imports import requires_extra

with requires_extra("graphql"):
    from statcore_graphql.schema.build import build_schema
    from statcore_graphql.schema.encoding import encode_response
    from statcore_graphql.schema.query import Query

__all__ = ["Query", "build_schema", "encode_response"]
