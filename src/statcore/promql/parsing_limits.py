"""What the parser of PromQL is spared: texts that it takes long for, or does not survive.

The counts are crude, and take strings for code: a template that is refused for one of them is no template that people read.
"""

from __future__ import annotations

import re
from typing import Final

from statcore.errors import InputError

MAX_LENGTH: Final = 2_000
"""Characters of a text; those in the strings of a query do not count."""
MAX_NESTING: Final = 100
"""Brackets inside one another: the parser goes as deep, and knows no end of the stack."""
MAX_OPERATORS: Final = 200
"""Operators, those of matchers among them; likewise."""
MAX_REPETITIONS: Final = 1_000
"""What the counts in regular expressions come to, such as `{30}`: the parser writes each of them out."""
MAX_QUERY_LENGTH: Final = 100_000
"""Characters of a query, strings included."""

_STRING: Final = re.compile(r""" "(?:\\.|[^"\\])*"? | '(?:\\.|[^'\\])*'? | `[^`]*`? | \#[^\n]* """, re.VERBOSE | re.DOTALL)
"""A string, to the end of the text where it has none, or a comment, in which a quotation mark begins nothing."""
_OPERATOR: Final = re.compile(r"[-+*/%^<>=!]|\b(?:and|or|unless|atan2)\b", re.IGNORECASE)
_COUNT: Final = re.compile(r"(\)?)\{(\d{1,9})(?:,(\d{0,9}))?\}")


def check_cost(text: str, *, what: str = "a template") -> None:
    """Refuse what goes beyond one of the limits.

    Raises:
        InputError: it does; the message says which.
    """
    if len(text) > MAX_LENGTH:
        raise InputError(f"{what} of {len(text)} characters; at most {MAX_LENGTH} are allowed")
    if (nesting := _nesting(text)) > MAX_NESTING:
        raise InputError(f"{what} whose brackets are nested {nesting} deep; at most {MAX_NESTING} are allowed")
    if (operators := len(_OPERATOR.findall(text))) > MAX_OPERATORS:
        raise InputError(f"{what} with {operators} operators; at most {MAX_OPERATORS} are allowed")
    if _repetitions(text) > MAX_REPETITIONS:
        raise InputError(f"{what} whose regular expressions repeat more than {MAX_REPETITIONS} times")


def check_query_cost(text: str) -> None:
    """Refuse a query beyond one of the limits; strings, which hold the ids of many objects, count as repetitions alone.

    Raises:
        InputError: it is; the message says which limit.
    """
    if len(text) > MAX_QUERY_LENGTH:
        raise InputError(f"a query of {len(text)} characters; at most {MAX_QUERY_LENGTH} are allowed")
    strings: list[str] = []

    def take(found: re.Match[str]) -> str:
        strings.append(found[0])
        return '""'

    check_cost(_STRING.sub(take, text), what="a query")
    if _repetitions("".join(strings)) > MAX_REPETITIONS:
        raise InputError(f"a query whose regular expressions repeat more than {MAX_REPETITIONS} times")


def _nesting(text: str) -> int:
    deepest = depth = 0
    for character in text:
        depth += (character in "([{") - (character in ")]}")
        deepest = max(deepest, depth)
    return deepest


def _repetitions(text: str) -> int:
    """Return at least what the counts come to: those behind a group multiply what may be in it, the others add up."""
    single, groups = 1, 1
    for group, least, most in _COUNT.findall(text):
        count = max(1, int(most or least))
        single, groups = (single, groups * count) if group else (single + count, groups)
    return single * groups
