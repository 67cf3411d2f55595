"""An inventory that many callers share, and callers that are cancelled."""

from __future__ import annotations

import asyncio

from statcore.ports.inventory import InventoryPort
from statcore.testing.cancellation import cancel_at_every_step
from statcore.testing.expectations import expect
from statcore.testing.inventory.dataset import InventoryDataset


async def check_concurrent_callers_get_their_own_answers(inventory: InventoryPort, planted: InventoryDataset) -> None:
    """Many callers share one inventory at the same time, and each gets the answer to its own call."""
    ids = [session.session_id for session in planted.sessions[:30]]
    answers = await asyncio.gather(*(inventory.find_sessions([session_id]) for session_id in ids))
    found = [session and session.session_id for answer in answers for session in answer]
    expect(ids, found, "the sessions that concurrent callers find")


async def check_cancelled_callers_leave_the_inventory_usable(inventory: InventoryPort, planted: InventoryDataset) -> None:
    """A caller may be cancelled at any moment: it gets `CancelledError`, and the next caller gets its own answer."""
    everything = [session.session_id for session in planted.sessions]
    expected = everything[7]

    async def find_all() -> None:
        await inventory.find_sessions(everything)

    async def find_one() -> None:
        found = await inventory.find_sessions([expected])
        expect([expected], [session and session.session_id for session in found], "the session that the next caller finds")

    await cancel_at_every_step(find_all, then=find_one)
