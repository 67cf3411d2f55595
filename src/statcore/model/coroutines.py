"""Coroutines where none belongs: third parties make functions async that must not be."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import cast


def discard(answer: object) -> None:
    """Close an answer that is a coroutine, or Python warns that nobody awaited it."""
    if isinstance(answer, Coroutine):
        cast("Coroutine[object, object, object]", answer).close()
