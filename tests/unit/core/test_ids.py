"""Identifiers and their canonical text."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from statcore.errors import InputError
from statcore.model import id_text

CANONICAL = "6f1b3c9e-0a52-4a57-9d3e-0c8f8f0e9b11"
NO_ID: list[Any] = [
    "",
    "kernel",
    CANONICAL[:-1],
    CANONICAL + "1",
    CANONICAL.replace("6", "g"),
    f" {CANONICAL}",
    f"{CANONICAL}\n",
    None,
    5,
    b"x" * 16,
    1.5,
    CANONICAL.encode(),
    [CANONICAL],
    "*",
    "inference.x.app",
    # The standard library's UUID reads these, as int() reads its digits.
    "6f1b3c9e0a524a579d3e0c8f8f0e_b11",
    "0x1b3c9e0a524a579d3e0c8f8f0e9b11",
    " f1b3c9e0a524a579d3e0c8f8f0e9b1 ",
    "+f1b3c9e0a524a579d3e0c8f8f0e9b11",
    "\uff16f1b3c9e0a524a579d3e0c8f8f0e9b11",
    "\u0663" * 32,
]


@pytest.mark.parametrize(
    "value",
    [
        UUID(CANONICAL),
        CANONICAL,
        CANONICAL.upper(),
        CANONICAL.replace("-", ""),
        f"{{{CANONICAL}}}",
        f"urn:uuid:{CANONICAL}",
    ],
    ids=str,
)
def test_every_spelling_is_stored_under_one_text(value: UUID | str) -> None:
    """A UUID, and text in any case, with or without hyphens, braces or the URN prefix."""
    assert CANONICAL == id_text(value)


@pytest.mark.parametrize("value", NO_ID, ids=lambda value: repr(value)[:40])
def test_what_is_no_id_is_refused_with_an_example(value: Any) -> None:
    """Neither are the digits that only look like some, lest a typing error reads somebody else's numbers."""
    with pytest.raises(InputError, match=f"not an id: .*expected a UUID such as {CANONICAL}"):
        id_text(value)
