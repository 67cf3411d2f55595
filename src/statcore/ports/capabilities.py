"""What an adapter can do: whether it has the methods of a port."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from functools import cache
from typing import TypeVar, cast

_Port = TypeVar("_Port")


def as_port(adapter: object, port: type[_Port]) -> _Port | None:
    """Return an adapter as a port of which it has all methods; None if it lacks some.

    A wrapper may delegate with `__getattr__`, which `isinstance` sees in some Python versions and not in others.
    """
    return None if missing_methods(adapter, port) else cast("_Port", adapter)


def missing_methods(adapter: object, port: type[object]) -> list[str]:
    """Return the names of the methods of a port that an adapter does not have, or has set to None."""
    return [name for name in methods(port) if not callable(getattr(adapter, name, None))]


def methods(port: type[object]) -> Sequence[str]:
    """Return the names of the methods of a port."""
    return _methods(cast("Hashable", port))


@cache
def _methods(port: Hashable) -> Sequence[str]:
    return [name for name in dir(port) if not name.startswith("_")]
