"""Utilization of containers: actions become queriers, and answers become results."""

from __future__ import annotations

import logging
from array import array
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import attrs
import pytest

from statcore.errors import InputError, UnavailableError
from statcore.model import MatrixResult, QueryTimeRange, Series
from statcore.promql import Selector
from statcore.queriers import ContainerMetricQuerier
from statcore.services import (
    ContainerMetricAction,
    ContainerMetricActionResult,
    ContainerMetricMetadataAction,
    ContainerMetricMetadataActionResult,
    ContainerMetricOptionalLabel,
    ContainerMetricResponseInfo,
    ContainerMetricResult,
    ContainerUtilizationMetricService,
    MetricResultValue,
    available_metrics,
)

USER, PROJECT, KERNEL, SESSION = (str(UUID(int=number)) for number in range(1, 5))
START, END = "2026-11-22T10:00:00Z", "2026-11-22T11:00:00Z"
LABELS = ContainerMetricOptionalLabel(value_type="current")


@attrs.define
class Backend:
    """A `MetricQuerierPort` that records calls."""

    answer: MatrixResult = attrs.field(factory=lambda: MatrixResult(series=()))
    found: Sequence[Mapping[str, str]] = ()
    error: Exception | None = None
    queries: list[Any] = attrs.field(factory=list)

    async def query_utilization(self, *arguments: Any, **options: Any) -> MatrixResult:
        """See the port."""
        self.queries.append((*arguments, options))
        if self.error:
            raise self.error
        return self.answer

    async def label_values(self, label: str, /, *, match: Selector | None = None, **_options: Any) -> Sequence[str]:
        """See the port."""
        self.queries.append((label, match))
        return ("cpu_util", "mem")

    async def series(self, match: Selector, /, **_options: Any) -> Sequence[Mapping[str, str]]:
        """See the port."""
        self.queries.append(match)
        return self.found

    def __getattr__(self, name: str) -> Any:
        """A whole port as far as types go."""
        raise AttributeError(name)


def _series(*samples: tuple[float, float], **labels: str) -> Series:
    times, values = zip(*samples, strict=True) if samples else ((), ())
    return Series(labels=labels, timestamps=array("d", times), values=array("d", values))


async def test_an_action_becomes_a_querier() -> None:
    """It has every label and the time range of the action, and the service's rate interval."""
    labels = ContainerMetricOptionalLabel("capacity", "i-1", UUID(KERNEL), SESSION, USER, project_id=PROJECT)
    backend = Backend()
    service = ContainerUtilizationMetricService(backend, rate_interval="1m")
    await service.fetch_metric(ContainerMetricAction("mem", labels, START, END, "60s"))
    querier = ContainerMetricQuerier(
        metric_name="mem",
        value_type="capacity",
        agent_id="i-1",
        kernel_id=KERNEL,
        session_id=SESSION,
        user_id=USER,
        project_id=PROJECT,
    )
    time_range = QueryTimeRange(start=START, end=END, step="60s")
    assert [(querier, time_range, {"rate_interval": "1m"})] == backend.queries


async def test_the_old_name_sends_the_same_query() -> None:
    """`query_metric` takes its argument by position and keyword; the default rate interval is five minutes."""
    backend = Backend(MatrixResult(series=(_series((1, 2), value_type="current"),)))
    service = ContainerUtilizationMetricService(metrics=backend)
    action = ContainerMetricAction(metric_name="mem", labels=LABELS, start=START, end=END, step="60s")
    assert await service.fetch_metric(action) == await service.query_metric(action)
    assert backend.queries[0] == backend.queries[1]
    assert {"rate_interval": "5m"} == backend.queries[0][-1]


async def test_a_result_has_the_series_of_the_answer() -> None:
    """They are in order, with the text that Prometheus would write; a missing label is None."""
    answer = MatrixResult(
        series=(
            _series(
                (1.5, 2.0), (2.5, float("nan")), (3.5, 1e21), value_type="current", user_id=USER, project_id="undefined"
            ),
            _series((1.5, 0.1), value_type="capacity", kernel_id=KERNEL, other="x"),
            _series(),
        )
    )
    action = ContainerMetricAction("mem", LABELS, START, END, 60)
    found = await ContainerUtilizationMetricService(Backend(answer)).fetch_metric(action)
    expected = [
        ContainerMetricResult(
            ContainerMetricResponseInfo(value_type="current", user_id=USER, project_id="undefined"),
            [MetricResultValue(1.5, "2"), MetricResultValue(2.5, "NaN"), MetricResultValue(3.5, "1e+21")],
        ),
        ContainerMetricResult(
            ContainerMetricResponseInfo(value_type="capacity", kernel_id=KERNEL), [MetricResultValue(1.5, "0.1")]
        ),
        ContainerMetricResult(ContainerMetricResponseInfo(), []),
    ]
    assert ContainerMetricActionResult(result=expected) == found
    assert (USER, "undefined") == (found.result[0].metric.owner_user_id, found.result[0].metric.owner_project_id)
    assert (None, None) == (found.result[1].metric.owner_user_id, found.result[1].metric.owner_project_id)


async def test_every_label_of_a_series_has_its_field() -> None:
    """A backend may answer with labels that the query does not group by."""
    labels = {field.name: field.name.upper() for field in attrs.fields(ContainerMetricResponseInfo)}
    answer = MatrixResult(series=(_series(**labels),))
    action = ContainerMetricAction("mem", LABELS, START, END, 60)
    found = await ContainerUtilizationMetricService(Backend(answer)).fetch_metric(action)
    assert labels == attrs.asdict(found.result[0].metric)
    assert {"value_type", "container_metric_name", "agent_id", "instance", "job", "kernel_id", "session_id"} < set(labels)


@pytest.mark.parametrize(
    ("notes", "reason"),
    [
        ({"warnings": ("store 2 is down", "and 3")}, "store 2 is down; and 3"),
        ({"partial": True}, "the answer is partial"),
        ({"warnings": ("w",), "partial": True}, "w"),
        ({"infos": ("no counter",)}, None),
    ],
)
async def test_notes_of_an_answer_are_kept_and_logged(
    notes: Any, reason: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    """Warnings and partial answers are; infos never mean missing data."""
    service = ContainerUtilizationMetricService(Backend(MatrixResult(series=(), **notes)))
    found = await service.fetch_metric(ContainerMetricAction("mem", LABELS, START, END, "1m"))
    assert (notes.get("warnings", ()), notes.get("partial", False)) == (found.warnings, found.partial)
    expected = [] if reason is None else [(logging.WARNING, f"utilization of containers, mem: {reason}")]
    assert expected == [(record.levelno, record.getMessage()) for record in caplog.records]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"metric_name": ""}, "metric_name is empty"),
        ({"labels": attrs.evolve(LABELS, value_type="share")}, "value_type must be one of current, capacity, pct"),
        ({"labels": attrs.evolve(LABELS, kernel_id="no id")}, "not an id"),
        ({"start": "2026-11-22T10:00:00"}, "a time without a zone"),
        ({"end": "2026-11-22T09:00:00Z"}, "ends before it starts"),
        ({"step": "0s"}, "step must be"),
    ],
)
async def test_bad_input_is_refused_before_any_query(change: dict[str, Any], message: str) -> None:
    """The error says what is wrong."""
    backend = Backend()
    action = attrs.evolve(ContainerMetricAction("mem", LABELS, START, END, "1m"), **change)
    with pytest.raises(InputError, match=message):
        await ContainerUtilizationMetricService(backend).fetch_metric(action)
    assert [] == backend.queries


def test_a_bad_rate_interval_is_refused_at_once() -> None:
    """The constructor raises."""
    with pytest.raises(InputError, match="duration"):
        ContainerUtilizationMetricService(Backend(), rate_interval="0s")


async def test_errors_of_the_backend_are_unchanged() -> None:
    """They are raised as they are."""
    error = UnavailableError("down", service="prometheus")
    with pytest.raises(UnavailableError) as caught:
        await ContainerUtilizationMetricService(Backend(error=error)).query_metric(
            ContainerMetricAction("mem", LABELS, START, END, "1m")
        )
    assert error is caught.value


async def test_metadata_is_the_names_of_the_metrics() -> None:
    """Only the series of containers count, not all series with such a label."""
    backend = Backend()
    found = await ContainerUtilizationMetricService(backend).query_metadata(ContainerMetricMetadataAction())
    assert ContainerMetricMetadataActionResult(metric_names=["cpu_util", "mem"]) == found
    assert [("container_metric_name", Selector("backendai_container_utilization"))] == backend.queries


@pytest.mark.parametrize(("found", "expected"), [([{"__name__": "up"}], ["up"]), ([], [])])
async def test_a_series_without_a_metric_label_is_one_metric(found: list[dict[str, str]], expected: list[str]) -> None:
    """Its name is the name of the metric, if there is such a series."""
    backend = Backend(found=found)
    assert expected == await available_metrics(backend, series="up", metric_label=None)
    assert [Selector("up")] == backend.queries
