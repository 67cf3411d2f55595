"""Queries that are cut into parts of their time range, and must give the values of the whole range.

PromQL evaluates each point by itself, with few exceptions. `start()`, `end()`, `range()` and `step()` are constants of the
whole range: they are written into the text as numbers. Some MetricsQL takes all points, or all series, of the range
together: it cannot be cut. The text is scanned and not parsed, because the parser at hand reads no MetricsQL.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, Literal, NamedTuple, cast

from statcore.errors import UnsupportedError
from statcore.model.text import check_text
from statcore.model.time_range import QueryTimeRange, unix_ms
from statcore.promql.plan import advise_step

_TOKENS: Final = re.compile(
    r"""(?P<space> \s+ | \#[^\r\n]* )
      | (?P<string> "(?:[^"\\]|\\.)*(?:"|\Z) | '(?:[^'\\]|\\.)*(?:'|\Z) | `[^`]*(?:`|\Z) )
      | (?P<word> (?: [\w.] | \\. )+ )
      | (?P<sign> . )""",
    re.VERBOSE | re.DOTALL,
)
_OPERATORS: Final = frozenset(["and", "atan2", "bool", "default", "if", "ifnot", "or", "unless"])
_GROUPINGS: Final = frozenset(["by", "without"])

# Functions and aggregations of MetricsQL whose value at one point depends on other points of the range, on the series that
# the range has, or on when the server was asked.
_WHOLE_RANGE: Final = frozenset(
    [
        *("any", "buckets_limit", "drop_common_labels", "drop_empty_series", "histogram", "interpolate"),
        *("keep_last_value", "keep_next_value", "limit_offset", "limitk", "now", "outliers_iqr", "outliers_mad"),
        *("outliersk", "prometheus_buckets", "rand", "rand_exponential", "rand_normal", "remove_resets"),
        *("smooth_exponential", "ttf", "union"),
    ]
)
_WHOLE_RANGE_FAMILIES: Final = ("bitmap_", "bottomk_", "range_", "running_", "topk_")
_OF_A_WINDOW: Final = frozenset(["range_over_time"])  # has the name of such a family, and looks at a window alone


class _Token(NamedTuple):
    kind: Literal["string", "word", "sign"]
    text: str
    start: int
    end: int


_NOTHING: Final = _Token("sign", "", 0, 0)
"""Stands before the first token and after the last."""


def fix_range(promql: str, time_range: QueryTimeRange, *, max_points: int) -> str:
    """Return a query that gives over any part of a time range the values that `promql` gives over the whole.

    Args:
        promql: the query, in PromQL or MetricsQL. Strings, comments and names are left as they are.
        time_range: the whole range.
        max_points: how many points a part has at most, for the advice in an error.

    Raises:
        InputError: the query is no text.
        UnsupportedError: the query uses something that needs the whole range at once; the message names it.
    """
    check_text(promql, what="a query")
    seconds = {
        "start": f"{unix_ms(time_range.start) / 1000:.3f}",
        "end": f"{unix_ms(time_range.end) / 1000:.3f}",
        "range": f"{(time_range.end - time_range.start).total_seconds():.3f}",
        "step": f"{time_range.step.total_seconds():.3f}",
    }
    tokens = _read(promql)
    if name := _whole_range_part(tokens):
        raise UnsupportedError(
            f"{name} needs all points of its range at once, but {time_range.points} points take several requests;"
            f" {advise_step(time_range, max_points)}"
        )
    pieces: list[str] = []
    copied = 0
    for word, opening, closing in zip(tokens, tokens[1:], tokens[2:], strict=False):
        number = seconds.get(word.text.lower())
        if word.kind == "word" and number is not None and (opening.text, closing.text) == ("(", ")"):
            followed = promql[closing.end : closing.end + 1].isidentifier()  # `end()offset 5m`
            pieces += [promql[copied : word.start], number, " " * followed]
            copied = closing.end
    return "".join([*pieces, promql[copied:]])


def _read(promql: str) -> list[_Token]:
    return [
        _Token(cast("Literal['string', 'word', 'sign']", match.lastgroup), match[0], match.start(), match.end())
        for match in _TOKENS.finditer(promql)
        if match.lastgroup != "space"
    ]


def _whole_range_part(tokens: Sequence[_Token]) -> str | None:
    """Return what of a query cannot be evaluated over a part of its range."""
    opened_in_lists: list[bool] = []  # for each open parenthesis, whether it is a list of its own and not of arguments
    for before, token, after in zip([_NOTHING, *tokens], tokens, [*tokens[1:], _NOTHING], strict=False):
        name = token.text.lower()
        if token.kind == "word":
            if _needs_whole_range(before, name, after):
                return token.text
        elif name == "(":
            opened_in_lists.append(not _ends_operand(before))
        elif name == ")" and opened_in_lists:
            opened_in_lists.pop()
        elif name == "," and before.kind != "string" and opened_in_lists and opened_in_lists[-1]:
            return "a list in parentheses"
    return None


def _needs_whole_range(before: _Token, name: str, after: _Token) -> bool:
    if name not in _OF_A_WINDOW and (name in _WHOLE_RANGE or name.startswith(_WHOLE_RANGE_FAMILIES)):
        return after.text == "(" or after.text.lower() in _GROUPINGS
    if name == "default":
        return _ends_operand(before) and after is not _NOTHING
    return name == "limit" and before.text == ")" and after.text.isdecimal()


def _ends_operand(token: _Token) -> bool:
    if token.kind == "word":
        return token.text.lower() not in _OPERATORS
    return token.kind == "string" or token.text in {")", "}", "]"}
