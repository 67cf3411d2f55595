"""What the other inventory checks are there for: inventories whose records are wrong, each failing its check."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import attrs
import pytest
from tests.conformance.planted_inventory import PLANTED, PlantedError, evolved, expect_caught, right_inventory

from statcore.errors import UnsupportedError
from statcore.model.inventory import Page
from statcore.testing import inventory
from statcore.testing.inventory import InventoryCheck

Call = Callable[..., Awaitable[Any]]
Ids = Sequence[str]


async def loses_kernels(_: Any, call: Call, **paging: Any) -> Any:
    """Every session has one."""
    return evolved(await call(**paging), kernels=lambda kernels: kernels[:1])


async def names_unknown_owners(_: Any, call: Call, **paging: Any) -> Any:
    """What the label says is taken for an owner."""

    def name(kernels: Any) -> Any:
        return tuple(attrs.evolve(kernel, agent_id=kernel.agent_id or "undefined") for kernel in kernels)

    return evolved(await call(**paging), kernels=name)


async def lists_a_hundred(_: Any, call: Call, *, limit: int | None = None, offset: int = 0) -> Any:
    """A silent limit."""
    return await call(limit=100 if limit is None else limit, offset=offset)


async def lists_twice(_: Any, call: Call, *, limit: int | None = None, offset: int = 0) -> Any:
    """A join without distinct."""
    whole = await call()
    return Page.cut(sorted([*whole.items, *whole.items], key=repr), limit=limit, offset=offset)


async def turns_around(broken: Any, call: Call, *, limit: int | None = None, offset: int = 0) -> Any:
    """Every other time in the other order."""
    whole = await call()
    broken.memo.append(whole)
    return Page.cut(whole.items[:: 1 if len(broken.memo) % 2 else -1], limit=limit, offset=offset)


async def finds_kernels_turned_around(_: Any, call: Call, ids: Ids) -> Any:
    """Not in the order in which they are listed."""
    return [one and attrs.evolve(one, kernels=one.kernels[::-1]) for one in await call(ids)]


async def answers_in_its_own_order(_: Any, call: Call, ids: Ids) -> Any:
    """Not the caller's."""
    return await call(sorted(ids))


async def answers_a_hundred(_: Any, call: Call, ids: Ids) -> Any:
    """A silent limit."""
    return [*await call(ids[:100]), *[None] * (len(ids) - 100)]


async def finds_half_sessions(_: Any, call: Call, ids: Ids) -> Any:
    """Without their kernels."""
    return [one and attrs.evolve(one, kernels=()) for one in await call(ids)]


async def drops_what_is_missing(_: Any, call: Call, ids: Ids) -> Any:
    """Fewer answers than ids."""
    return [one for one in await call(ids) if one is not None]


async def fails_for_what_is_missing(_: Any, call: Call, ids: Ids) -> Any:
    """One unknown id takes the others with it."""
    if None in (found := await call(ids)):
        raise PlantedError(ids)
    return found


async def finds_anything(broken: Any, call: Call, ids: Ids) -> Any:
    """No ids are no condition."""
    return await call(ids) if ids else (await broken.right.list_sessions()).items


async def drops_duplicates(_: Any, call: Call, ids: Ids) -> Any:
    """Fewer answers than ids."""
    return await call(list(dict.fromkeys(ids)))


async def answers_a_duplicate_once(_: Any, call: Call, ids: Ids) -> Any:
    """The first gets it all."""
    return [one if ids.index(ids[at]) == at else None for at, one in enumerate(await call(ids))]


async def lists_an_agent_for_each_kernel(_: Any, _call: Call, *, limit: int | None = None, offset: int = 0) -> Any:
    """Without distinct."""
    return Page.cut([kernel.agent_id for kernel in PLANTED.kernels if kernel.agent_id], limit=limit, offset=offset)


async def ignores_case(_: Any, call: Call, **paging: Any) -> Any:
    """Two agents become one."""
    page = await call(**paging)
    return attrs.evolve(page, items=sorted({agent.lower() for agent in page.items}))


async def lists_what_serves(_: Any, call: Call, **paging: Any) -> Any:
    """Replicas that do not serve are left out."""
    return evolved(await call(**paging), replicas=lambda all_: tuple(replica for replica in all_ if replica.active))


async def is_unsupported_when_listing(_: Any, call: Call, *asked: Any, **_paging: Any) -> Any:
    """Finding says that there is none."""
    if asked:
        return await call(*asked)
    raise UnsupportedError("no endpoints here")


async def is_unsupported_without_a_limit(_: Any, call: Call, *asked: Any, **paging: Any) -> Any:
    """A page says that there is none."""
    if asked or paging:
        return await call(*asked, **paging)
    raise UnsupportedError("no endpoints here")


async def shares_one_reply(broken: Any, call: Call, ids: Ids) -> Any:
    """What was asked last is answered to all."""
    broken.memo[:] = [ids]
    await asyncio.sleep(0)
    return await call(broken.memo[0])


async def swallows_cancellation(_: Any, call: Call, ids: Ids) -> Any:
    """An answer where `CancelledError` is due."""
    try:
        await asyncio.sleep(0)
    except asyncio.CancelledError:
        return [None] * len(ids)
    return await call(ids)


async def keeps_the_reply_of_a_cancelled_call(broken: Any, call: Call, ids: Ids) -> Any:
    """It goes to whoever comes next."""
    broken.memo.append(ids)
    await asyncio.sleep(0)
    return await call(broken.memo.pop(0))


CAUGHT: list[tuple[InventoryCheck, str, Callable[..., Any]]] = [
    (inventory.check_all_sessions_are_listed, "list_sessions", loses_kernels),
    (inventory.check_all_sessions_are_listed, "list_sessions", names_unknown_owners),
    (inventory.check_all_sessions_are_listed, "list_sessions", lists_a_hundred),
    (inventory.check_all_sessions_are_listed, "list_sessions", lists_twice),
    (inventory.check_the_order_is_stable, "list_sessions", turns_around),
    (inventory.check_the_order_is_stable, "list_agents", turns_around),
    (inventory.check_the_order_is_stable, "find_sessions", finds_kernels_turned_around),
    (inventory.check_sessions_are_found_in_the_order_asked, "find_sessions", answers_in_its_own_order),
    (inventory.check_sessions_are_found_in_the_order_asked, "find_sessions", answers_a_hundred),
    (inventory.check_sessions_are_found_in_the_order_asked, "find_sessions", finds_half_sessions),
    (inventory.check_unknown_sessions_are_none, "find_sessions", drops_what_is_missing),
    (inventory.check_unknown_sessions_are_none, "find_sessions", fails_for_what_is_missing),
    (inventory.check_unknown_sessions_are_none, "find_sessions", finds_anything),
    (inventory.check_duplicates_are_found_at_each_place, "find_sessions", drops_duplicates),
    (inventory.check_duplicates_are_found_at_each_place, "find_sessions", answers_a_duplicate_once),
    (inventory.check_agents_are_listed_once, "list_agents", lists_an_agent_for_each_kernel),
    (inventory.check_agents_are_listed_once, "list_agents", ignores_case),
    (inventory.check_endpoints_are_all_listed_or_unsupported, "list_endpoints", lists_what_serves),
    (inventory.check_endpoints_are_all_listed_or_unsupported, "list_endpoints", lists_twice),
    (inventory.check_endpoints_are_all_listed_or_unsupported, "list_endpoints", is_unsupported_without_a_limit),
    (inventory.check_endpoints_are_all_listed_or_unsupported, "", is_unsupported_when_listing),
    (inventory.check_endpoints_are_found_in_the_order_asked, "find_endpoints", answers_in_its_own_order),
    (inventory.check_endpoints_are_found_in_the_order_asked, "find_endpoints", drops_what_is_missing),
    (inventory.check_endpoints_are_found_in_the_order_asked, "find_endpoints", answers_a_duplicate_once),
    (inventory.check_endpoints_are_found_in_the_order_asked, "find_endpoints", finds_anything),
    (inventory.check_concurrent_callers_get_their_own_answers, "find_sessions", shares_one_reply),
    (inventory.check_cancelled_callers_leave_the_inventory_usable, "find_sessions", swallows_cancellation),
    (inventory.check_cancelled_callers_leave_the_inventory_usable, "find_sessions", keeps_the_reply_of_a_cancelled_call),
]


@pytest.mark.parametrize(("check", "prefix", "fault"), CAUGHT, ids=lambda part: getattr(part, "__name__", part))
async def test_an_inventory_that_is_wrong_fails_its_check(
    check: InventoryCheck, prefix: str, fault: Callable[..., Any], faulty: Any
) -> None:
    """The same inventory without the fault passes."""
    await expect_caught(check, faulty(right_inventory(), fault, prefix=prefix))


def test_every_check_of_records_catches_something() -> None:
    """None is without an inventory that fails it."""
    of_records = ("sessions", "endpoints", "lifecycle")
    assert {check for check in inventory.CHECKS if check.__module__.endswith(of_records)} == {check for check, *_ in CAUGHT}


async def test_an_inventory_without_endpoints_may_say_so(faulty: Any) -> None:
    """It keeps every promise as long as each method for endpoints says the same."""

    async def is_unsupported(*_: Any, **_paging: Any) -> None:
        raise UnsupportedError("no endpoints here")

    partial = faulty(faulty(right_inventory(), is_unsupported, prefix="list_endpoints"), is_unsupported, prefix="find_end")
    for check in inventory.CHECKS:
        await check(partial, PLANTED)
    with pytest.raises(UnsupportedError):
        await partial.list_endpoints()
