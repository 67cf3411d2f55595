"""Reads a page of a list, with limits per list and per request."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from statcore.errors import InputError
from statcore.model.inventory import Page
from statcore_graphql.context import GraphQueryContext

DEFAULT_LIMIT: Final = 100
MAX_LIMIT: Final = 10_000

_Record = TypeVar("_Record")


async def read_page(
    context: GraphQueryContext, list_: Callable[..., Awaitable[Page[_Record]]], *, limit: int, offset: int
) -> Page[_Record]:
    """Return a page of a list of the inventory.

    Args:
        context: counts the objects of the page for the request.
        list_: the method of the inventory.
        limit: the most objects of the page.
        offset: how many objects to skip.

    Raises:
        InputError: the limit is above `MAX_LIMIT`, or the request lists and loads too many objects.
    """
    if limit > MAX_LIMIT:
        raise InputError(f"limit must be at most {MAX_LIMIT}, not {limit}; page with offset")
    page = await list_(limit=limit, offset=offset)
    context.loaders.count(len(page.items))
    return page
