"""Ids in canonical text, and text that can be sent."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from statcore.errors import InputError
from statcore.model import id_text
from statcore.model.text import check_text, id_texts
from statcore.testing.strategies import ids

CANONICAL = "6f1b3c9e-0a52-4a57-9d3e-0c8f8f0e9b11"
NO_ID: list[Any] = [
    *("", "kernel", CANONICAL[:-1], CANONICAL + "1", CANONICAL.replace("6", "g"), f" {CANONICAL}", f"{CANONICAL}\n"),
    *(None, 5, b"x" * 16, 1.5, CANONICAL.encode(), [CANONICAL], "*", "inference.x.app"),
    # The standard library's UUID reads these, as int() reads its digits.
    *("6f1b3c9e0a524a579d3e0c8f8f0e_b11", "0x1b3c9e0a524a579d3e0c8f8f0e9b11", " f1b3c9e0a524a579d3e0c8f8f0e9b1 "),
    *("+f1b3c9e0a524a579d3e0c8f8f0e9b11", "\uff16f1b3c9e0a524a579d3e0c8f8f0e9b11", "\u0663" * 32),
]


@pytest.mark.parametrize(
    "value",
    [
        *(UUID(CANONICAL), CANONICAL, CANONICAL.upper(), CANONICAL.replace("-", ""), f"{{{CANONICAL}}}"),
        f"urn:uuid:{CANONICAL}",
    ],
    ids=str,
)
def test_every_spelling_of_an_id_has_one_text(value: UUID | str) -> None:
    """An id is a UUID, or text in any case, with or without hyphens, braces or the URN prefix."""
    assert CANONICAL == id_text(value)


@pytest.mark.parametrize("value", NO_ID, ids=lambda value: repr(value)[:40])
def test_other_values_are_not_ids(value: Any) -> None:
    """Digits of other scripts are refused, too: a typing error must not read the numbers of another object."""
    with pytest.raises(InputError, match=f"not an id: .*expected a UUID such as {CANONICAL}"):
        id_text(value)


@given(st.lists(ids() | ids().map(id_text) | st.sampled_from([*NO_ID, f"{CANONICAL},{CANONICAL}", f"{CANONICAL},", ""])))
def test_many_ids_are_read_as_each_alone(values: list[Any]) -> None:
    """Text that is canonical already is checked in one step, which accepts and refuses the same values."""
    try:
        expected: Any = [id_text(value) for value in values]
    except InputError as error:
        with pytest.raises(InputError, match=re.escape(str(error))):
            id_texts(values)
    else:
        assert expected == id_texts(values)


class Colour(StrEnum):
    """A text that is also a member of an enumeration."""

    RED = "red"


@pytest.mark.parametrize("text", ["", "plain", "\x00", "naïve", "🦀", "\U0010ffff", "\ufffd"])
def test_any_unicode_that_can_be_encoded_is_text(text: str) -> None:
    """It is returned unchanged."""
    assert text == check_text(text, what="a label value")


def test_a_member_of_an_enumeration_becomes_its_plain_value() -> None:
    """Formatting the member could show something else."""
    assert ("red", str) == (check_text(Colour.RED, what="a name"), type(check_text(Colour.RED, what="a name")))


@pytest.mark.parametrize("text", ["\ud800", "ab\udfff", "\ud83e\udd80"])
def test_a_lone_surrogate_is_refused(text: str) -> None:
    """A pair of surrogates is refused, too; the error has the position of the first."""
    position = next(index for index, character in enumerate(text) if "\ud800" <= character <= "\udfff")
    with pytest.raises(InputError, match=f"a label value holds a lone surrogate at position {position}:"):
        check_text(text, what="a label value")


@pytest.mark.parametrize("thing", ["\ud800" * 100_000, b"x" * 100_000])
def test_the_error_about_long_text_is_short(thing: Any) -> None:
    """It does not contain the whole text."""
    with pytest.raises(InputError) as raised:
        check_text(thing, what="a label value")
    assert 300 > len(str(raised.value))


@pytest.mark.parametrize("thing", [None, 5, b"plain", ["plain"]])
def test_another_type_is_refused(thing: Any) -> None:
    """The error has the given name and the type."""
    with pytest.raises(InputError, match=f"an agent id must be text, not {type(thing).__name__}"):
        check_text(thing, what="an agent id")
