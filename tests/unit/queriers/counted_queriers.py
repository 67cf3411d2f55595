"""Queriers that count the calls of their methods."""

from __future__ import annotations

from collections import Counter
from typing import Any, Final

import attrs

from statcore.testing.queriers import FixedQuerier

METHODS: Final = ("name", "labels", "group_by_labels", "query_strategy")
ONCE: Final = dict.fromkeys(METHODS, 1)
"""The calls of a querier that is resolved once."""


@attrs.frozen(slots=False)
class CountedQuerier(FixedQuerier):
    """A querier that counts the calls of each method."""

    calls: Counter[str] = attrs.field(factory=Counter[str], eq=False)

    def __getattribute__(self, name: str) -> Any:
        """Count a method."""
        if name in METHODS:
            self.calls[name] += 1
        return super().__getattribute__(name)


def counted(host: str, metric: str = "up") -> CountedQuerier:
    """Return a querier of a host."""
    return CountedQuerier(metric, {"host": host}, group_by=["host"])
