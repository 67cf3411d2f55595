"""A wrapper that has what its adapter has, by `__getattr__` alone."""

from __future__ import annotations

from typing import Any

import attrs


@attrs.frozen
class Delegating:
    """A wrapper that has nothing but what its adapter has.

    From Python 3.12 on, `isinstance` of a protocol does not see what only `__getattr__` finds. On Python 3.11 it does, so a
    test with this wrapper tells `as_port` from `isinstance` on Python 3.12 and later only.
    """

    adapter: Any

    def __getattr__(self, name: str) -> Any:
        """Return what the adapter has."""
        return getattr(self.adapter, name)
