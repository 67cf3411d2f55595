"""Which metric and label names may be written, and in which form."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from statcore.errors import InputError
from statcore.model.text import check_text

_METRIC: Final = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_LABEL: Final = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_LONGEST: Final = 1024
# A selector cannot begin with these words bare: the grammar reads them as an operator, a number or a modifier.
_RESERVED: Final = frozenset(
    [
        "and",
        "atan2",
        "avg",
        "bool",
        "bottomk",
        "by",
        "count",
        "count_values",
        "end",
        "group",
        "group_left",
        "group_right",
        "ignoring",
        "inf",
        "limit_ratio",
        "limitk",
        "max",
        "min",
        "nan",
        "offset",
        "on",
        "or",
        "quantile",
        "start",
        "stddev",
        "stdvar",
        "sum",
        "topk",
        "unless",
        "without",
    ]
)


@lru_cache(maxsize=4096)
def is_bare_metric_name(name: str) -> bool:
    """Say whether a checked metric name stands in front of the braces as it is.

    Raises:
        InputError: the name is empty, too long, or holds what no name may hold.
    """
    return _is_classic(name, _METRIC, "metric name") and name.lower() not in _RESERVED


@lru_cache(maxsize=4096)
def is_bare_label_name(name: str) -> bool:
    """Say whether a checked label name is written as it is, not in quotes.

    Raises:
        InputError: the name is empty, too long, or holds what no name may hold.
    """
    return _is_classic(name, _LABEL, "label name")


def is_classic_metric_name(name: str) -> bool:
    """Say whether every server version accepts the name, quoted or not."""
    return _METRIC.fullmatch(name) is not None


def _is_classic(name: str, classic: re.Pattern[str], what: str) -> bool:
    check_text(name, what=f"a {what}")
    if not name or len(name) > _LONGEST:
        raise InputError(f"a {what} has 1 to {_LONGEST} characters, not {len(name)}")
    if classic.fullmatch(name):
        return True
    # UTF-8 names may be anything, but nobody names a series with these: they are an attempt to get out of the quotes.
    if any(character in '"\\{}' or not character.isprintable() for character in name):
        raise InputError(f"a {what} must not hold quotes, backslashes, braces or unprintable characters: {name!r}")
    return False
