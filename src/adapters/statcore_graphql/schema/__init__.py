"""The schema, on Strawberry: what a manager asks about its objects. Served by whatever web framework the host has."""

from statcore.imports import requires_extra

with requires_extra("graphql"):
    from statcore_graphql.schema.build import build_schema
    from statcore_graphql.schema.query import Query

__all__ = ["Query", "build_schema"]
