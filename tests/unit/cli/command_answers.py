"""Types, ids and readers for tests of commands: how a command is run, which ids it gets, the CSV that it prints."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from typing import TypeAlias

from click.testing import Result

Invoke: TypeAlias = Callable[..., Result]
"""Runs the command line with the given arguments."""

ID_1, ID_2, ID_3, ID_4 = (f"6f1b3c9e-0a52-4a57-9d3e-{number:012d}" for number in range(1, 5))


def csv_rows(text: str) -> list[dict[str, str]]:
    """Return the rows of CSV by column."""
    return list(csv.DictReader(io.StringIO(text)))
