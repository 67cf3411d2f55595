"""The context for Strawberry's router for FastAPI, which accepts only its own class; nothing else imports this module."""

from __future__ import annotations

import attrs
from strawberry.fastapi import BaseContext

from statcore_graphql.context import GraphQueryContext


@attrs.define(kw_only=True, eq=False, slots=False, on_setattr=attrs.setters.frozen)
class FastAPIQueryContext(GraphQueryContext, BaseContext):
    """A `GraphQueryContext` whose `request`, `response` and `background_tasks` the router sets."""

    def __attrs_pre_init__(self) -> None:
        """Start without them."""
        BaseContext.__init__(self)
