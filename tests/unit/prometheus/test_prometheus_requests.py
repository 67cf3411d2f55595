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
from statcore_prometheus.requests import check_query, label_values_request, query_request, range_request, series_request

TIME = datetime(2026, 11, 22, 10, 0, 0, 123_000, tzinfo=UTC)
SELECTOR = Selector("up", {"job": LabelMatcher.equal('a"b')})


def test_an_instant_query_has_a_time_only_where_one_is_given() -> None:
    """The time is in unix seconds, to the millisecond; without one the server uses its own."""
    at = query_request("up", TIME)
    assert ("/api/v1/query", True) == (at.path, at.by_form)
    assert [("query", "up"), ("time", "1795341600.123")] == list(at.parameters)
    assert [("query", "up")] == list(query_request("up", None).parameters)


def test_a_range_query_has_its_grid() -> None:
    """Start, end and step are exact."""
    time_range = QueryTimeRange(start=TIME, end=TIME + timedelta(hours=1), step="1500ms")
    request = range_request("up", time_range)
    expected = [("query", "up"), ("start", "1795341600.123"), ("end", "1795345200.123"), ("step", "1s500ms")]
    assert ("/api/v1/query_range", True, expected) == (request.path, request.by_form, list(request.parameters))


def test_label_values_are_narrowed_by_query_parameters() -> None:
    """A server reads `match[]` of a GET only from the query string."""
    request = label_values_request("job", SELECTOR, (TIME, TIME))
    assert ("/api/v1/label/job/values", False) == (request.path, request.by_form)
    expected = [("match[]", r'up{job="a\"b"}'), ("start", "1795341600.123"), ("end", "1795341600.123")]
    assert expected == list(request.parameters)
    assert [] == list(label_values_request("job", None, None).parameters)


def test_series_are_selected_by_a_form() -> None:
    """A form may hold any number of ids."""
    request = series_request(SELECTOR, None)
    assert ("/api/v1/series", True, [("match[]", r'up{job="a\"b"}')]) == (
        request.path,
        request.by_form,
        list(request.parameters),
    )


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
