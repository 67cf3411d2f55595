"""The loaders that one request has made, with what they have loaded, and its limit of objects and ids."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, Final, Protocol, TypeAlias

import attrs

from statcore.errors import LimitError
from statcore_graphql.batch_loader import BatchLoader

MAX_IDS: Final = 50_000
"""By default, how many objects a request may list and ids it may load, counted together."""

LoaderKey: TypeAlias = tuple[str, frozenset[tuple[str, Hashable]]]
"""A loader's name and its parameters by value, because hashes of them could collide."""


@attrs.define(eq=False)
class RequestLoaders:
    """What one request has loaded.

    Args:
        max_ids: how many objects and ids the request may list and load, counted together.

    Attributes:
        made: the loaders that were made, by name and parameters.
        count_so_far: the objects listed and the keys loaded until now.
    """

    max_ids: int = MAX_IDS
    made: dict[LoaderKey, BatchLoader[Any]] = attrs.field(factory=dict[LoaderKey, BatchLoader[Any]], init=False)
    count_so_far: int = attrs.field(default=0, init=False)

    def count(self, more: int, *, advice: str = "ask for fewer") -> None:
        """Count objects that are listed, or keys before they are loaded.

        Args:
            more: how many.
            advice: what the error says to do.

        Raises:
            LimitError: the request exceeds `max_ids`.
        """
        self.count_so_far += more
        if self.count_so_far > self.max_ids:
            message = f"the request asks for more than {self.max_ids} objects and statistics of objects; {advice}"
            raise LimitError(message, limit="ids")

    def cancel(self) -> None:
        """Cancel the reads that have not ended."""
        for loader in self.made.values():
            loader.cancel()


class HasLoaders(Protocol):
    """The part of a request's context that keeps its loaders."""

    @property
    def loaders(self) -> RequestLoaders:
        """The loaders that the request has made."""
        ...
