"""What counts as text."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import pytest

from statcore.errors import InputError
from statcore.model.text import check_text


class Colour(StrEnum):
    """Text that is also a member of an enumeration."""

    RED = "red"


@pytest.mark.parametrize("text", ["", "plain", "\x00", "naïve", "🦀", "\U0010ffff", "\ufffd"])
def test_any_unicode_that_can_be_encoded_is_text(text: str) -> None:
    """It comes back as it is."""
    assert text == check_text(text, what="a label value")


def test_a_member_of_an_enumeration_becomes_its_plain_value() -> None:
    """Formatting the member could show something else."""
    assert ("red", str) == (check_text(Colour.RED, what="a name"), type(check_text(Colour.RED, what="a name")))


@pytest.mark.parametrize("text", ["\ud800", "ab\udfff", "\ud83e\udd80"])
def test_a_lone_surrogate_is_refused(text: str) -> None:
    """Also two that would make a character elsewhere; the message says where the first is."""
    position = next(index for index, character in enumerate(text) if "\ud800" <= character <= "\udfff")
    with pytest.raises(InputError, match=f"a label value holds a lone surrogate at position {position}:"):
        check_text(text, what="a label value")


@pytest.mark.parametrize("thing", ["\ud800" * 100_000, b"x" * 100_000])
def test_a_refusal_stays_short(thing: Any) -> None:
    """However long the text is."""
    with pytest.raises(InputError) as raised:
        check_text(thing, what="a label value")
    assert 300 > len(str(raised.value))


@pytest.mark.parametrize("thing", [None, 5, b"plain", ["plain"]])
def test_another_type_is_refused(thing: Any) -> None:
    """The message names the place and the type."""
    with pytest.raises(InputError, match=f"an agent id must be text, not {type(thing).__name__}"):
        check_text(thing, what="an agent id")
