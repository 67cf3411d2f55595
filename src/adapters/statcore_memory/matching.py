"""Label matchers as predicates, with regular expressions that mean the same to Python's `re` and to RE2.

`re` knows constructs that RE2 refuses, gives others another meaning, and backtracks, so that a repeated group may take
exponential time. So only the syntax in `_KNOWN` is accepted.
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
# A pattern that is not a sequence of such parts, such as one with a second + after the first, is refused.
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
"""The two letters outside ASCII that RE2 folds to letters of ASCII; `re` with its flag ASCII does not."""


def accepts(matchers: Iterable[tuple[str, LabelMatcher]], semantics: Semantics) -> Accept:
    """Return a predicate on label sets that holds where every matcher does; a missing label is the empty text.

    Raises:
        QueryRejectedError: a regular expression is not valid.
        UnsupportedError: a regular expression uses syntax that is not supported.
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
        # Python's $ matches before a final newline as well.
        compiled = re.compile("".join(r"\Z" if part == "$" else part for part in parts), flags)
    except re.error as error:
        raise QueryRejectedError(f"not a regular expression: {pattern!r:.200}: {error}", query=pattern) from None
    if ignoring_case:
        return lambda text: compiled.fullmatch(text.translate(_FOLDED)) is not None
    return lambda text: compiled.fullmatch(text) is not None
