"""Values of the model and errors, as a host reads, compares, copies and pickles them."""

from __future__ import annotations

import pickle
from array import array
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import attrs
import pytest

import statcore
from statcore import (
    InputError,
    MalformedEntryError,
    MatrixResult,
    MetricValue,
    MissingExtraError,
    Problem,
    ProblemKind,
    QueryTimeRange,
    Sample,
    Series,
    StatcoreError,
    StatisticsBatch,
    VectorResult,
)
from statcore.model import (
    AgentId,
    KernelId,
    Page,
    decimal_text,
    finite_number,
    format_duration,
    format_sample_value,
    has_bound,
    id_text,
    parse_duration,
    parse_time,
    percent_text,
    unit_hint,
)
from statcore.model.statistics import shown_value
from statcore.plugins import requires_extra

BAD = Problem(ProblemKind.MALFORMED, message="not msgpack", key="k")
MEM = {"mem": {"current": "512", "capacity": "1024", "pct": "50.00", "unit_hint": "bytes", "stats.max": "900"}}

# Class, what it is built with, attributes, whether it is retryable, and its HTTP status.
ERRORS: list[tuple[str, tuple[Any, ...], dict[str, Any], bool, int]] = [
    ("AccessDeniedError", ("m",), {"service": "db:1", "retry_after_s": None}, False, 502),
    ("ClosedError", ("m",), {}, False, 500),
    ("InputError", ("m",), {}, False, 400),
    ("MalformedEntryError", ("m",), {"key": "k", "metric": "mem"}, False, 502),
    ("MissingExtraError", ("valkey",), {"module": "redis"}, False, 500),
    ("PartialAnswerError", ("m",), {"warnings": ("half",)}, True, 503),
    ("PluginError", ("m",), {"plugin": "p", "method": "name"}, False, 500),
    ("ProtocolError", ("m",), {}, False, 502),
    ("QueryRejectedError", ("m",), {"query": "up", "status": 422}, False, 422),
    ("StatcoreError", ("m",), {}, False, 500),
    ("TimedOutError", ("m",), {"timeout_s": 1.5}, True, 504),
    ("UnavailableError", ("m",), {"service": "db:1", "retry_after_s": 2.5}, True, 503),
    ("UnsupportedError", ("m",), {}, False, 501),
]


@pytest.mark.parametrize(("name", "args", "attributes", "retryable", "http_status"), ERRORS, ids=[row[0] for row in ERRORS])
def test_an_error_carries_what_it_carried(
    name: str, args: tuple[Any, ...], attributes: dict[str, Any], *, retryable: bool, http_status: int
) -> None:
    """Attributes, text and status also survive pickling; every error is a `StatcoreError`."""
    error = getattr(statcore, name)(*args, **attributes)
    for found in (error, pickle.loads(pickle.dumps(error))):  # noqa: S301 - our own
        assert attributes == {attribute: getattr(found, attribute) for attribute in attributes}
        assert (retryable, http_status, str(error)) == (found.retryable, found.http_status, str(found))
        assert isinstance(found, StatcoreError)


def test_the_tree_of_errors() -> None:
    """Code that catches the general kind catches the special kind, too."""
    kinds = {
        "ClosedError": "InputError",
        "AccessDeniedError": "UnavailableError",
        "MalformedEntryError": "ProtocolError",
    }
    assert all(issubclass(getattr(statcore, kind), getattr(statcore, of)) for kind, of in kinds.items())
    assert issubclass(InputError, ValueError)


def test_a_missing_driver_names_its_extra() -> None:
    """`requires_extra` is what a plugin's factory imports in."""
    with pytest.raises(MissingExtraError) as caught, requires_extra("valkey"):
        import no_such_driver  # type: ignore[import-not-found]  # noqa: F401, PLC0415 - it is missing
    assert ("valkey", "no_such_driver") == (caught.value.extra, caught.value.module)


class OddEntry(Mapping[str, Any]):
    """An entry that decodes itself on access, as a store's may."""

    def __getitem__(self, metric: str) -> Any:
        """Fail for one metric."""
        if metric == "bad":
            raise MalformedEntryError("no number", key="k", metric=metric)
        return MEM[metric]

    def __iter__(self) -> Iterator[str]:
        """List the metrics."""
        return iter(("mem", "bad"))

    def __len__(self) -> int:
        """Count them."""
        return 2


def test_a_batch_is_a_sequence_with_problems_and_ages() -> None:
    """Entries in order; slices, selections and joins keep problems and ages at their entries."""
    batch = StatisticsBatch([MEM, None, None], problems={2: BAD}, ages_s={0: 1.5})
    assert isinstance(batch, Sequence)
    assert (3, MEM, [MEM, None, None]) == (len(batch), batch[0], list(batch))
    assert ({1: BAD}, {0: BAD, 1: BAD}) == (batch[1:].problems, batch.select([2, -1]).problems)
    joined = StatisticsBatch.join([batch, batch])
    assert ({2: BAD, 5: BAD}, {0: 1.5, 3: 1.5}) == (dict(joined.problems), dict(joined.ages_s))
    assert batch == StatisticsBatch(iter([MEM, None, None]), problems={2: BAD})
    assert ("malformed", "not msgpack", "k") == (BAD.kind, BAD.message, BAD.key)
    kinds = ["malformed", "incomplete", "unavailable", "stale", "undated", "oversized"]
    assert kinds == [kind.value for kind in ProblemKind]


def test_a_batch_as_json() -> None:
    """A metric that cannot be decoded becomes a problem; the others of its entry stay."""
    assert {
        "entries": [MEM, None],
        "ages_s": [None, 2.0],
        "problems": [
            {"position": 0, "kind": "malformed", "message": "no number", "key": "k"},
            {"position": 1, "kind": "malformed", "message": "not msgpack", "key": "k"},
        ],
    } == StatisticsBatch([OddEntry(), None], problems={1: BAD}, ages_s={1: 2.0}).to_json()


def test_a_metric_value_and_its_map() -> None:
    """The map has flat keys; `shown_value` hides the percentage of a metric without a bound."""
    value = MetricValue.from_map(MEM["mem"])
    assert MetricValue(current="512", capacity="1024", pct="50.00", unit_hint="bytes", stats={"max": "900"}) == value
    assert MEM["mem"] == value.to_map()
    assert {"current": "1", "capacity": None, "pct": "0.00", "unit_hint": ""} == MetricValue(current="1").to_map()
    for refused in ({}, {"current": 1}):
        with pytest.raises(InputError):
            MetricValue.from_map(refused)
    with pytest.raises(InputError):
        MetricValue(current="1", stats={"median": "1"})
    assert {"current": "1", "pct": None} == shown_value("net_rx", {"current": "1", "pct": "5"})


def test_answers_of_backends() -> None:
    """Arrays, notes, and the shape of a Prometheus response."""
    series = Series(labels={"a": "b"}, timestamps=array("d", [1.0, 2.5]), values=array("d", [0.5, float("inf")]))
    answer = MatrixResult(series=(series,), warnings=("half",), infos=("i",), partial=True)
    assert (2, "success", "matrix") == (len(series), answer.status, answer.data.result_type)
    assert [({"a": "b"}, [(1.0, "0.5"), (2.5, "+Inf")])] == [(row.metric, row.values) for row in answer.data.result]
    labels = {"labels": {"a": "b"}}
    assert [{**labels, "timestamps": [1.0, 2.5], "values": [0.5, float("inf")]}] == answer.to_json()
    vector = VectorResult(samples=(Sample(labels={}, timestamp=1.0, value=2.0),))
    assert ((), (), False, 2.0) == (vector.warnings, vector.infos, vector.partial, vector.samples[0].value)
    assert ("half", "i", True) == (*answer.warnings, *answer.infos, answer.partial)
    with pytest.raises(InputError):
        attrs.evolve(series, values=array("d"))
    assert answer == pickle.loads(pickle.dumps(answer))  # noqa: S301 - our own


def test_times_and_durations() -> None:
    """RFC 3339, unix seconds and datetimes are read; no zone is refused."""
    time_range = QueryTimeRange(start="2026-11-22T10:00:00Z", end=1795341660, step="30s")
    assert datetime(2026, 11, 22, 10, tzinfo=UTC) == time_range.start == parse_time("2026-11-22T11:00:00+01:00")
    assert (timedelta(seconds=30), timedelta(minutes=90)) == (time_range.step, parse_duration("1h30m"))
    assert 1 == QueryTimeRange(start=0, end=0, step=timedelta(seconds=1)).points
    assert ("1h30m", "500ms") == (format_duration(timedelta(minutes=90)), format_duration("500ms"))
    for refused in ("2026-11-22T10:00:00", "", True):
        with pytest.raises(InputError):
            parse_time(refused)


def test_numbers_ids_and_units() -> None:
    """The small functions that a host formats and checks with."""
    assert "6f1b3c9e-0a52-4a57-9d3e-0c8f8f0e9b11" == id_text("6F1B3C9E0A524A579D3E0C8F8F0E9B11")
    assert (str(UUID(int=1)), "i-1") == (id_text(KernelId(UUID(int=1))), AgentId("i-1"))
    assert (Decimal("1.5"), None, None) == (finite_number("1.5"), finite_number("NaN"), finite_number(1.5))
    assert ("0.1", "1e+23", "NaN") == (*map(format_sample_value, (0.1, 1e23, float("nan"))),)
    assert ("1.235", "50") == (decimal_text(1.23456), percent_text(1, "2"))
    assert ("bytes", "bps", "millicores", "msec") == (
        *map(unit_hint, ("mem", "net_rx", "cpu_util")),
        unit_hint("cpu_util", of="node"),
    )
    assert (True, False) == (has_bound("mem"), has_bound("net_rx"))
    page = Page.cut("abc", limit=1, offset=1)
    assert ("b", 3) == (page.items, page.total_count)
