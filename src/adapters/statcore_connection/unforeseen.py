"""Errors that nobody foresaw, in words that are safe to show."""

from __future__ import annotations

import traceback
from pathlib import Path


def unexpected(error: Exception) -> str:
    """Return the kind and the place of an error that was raised, and not its text, which may hold a secret."""
    *_, (frame, line) = traceback.walk_tb(error.__traceback__)
    return (
        f"unexpected {type(error).__name__} in {frame.f_code.co_name}, line {line} of {Path(frame.f_code.co_filename).name}"
    )
