"""Asking what exists."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from statcore.model.inventory import EndpointRecord, KernelRecord


@runtime_checkable
class InventoryPort(Protocol):
    """Whoever knows which objects exist; the answers are in a stable order."""

    async def list_kernels(self) -> Sequence[KernelRecord]:
        """Return every kernel with its session and owners."""
        ...

    async def list_endpoints(self) -> Sequence[EndpointRecord]:
        """Return every inference endpoint with its replicas."""
        ...
