"""Checks of `statcore.testing.inventory`: each fails for an inventory with a fault, and passes without it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import attrs
import pytest
from tests.conformance.broken import (
    Broken,
    Fault,
    assert_listed_and_documented,
    confuses_concurrent_calls,
    drops_duplicates,
    keeps_the_reply_of_a_cancelled_call,
    swallows_cancellation,
)
from tests.conformance.planted_inventory import PLANTED, PlantedError, evolved, right_inventory

from statcore.errors import UnsupportedError
from statcore.model.inventory import Page
from statcore.testing import inventory
from statcore.testing.inventory import InventoryCheck

Call = Callable[..., Awaitable[Any]]


async def overlaps(_: Any, call: Call, *, limit: int | None = None, offset: int = 0) -> Any:
    """Begin a page one record too early."""
    return await call(limit=limit, offset=max(offset - 1, 0) if offset > 0 else offset)


async def counts_offsets_in_pages(_: Any, call: Call, *, limit: int | None = None, offset: int = 0) -> Any:
    """Multiply the offset by the limit."""
    return await call(limit=limit, offset=offset * (limit or 1))


async def sorts_each_page(_: Any, call: Call, *, limit: int | None = None, offset: int = 0) -> Any:
    """Sort after cutting the page, not before."""
    whole = await call()
    page = Page.cut(whole.items[::-1], limit=limit, offset=offset)
    return attrs.evolve(page, items=sorted(page.items, key=repr))


async def counts_the_page(_: Any, call: Call, **paging: Any) -> Any:
    """Return the length of the page as the total."""
    page = await call(**paging)
    return attrs.evolve(page, total_count=len(page.items))


async def counts_the_rest(_: Any, call: Call, *, limit: int | None = None, offset: int = 0) -> Any:
    """Return the number of records from the offset on as the total."""
    page = await call(limit=limit, offset=offset)
    return attrs.evolve(page, total_count=max(page.total_count - offset, 0))


async def repeats_the_last_page(_: Any, call: Call, *, limit: int | None = None, offset: int = 0) -> Any:
    """Return the last record for a page beyond the end."""
    return await call(limit=limit, offset=min(offset, (await call(limit=0)).total_count - 1))


async def takes_zero_for_none(_: Any, call: Call, *, limit: int | None = None, offset: int = 0) -> Any:
    """Take a limit of 0 for no limit."""
    return await call(limit=limit or None, offset=offset)


async def fills_the_last_page(_: Any, call: Call, *, limit: int | None = None, offset: int = 0) -> Any:
    """Move the last page back until it is full."""
    total = (await call(limit=0)).total_count
    return await call(limit=limit, offset=min(offset, max(total - limit, 0)) if limit and offset < total else offset)


async def counts_from_the_end(_: Any, call: Call, *, limit: int | None = None, offset: int = 0) -> Any:
    """Take a negative offset from the end, as slices do."""
    whole = await call()
    return Page(items=whole.items[offset:][:limit], total_count=whole.total_count)


async def lets_the_driver_fail(_: Any, call: Call, *, limit: int | None = None, offset: int = 0) -> Any:
    """Raise an exception that is not an error of statcore."""
    if (limit or 0) < 0 or offset < 0:
        raise ValueError("OFFSET must not be negative")
    return await call(limit=limit, offset=offset)


Ids = Sequence[str]


async def loses_kernels(_: Any, call: Call, **paging: Any) -> Any:
    """Return only the first kernel of a session."""
    return evolved(await call(**paging), kernels=lambda kernels: kernels[:1])


async def names_unknown_owners(_: Any, call: Call, **paging: Any) -> Any:
    """Return the text "undefined" as an owner."""

    def name(kernels: Any) -> Any:
        return tuple(attrs.evolve(kernel, agent_id=kernel.agent_id or "undefined") for kernel in kernels)

    return evolved(await call(**paging), kernels=name)


async def lists_a_hundred(_: Any, call: Call, *, limit: int | None = None, offset: int = 0) -> Any:
    """List at most 100 records."""
    return await call(limit=100 if limit is None else limit, offset=offset)


async def lists_twice(_: Any, call: Call, *, limit: int | None = None, offset: int = 0) -> Any:
    """List every record twice."""
    whole = await call()
    return Page.cut(sorted([*whole.items, *whole.items], key=repr), limit=limit, offset=offset)


async def turns_around(broken: Any, call: Call, *, limit: int | None = None, offset: int = 0) -> Any:
    """Reverse the order at every other call."""
    whole = await call()
    broken.memo.append(whole)
    return Page.cut(whole.items[:: 1 if len(broken.memo) % 2 else -1], limit=limit, offset=offset)


async def finds_kernels_turned_around(_: Any, call: Call, ids: Ids) -> Any:
    """Return the kernels of a session in the reverse order."""
    return [one and attrs.evolve(one, kernels=one.kernels[::-1]) for one in await call(ids)]


async def answers_in_its_own_order(_: Any, call: Call, ids: Ids) -> Any:
    """Return the records in the order of the sorted ids."""
    return await call(sorted(ids))


async def answers_a_hundred(_: Any, call: Call, ids: Ids) -> Any:
    """Find only the first 100 ids."""
    return [*await call(ids[:100]), *[None] * (len(ids) - 100)]


async def finds_half_sessions(_: Any, call: Call, ids: Ids) -> Any:
    """Return sessions without their kernels."""
    return [one and attrs.evolve(one, kernels=()) for one in await call(ids)]


async def drops_what_is_missing(_: Any, call: Call, ids: Ids) -> Any:
    """Return fewer records than ids."""
    return [one for one in await call(ids) if one is not None]


async def fails_for_what_is_missing(_: Any, call: Call, ids: Ids) -> Any:
    """Raise if one of the ids does not exist."""
    if None in (found := await call(ids)):
        raise PlantedError(ids)
    return found


async def finds_anything(broken: Any, call: Call, ids: Ids) -> Any:
    """Return all sessions where no id is given."""
    return await call(ids) if ids else (await broken.right.list_sessions()).items


async def answers_a_duplicate_once(_: Any, call: Call, ids: Ids) -> Any:
    """Return an entry at the first place of a duplicate id only."""
    return [one if ids.index(ids[at]) == at else None for at, one in enumerate(await call(ids))]


async def lists_an_agent_for_each_kernel(_: Any, _call: Call, *, limit: int | None = None, offset: int = 0) -> Any:
    """List an agent once for each of its kernels."""
    return Page.cut([kernel.agent_id for kernel in PLANTED.kernels if kernel.agent_id], limit=limit, offset=offset)


async def ignores_case(_: Any, call: Call, **paging: Any) -> Any:
    """Take agents whose names differ in case for one."""
    page = await call(**paging)
    return attrs.evolve(page, items=sorted({agent.lower() for agent in page.items}))


async def lists_what_serves(_: Any, call: Call, **paging: Any) -> Any:
    """Leave out replicas that do not serve."""
    return evolved(await call(**paging), replicas=lambda all_: tuple(replica for replica in all_ if replica.active))


async def is_unsupported_when_listing(_: Any, call: Call, *arguments: Any, **_paging: Any) -> Any:
    """Raise `UnsupportedError` from lists only."""
    if arguments:
        return await call(*arguments)
    raise UnsupportedError("no endpoints here")


async def is_unsupported_without_a_limit(_: Any, call: Call, *arguments: Any, **paging: Any) -> Any:
    """Raise `UnsupportedError` from lists without a limit only."""
    if arguments or paging:
        return await call(*arguments, **paging)
    raise UnsupportedError("no endpoints here")


CAUGHT: dict[InventoryCheck, list[tuple[str, Fault]]] = {
    inventory.check_pages_neither_overlap_nor_miss: [
        ("list_sessions", overlaps),
        ("list_agents", counts_offsets_in_pages),
        ("list_endpoints", sorts_each_page),
    ],
    inventory.check_every_page_tells_the_total: [
        ("list_sessions", counts_the_page),
        ("list_agents", counts_the_rest),
        ("list_endpoints", counts_the_page),
    ],
    inventory.check_a_page_beyond_the_end_is_empty: [
        ("list_sessions", repeats_the_last_page),
        ("list_agents", takes_zero_for_none),
        ("list_endpoints", fills_the_last_page),
    ],
    inventory.check_negative_pages_are_refused: [
        ("list_sessions", counts_from_the_end),
        ("list_agents", lets_the_driver_fail),
        ("list_endpoints", counts_from_the_end),
    ],
    inventory.check_all_sessions_are_listed: [
        ("list_sessions", loses_kernels),
        ("list_sessions", names_unknown_owners),
        ("list_sessions", lists_a_hundred),
        ("list_sessions", lists_twice),
    ],
    inventory.check_the_order_is_stable: [
        ("list_sessions", turns_around),
        ("list_agents", turns_around),
        ("find_sessions", finds_kernels_turned_around),
    ],
    inventory.check_sessions_are_found_in_the_order_asked: [
        ("find_sessions", answers_in_its_own_order),
        ("find_sessions", answers_a_hundred),
        ("find_sessions", finds_half_sessions),
    ],
    inventory.check_unknown_sessions_are_none: [
        ("find_sessions", drops_what_is_missing),
        ("find_sessions", fails_for_what_is_missing),
        ("find_sessions", finds_anything),
    ],
    inventory.check_duplicates_are_found_at_each_place: [
        ("find_sessions", drops_duplicates),
        ("find_sessions", answers_a_duplicate_once),
    ],
    inventory.check_agents_are_listed_once: [
        ("list_agents", lists_an_agent_for_each_kernel),
        ("list_agents", ignores_case),
    ],
    inventory.check_endpoints_are_all_listed_or_unsupported: [
        ("list_endpoints", lists_what_serves),
        ("list_endpoints", lists_twice),
        ("list_endpoints", is_unsupported_without_a_limit),
        ("", is_unsupported_when_listing),
    ],
    inventory.check_endpoints_are_found_in_the_order_asked: [
        ("find_endpoints", answers_in_its_own_order),
        ("find_endpoints", drops_what_is_missing),
        ("find_endpoints", answers_a_duplicate_once),
        ("find_endpoints", finds_anything),
    ],
    inventory.check_concurrent_callers_get_their_own_answers: [("find_sessions", confuses_concurrent_calls)],
    inventory.check_cancelled_callers_leave_the_inventory_usable: [
        ("find_sessions", swallows_cancellation),
        ("find_sessions", keeps_the_reply_of_a_cancelled_call),
    ],
}
"""Each check, and the faults that it must catch: a prefix of the methods that have the fault, and the fault."""


CASES = [(check, prefix, fault) for check, faults in CAUGHT.items() for prefix, fault in faults]


def test_every_check_catches_a_fault() -> None:
    """The table has each check, and no check is without a fault."""
    assert set(inventory.CHECKS) == {check for check, *_ in CASES}


def test_every_check_is_listed_and_documented() -> None:
    """No check of the package is left out or listed twice, and each has a docstring, which is its contract."""
    assert_listed_and_documented(inventory)


@pytest.mark.parametrize(("check", "prefix", "fault"), CASES, ids=lambda part: getattr(part, "__name__", part))
async def test_an_inventory_with_a_fault_fails_its_check(check: InventoryCheck, prefix: str, fault: Fault) -> None:
    """The check raises; for the inventory without the fault it passes."""
    wrong: Any = Broken(right_inventory(), fault, prefix=prefix)
    with pytest.raises((AssertionError, PlantedError)):
        await check(wrong, PLANTED)
    await check(right_inventory(), PLANTED)


async def test_an_inventory_without_endpoints_may_say_so() -> None:
    """It passes all checks as long as each method for endpoints raises `UnsupportedError`."""

    async def is_unsupported(*_: Any, **_paging: Any) -> None:
        raise UnsupportedError("no endpoints here")

    without_lists = Broken(right_inventory(), is_unsupported, prefix="list_endpoints")
    partial: Any = Broken(without_lists, is_unsupported, prefix="find_endpoints")
    for check in inventory.CHECKS:
        await check(partial, PLANTED)
    with pytest.raises(UnsupportedError):
        await partial.list_endpoints()
