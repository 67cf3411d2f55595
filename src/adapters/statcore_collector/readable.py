"""Telling what the system does not give from what has ended."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import psutil

ValueT = TypeVar("ValueT")


def readable(read: Callable[[], ValueT]) -> ValueT | None:
    """Return what `read` returns, or None where the system denies it or does not have it.

    Raises:
        psutil.NoSuchProcess: the process has ended, which is not the same.
    """
    try:
        return read()
    except psutil.NoSuchProcess:
        raise
    except (psutil.Error, OSError, RuntimeError):  # psutil raises RuntimeError for a file of /proc without its lines
        return None
