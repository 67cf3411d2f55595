"""Regular expressions of the memory adapter: supported ones, and refused ones."""

from __future__ import annotations

import re

import pytest

from statcore.errors import QueryRejectedError, UnsupportedError
from statcore.queriers import LabelMatcher
from statcore_memory.matching import accepts
from statcore_memory.semantics import Semantics


def _matches(pattern: str, text: str, semantics: Semantics = Semantics.PROMETHEUS_3) -> bool:
    accepted = accepts({"label": LabelMatcher.regex(pattern)}.items(), semantics)({"label": text})
    refused = accepts({"label": LabelMatcher.not_regex(pattern)}.items(), semantics)({"label": text})
    assert accepted is not refused
    return accepted


@pytest.mark.parametrize(
    ("pattern", "matched", "not_matched"),
    [
        ("a", "a", "ba"),
        ("a|bc", "bc", "abc"),
        ("", "", "a"),
        (".+", "a", ""),
        (r"a\.b", "a.b", "axb"),
        (r"\_\-\/", "_-/", "_"),
        ("a$", "a", "a\n"),
        ("a$\n?", "a", "a\n"),
        ("^a$", "a", "aa"),
        (r"\d+", "42", "٤٢"),
        (r"\w", "_", "é"),
        (r"\W", "é", "e"),
        ("[a-c-]+", "a-c", "d"),
        ("[^a]", "^", "a"),
        (r"[\]\\]", "]", "a"),
        (r"[\w.]+", "a.b", "a b"),
        ("a{2,3}", "aaa", "a"),
        ("a{2}?", "aa", "a"),
        ("(?:ab)?(c|d)", "abd", "ab"),
        ("}]", "}]", "}"),
        ("é|名", "名", "e"),
        ("circle", "circle", "CirCle"),
        ("s", "s", "\u017f"),
        ("(?i)circle", "CirCle", "square"),
        ("(?i)s", "\u017f", "k"),
        (r"(?i)\w", "\u212a", "\u00e9"),
        ("(?i)[^k]", "s", "\u212a"),
    ],
)
def test_common_patterns_match_whole_values(pattern: str, matched: str, not_matched: str) -> None:
    """Patterns match the whole value in its case, with ASCII classes, and `$` matches only at the end."""
    assert (True, False) == (_matches(pattern, matched), _matches(pattern, not_matched))


@pytest.mark.parametrize(
    "pattern",
    [
        *("(?=a)a", "(?<!a)b", r"(a)\1", "(?P<name>a)", "a(?i)b", "(?i)é", "(?s).", "(?#comment)a", "a*+", "a**"),
        *("(?>a)", "(a+)+", "(?:a|a)*b", "(a){2}", "a{,3}", "a{1001}", "a{", r"\s", r"\b", r"\Z", r"\z", r"\pL"),
        *(r"\Qa.b\E", r"\x41", r"\u0041", r"\n", "\\", "[[:alpha:]]", "[a&&b]", "[a--b]", r"[\d-z]", "[", "[]", "*"),
        *("^*", "a|*"),
    ],
)
def test_patterns_with_two_meanings_are_unsupported(pattern: str) -> None:
    """A pattern with another meaning in RE2, or that may take very long in Python, is refused with its text."""
    with pytest.raises(UnsupportedError, match=re.escape(repr(pattern))):
        accepts({"label": LabelMatcher.regex(pattern)}.items(), Semantics.PROMETHEUS_3)


@pytest.mark.parametrize("pattern", ["(", "a)", "(a", "[z-a]", "a{3,2}", "[^]"])
def test_bad_patterns_are_rejected(pattern: str) -> None:
    """Text that is no regular expression is refused as by a server, with the text."""
    with pytest.raises(QueryRejectedError, match="not a regular expression") as caught:
        accepts({"label": LabelMatcher.not_regex(pattern)}.items(), Semantics.PROMETHEUS_3)
    assert pattern == caught.value.query


def test_literal_alternatives_need_no_expression() -> None:
    """Alternatives may hold any text, also text that is unsupported as a pattern; empty text matches a missing label."""
    accept = accepts({"label": LabelMatcher.one_of(["(?=a)", "", "*"])}.items(), Semantics.PROMETHEUS_3)
    assert [True, True, True, False] == [
        accept({"label": "(?=a)"}),
        accept({}),
        accept({"label": "*"}),
        accept({"label": "a"}),
    ]


def test_every_matcher_must_hold() -> None:
    """Labels are selected where all matchers hold; a missing label is the empty text."""
    accept = accepts(
        {"a": LabelMatcher.equal("1"), "b": LabelMatcher.not_equal("2"), "c": LabelMatcher.not_regex(".+")}.items(),
        Semantics.PROMETHEUS_3,
    )
    assert [True, False, False, False] == [
        accept({"a": "1"}),
        accept({"a": "2"}),
        accept({"a": "1", "b": "2"}),
        accept({"a": "1", "c": "3"}),
    ]


@pytest.mark.parametrize("pattern", [".", "a?.b?", "(?i)."])
def test_a_dot_and_a_line_break(pattern: str) -> None:
    """A dot matches a line break in Prometheus 3, and not in 2."""
    assert _matches(pattern, "\n", Semantics.PROMETHEUS_3)
    assert not _matches(pattern, "\n", Semantics.PROMETHEUS_2)
