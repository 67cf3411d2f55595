"""Questions to the Prometheus HTTP API: values in, paths and parameters out, no I/O."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import attrs

from statcore.errors import InputError
from statcore.model.duration import format_duration
from statcore.model.text import check_text
from statcore.model.time_range import QueryTimeRange, parse_time, unix_ms
from statcore.promql.names import url_path_name
from statcore.promql.render import render
from statcore.promql.syntax import Selector

_API: Final = "/api/v1"


@attrs.frozen(kw_only=True)
class Request:
    """One question: where it goes, its parameters in order, and how."""

    path: str
    """Below the base path, percent-encoded."""
    parameters: Sequence[tuple[str, str]]
    is_query: bool
    """A query is sent as a form, however long it is, and tells the server the deadline; all else is a GET."""
    subject: str
    """What is asked, for messages and errors."""


def query_request(promql: str, time: datetime | None) -> Request:
    """Ask for a value at an instant, by default the server's now."""
    at = [] if time is None else [("time", _time(time))]
    return Request(path=f"{_API}/query", parameters=[("query", _query(promql)), *at], is_query=True, subject=promql)


def range_request(promql: str, time_range: QueryTimeRange) -> Request:
    """Ask for values at every point of a range."""
    parameters = [
        ("query", _query(promql)),
        ("start", _time(time_range.start)),
        ("end", _time(time_range.end)),
        ("step", format_duration(time_range.step)),
    ]
    return Request(path=f"{_API}/query_range", parameters=parameters, is_query=True, subject=promql)


def label_values_request(label: str, match: Selector | None, span: tuple[datetime, datetime] | None) -> Request:
    """Ask for the values of a label."""
    matches = [] if match is None else [("match[]", render(match))]
    return Request(
        path=f"{_API}/label/{url_path_name(label)}/values",
        parameters=[*matches, *_span(span)],
        is_query=False,
        subject=f"values of the label {label}" + "".join(f" of {text}" for _, text in matches),
    )


def series_request(match: Selector, span: tuple[datetime, datetime] | None) -> Request:
    """Ask for the label sets of series."""
    selector = render(match)
    return Request(
        path=f"{_API}/series",
        parameters=[("match[]", selector), *_span(span)],
        is_query=False,
        subject=f"series {selector}",
    )


def _query(promql: str) -> str:
    if not check_text(promql, what="a query").strip():
        raise InputError("a query is empty")
    return promql


def _time(value: datetime) -> str:
    return f"{unix_ms(parse_time(value)) / 1000:.3f}"


def _span(span: tuple[datetime, datetime] | None) -> list[tuple[str, str]]:
    if span is None:
        return []
    start, end = map(parse_time, span)
    if end < start:
        raise InputError(f"the range ends before it starts: start {start.isoformat()}, end {end.isoformat()}")
    return [("start", _time(start)), ("end", _time(end))]
