"""Port of inventories in the same process that kernels are registered with."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from statcore.model.inventory import KernelRecord


@runtime_checkable
class InventorySinkPort(Protocol):
    """An inventory with which a collector registers the kernels that it runs; sessions and agents follow from these."""

    def register_kernel(self, kernel: KernelRecord, /) -> None:
        """Add a kernel, or replace what is known of it.

        Raises:
            InputError: an id is not a UUID; nothing is changed.
        """
        ...

    def forget_kernel(self, kernel_id: str, /) -> None:
        """Remove a kernel; an unknown kernel is ignored."""
        ...
