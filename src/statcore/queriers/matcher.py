"""How the value of one label is matched."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Final, Self, final

import attrs

from statcore.errors import InputError
from statcore.model.text import check_text

_SPECIAL: Final = r"\.+*?()|[]{}^$"
"""The characters that mean something in RE2; the backslash is the first because it escapes the others."""


class MatchOperator(StrEnum):
    """The four operators of a PromQL label matcher."""

    EQUAL = "="
    NOT_EQUAL = "!="
    REGEX = "=~"
    NOT_REGEX = "!~"


def _operator(operator: MatchOperator | str) -> MatchOperator:
    if type(operator) is MatchOperator:
        return operator
    try:
        return MatchOperator(operator)
    except ValueError:
        raise InputError(f"not a match operator: {operator!r}; expected one of {', '.join(MatchOperator)}") from None


def _operand(value: str) -> str:
    return value if type(value) is str and value.isascii() else check_text(value, what="a label value")


def _escaped(literals: list[str]) -> list[str]:
    everything = "".join(literals)
    for character in _SPECIAL:
        if character in everything:
            literals = [literal.replace(character, f"\\{character}") for literal in literals]
    return literals


@final
@attrs.frozen
class LabelMatcher:
    """A match operator and its operand; the operand of a regex is anchored at both ends by the server.

    Use the class methods. `alternatives` is set by `one_of` alone: the literal values behind the regex.

    Raises:
        InputError: another operator, or an operand that is not encodable text.
    """

    operator: MatchOperator = attrs.field(converter=_operator)
    value: str = attrs.field(converter=_operand)
    alternatives: tuple[str, ...] = attrs.field(default=(), init=False, eq=False, repr=False)

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
        literals = sorted(dict.fromkeys(map(_operand, values)))  # in their order: sorted ids stay cheap
        if not literals:
            raise InputError("one_of needs at least one value")
        if len(literals) == 1:
            return cls.equal(literals[0])
        matcher = cls(MatchOperator.REGEX, "|".join(_escaped(literals)))
        object.__setattr__(matcher, "alternatives", tuple(literals))
        return matcher

    def is_within(self, other: LabelMatcher) -> bool:
        """Return whether this is the other matcher, or matches some of the literal values that the other matches."""
        return self == other or 0 < len(self._literals) == len(self._literals.intersection(other._literals))

    @property
    def _literals(self) -> frozenset[str]:
        return frozenset([self.value] if self.operator is MatchOperator.EQUAL else self.alternatives)


def as_matchers(labels: Mapping[str, str | LabelMatcher]) -> dict[str, LabelMatcher]:
    """Return the matcher of every label, in order: text means an exact match."""
    return {label: LabelMatcher.equal(wanted) if isinstance(wanted, str) else wanted for label, wanted in labels.items()}
