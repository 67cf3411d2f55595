"""Requests: paths and parameters."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
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
    """Any name is one segment of the path."""
    path = label_values_request(label, None, None).path
    assert ["", "api", "v1", "label", "values"] == [part for part in path.split("/") if "U__" not in part]
    plain = label_values_request(label, None, None, is_escaped=False).path
    *start, name, end = plain.split("/")
    assert (["", "api", "v1", "label"], label, "values") == (start, unquote(name), end)
    assert not set("./?#").intersection(name)
    assert path.replace("/", "").replace("_", "").isalnum()


def test_a_label_that_looks_escaped_is_escaped() -> None:
    """Otherwise a server would decode another name from it."""
    assert "/api/v1/label/U__U____a/values" == label_values_request("U__a", None, None).path


@pytest.mark.parametrize("label", ["", 'a"b', "a\nb", "a\ud800"])
def test_a_hostile_label_name_is_refused(label: str) -> None:
    """The error is raised before anything is sent."""
    with pytest.raises(InputError, match="name"):
        label_values_request(label, None, None)


@pytest.mark.parametrize("promql", ["", " \n", "a\ud800"])
def test_a_bad_query_is_refused(promql: str) -> None:
    """Empty text and text that cannot be encoded are refused."""
    with pytest.raises(InputError, match="a query"):
        check_query(promql)


def test_bad_times_are_refused() -> None:
    """A time needs a zone, and a range ends after its start."""
    with pytest.raises(InputError, match="zone"):
        query_request("up", TIME.replace(tzinfo=None))
    with pytest.raises(InputError, match="zone"):
        series_request(SELECTOR, (TIME.replace(tzinfo=None), TIME))
    with pytest.raises(InputError, match="ends before it starts"):
        label_values_request("job", None, (TIME, TIME - timedelta(milliseconds=1)))
