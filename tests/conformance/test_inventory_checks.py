"""Checks of `statcore.testing.inventory`: each fails for an inventory with a fault, and passes without it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import attrs
import pytest
from tests.conformance.broken import (
    Broken,
    Fault,
    answering,
    assert_each_is_listed_documented_and_caught,
    calling,
    cases,
    confuses_concurrent_calls,
    keeps_the_reply_of_a_cancelled_call,
    swallows_cancellation,
)
from tests.conformance.planted_inventory import PLANTED, PlantedError, evolved, right_inventory

from statcore.errors import UnsupportedError
from statcore.model.inventory import AgentRecord, KernelRecord, Page
from statcore.testing import inventory
from statcore.testing.inventory import InventoryCheck

Call = Callable[..., Awaitable[Any]]


def paging(change: Callable[[int | None, int, int], tuple[int | None, int]]) -> Fault:
    """Return a fault that lists another page; the change gets limit, offset and the number of all records."""

    async def fault(_: Broken, call: Call, *, limit: int | None = None, offset: int = 0) -> Any:
        other_limit, other_offset = change(limit, offset, (await call(limit=0)).total_count)
        return await call(limit=other_limit, offset=other_offset)

    return fault


def listing(change: Callable[[Any], Any]) -> Fault:
    """Return a fault that changes the whole list, and cuts the page from that."""

    async def fault(_: Broken, call: Call, *, limit: int | None = None, offset: int = 0) -> Any:
        return Page.cut(change((await call()).items), limit=limit, offset=offset)

    return fault


def named(kernels: Any) -> Any:
    """Return kernels with the text "undefined" as an owner that is not known."""
    return tuple(attrs.evolve(kernel, agent_id=kernel.agent_id or "undefined") for kernel in kernels)


def without_owners(found: Any, _: Any) -> Any:
    """Return kernels with their ids alone."""
    return [kernel and KernelRecord(kernel_id=kernel.kernel_id) for kernel in found]


async def sorts_each_page(_: Any, call: Call, *, limit: int | None = None, offset: int = 0) -> Any:
    """Sort after cutting the page, not before."""
    whole = await call()
    page = Page.cut(whole.items[::-1], limit=limit, offset=offset)
    return attrs.evolve(page, items=sorted(page.items, key=repr))


async def counts_the_rest(_: Any, call: Call, *, limit: int | None = None, offset: int = 0) -> Any:
    """Return the number of records from the offset on as the total."""
    page = await call(limit=limit, offset=offset)
    return attrs.evolve(page, total_count=max(page.total_count - offset, 0))


async def counts_from_the_end(_: Any, call: Call, *, limit: int | None = None, offset: int = 0) -> Any:
    """Take a negative offset from the end, as slices do."""
    whole = await call()
    return Page(items=whole.items[offset:][:limit], total_count=whole.total_count)


async def lets_the_driver_fail(_: Any, call: Call, *, limit: int | None = None, offset: int = 0) -> Any:
    """Raise an exception that is not an error of statcore."""
    if (limit or 0) < 0 or offset < 0:
        raise ValueError("OFFSET must not be negative")
    return await call(limit=limit, offset=offset)


async def turns_around(broken: Any, call: Call, *, limit: int | None = None, offset: int = 0) -> Any:
    """Reverse the order at every other call."""
    whole = await call()
    broken.memo.append(whole)
    return Page.cut(whole.items[:: 1 if len(broken.memo) % 2 else -1], limit=limit, offset=offset)


async def fails_for_what_is_missing(_: Any, call: Call, ids: Any) -> Any:
    """Raise if one of the ids does not exist."""
    if None in (found := await call(ids)):
        raise PlantedError(f"one of {ids} does not exist")
    return found


async def finds_anything(broken: Any, call: Call, ids: Any) -> Any:
    """Return all sessions where no id is given."""
    return await call(ids) if ids else (await broken.right.list_sessions()).items


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


FIRST_PLACES = answering(lambda found, ids: [one if ids.index(ids[at]) == at else None for at, one in enumerate(found)])
AT_MOST_100 = answering(lambda found, _: [*found[:100], *[None] * (len(found) - 100)])
METHODS = (
    *("list_sessions", "list_agents", "list_endpoints", "list_kernels"),
    *("find_sessions", "find_endpoints", "find_kernels", "find_agents"),
)

CAUGHT: dict[InventoryCheck, list[tuple[str, str, Fault]]] = {
    inventory.check_pages_neither_overlap_nor_miss: [
        ("list_sessions", "a record too early", paging(lambda limit, offset, _: (limit, max(offset - 1, min(offset, 0))))),
        ("list_kernels", "no offset without a limit", paging(lambda limit, offset, _: (limit, offset if limit else 0))),
        ("list_agents", "offset in pages", paging(lambda limit, offset, _: (limit, offset * (limit or 1)))),
        ("list_endpoints", "sorted after cutting", sorts_each_page),
    ],
    inventory.check_every_page_tells_the_total: [
        ("list_sessions", "length of the page", answering(lambda page: attrs.evolve(page, total_count=len(page.items)))),
        ("list_agents", "total from the offset on", counts_the_rest),
        ("list_endpoints", "length of the page", answering(lambda page: attrs.evolve(page, total_count=len(page.items)))),
    ],
    inventory.check_a_page_beyond_the_end_is_empty: [
        ("list_sessions", "the last record again", paging(lambda limit, offset, total: (limit, min(offset, total - 1)))),
        ("list_agents", "0 for no limit", paging(lambda limit, offset, _: (limit or None, offset))),
        (
            "list_endpoints",
            "last page filled",
            paging(
                lambda limit, offset, total: (
                    limit,
                    min(offset, max(total - limit, 0)) if limit and offset < total else offset,
                )
            ),
        ),
    ],
    inventory.check_negative_pages_are_refused: [
        ("list_sessions", "negative offsets from the end", counts_from_the_end),
        ("list_agents", "a foreign error", lets_the_driver_fail),
        ("list_endpoints", "negative offsets from the end", counts_from_the_end),
    ],
    inventory.check_all_sessions_are_listed: [
        (
            "list_sessions",
            "the first kernel only",
            answering(lambda page: evolved(page, kernels=lambda kernels: kernels[:1])),
        ),
        ("list_sessions", "undefined as an owner", answering(lambda page: evolved(page, kernels=named))),
        ("list_sessions", "at most 100", paging(lambda limit, offset, _: (100 if limit is None else limit, offset))),
        ("list_sessions", "every record twice", listing(lambda items: sorted([*items, *items], key=repr))),
    ],
    inventory.check_the_order_is_stable: [
        ("list_sessions", "every other call reversed", turns_around),
        ("list_agents", "every other call reversed", turns_around),
        (
            "find_sessions",
            "kernels reversed",
            answering(lambda found, _: [one and attrs.evolve(one, kernels=one.kernels[::-1]) for one in found]),
        ),
    ],
    inventory.check_sessions_are_found_in_the_order_asked: [
        ("find_sessions", "sorted ids", calling(sorted)),
        ("find_sessions", "at most 100", AT_MOST_100),
        (
            "find_sessions",
            "no kernels",
            answering(lambda found, _: [one and attrs.evolve(one, kernels=()) for one in found]),
        ),
    ],
    inventory.check_unknown_sessions_are_none: [
        ("find_sessions", "fewer records than ids", answering(lambda found, _: [one for one in found if one is not None])),
        ("find_sessions", "an error", fails_for_what_is_missing),
        ("find_sessions", "all for no id", finds_anything),
    ],
    inventory.check_duplicates_are_found_at_each_place: [
        ("find_sessions", "fewer records than ids", calling(lambda ids: list(dict.fromkeys(ids)))),
        ("find_sessions", "only the first place", FIRST_PLACES),
    ],
    inventory.check_agents_are_listed_once: [
        (
            "list_agents",
            "once for each kernel",
            listing(lambda _: [kernel.agent_id for kernel in PLANTED.kernels if kernel.agent_id]),
        ),
        (
            "list_agents",
            "case ignored",
            answering(lambda page: attrs.evolve(page, items=sorted({agent.lower() for agent in page.items}))),
        ),
    ],
    inventory.check_kernels_are_listed_if_at_all: [
        ("list_kernels", "no owners", answering(lambda page: attrs.evolve(page, items=without_owners(page.items, None)))),
        ("list_kernels", "at most 100", paging(lambda limit, offset, _: (100 if limit is None else limit, offset))),
        ("list_kernels", "every other call reversed", turns_around),
    ],
    inventory.check_owners_are_found_by_id_if_at_all: [
        ("find_kernels", "sorted ids", calling(sorted)),
        ("find_kernels", "only the first place", FIRST_PLACES),
        ("find_kernels", "no owners", answering(without_owners)),
        ("find_kernels", "an error", fails_for_what_is_missing),
        ("find_kernels", "at most 100", AT_MOST_100),
        ("find_kernels", "all for no id", finds_anything),
        ("find_agents", "all for no id", finds_anything),
        ("find_agents", "fewer records than ids", answering(lambda found, _: [one for one in found if one is not None])),
        ("find_agents", "at most 100", AT_MOST_100),
        ("find_agents", "every agent exists", answering(lambda _, ids: [AgentRecord(agent_id=id_) for id_ in ids])),
    ],
    inventory.check_endpoints_are_all_listed_or_unsupported: [
        (
            "list_endpoints",
            "active replicas only",
            answering(lambda page: evolved(page, replicas=lambda found: tuple(one for one in found if one.active))),
        ),
        (
            "list_endpoints",
            "no owners",
            answering(lambda page: evolved(page, user_id=lambda _: None, project_id=lambda _: None)),
        ),
        ("list_endpoints", "every record twice", listing(lambda items: sorted([*items, *items], key=repr))),
        ("list_endpoints", "lists unsupported without a limit", is_unsupported_without_a_limit),
        ("", "lists unsupported", is_unsupported_when_listing),
    ],
    inventory.check_endpoints_are_found_in_the_order_asked: [
        ("find_endpoints", "sorted ids", calling(sorted)),
        ("find_endpoints", "fewer records than ids", answering(lambda found, _: [one for one in found if one is not None])),
        ("find_endpoints", "only the first place", FIRST_PLACES),
        ("find_endpoints", "at most 100", AT_MOST_100),
        ("find_endpoints", "all for no id", finds_anything),
    ],
    inventory.check_concurrent_callers_get_their_own_answers: [
        (method, "confused", confuses_concurrent_calls) for method in METHODS
    ],
    inventory.check_cancelled_callers_leave_the_inventory_usable: [
        *((method, "no CancelledError", swallows_cancellation) for method in METHODS),
        *((method, "the reply of a cancelled call", keeps_the_reply_of_a_cancelled_call) for method in METHODS),
    ],
}
"""Each check, and the faults that it must catch: a prefix of the methods that have the fault, its name, and the fault."""


def test_every_check_catches_a_fault() -> None:
    """The table has each check of the package, which lists each once; the docstring of a check is its contract."""
    assert_each_is_listed_documented_and_caught(inventory, CAUGHT)


@pytest.mark.parametrize(("check", "prefix", "fault"), cases(CAUGHT))
async def test_an_inventory_with_a_fault_fails_its_check(check: InventoryCheck, prefix: str, fault: Fault) -> None:
    """The check raises, by an assertion or by an error of statcore from the inventory; without the fault it passes."""
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
