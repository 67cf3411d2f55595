"""Queries that a backend refuses before it sends anything."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final, NoReturn

from statcore.errors import InputError, PluginError
from statcore.ports.metrics import MetricQuerierPort
from statcore.promql.syntax import Selector
from statcore.queriers.interface import QueryStrategy
from statcore.testing.expectations import expect, expect_error
from statcore.testing.metrics.comparison import between, querier_of
from statcore.testing.metrics.dataset import METRIC, OWNERS, MetricDataset
from statcore.testing.queriers import FixedQuerier

_BAD_INTERVALS: Final = ("", "5", "0s", "-5m", "1.5m", "5m 30s", "5 m", "m", "5m:", "5m]) or vector(1) #", timedelta(0))
_HOSTILE_NAMES: Final = ('a"b', "a\\", "a}", 'x="1"} or vector(1) #', "a\nb", "\ud800", "x" * 5_000)


async def check_bad_rate_intervals_are_refused(backend: MetricQuerierPort, dataset: MetricDataset) -> None:
    """A window that is not a positive duration is an `InputError` in every query of a rate."""
    time_range = between(dataset, 600, 660, step_s=15)
    for strategy in (QueryStrategy.RATE, QueryStrategy.RATE_NORMALIZED):
        querier = querier_of("counter", strategy=strategy)
        for window in _BAD_INTERVALS:
            with expect_error(InputError, about=f"a range with rate_interval={window!r}"):
                await backend.query_utilization(querier, time_range, rate_interval=window)
            with expect_error(InputError, about=f"an instant with rate_interval={window!r}"):
                await backend.query_utilization_now(querier, rate_interval=window)


async def check_bad_times_are_refused(backend: MetricQuerierPort, dataset: MetricDataset) -> None:
    """A time without a zone is an `InputError`: a server would take it for another time."""
    naive = dataset.end.replace(tzinfo=None)
    with expect_error(InputError, about="an instant without a zone"):
        await backend.query_utilization_now(querier_of("ramp"), time=naive)
    with expect_error(InputError, about="label values in a time range without a zone"):
        await backend.label_values("shape", time_range=(naive, naive))
    with expect_error(InputError, about="series in a time range without a zone"):
        await backend.series(Selector(METRIC), time_range=(naive, naive))


async def check_hostile_names_are_refused(backend: MetricQuerierPort, dataset: MetricDataset) -> None:
    """Names that no metric or label can have, and that would break out of a query, are refused, not sent."""
    time_range = between(dataset, 600, 660, step_s=15)
    for name in _HOSTILE_NAMES:
        for querier in (
            FixedQuerier(name),
            FixedQuerier(METRIC, {name: "x"}),
            FixedQuerier(METRIC, group_by=[name]),
        ):
            with expect_error(InputError, PluginError, about=f"a range of {querier!r:.200}"):
                await backend.query_utilization(querier, time_range)
            with expect_error(InputError, PluginError, about=f"an instant of {querier!r:.200}"):
                await backend.query_utilization_now(querier)
        with expect_error(InputError, about=f"values of the label {name!r:.200}"):
            await backend.label_values(name)


async def check_broken_queriers_are_named(backend: MetricQuerierPort, dataset: MetricDataset) -> None:
    """A querier that raises or answers nonsense is a `PluginError` that names the method; other queriers still work."""
    time_range = between(dataset, 600, 600, step_s=15)
    for method, broken in _broken_queriers():
        for instant in (False, True):
            try:
                if instant:
                    await backend.query_utilization_now(broken)
                else:
                    await backend.query_utilization(broken, time_range)
            except PluginError as error:
                expect(method, error.method, f"the method that {broken!r} breaks")
            except Exception as error:
                raise AssertionError(f"{broken!r}: expected PluginError, got {error!r}") from error
            else:
                raise AssertionError(f"{broken!r}: expected PluginError, but it was answered")
    result = await backend.query_utilization(querier_of("owners"), time_range)
    expect([sum(OWNERS.values())], [series.values[0] for series in result.series], "a sound querier afterwards")


def _broken_queriers() -> list[tuple[str, FixedQuerier]]:
    def fail(_: object) -> NoReturn:
        raise KeyError("planted")

    nonsense: dict[str, list[dict[str, Any]]] = {
        "name": [{"metric": answer} for answer in ("", None, b"up", 7)],
        "labels": [{"matchers": answer} for answer in (None, "case", [("case", "x")], {1: "x"}, {"": "x"}, {"case": 5})],
        "group_by_labels": [{"group_by": answer} for answer in (None, "case", [None], [""], 5)],
        "query_strategy": [{"strategy": answer} for answer in ("nonsense", None, "")],
    }
    broken: list[tuple[str, FixedQuerier]] = []
    for method, answers in nonsense.items():
        raising = type(f"RaisesIn_{method}", (FixedQuerier,), {method: fail})
        broken.append((method, raising(METRIC)))
        for answer in answers:
            fields: dict[str, Any] = {"metric": METRIC, **answer}
            broken.append((method, FixedQuerier(**fields)))
    return broken
