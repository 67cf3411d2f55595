"""Matchers of labels: how a value is matched, and the sequence of matchers that a query has."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from typing import Final, Self, TypeAlias, cast, final

import attrs

from statcore.errors import InputError, UnsupportedError
from statcore.model.text import check_text

_SPECIAL: Final = r"\.+*?()|[]{}^$"
"""The characters with a meaning in RE2. The backslash is the first because it escapes the others."""


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


def label_value(value: str) -> str:
    """Return the value of a label as a plain str.

    Raises:
        InputError: it is not text, or cannot be encoded.
    """
    return value if type(value) is str and value.isascii() else check_text(value, what="a label value")


def _label_values(values: Iterable[str]) -> list[str]:
    """Return values of a label as `label_value` does; plain ASCII text, in which ids are written, is checked at once."""
    texts = list(values)
    if {*map(type, texts)} == {str} and "".join(texts).isascii():
        return texts
    return list(map(label_value, texts))


def _escaped(literals: list[str]) -> list[str]:
    everything = "".join(literals)
    for character in _SPECIAL:
        if character in everything:
            literals = [literal.replace(character, f"\\{character}") for literal in literals]
    return literals


@final
@attrs.frozen
class LabelMatcher:
    """A match operator and its operand. The server anchors a regex at both ends.

    Build one with the class methods. Only `one_of` sets `alternatives`, the literal values behind its regex.

    Raises:
        InputError: an unknown operator, or an operand that is not text or cannot be encoded.
    """

    operator: MatchOperator = attrs.field(converter=_operator)
    value: str = attrs.field(converter=label_value)
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
        """Match any of the literal values, which are sorted, made distinct and escaped; a single value is matched exactly.

        Raises:
            InputError: there is no value (which must never mean "everything"), or a value is not text.
        """
        if isinstance(values, str):
            raise InputError(f"one_of takes a collection of values, not one text: {values!r}")
        literals = _label_values(values)
        if len(set(literals)) < len(literals):
            literals = list(dict.fromkeys(literals))  # keeps the order: values that are in order are sorted faster
        literals.sort()
        if not literals:
            raise InputError("one_of needs at least one value")
        if len(literals) == 1:
            return cls.equal(literals[0])
        matcher = cls(MatchOperator.REGEX, "|".join(_escaped(literals)))
        object.__setattr__(matcher, "alternatives", tuple(literals))
        return matcher

    def is_within(self, other: LabelMatcher) -> bool:
        """Return whether this matcher equals the other, or matches some of the other's literal values and nothing else."""
        return self == other or (bool(self._literals) and self._literals <= other._literals)

    @property
    def _literals(self) -> frozenset[str]:
        return frozenset([self.value] if self.operator is MatchOperator.EQUAL else self.alternatives)


Matchers: TypeAlias = tuple[tuple[str, str | LabelMatcher], ...]
"""Labels with their matchers, in the order in which they are written; text means an exact match.

A label may recur. A series is selected where every matcher accepts it.
"""


@attrs.frozen
class RecurringLabels(Mapping[str, str | LabelMatcher]):
    """Pairs of label and matcher in place of a mapping, which would lose a matcher of a label that recurs.

    Strategies of plugins may pass the `wanted` of a query to a `Selector`, which then takes the pairs.
    Reading it as a mapping raises `UnsupportedError`, so that no filter is ever dropped.
    """

    pairs: Matchers

    def __getitem__(self, label: str) -> str | LabelMatcher:
        """Raise `UnsupportedError`."""
        raise self._error()

    def __iter__(self) -> Iterator[str]:
        """Raise `UnsupportedError`."""
        raise self._error()

    def __len__(self) -> int:
        """Raise `UnsupportedError`."""
        raise self._error()

    def _error(self) -> UnsupportedError:
        labels = [label for label, _ in self.pairs]
        recurring = next(label for label in labels if labels.count(label) > 1)
        return UnsupportedError(f"the label {recurring} has several matchers, which a mapping cannot hold; use `matchers`")


def as_pairs(labels: Mapping[str, str | LabelMatcher] | Iterable[tuple[str, str | LabelMatcher]]) -> Matchers:
    """Return labels with their matchers as pairs, in order.

    Raises:
        InputError: `labels` is neither a mapping nor pairs.
    """
    try:
        if isinstance(labels, tuple):
            pairs: Matchers = labels
        elif isinstance(labels, RecurringLabels):
            pairs = labels.pairs
        elif isinstance(labels, Mapping):
            pairs = tuple(cast("Mapping[str, str | LabelMatcher]", labels).items())
        else:
            pairs = tuple(labels)
        dict(pairs)  # raises where an item is not a pair
    except (TypeError, ValueError):
        raise InputError(
            f"expected a mapping of label name to text or LabelMatcher, or pairs of these, not {labels!r:.100}"
        ) from None
    return pairs


def as_labels(matchers: Matchers) -> Mapping[str, str | LabelMatcher]:
    """Return pairs as a mapping: a new dict, or `RecurringLabels` where a label recurs."""
    labels = dict(matchers)
    return labels if len(labels) == len(matchers) else RecurringLabels(matchers)


def as_matcher(value: str | LabelMatcher) -> LabelMatcher:
    """Return a matcher; text means an exact match."""
    return LabelMatcher.equal(value) if isinstance(value, str) else value


def as_matchers(labels: Mapping[str, str | LabelMatcher]) -> dict[str, LabelMatcher]:
    """Return the matcher of every label, in order.

    Raises:
        UnsupportedError: a label recurs.
    """
    return {label: as_matcher(value) for label, value in labels.items()}
