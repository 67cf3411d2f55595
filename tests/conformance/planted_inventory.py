"""An inventory in memory that holds the planted records, and a change to what it answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs

from statcore.errors import StatcoreError
from statcore.testing.inventory import InventoryDataset
from statcore_memory import MemoryInventory

PLANTED = InventoryDataset.usual()


def right_inventory(planted: InventoryDataset = PLANTED) -> MemoryInventory:
    """Return an inventory that holds the planted records."""
    right = MemoryInventory()
    for kernel in planted.kernels:
        right.register_kernel(kernel)
    for endpoint in planted.endpoints:
        right.register_endpoint(endpoint)
    return right


class PlantedError(StatcoreError):
    """The error of statcore that an inventory raises where no error is due; no check raises it by itself."""


def evolved(page: Any, **changes: Callable[[Any], Any]) -> Any:
    """Return a page of records of which some fields are changed."""
    items = [
        attrs.evolve(item, **{name: change(getattr(item, name)) for name, change in changes.items()}) for item in page.items
    ]
    return attrs.evolve(page, items=items)
