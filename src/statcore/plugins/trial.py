"""Trial of the kinds that a plugin contributes: each is tried once, without a server, to find faults before its use."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Final

from statcore.errors import InputError, PluginError
from statcore.model.text import describe
from statcore.plugins.hooks import Contribution, MetricBackendSpec, QuerierSpec, StatisticsStoreSpec
from statcore.plugins.querier_kinds import build_querier, check_options
from statcore.plugins.report import raised_at
from statcore.promql.syntax import render
from statcore.promql.utilization import utilization_query

_METHODS: Final = ("name", "labels", "group_by_labels", "query_strategy")


def fault_of(contribution: Contribution) -> str | None:
    """Return what is wrong with a kind and how to correct it, or None where nothing is found.

    A querier is built from the example of its spec, or from the defaults of its fields, and its expression is written. A
    kind that has required fields and no example is not built. No store or backend is opened: only the signatures of `open`
    and `open_sink` are checked.
    """
    try:
        for fault in _faults(contribution):
            return fault
    except PluginError as error:
        return f"{error}{raised_at(error.__cause__) if error.__cause__ else ''}"
    except BaseException as error:  # noqa: BLE001 - SystemExit and the like of a plugin must not end its host
        return f"{describe(error)}{raised_at(error)}"
    return None


def _faults(contribution: Contribution) -> Iterator[str]:
    match contribution:
        case QuerierSpec():
            yield from _querier_faults(contribution)
        case StatisticsStoreSpec():
            yield from _factory_faults("open", contribution.open)
            if contribution.open_sink is not None:
                yield from _factory_faults("open_sink", contribution.open_sink)
        case MetricBackendSpec():
            yield from _factory_faults("open", contribution.open)
        case _:  # a preset has been parsed already
            pass


def _querier_faults(spec: QuerierSpec) -> Iterator[str]:
    check_options(spec)
    for method in _METHODS:
        if _is_async(getattr(spec.querier, method)):
            yield f"{method}() is async: write `def {method}`; a querier does no I/O"
    if spec.example is None and any(field.required for field in spec.fields):
        return
    try:
        querier = build_querier(spec, spec.example or {})
        expression = utilization_query(querier)
    except InputError as error:
        if spec.example is not None:
            yield f"the example of its QuerierSpec is refused: {error}"
        return  # without an example, some combination of the optional fields may be needed
    render(expression)


def _factory_faults(name: str, factory: Callable[..., object]) -> Iterator[str]:
    if not _is_async(factory):
        yield f"{name} is not async: write `async def {name}(url, options)`"
    try:
        inspect.signature(factory).bind("", {})
    except TypeError as error:
        yield f"{name} cannot be called with a URL and options: {error}"


def _is_async(function: object) -> bool:
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(getattr(function, "__call__", None))  # noqa: B004
