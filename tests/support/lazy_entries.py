"""Entries that decode when they are read, as those of the Valkey adapter do, of which some cannot be."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import attrs

from statcore.errors import MalformedEntryError


@attrs.frozen(eq=False)
class Lazy(Mapping[Any, Any]):
    """An entry that decodes when it is read.

    A value that is an exception is raised. What is called `bad` cannot be read; an entry with `nothing` cannot be listed.
    """

    parts: dict[Any, Any]

    def __getitem__(self, name: Any) -> Any:
        """Decode."""
        if str(name).startswith("bad"):
            raise MalformedEntryError(f"{name} holds garbage", key="k", metric=name)
        if isinstance(self.parts[name], Exception):
            raise self.parts[name]
        return self.parts[name]

    def __contains__(self, name: object) -> bool:
        """Return whether there is a value, without decoding it."""
        return name in self.parts

    def __iter__(self) -> Iterator[Any]:
        """List the names."""
        if "nothing" in self.parts:
            raise MalformedEntryError("nothing can be read", key="k")
        return iter(self.parts)

    def __len__(self) -> int:
        """Count the names."""
        return len(self.parts)
