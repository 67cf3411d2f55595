"""Pages of every list of an inventory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from statcore.errors import InputError
from statcore.ports.inventory import InventoryPort
from statcore.testing.expectations import expect, expect_error
from statcore.testing.inventory.dataset import InventoryDataset
from statcore.testing.inventory.methods import listers

_SIZES: Final = (1, 2, 7, 100, 1_000)
_FEW: Final = 5
"""How many pages of each size are read at the start, and at the end."""


async def check_pages_neither_overlap_nor_miss(inventory: InventoryPort, _planted: InventoryDataset) -> None:
    """Pages of any size are parts of one list in one order; a page without a limit reaches to the end."""
    async for kind, list_page in listers(inventory):
        whole = list((await list_page()).items)
        for size in _SIZES:
            offsets = range(0, len(whole), size)
            for offset in {*offsets[:_FEW], *offsets[-_FEW:]}:
                page = await list_page(limit=size, offset=offset)
                expect(whole[offset : offset + size], list(page.items), f"{size} {kind} from {offset} on")
        for offset in (1, len(whole) - 1):
            expect(whole[offset:], list((await list_page(offset=offset)).items), f"all {kind} from {offset} on")


async def check_every_page_tells_the_total(inventory: InventoryPort, _planted: InventoryDataset) -> None:
    """Every page, also an empty one, has the number of items in the whole list."""
    async for kind, list_page in listers(inventory):
        total = len((await list_page()).items)
        for limit, offset in ((None, 0), (3, 0), (3, 2), (0, 0), (3, total), (None, total + 10)):
            page = await list_page(limit=limit, offset=offset)
            expect(total, page.total_count, f"the total of a page of {limit} {kind} from {offset} on")


async def check_a_page_beyond_the_end_is_empty(inventory: InventoryPort, _planted: InventoryDataset) -> None:
    """A page with a limit of zero is empty, too, and the last page holds only the items that remain."""
    async for kind, list_page in listers(inventory):
        whole = list((await list_page()).items)
        for limit, offset in ((5, len(whole)), (5, len(whole) + 1_000), (None, len(whole)), (0, 0), (0, 1)):
            page = await list_page(limit=limit, offset=offset)
            expect([], list(page.items), f"a page of {limit} {kind} from {offset} on, of {len(whole)}")
        page = await list_page(limit=5, offset=len(whole) - 2)
        expect(whole[-2:], list(page.items), f"a page of 5 {kind} that begins 2 before the end")


async def check_negative_pages_are_refused(inventory: InventoryPort, _planted: InventoryDataset) -> None:
    """A negative limit or offset is an `InputError`, and never counts from the end."""
    bad: Sequence[tuple[int | None, int]] = ((-1, 0), (None, -1), (5, -5), (-3, -3))
    async for kind, list_page in listers(inventory):
        for limit, offset in bad:
            with expect_error(InputError, about=f"a page of {limit} {kind} from {offset} on"):
                await list_page(limit=limit, offset=offset)
