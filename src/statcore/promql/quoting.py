"""Strings, metric names and label names as PromQL writes them; no other module escapes text."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from statcore.errors import InputError
from statcore.model.text import check_text
from statcore.queriers.interface import NEVER_GROUPED

_METRIC: Final = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_LABEL: Final = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_UNLIKE_CLASSIC: Final = re.compile(r"^[0-9]|[^a-zA-Z0-9:]")
_FORBIDDEN: Final = frozenset('"\\{}')
_LONGEST: Final = 1024
# Some server version reads these bare words at the beginning of a selector as operators, aggregations or modifiers.
_KEYWORDS: Final = NEVER_GROUPED.union(
    ["and", "atan2", "or", "unless"],
    ["avg", "bottomk", "count", "count_values", "group", "limit_ratio", "limitk", "max", "min", "quantile"],
    ["stddev", "stdvar", "sum", "topk"],
    ["anchored", "bool", "by", "fill", "fill_left", "fill_right", "group_left", "group_right", "ignoring", "offset"],
    ["on", "smoothed"],
    ["end", "range", "start", "step"],
)


def escape(text: str) -> str:
    """Return text as it stands between the double quotes of a PromQL string.

    U+FFFD is escaped because a server reads it raw as broken UTF-8. Other characters that need no escape, also those beyond
    U+FFFF, stay as they are, because a server refuses escaped surrogate pairs.

    Raises:
        InputError: the text cannot be encoded.
    """
    if type(text) is not str:
        text = str.__str__(text)  # the value of a (str, Enum) member, which formats as its name
    if '"' in text or "\\" in text or "\n" in text:
        text = text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
    if not text.isascii():
        text = check_text(text, what="a label value").replace("\ufffd", r"\ufffd")
    return text


def quote(text: str) -> str:
    """Return text as a PromQL string.

    Raises:
        InputError: the text cannot be encoded.
    """
    return f'"{escape(text)}"'


@lru_cache(maxsize=4096)
def selector_parts(metric_name: str) -> tuple[str, str]:
    """Return the text of a metric name before the braces of a selector, and inside them; one of the two is empty.

    Raises:
        InputError: the name is empty, is too long, or has a character that no name may have.
    """
    name = _checked(metric_name, "a metric name")
    if not _METRIC.fullmatch(name):
        return "", quote(name)
    if name.lower() in _KEYWORDS:
        return "", f"__name__={quote(name)}"
    return name, ""


@lru_cache(maxsize=4096)
def label_text(label_name: str) -> str:
    """Return a label name as it stands inside braces: bare, or in quotes where only newer servers know the name.

    Raises:
        InputError: the name is empty, is too long, or has a character that no name may have.
    """
    name = _checked(label_name, "a label name")
    return name if _LABEL.fullmatch(name) else quote(name)


@lru_cache(maxsize=1024)
def grouping_text(label_names: tuple[str, ...]) -> str:
    """Return ` by (…)` for checked label names, or the empty text without names."""
    return f" by ({grouped_text(label_names)})" if label_names else ""


def grouped_text(label_names: tuple[str, ...]) -> str:
    """Return checked label names as they stand in the parentheses of a grouping."""
    return ",".join([quote(name) if name.lower() in NEVER_GROUPED else label_text(name) for name in label_names])


def url_path_name(name: str) -> str:
    """Return a metric or label name as it stands in a URL path: unchanged, or in the server's `U__` escaping.

    Raises:
        InputError: the name is empty, is too long, or has a character that no name may have.
    """
    name = _checked(name, "a name")
    if _METRIC.fullmatch(name) and not name.startswith("U__"):  # a server reads that prefix as its escaping
        return name
    return f"U__{_UNLIKE_CLASSIC.sub(_escaped_character, name)}"


def _escaped_character(found: re.Match[str]) -> str:
    return "__" if found[0] == "_" else f"_{ord(found[0]):x}_"


def _checked(name: str, what: str) -> str:
    name = check_text(name, what=what)
    if not 0 < len(name) <= _LONGEST:
        raise InputError(f"{what} has 1 to {_LONGEST} characters, not {len(name)}")
    # A UTF-8 name may be any text. But no series has these characters in its name: they are an attempt to leave the quotes.
    if not name.isprintable() or not _FORBIDDEN.isdisjoint(name):
        raise InputError(f"{what} must not hold quotes, backslashes, braces or unprintable characters: {name!r}")
    return name
