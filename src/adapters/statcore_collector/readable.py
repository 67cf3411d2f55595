"""Reading the machine item by item: what cannot be read is left out with a reason, and everything else goes on."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar

import attrs
import psutil

from statcore.model.text import describe

ValueT = TypeVar("ValueT")
Arguments = ParamSpec("Arguments")


@attrs.frozen
class Unreadable:
    """The items that could not be read in one round, each with the reason."""

    reasons: dict[str, str] = attrs.field(factory=dict[str, str], init=False)

    def read(
        self, item: str, read: Callable[Arguments, ValueT], *args: Arguments.args, **kwargs: Arguments.kwargs
    ) -> ValueT | None:
        """Return what `read` returns for the arguments, or None where it fails: then the item is unreadable.

        Any exception counts, because neither psutil nor the system documents which ones it raises for a file that it
        does not know.

        Raises:
            psutil.NoSuchProcess: the process has ended, which is not a failure.
        """
        try:
            return read(*args, **kwargs)
        except psutil.NoSuchProcess:
            raise
        except Exception as error:  # noqa: BLE001 - a line that psutil does not know is a ValueError, an IndexError, …
            self.reasons[item] = describe(error)
            return None

    def add(self, owner: str, other: Unreadable) -> None:
        """Take over the items of one object."""
        self.reasons.update({f"{owner}: {item}": reason for item, reason in other.reasons.items()})
