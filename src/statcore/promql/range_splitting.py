"""Splits a range query that has too many points for one request; changes its text so that every part has the same values.

PromQL evaluates each point by itself, with few exceptions. `start()`, `end()`, `range()` and `step()` are constants of the
whole range: they are written into the text as numbers. Some functions of MetricsQL need all points, or all series, of the
range together: such a query cannot be split. The text is scanned and not parsed, because promql-parser reads no MetricsQL.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import timedelta
from typing import Final, Literal, NamedTuple, cast

import attrs

from statcore.errors import InputError, LimitError, UnsupportedError
from statcore.model.text import check_text
from statcore.model.time import MILLISECOND, QueryTimeRange, format_duration, unix_ms

MAX_POINTS: Final = 11_000
"""Points per series that Prometheus answers; it refuses more with "exceeded maximum resolution"."""
MAX_RANGE_POINTS: Final = 110_000
"""Points per series of one range query over all its requests: a year in steps of five minutes, a day in seconds."""
MAX_RANGE_REQUESTS: Final = 100
"""Requests of one range query."""

_UNITS: Final = (timedelta(days=1), timedelta(hours=1), timedelta(minutes=1), timedelta(seconds=1), MILLISECOND)


def check_points(time_range: QueryTimeRange, points: int, *, reason: str) -> None:
    """Check that a range has no more points than allowed.

    Args:
        time_range: the range.
        points: how many points a series may have.
        reason: the setting that bounds the points, with its value, for the error.

    Raises:
        LimitError: the range has more points; the message names a step that is long enough.
    """
    if time_range.points > points:
        message = f"{time_range.points} points are too many: {reason}; {_advice(time_range, points)}"
        raise LimitError(message, limit="points")


def split_range(
    time_range: QueryTimeRange,
    *,
    max_points: int = MAX_POINTS,
    max_range_points: int = MAX_RANGE_POINTS,
    max_range_requests: int = MAX_RANGE_REQUESTS,
) -> tuple[QueryTimeRange, ...]:
    """Split a range into parts on its own step grid; joined in order, they have exactly the points of the whole.

    Args:
        time_range: the range.
        max_points: how many points a part has at most.
        max_range_points: how many points the whole range may have.
        max_range_requests: how many parts there may be.

    Returns:
        The parts in order; the range itself where it fits into one.

    Raises:
        InputError: `max_points` is less than one, or there would be too many points or parts; the message names the
            settings and a step that is long enough.
    """
    if max_points < 1:
        raise InputError(f"max_points must be at least 1, not {max_points}")
    start, step, points = time_range.start, time_range.step, time_range.points
    most = min(max_range_points, max_points * max_range_requests)
    if points <= min(max_points, most):
        return (time_range,)
    check_points(
        time_range,
        most,
        reason=f"max_range_points is {max_range_points}, max_range_requests {max_range_requests} of {max_points} points",
    )
    return tuple(
        attrs.evolve(
            time_range,
            start=start + first * step,
            end=start + (min(first + max_points, points) - 1) * step,
        )
        for first in range(0, points, max_points)
    )


def _advice(time_range: QueryTimeRange, points: int) -> str:
    shortest = ((time_range.end - time_range.start) // points // MILLISECOND + 1) * MILLISECOND
    unit = next(unit for unit in _UNITS if unit <= shortest)
    step = -(-shortest // unit) * unit
    return f"take a step of {format_duration(step)} or more, or a shorter range"


_TOKENS: Final = re.compile(
    r"""(?P<space> \s+ | \#[^\r\n]* )
      | (?P<string> "(?:[^"\\]|\\.)*(?:"|\Z) | '(?:[^'\\]|\\.)*(?:'|\Z) | `[^`]*(?:`|\Z) )
      | (?P<word> (?: [\w.] | \\. )+ )
      | (?P<sign> . )""",
    re.VERBOSE | re.DOTALL,
)
_OPERATORS: Final = frozenset(["and", "atan2", "bool", "default", "if", "ifnot", "or", "unless"])
_GROUPINGS: Final = frozenset(["by", "without"])

# Functions and aggregations of MetricsQL whose value at one point depends on other points of the range, on all series of
# the range, or on the time of the request.
_WHOLE_RANGE: Final = frozenset(
    [
        *("any", "buckets_limit", "drop_common_labels", "drop_empty_series", "histogram", "interpolate"),
        *("keep_last_value", "keep_next_value", "limit_offset", "limitk", "now", "outliers_iqr", "outliers_mad"),
        *("outliersk", "prometheus_buckets", "rand", "rand_exponential", "rand_normal", "remove_resets"),
        *("smooth_exponential", "ttf", "union"),
    ]
)
_WHOLE_RANGE_FAMILIES: Final = ("bitmap_", "bottomk_", "range_", "running_", "topk_")
_NOT_WHOLE_RANGE: Final = frozenset(["range_over_time"])  # begins like a family above, but reads only a window


class _Token(NamedTuple):
    kind: Literal["string", "word", "sign"]
    text: str
    start: int
    end: int


_NOTHING: Final = _Token("sign", "", 0, 0)
"""The token before the first one and after the last one."""


def fix_range(promql: str, time_range: QueryTimeRange, *, max_points: int) -> str:
    """Return a query that has, over any part of a range, the values that `promql` has over the whole range.

    An expression of `statcore.promql` needs no such change, because it cannot contain `start()` and the like.

    Args:
        promql: the query, in PromQL or MetricsQL. Strings, comments and names stay as they are.
        time_range: the whole range.
        max_points: how many points a part has at most, for the advice in an error.

    Raises:
        InputError: the query is not text.
        UnsupportedError: the query needs all points of the range at once; the message names the function.
    """
    check_text(promql, what="a query")
    seconds = {
        "start": f"{unix_ms(time_range.start) / 1000:.3f}",
        "end": f"{unix_ms(time_range.end) / 1000:.3f}",
        "range": f"{(time_range.end - time_range.start).total_seconds():.3f}",
        "step": f"{time_range.step.total_seconds():.3f}",
    }
    tokens = _tokens(promql)
    if name := _whole_range_part(tokens):
        raise UnsupportedError(
            f"{name} needs all points of its range at once, but {time_range.points} points take several requests;"
            f" {_advice(time_range, max_points)}"
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


def _tokens(promql: str) -> list[_Token]:
    return [
        _Token(cast("Literal['string', 'word', 'sign']", match.lastgroup), match[0], match.start(), match.end())
        for match in _TOKENS.finditer(promql)
        if match.lastgroup != "space"
    ]


def _whole_range_part(tokens: Sequence[_Token]) -> str | None:
    """Return the first part of a query that cannot be evaluated over a part of its range, or None."""
    opens_list: list[bool] = []  # for each open parenthesis, whether it opens a list and not arguments
    for before, token, after in zip([_NOTHING, *tokens], tokens, [*tokens[1:], _NOTHING], strict=False):
        name = token.text.lower()
        if token.kind == "word":
            if _needs_whole_range(before, name, after):
                return token.text
        elif name == "(":
            opens_list.append(not _ends_operand(before))
        elif name == ")" and opens_list:
            opens_list.pop()
        elif name == "," and before.kind != "string" and opens_list and opens_list[-1]:
            return "a list in parentheses"
    return None


def _needs_whole_range(before: _Token, name: str, after: _Token) -> bool:
    """Return whether a word is a function, an aggregation, an operator or a limit that needs all points of the range."""
    if name not in _NOT_WHOLE_RANGE and (name in _WHOLE_RANGE or name.startswith(_WHOLE_RANGE_FAMILIES)):
        # Without a parenthesis or a grouping after it, the word is the name of a metric or label.
        return after.text == "(" or after.text.lower() in _GROUPINGS
    if name == "default":
        # Between two operands the word is an operator: what `a default b` fills in depends on all points.
        return _ends_operand(before) and after is not _NOTHING
    # `sum(a) by (b) limit 5` keeps five of the series of the whole range; each part of it could keep five others.
    return name == "limit" and before.text == ")" and after.text.isdecimal()


def _ends_operand(token: _Token) -> bool:
    if token.kind == "word":
        return token.text.lower() not in _OPERATORS
    return token.kind == "string" or token.text in {")", "}", "]"}
