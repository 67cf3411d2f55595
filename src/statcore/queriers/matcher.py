"""How the value of one label is matched."""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import StrEnum
from typing import Final, Self

import attrs

from statcore.errors import InputError
from statcore.model.text import check_text

_PLAIN: Final = re.compile(r"[\w-]*", re.ASCII)
_SPECIAL: Final = str.maketrans({character: f"\\{character}" for character in r"\.+*?()|[]{}^$"})


class MatchOperator(StrEnum):
    """The four operators of a PromQL label matcher."""

    EQUAL = "="
    NOT_EQUAL = "!="
    REGEX = "=~"
    NOT_REGEX = "!~"


def _escape(values: list[str]) -> list[str]:
    if _PLAIN.fullmatch("".join(values)):
        return values
    return [value.translate(_SPECIAL) for value in values]


@attrs.frozen
class LabelMatcher:
    """A match operator and its operand; the operand of a regex is anchored at both ends by the server.

    Use the class methods. `alternatives` is set by `one_of` alone: the literal values behind the regex.

    Raises:
        InputError: the operand is not encodable text.
    """

    operator: MatchOperator = attrs.field(converter=MatchOperator)
    value: str
    alternatives: tuple[str, ...] = attrs.field(default=(), kw_only=True, eq=False, repr=False)

    def __attrs_post_init__(self) -> None:
        """Check the operand."""
        check_text(self.value, what="a label value")

    @classmethod
    def equal(cls, value: str) -> Self:
        """Match the value exactly (`=`)."""
        return cls(MatchOperator.EQUAL, value)

    @classmethod
    def not_equal(cls, value: str) -> Self:
        """Match every other value (`!=`)."""
        return cls(MatchOperator.NOT_EQUAL, value)

    @classmethod
    def regex(cls, pattern: str) -> Self:
        """Match values that the RE2 pattern matches as a whole (`=~`)."""
        return cls(MatchOperator.REGEX, pattern)

    @classmethod
    def not_regex(cls, pattern: str) -> Self:
        """Match values that the RE2 pattern does not match as a whole (`!~`)."""
        return cls(MatchOperator.NOT_REGEX, pattern)

    @classmethod
    def one_of(cls, values: Iterable[str]) -> Self:
        """Match any of the literal values: sorted, without duplicates, escaped; a single one becomes an exact match.

        Raises:
            InputError: no value at all (which must never come to mean "everything"), or not text.
        """
        if isinstance(values, str):
            raise InputError(f"one_of takes a collection of values, not one text: {values!r}")
        distinct = set(values)
        if not distinct:
            raise InputError("one_of needs at least one value")
        for value in distinct:
            check_text(value, what="a label value")
        literals = sorted(distinct)
        if len(literals) == 1:
            return cls.equal(literals[0])
        return cls(MatchOperator.REGEX, "|".join(_escape(literals)), alternatives=tuple(literals))
