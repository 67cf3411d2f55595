"""Label matchers as predicates, with regular expressions read as RE2 reads them.

Python's `re` is not RE2: it knows constructs that RE2 refuses, reads others differently, and backtracks, so that a
repeated group may take for ever. Only what both read alike is accepted: see `_KNOWN`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Final, TypeAlias

from statcore.errors import QueryRejectedError, UnsupportedError
from statcore.queriers import LabelMatcher, MatchOperator
from statcore_memory.semantics import Semantics

Accept: TypeAlias = Callable[[Mapping[str, str]], bool]
_Predicate: TypeAlias = Callable[[str], bool]

_KNOWN: Final = (
    "literals, escaped punctuation, ., character classes, \\d \\D \\w \\W, |, groups that are not repeated, ^, $, "
    "repetition of single characters, and (?i) at the start of an ASCII pattern"
)
# What is no part of its own, such as a second + after the first, cannot be part of a pattern at all.
_ESCAPED: Final = r"\\[!-/:-@\[-`{-~]"
_SET: Final = r"\\[dDwW]"
_MEMBER: Final = rf"(?:[^\\\[\]&|~-]|{_ESCAPED})"
_CLASS: Final = rf"\[\^?-?(?:{_MEMBER}(?:-{_MEMBER})?|{_SET})+-?\]"
_COUNT: Final = "(?:[0-9]{1,3}|1000)"  # RE2 repeats a thousand times at most
_REPEAT: Final = rf"(?:[*+?]|\{{{_COUNT}(?:,{_COUNT}?)?\}})\??"
_SINGLE: Final = rf"(?:[^\\.+*?()|\[{{^$]|{_ESCAPED}|{_SET}|\.|{_CLASS})(?:{_REPEAT})?"
_PART: Final = re.compile(rf"{_SINGLE}|\((?:\?:|(?!\?))|\)\??|[|$^]")
_IGNORE_CASE: Final = "(?i)"
_FOLDED: Final = str.maketrans("\u017f\u212a", "sk")
"""The two letters outside of ASCII that are ASCII's in another case: to RE2, but not to `re` with its flag ASCII."""


def accepts(matchers: Iterable[tuple[str, LabelMatcher]], semantics: Semantics) -> Accept:
    """Return a predicate on label sets that holds where every matcher does; a missing label is the empty text.

    Raises:
        QueryRejectedError: a regular expression is not valid.
        UnsupportedError: a regular expression is beyond what is read here as a server would.
    """
    predicates = [(label, _predicate(matcher, semantics)) for label, matcher in matchers]

    def accept(labels: Mapping[str, str]) -> bool:
        return all(predicate(labels.get(label, "")) for label, predicate in predicates)

    return accept


def _predicate(matcher: LabelMatcher, semantics: Semantics) -> _Predicate:
    value = matcher.value
    match matcher.operator:
        case MatchOperator.EQUAL:
            return lambda text: text == value
        case MatchOperator.NOT_EQUAL:
            return lambda text: text != value
        case MatchOperator.REGEX:
            return frozenset(matcher.alternatives).__contains__ if matcher.alternatives else _whole(value, semantics)
        case MatchOperator.NOT_REGEX:
            matches = _whole(value, semantics)
            return lambda text: not matches(text)


@lru_cache(maxsize=256)
def _whole(pattern: str, semantics: Semantics) -> _Predicate:
    ignoring_case = pattern.startswith(_IGNORE_CASE) and pattern.isascii()
    rest = pattern.removeprefix(_IGNORE_CASE) if ignoring_case else pattern
    flags = re.ASCII | re.IGNORECASE if ignoring_case else re.ASCII
    if semantics is Semantics.PROMETHEUS_3:
        flags |= re.DOTALL
    parts: list[str] = _PART.findall(rest)
    if "".join(parts) != rest:
        raise UnsupportedError(
            f"the memory adapter cannot match the regular expression {pattern!r:.200}; it knows {_KNOWN}"
        )
    try:
        # Python's $ matches before a final newline, too.
        compiled = re.compile("".join(r"\Z" if part == "$" else part for part in parts), flags)
    except re.error as error:
        raise QueryRejectedError(f"not a regular expression: {pattern!r:.200}: {error}", query=pattern) from None
    if ignoring_case:
        return lambda text: compiled.fullmatch(text.translate(_FOLDED)) is not None
    return lambda text: compiled.fullmatch(text) is not None
