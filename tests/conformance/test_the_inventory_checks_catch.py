"""What the inventory checks are there for: inventories whose pages are wrong, each failing its check."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from types import ModuleType
from typing import Any

import attrs
import pytest
from tests.conformance.planted_inventory import expect_caught, right_inventory

from statcore.model.inventory import Page
from statcore.testing import inventory
from statcore.testing.inventory import InventoryCheck

Call = Callable[..., Awaitable[Any]]


async def overlaps(_: Any, call: Call, *, limit: int | None = None, offset: int = 0) -> Any:
    """Begins one too early."""
    return await call(limit=limit, offset=max(offset - 1, 0) if offset > 0 else offset)


async def counts_offsets_in_pages(_: Any, call: Call, *, limit: int | None = None, offset: int = 0) -> Any:
    """Page 3 is from 3 times the limit on."""
    return await call(limit=limit, offset=offset * (limit or 1))


async def sorts_each_page(_: Any, call: Call, *, limit: int | None = None, offset: int = 0) -> Any:
    """Cut first, then put into order."""
    whole = await call()
    page = Page.cut(whole.items[::-1], limit=limit, offset=offset)
    return attrs.evolve(page, items=sorted(page.items, key=repr))


async def counts_the_page(_: Any, call: Call, **paging: Any) -> Any:
    """The total is what is on it."""
    page = await call(**paging)
    return attrs.evolve(page, total_count=len(page.items))


async def counts_the_rest(_: Any, call: Call, *, limit: int | None = None, offset: int = 0) -> Any:
    """The total is what begins there."""
    page = await call(limit=limit, offset=offset)
    return attrs.evolve(page, total_count=max(page.total_count - offset, 0))


async def repeats_the_last_page(_: Any, call: Call, *, limit: int | None = None, offset: int = 0) -> Any:
    """There is always something."""
    return await call(limit=limit, offset=min(offset, (await call(limit=0)).total_count - 1))


async def takes_zero_for_none(_: Any, call: Call, *, limit: int | None = None, offset: int = 0) -> Any:
    """No limit instead of none of it."""
    return await call(limit=limit or None, offset=offset)


async def fills_the_last_page(_: Any, call: Call, *, limit: int | None = None, offset: int = 0) -> Any:
    """Moved back until it is full."""
    total = (await call(limit=0)).total_count
    return await call(limit=limit, offset=min(offset, max(total - limit, 0)) if limit and offset < total else offset)


async def counts_from_the_end(_: Any, call: Call, *, limit: int | None = None, offset: int = 0) -> Any:
    """As slices do."""
    whole = await call()
    return Page(items=whole.items[offset:][:limit], total_count=whole.total_count)


async def lets_the_driver_fail(_: Any, call: Call, *, limit: int | None = None, offset: int = 0) -> Any:
    """An exception that is not the library's."""
    if (limit or 0) < 0 or offset < 0:
        raise ValueError("OFFSET must not be negative")
    return await call(limit=limit, offset=offset)


CAUGHT: list[tuple[InventoryCheck, str, Callable[..., Any]]] = [
    (inventory.check_pages_neither_overlap_nor_miss, "list_sessions", overlaps),
    (inventory.check_pages_neither_overlap_nor_miss, "list_agents", counts_offsets_in_pages),
    (inventory.check_pages_neither_overlap_nor_miss, "list_endpoints", sorts_each_page),
    (inventory.check_every_page_tells_the_total, "list_sessions", counts_the_page),
    (inventory.check_every_page_tells_the_total, "list_agents", counts_the_rest),
    (inventory.check_every_page_tells_the_total, "list_endpoints", counts_the_page),
    (inventory.check_a_page_beyond_the_end_is_empty, "list_sessions", repeats_the_last_page),
    (inventory.check_a_page_beyond_the_end_is_empty, "list_agents", takes_zero_for_none),
    (inventory.check_a_page_beyond_the_end_is_empty, "list_endpoints", fills_the_last_page),
    (inventory.check_negative_pages_are_refused, "list_sessions", counts_from_the_end),
    (inventory.check_negative_pages_are_refused, "list_agents", lets_the_driver_fail),
    (inventory.check_negative_pages_are_refused, "list_endpoints", counts_from_the_end),
]


@pytest.mark.parametrize(("check", "prefix", "fault"), CAUGHT, ids=lambda part: getattr(part, "__name__", part))
async def test_an_inventory_that_is_wrong_fails_its_check(
    check: InventoryCheck, prefix: str, fault: Callable[..., Any], faulty: Any
) -> None:
    """The same inventory without the fault passes."""
    await expect_caught(check, faulty(right_inventory(), fault, prefix=prefix))


def test_every_check_of_paging_catches_something() -> None:
    """None is without an inventory that fails it."""
    assert {check for check in inventory.CHECKS if check.__module__.endswith("paging")} == {check for check, *_ in CAUGHT}


def test_every_check_is_listed_and_has_a_contract() -> None:
    """None of the package is left out, none comes twice, and each says what it is for."""
    defined = [
        check
        for name, module in vars(inventory).items()
        if isinstance(module, ModuleType)
        for check in vars(module).values()
        if getattr(check, "__module__", "").endswith(f".inventory.{name}") and check.__name__.startswith("check_")
    ]
    assert sorted(map(repr, defined)) == sorted(map(repr, inventory.CHECKS))
    assert all(check.__doc__ for check in inventory.CHECKS)
