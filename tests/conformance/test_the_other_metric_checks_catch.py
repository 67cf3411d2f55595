"""What the checks of catalog, rejection and lifecycle are there for: backends that are wrong, each failing its check."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC
from types import ModuleType
from typing import Any

import pytest

from statcore.errors import InputError, PluginError, UnavailableError
from statcore.model import MatrixResult, VectorResult
from statcore.promql import Selector
from statcore.testing import metrics
from statcore.testing.metrics import MetricCheck, MetricDataset
from statcore_memory import MemoryMetrics

Call = Callable[..., Awaitable[Any]]


async def gives_values_unsorted(_: Any, call: Call, *asked: Any, **options: Any) -> Any:
    """As they were found."""
    return list(await call(*asked, **options))[::-1]


async def gives_values_twice(_: Any, call: Call, *asked: Any, **options: Any) -> Any:
    """Once per series."""
    return sorted([*(values := await call(*asked, **options)), *values])


async def ignores_match(_: Any, call: Call, label: str, **_options: Any) -> Any:
    """The filter vanishes."""
    return await call(label)


async def ignores_matchers(_: Any, call: Call, match: Selector, **options: Any) -> Any:
    """Only the name counts."""
    return await call(Selector(match.name), **options)


async def ignores_the_time(_: Any, call: Call, *asked: Any, match: Any = None, **_options: Any) -> Any:
    """All of it, always."""
    return await (call(*asked) if match is None else call(*asked, match=match))


async def trims_values(_: Any, call: Call, *asked: Any, **options: Any) -> Any:
    """Spaces are cut off."""
    return sorted({value.strip() for value in await call(*asked, **options)})


async def gives_series_without_a_name(_: Any, call: Call, *asked: Any, **options: Any) -> Any:
    """Labels alone."""
    return [
        {label: text for label, text in labels.items() if label != "__name__"} for labels in await call(*asked, **options)
    ]


async def falls_back_to_five_minutes(_: Any, call: Call, *asked: Any, **options: Any) -> Any:
    """Whatever window is not understood."""
    try:
        return await call(*asked, **options)
    except InputError:
        return await call(*asked)


async def lets_the_parser_fail(_: Any, call: Call, *asked: Any, **options: Any) -> Any:
    """An exception that is not the library's."""
    try:
        return await call(*asked, **options)
    except InputError as error:
        raise RuntimeError(str(error)) from error


async def takes_any_zone_for_utc(_: Any, call: Call, *asked: Any, **options: Any) -> Any:
    """A time without a zone is taken for some time."""
    if "time" in options:
        options["time"] = options["time"].replace(tzinfo=UTC)
    return await call(*asked, **options)


async def takes_any_zone_of_a_range_for_utc(_: Any, call: Call, *asked: Any, **options: Any) -> Any:
    """Likewise for label values and series."""
    options["time_range"] = tuple(time.replace(tzinfo=UTC) for time in options["time_range"])
    return await call(*asked, **options)


async def finds_nothing_by_a_hostile_name(_: Any, call: Call, querier: Any, *rest: Any, **options: Any) -> Any:
    """A name that cannot be is only not found."""
    try:
        return await call(querier, *rest, **options)
    except InputError:
        return MatrixResult(series=()) if rest else VectorResult(samples=())


async def blames_the_caller(_: Any, call: Call, *asked: Any, **options: Any) -> Any:
    """A broken querier is bad input."""
    try:
        return await call(*asked, **options)
    except PluginError as error:
        raise InputError(str(error)) from error


async def blames_no_method(_: Any, call: Call, *asked: Any, **options: Any) -> Any:
    """A broken querier is just broken."""
    try:
        return await call(*asked, **options)
    except PluginError as error:
        raise PluginError(str(error)) from error


async def answers_broken_queriers(_: Any, call: Call, querier: Any, *rest: Any, **options: Any) -> Any:
    """With nothing."""
    try:
        return await call(querier, *rest, **options)
    except PluginError:
        return MatrixResult(series=()) if rest else VectorResult(samples=())


async def is_down(*_: Any) -> None:
    """Refuse."""
    raise UnavailableError("refused")


async def shares_one_reply(backend: Any, call: Call, querier: Any, *, time: Any) -> Any:
    """What was asked last is answered to all."""
    backend.memo[:] = [time]
    await asyncio.sleep(0)
    return await call(querier, time=backend.memo[0])


async def swallows_cancellation(_: Any, call: Call, *asked: Any, **options: Any) -> Any:
    """An answer where `CancelledError` is due."""
    try:
        await asyncio.sleep(0)
    except asyncio.CancelledError:
        return MatrixResult(series=())
    return await call(*asked, **options)


async def closes_once(backend: Any, close: Callable[[], Awaitable[None]]) -> None:
    """Fail when closed already."""
    if backend.memo:
        raise UnavailableError("closed already")
    backend.memo.append(close)


CAUGHT: list[tuple[MetricCheck, str, Callable[..., Any]]] = [
    (metrics.check_label_values_of_all_series, "label_values", gives_values_unsorted),
    (metrics.check_label_values_of_all_series, "label_values", gives_values_twice),
    (metrics.check_label_values_can_be_narrowed, "label_values", ignores_match),
    (metrics.check_label_values_keep_hostile_text, "label_values", trims_values),
    (metrics.check_series_are_whole_label_sets, "series", gives_series_without_a_name),
    (metrics.check_series_obey_matchers, "series", ignores_matchers),
    (metrics.check_nothing_exists_a_day_earlier, "label_values", ignores_the_time),
    (metrics.check_nothing_exists_a_day_earlier, "series", ignores_the_time),
    (metrics.check_bad_rate_intervals_are_refused, "query_", falls_back_to_five_minutes),
    (metrics.check_bad_rate_intervals_are_refused, "query_utilization_now", falls_back_to_five_minutes),
    (metrics.check_bad_rate_intervals_are_refused, "query_", lets_the_parser_fail),
    (metrics.check_bad_times_are_refused, "query_", takes_any_zone_for_utc),
    (metrics.check_bad_times_are_refused, "label_values", takes_any_zone_of_a_range_for_utc),
    (metrics.check_bad_times_are_refused, "series", takes_any_zone_of_a_range_for_utc),
    (metrics.check_hostile_names_are_refused, "query_", finds_nothing_by_a_hostile_name),
    (metrics.check_hostile_names_are_refused, "query_utilization_now", finds_nothing_by_a_hostile_name),
    (metrics.check_hostile_names_are_refused, "label_values", lets_the_parser_fail),
    (metrics.check_broken_queriers_are_named, "query_", blames_the_caller),
    (metrics.check_broken_queriers_are_named, "query_", blames_no_method),
    (metrics.check_broken_queriers_are_named, "query_utilization_now", answers_broken_queriers),
    (metrics.check_ping_returns, "ping", is_down),
    (metrics.check_concurrent_queries_get_their_own_answers, "query_utilization_now", shares_one_reply),
    (metrics.check_cancelled_queries_leave_the_backend_usable, "query_", swallows_cancellation),
    (metrics.check_closing_twice_is_allowed, "aclose", closes_once),
]


@pytest.mark.parametrize(("check", "prefix", "fault"), CAUGHT, ids=lambda part: getattr(part, "__name__", part))
async def test_a_backend_that_is_wrong_fails_its_check(
    check: MetricCheck,
    prefix: str,
    fault: Callable[..., Any],
    faulty: Any,
    right_metrics: tuple[MetricDataset, MemoryMetrics],
) -> None:
    """By an assertion, or by the error that it raises where none is due."""
    dataset, right = right_metrics
    with pytest.raises((AssertionError, UnavailableError)):
        await check(faulty(right, fault, prefix=prefix), dataset)


def test_every_check_of_the_rest_catches_something() -> None:
    """None is without a backend that fails it."""
    rest = ("catalog", "rejection", "lifecycle")
    assert {check for check in metrics.CHECKS if check.__module__.endswith(rest)} == {check for check, *_ in CAUGHT}


def test_every_check_is_listed_and_has_a_contract() -> None:
    """None of the package is left out, none comes twice, and each says what it is for."""
    defined = [
        check
        for name, module in vars(metrics).items()
        if isinstance(module, ModuleType)
        for check in vars(module).values()
        if getattr(check, "__module__", "").endswith(f".metrics.{name}") and check.__name__.startswith("check_")
    ]
    assert sorted(map(repr, defined)) == sorted(map(repr, metrics.CHECKS))
    assert all(check.__doc__ for check in metrics.CHECKS)
