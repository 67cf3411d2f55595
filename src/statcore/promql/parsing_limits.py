"""What the parser of PromQL is spared: texts that it takes long for, or does not survive.

The counts are crude, and take strings for code: a template that is refused for one of them is no template that people read.
"""

from __future__ import annotations

import re
from typing import Final

from statcore.errors import InputError

MAX_LENGTH: Final = 2_000
"""Characters of a text."""
MAX_NESTING: Final = 100
"""Brackets inside one another: the parser goes as deep, and knows no end of the stack."""
MAX_OPERATORS: Final = 200
"""Operators, those of matchers among them; likewise."""
MAX_REPETITIONS: Final = 1_000
"""What the counts in regular expressions come to, such as `{30}`: the parser writes each of them out."""

_OPERATOR: Final = re.compile(r"[-+*/%^<>=!]|\b(?:and|or|unless|atan2)\b", re.IGNORECASE)
_COUNT: Final = re.compile(r"(\)?)\{(\d{1,9})(?:,(\d{0,9}))?\}")


def check_cost(text: str) -> None:
    """Refuse what goes beyond one of the limits.

    Raises:
        InputError: it does; the message says which.
    """
    if len(text) > MAX_LENGTH:
        raise InputError(f"a template of {len(text)} characters; at most {MAX_LENGTH} are allowed")
    if (nesting := _nesting(text)) > MAX_NESTING:
        raise InputError(f"a template whose brackets are nested {nesting} deep; at most {MAX_NESTING} are allowed")
    if (operators := len(_OPERATOR.findall(text))) > MAX_OPERATORS:
        raise InputError(f"a template with {operators} operators; at most {MAX_OPERATORS} are allowed")
    if _repetitions(text) > MAX_REPETITIONS:
        raise InputError(f"a template whose regular expressions repeat more than {MAX_REPETITIONS} times")


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
