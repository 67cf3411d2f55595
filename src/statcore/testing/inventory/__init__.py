"""The checks of an inventory: one plain async function per promise; its docstring is the promise.

Each check takes an inventory that holds the records of an `InventoryDataset` and no others, and the data set. It raises
`AssertionError` when the promise is broken.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

from statcore.ports.inventory import InventoryPort
from statcore.testing.inventory.dataset import InventoryDataset, container_samples
from statcore.testing.inventory.endpoints import (
    check_endpoints_are_all_listed_or_unsupported,
    check_endpoints_are_found_in_the_order_asked,
)
from statcore.testing.inventory.lifecycle import (
    check_cancelled_callers_leave_the_inventory_usable,
    check_concurrent_callers_get_their_own_answers,
)
from statcore.testing.inventory.paging import (
    check_a_page_beyond_the_end_is_empty,
    check_every_page_tells_the_total,
    check_negative_pages_are_refused,
    check_pages_neither_overlap_nor_miss,
)
from statcore.testing.inventory.sessions import (
    check_agents_are_listed_once,
    check_all_sessions_are_listed,
    check_duplicates_are_found_at_each_place,
    check_kernels_are_listed_if_at_all,
    check_owners_are_found_by_id_if_at_all,
    check_sessions_are_found_in_the_order_asked,
    check_the_order_is_stable,
    check_unknown_sessions_are_none,
)

InventoryCheck: TypeAlias = Callable[[InventoryPort, InventoryDataset], Awaitable[None]]

CHECKS: Final[tuple[InventoryCheck, ...]] = (
    check_all_sessions_are_listed,
    check_the_order_is_stable,
    check_pages_neither_overlap_nor_miss,
    check_every_page_tells_the_total,
    check_a_page_beyond_the_end_is_empty,
    check_negative_pages_are_refused,
    check_sessions_are_found_in_the_order_asked,
    check_unknown_sessions_are_none,
    check_duplicates_are_found_at_each_place,
    check_agents_are_listed_once,
    check_kernels_are_listed_if_at_all,
    check_owners_are_found_by_id_if_at_all,
    check_endpoints_are_all_listed_or_unsupported,
    check_endpoints_are_found_in_the_order_asked,
    check_concurrent_callers_get_their_own_answers,
    check_cancelled_callers_leave_the_inventory_usable,
)

__all__ = ["CHECKS", "InventoryCheck", "InventoryDataset", "container_samples"]
