"""Preset service: the queries that it sends, and the parameters that it refuses."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import attrs
import pytest

from statcore.errors import InputError, QueryRejectedError, UnsupportedError
from statcore.model import MatrixResult, QueryTimeRange, VectorResult
from statcore.ports.promql import as_promql
from statcore.promql import MAX_POINTS
from statcore.promql.templates import Preset
from statcore.services import MAX_RANGE, MIN_STEP, PresetService
from statcore_memory import MemoryMetrics

START = 1_795_000_000
HOUR = QueryTimeRange(start=START, end=START + 3600, step="1m")
BUSY = Preset(
    name="busy",
    description="d",
    template="sum by (${{ group_by }})(rate(x_total{${{ labels }}}[${{ window }}]))",
    filter_labels=["kernel_id"],
    group_labels=["agent_id"],
)


@attrs.frozen
class Backend:
    """A backend that records queries, and answers nothing or fails."""

    queries: list[tuple[str, QueryTimeRange]] = attrs.field(factory=list)
    error: Exception | None = None

    async def query(self, promql: str, /, *, time: datetime | None = None) -> VectorResult:
        """Fail: no preset is queried at an instant."""
        raise AssertionError((promql, time))

    async def query_range(self, promql: str, time_range: QueryTimeRange, /) -> MatrixResult:
        """See the port."""
        self.queries.append((promql, time_range))
        if self.error is not None:
            raise self.error
        return MatrixResult(series=(), warnings=("w",))


def service(backend: Backend) -> PresetService:
    """Return the service with one preset."""
    return PresetService(backend, {"busy": BUSY})


async def test_a_preset_is_sent_with_its_parameters() -> None:
    """There is one query over the whole range; the answer is the backend's."""
    backend = Backend()

    answer = await service(backend).query_preset(
        "busy", time_range=HOUR, labels={"kernel_id": ["a", "b"]}, group_labels=["agent_id"], window="10m"
    )

    assert [('sum by (agent_id)(rate(x_total{kernel_id=~"a|b"}[10m]))', HOUR)] == backend.queries
    assert ("w",) == answer.warnings


async def test_a_preset_needs_no_parameters() -> None:
    """It is one series of all, with the preset's own window."""
    backend = Backend()
    await service(backend).query_preset("busy", time_range=HOUR)
    assert ["sum by ()(rate(x_total{}[5m]))"] == [text for text, _ in backend.queries]


def test_the_text_is_returned_without_a_query() -> None:
    """It is the text that a query would send."""
    backend = Backend()
    assert 'rate(x_total{kernel_id="a"}[5m])' in service(backend).promql("busy", time_range=HOUR, labels={"kernel_id": "a"})
    assert [] == backend.queries


async def test_errors_of_the_backend_are_unchanged() -> None:
    """They are raised as they are."""
    error = QueryRejectedError("no")
    with pytest.raises(QueryRejectedError) as raised:
        await service(Backend(error=error)).query_preset("busy", time_range=HOUR)
    assert error is raised.value


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"name": "idle"}, "there is no preset 'idle'; known are: busy"),
        ({"labels": {"user_id": "x"}}, "cannot be filtered by 'user_id'; only by kernel_id"),
        (
            {"time_range": QueryTimeRange(start=START, end=START + MAX_POINTS, step="1s")},
            "11001 points are too many: presets answer at most 11000; take a step of 2s or more, or a shorter range",
        ),
        (
            {"time_range": QueryTimeRange(start=START, end=START + 1, step="999ms")},
            "a step of 999ms is shorter than 1s; take a longer one",
        ),
        (
            {"time_range": QueryTimeRange(start=START, end=START + 367 * 86_400, step="1d")},
            "a range of 367 days, 0:00:00 is longer than 366d; take a shorter one",
        ),
    ],
)
async def test_bad_parameters_are_refused_before_any_query(parameters: dict[str, Any], message: str) -> None:
    """The error says what to change."""
    backend = Backend()
    with pytest.raises(InputError) as raised:
        await service(backend).query_preset(**{"name": "busy", "time_range": HOUR, **parameters})
    assert message in str(raised.value)
    assert [] == backend.queries


async def test_without_presets_every_name_is_unknown() -> None:
    """The error says that there is none."""
    with pytest.raises(InputError, match="there is no preset 'busy'; known are: none"):
        await PresetService(Backend(), {}).query_preset("busy", time_range=HOUR)


@pytest.mark.parametrize(
    "time_range",
    [
        QueryTimeRange(start=START, end=START + MAX_POINTS - 1, step=MIN_STEP),
        QueryTimeRange(start=START, end=datetime.fromtimestamp(START).astimezone() + MAX_RANGE, step="1h"),
        QueryTimeRange(start=START, end=START, step=timedelta(days=1000)),
    ],
)
async def test_the_limits_themselves_are_allowed(time_range: QueryTimeRange) -> None:
    """These are as many points as a server answers, a whole year, and any longer step."""
    backend = Backend()
    await service(backend).query_preset("busy", time_range=time_range)
    assert [time_range] == [queried for _, queried in backend.queries]


async def test_the_embedded_backend_answers_presets() -> None:
    """It filters and groups as a server does; the error for a template that it cannot evaluate names the function."""
    backend = MemoryMetrics()
    for second in range(0, 3600, 60):
        kernels = [("x_total", {"kernel_id": kernel, "agent_id": "i"}, 2.0 * second) for kernel in ("a", "b", "c.d")]
        backend.append_scrape(kernels, target="agent", time=START + second)
    most = Preset(name="most", description="d", template="topk(3, x_total)")
    presets = PresetService(backend, {"busy": BUSY, "most": most})

    answer = await presets.query_preset(
        "busy", time_range=HOUR, labels={"kernel_id": ["a", "c.d"]}, group_labels=["agent_id"], window="10m"
    )

    (series,) = answer.series
    assert {"agent_id": "i"} == series.labels
    assert pytest.approx(4.0) == series.values[30]
    with pytest.raises(UnsupportedError, match="the aggregation topk"):
        await presets.query_preset("most", time_range=HOUR)


def test_a_backend_evaluates_promql_or_not() -> None:
    """A wrapper that delegates every method evaluates it, too."""

    class Wrapper:
        def __getattr__(self, name: str) -> Any:
            return getattr(Backend(), name)

    class WithoutPromQL:
        """A backend that answers queriers only."""

    wrapper = Wrapper()
    assert wrapper is as_promql(wrapper, reason="x")
    message = "busy is a preset, for which the metric backend must evaluate PromQL; WithoutPromQL does not"
    with pytest.raises(UnsupportedError, match=message):
        as_promql(WithoutPromQL(), reason="busy is a preset")
