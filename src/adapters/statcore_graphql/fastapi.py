"""The context for Strawberry's FastAPI router, which accepts subclasses of its own class only.

It is a module of its own because it imports FastAPI.
"""

from __future__ import annotations

import attrs
from strawberry.fastapi import BaseContext

from statcore_graphql.context import GraphQueryContext


@attrs.define(kw_only=True, eq=False, slots=False, on_setattr=attrs.setters.frozen)
class FastAPIQueryContext(GraphQueryContext, BaseContext):
    """A `GraphQueryContext` with the fields `request`, `response` and `background_tasks`, which the router sets."""

    def __attrs_pre_init__(self) -> None:
        """Initialize the router's fields with None."""
        BaseContext.__init__(self)
