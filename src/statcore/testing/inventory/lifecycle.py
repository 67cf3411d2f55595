"""An inventory that many callers share, and callers that are cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from statcore.ports.inventory import InventoryPort
from statcore.testing.cancellation import cancel_at_every_step
from statcore.testing.expectations import expect
from statcore.testing.inventory.dataset import InventoryDataset
from statcore.testing.inventory.methods import Finder, Lister, finders, listers

_CALLERS: Final = 20


async def check_concurrent_callers_get_their_own_answers(inventory: InventoryPort, planted: InventoryDataset) -> None:
    """Many callers share one inventory at the same time, and each call of each method gets its own answer."""
    async for kind, ids, find in finders(inventory, planted):
        expected = await find(ids[:_CALLERS])
        found = await asyncio.gather(*(find([id_]) for id_ in ids[:_CALLERS]))
        expect([[record] for record in expected], [list(records) for records in found], f"{kind} found at once")
    async for kind, list_page in listers(inventory):
        whole = list((await list_page()).items)[:_CALLERS]
        pages = await asyncio.gather(*(list_page(limit=1, offset=offset) for offset in range(len(whole))))
        expect([[item] for item in whole], [list(page.items) for page in pages], f"pages of {kind} listed at once")


async def check_cancelled_callers_leave_the_inventory_usable(inventory: InventoryPort, planted: InventoryDataset) -> None:
    """A caller may be cancelled at any moment: it gets `CancelledError`, and the next caller gets its own answer."""
    async for kind, ids, find in finders(inventory, planted):
        await _cancel_finding(kind, ids, find)
    async for kind, list_page in listers(inventory):
        await _cancel_listing(kind, list_page)


async def _cancel_finding(kind: str, ids: Sequence[str], find: Finder) -> None:
    expected = list(await find(ids[3:4]))

    async def find_all() -> None:
        await find(ids)

    async def find_one() -> None:
        expect(expected, list(await find(ids[3:4])), f"one of the {kind} that the next caller finds")

    await cancel_at_every_step(find_all, then=find_one)


async def _cancel_listing(kind: str, list_page: Lister) -> None:
    expected = list((await list_page()).items)[2:4]

    async def list_all() -> None:
        await list_page()

    async def list_two() -> None:
        expect(expected, list((await list_page(limit=2, offset=2)).items), f"two {kind} that the next caller lists")

    await cancel_at_every_step(list_all, then=list_two)
