"""Requests: paths and parameters."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from urllib.parse import unquote

import pytest

from statcore.errors import InputError
from statcore.model import QueryTimeRange
from statcore.promql import Selector
from statcore.queriers import LabelMatcher
from statcore_prometheus.requests import (
    Request,
    check_query,
    label_values_request,
    query_request,
    range_request,
    series_request,
)

TIME = datetime(2026, 11, 22, 10, 0, 0, 123_000, tzinfo=UTC)
SELECTOR = Selector("up", {"job": LabelMatcher.equal('a"b')})


SELECTED = ("match[]", r'up{job="a\"b"}')


@pytest.mark.parametrize(
    ("expected", "made"),
    [
        (("query", True, [("query", "up"), ("time", "1795341600.123")]), query_request("up", TIME)),
        (("query", True, [("query", "up")]), query_request("up", None)),
        (
            (
                *("query_range", True),
                [("query", "up"), ("start", "1795341600.123"), ("end", "1795345200.123"), ("step", "1s500ms")],
            ),
            range_request("up", QueryTimeRange(start=TIME, end=TIME + timedelta(hours=1), step="1500ms")),
        ),
        (
            ("label/job/values", False, [SELECTED, ("start", "1795341600.123"), ("end", "1795341600.123")]),
            label_values_request("job", SELECTOR, (TIME, TIME)),
        ),
        (("label/job/values", False, []), label_values_request("job", None, None)),
        (("series", True, [("match[]", "statcore_no_such_metric"), SELECTED]), series_request(SELECTOR, None)),
    ],
)
def test_a_request_has_a_path_and_parameters(expected: tuple[str, bool, list[tuple[str, str]]], made: Request) -> None:
    """Times are unix seconds, to the millisecond; a form may hold any number of ids, but a GET must have a query string."""
    path, by_form, parameters = expected
    assert (f"/api/v1/{path}", by_form, parameters) == (made.path, made.by_form, list(made.parameters))


@pytest.mark.parametrize(
    "label", ["../../admin", "a/b", "a?b", "a%2Fb", "a#b", "..", ".", "U__a", "é", "a b", "service.name"]
)
def test_a_label_name_cannot_leave_its_segment(label: str) -> None:
    """Any name is one segment of the path; one that looks escaped is escaped, or a server would decode another name."""
    path = label_values_request(label, None, None).path
    assert ["", "api", "v1", "label", "values"] == [part for part in path.split("/") if "U__" not in part]
    plain = label_values_request(label, None, None, is_escaped=False).path
    *start, name, end = plain.split("/")
    assert (["", "api", "v1", "label"], label, "values") == (start, unquote(name), end)
    assert not set("./?#").intersection(name)
    assert path.replace("/", "").replace("_", "").isalnum()
    assert (label == "U__a") == (path == "/api/v1/label/U__U____a/values")


@pytest.mark.parametrize(
    ("message", "make"),
    [
        *(("name", partial(label_values_request, label, None, None)) for label in ("", 'a"b', "a\nb", "a\ud800")),
        *(("a query", partial(check_query, promql)) for promql in ("", " \n", "a\ud800")),
        ("zone", partial(query_request, "up", TIME.replace(tzinfo=None))),
        ("zone", partial(series_request, SELECTOR, (TIME.replace(tzinfo=None), TIME))),
        ("ends before it starts", partial(label_values_request, "job", None, (TIME, TIME - timedelta(milliseconds=1)))),
    ],
)
def test_a_bad_argument_is_refused(message: str, make: Callable[[], object]) -> None:
    """A name, a query or a time that cannot be sent raises before anything is sent."""
    with pytest.raises(InputError, match=message):
        make()
