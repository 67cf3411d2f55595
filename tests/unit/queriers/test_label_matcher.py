"""Matchers of one label."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any

import pytest

from statcore.errors import InputError
from statcore.queriers import LabelMatcher, MatchOperator


class Zone(str, Enum):  # noqa: UP042 - the kind whose members format as their names
    """Text that formats as something else."""

    NORTH = "north.1"


@pytest.mark.parametrize(
    ("matcher", "operator"),
    [
        (LabelMatcher.equal("x"), "="),
        (LabelMatcher.not_equal("x"), "!="),
        (LabelMatcher.regex("x"), "=~"),
        (LabelMatcher.not_regex("x"), "!~"),
        (LabelMatcher("!~", "x"), "!~"),  # the text of an operator is accepted
    ],
)
def test_the_four_operators(matcher: LabelMatcher, operator: str) -> None:
    """The operand is the same."""
    assert (MatchOperator(operator), "x", ()) == (matcher.operator, matcher.value, matcher.alternatives)


def test_one_of_is_a_regex_of_escaped_alternatives() -> None:
    """The values are sorted and distinct, and kept beside the regex."""
    matcher = LabelMatcher.one_of(["b", "a.c", "b", "-"])
    assert (MatchOperator.REGEX, r"-|a\.c|b", ("-", "a.c", "b")) == (matcher.operator, matcher.value, matcher.alternatives)


@pytest.mark.parametrize(
    ("literal", "escaped"),
    [
        (r"\.+*?()|[]{}^$", r"\\\.\+\*\?\(\)\|\[\]\{\}\^\$"),
        ("a-b_c:d/e f#g,h<i>~&%!@=\"'`", "a-b_c:d/e f#g,h<i>~&%!@=\"'`"),
        ("\n\t\x00", "\n\t\x00"),
        ("é名🦀\ufffd", "é名🦀\ufffd"),
        (r"\d", r"\\d"),
    ],
)
def test_one_of_escapes_only_characters_with_a_meaning_in_re2(literal: str, escaped: str) -> None:
    """RE2 refuses a backslash in front of most other characters."""
    assert f"{escaped}|\U0010ffff" == LabelMatcher.one_of([literal, "\U0010ffff"]).value


def test_one_of_one_value_is_an_exact_match() -> None:
    """The value is not escaped."""
    assert LabelMatcher.equal("a.b") == LabelMatcher.one_of(iter(["a.b", "a.b"]))


def test_one_of_members_of_an_enumeration() -> None:
    """They are their values."""
    matcher = LabelMatcher.one_of({Zone.NORTH, "south"})
    assert r"north\.1|south" == f"{matcher.value}"
    assert "north.1" == f"{LabelMatcher.equal(Zone.NORTH).value}"


@pytest.mark.parametrize(
    ("values", "message"), [([], "at least one value"), ("abc", "not one text: 'abc'")], ids=["nothing", "one text"]
)
def test_one_of_nothing_or_of_a_text_is_refused(values: Any, message: str) -> None:
    """Nothing could match everything; each letter of a text would be a value."""
    with pytest.raises(InputError, match=message):
        LabelMatcher.one_of(values)


@pytest.mark.parametrize("value", [None, 5, b"x", "\ud800", ["x"]])
@pytest.mark.parametrize(
    "build",
    [
        LabelMatcher.equal,
        LabelMatcher.not_equal,
        LabelMatcher.regex,
        LabelMatcher.not_regex,
        lambda value: LabelMatcher.one_of(["a", value]),
    ],
)
def test_an_operand_that_is_not_encodable_text_is_refused(build: Callable[[Any], LabelMatcher], value: Any) -> None:
    """The constructor raises."""
    with pytest.raises(InputError, match="a label value"):
        build(value)


@pytest.mark.parametrize("operator", ["", "==", "=~ ", 'a="b",c=', None])
def test_an_unknown_operator_is_refused(operator: Any) -> None:
    """The error lists the four operators."""
    with pytest.raises(InputError, match="expected one of =, !=, =~, !~"):
        LabelMatcher(operator, "x")


def test_matchers_are_equal_by_what_they_match() -> None:
    """It does not matter how they were built."""
    assert LabelMatcher.regex("a|b") == LabelMatcher.one_of(["b", "a"])
    assert 1 == len({LabelMatcher.regex("a|b"), LabelMatcher.one_of(["b", "a"])})
