"""Telling an inventory that lives in the same process what exists."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from statcore.model.inventory import KernelRecord


@runtime_checkable
class InventorySinkPort(Protocol):
    """An inventory that is told of kernels by who runs them; their sessions and agents follow from them."""

    def register_kernel(self, kernel: KernelRecord, /) -> None:
        """Add a kernel, or replace what is known of it.

        Raises:
            InputError: an id that is not one; nothing is changed.
        """
        ...

    def forget_kernel(self, kernel_id: str, /) -> None:
        """Remove a kernel; one that is not known is ignored."""
        ...
