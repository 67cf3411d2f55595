"""Ids that the commands are asked about, and what they print, read back."""

from __future__ import annotations

import csv
import io

ONE, TWO, THREE, FOUR = (f"6f1b3c9e-0a52-4a57-9d3e-{number:012d}" for number in range(1, 5))


def rows(text: str) -> list[dict[str, str]]:
    """Read CSV."""
    return list(csv.DictReader(io.StringIO(text)))
