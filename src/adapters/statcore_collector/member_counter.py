"""A counter of the node whose parts come and go: network interfaces, disks."""

from __future__ import annotations

from collections.abc import Mapping


class MemberCounter:
    """The sum over members that never falls: from round to round it grows by what the members of both rounds counted.

    A member that is new or back, or whose own counter fell, contributes nothing in that round; what a member that has
    gone counted stays in the sum.
    """

    def __init__(self) -> None:
        """Start with nothing counted."""
        self._before: Mapping[str, float] | None = None
        self._total = 0.0

    def update(self, values: Mapping[str, float]) -> float:
        """Count the members' own counters, and return the sum."""
        if self._before is None:
            self._total = sum(values.values())
        else:
            self._total += sum(max(0, value - self._before.get(member, value)) for member, value in values.items())
        self._before = dict(values)
        return self._total
