"""Requests of the Prometheus HTTP API: values in, paths and parameters out, no I/O."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Final
from urllib.parse import quote

import attrs

from statcore.errors import InputError
from statcore.model.text import check_text
from statcore.model.time import QueryTimeRange, format_duration, parse_time, unix_ms
from statcore.promql.quoting import label_text, url_path_name
from statcore.promql.syntax import Selector, render

API_PATH: Final = "/api/v1"
NO_SUCH_METRIC: Final = "statcore_no_such_metric"
"""Selects nothing in any store, but each store has to be read to know that."""
_CLASSIC: Final = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")


@attrs.frozen(kw_only=True)
class Request:
    """One request: its path, its parameters in order, and how it is sent."""

    path: str
    """The path below the base path of the server, percent-encoded."""
    parameters: Sequence[tuple[str, str]]
    by_form: bool
    """Whether the parameters are sent as a form of any length, together with the deadline; otherwise a GET is sent."""
    subject: str
    """The subject of the request in messages and errors."""


def check_query(promql: str) -> str:
    """Return the text of a query if it can be sent.

    Raises:
        InputError: the query is empty, or is not text that can be encoded.
    """
    if not check_text(promql, what="a query").strip():
        raise InputError("a query is empty")
    return promql


def query_request(promql: str, time: datetime | None) -> Request:
    """Return the request for values at an instant, by default the server's now.

    Raises:
        InputError: the time has no zone.
    """
    at = [] if time is None else [("time", _time(time))]
    return Request(path=f"{API_PATH}/query", parameters=[("query", promql), *at], by_form=True, subject=promql)


def range_request(promql: str, time_range: QueryTimeRange) -> Request:
    """Return the request for values at every point of a range."""
    parameters = [
        ("query", promql),
        ("start", _seconds(time_range.start)),
        ("end", _seconds(time_range.end)),
        ("step", format_duration(time_range.step)),
    ]
    return Request(path=f"{API_PATH}/query_range", parameters=parameters, by_form=True, subject=promql)


def label_values_request(
    label: str, match: Selector | None, span: tuple[datetime, datetime] | None, *, is_escaped: bool = True
) -> Request:
    """Return the request for the values of a label.

    Args:
        label: its name.
        match: selects the series; None selects all.
        span: the time in which the series have samples; None is the server's default.
        is_escaped: whether a name that is not classic is written with `U__` escaping, or unchanged.

    Raises:
        InputError: the label name is not valid, a time has no zone, or the span ends before it starts.
    """
    matches = [] if match is None else [("match[]", render(match))]
    return Request(
        path=f"{API_PATH}/label/{url_path_name(label) if is_escaped else _plain(label)}/values",
        parameters=[*matches, *_span(span)],
        by_form=False,
        subject=f"values of the label {label}" + "".join(f" of {text}" for _, text in matches),
    )


def is_classic_name(label: str) -> bool:
    """Return whether every version of every server knows a label's name without escaping."""
    return _CLASSIC.fullmatch(label) is not None


def _plain(label: str) -> str:
    url_path_name(label)  # raises `InputError` for a bad name
    return quote(label, safe="").replace(".", "%2E")  # a name such as ".." would change the path


def build_info_request() -> Request:
    """Return the request for the program and version of the server."""
    return Request(path=f"{API_PATH}/status/buildinfo", parameters=[], by_form=False, subject="build information")


def series_request(match: Selector, span: tuple[datetime, datetime] | None) -> Request:
    """Return the request for the label sets of series.

    Args:
        match: selects the series.
        span: the time in which the series have samples; None is the server's default.

    Raises:
        InputError: a time has no zone, or the span ends before it starts.
    """
    return _series_request(render(match), span)


def labelled_series_request(label: str, match: Selector | None, span: tuple[datetime, datetime] | None) -> Request:
    """Return the request for the label sets of series that have a label; `match` None selects all of them.

    Raises:
        InputError: the label name is not valid, a time has no zone, or the span ends before it starts.
    """
    return _series_request(f'{{{label_text(label)}!=""}}' if match is None else render(match), span)


def _series_request(selector: str, span: tuple[datetime, datetime] | None) -> Request:
    # With one selector, Prometheus 3 collects the warnings before it reads the series of other servers, and does not say
    # what the answer lacks.
    return Request(
        path=f"{API_PATH}/series",
        parameters=[("match[]", NO_SUCH_METRIC), ("match[]", selector), *_span(span)],
        by_form=True,
        subject=f"series {selector}",
    )


def _time(value: datetime) -> str:
    return _seconds(parse_time(value))


def _seconds(value: datetime) -> str:
    return f"{unix_ms(value) / 1000:.3f}"


def _span(span: tuple[datetime, datetime] | None) -> list[tuple[str, str]]:
    if span is None:
        return []
    start, end = map(parse_time, span)
    if end < start:
        raise InputError(f"the range ends before it starts: start {start.isoformat()}, end {end.isoformat()}")
    return [("start", _time(start)), ("end", _time(end))]
