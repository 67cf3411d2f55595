"""Strategies that statcore does not have. Equal strategies are equal values, so that queriers can share requests."""

from __future__ import annotations

import attrs

from statcore.promql import Aggregation, BinaryOperation, Call, Expression, RangeSelector, Selector
from statcore.queriers import MetricQuery


def series_count(query: MetricQuery, _window: str, /) -> Expression:
    """Return the number of series."""
    return Aggregation("count", Selector(query.name, query.matchers), query.group_by)


def highest_rate(query: MetricQuery, window: str, /) -> Expression:
    """Return the highest rate of a series: shares of time of several devices must not be added."""
    rate = Call("rate", RangeSelector(Selector(query.name, query.matchers), window))
    return Aggregation("max", rate, query.group_by)


@attrs.frozen
class Difference:
    """The sum of the series minus the sum of another metric."""

    other: str

    def __call__(self, query: MetricQuery, _window: str, /) -> Expression:
        """Return the difference."""
        whole, part = (
            Aggregation("sum", Selector(name, query.matchers), query.group_by) for name in (query.name, self.other)
        )
        return BinaryOperation("-", whole, part)


def sum_of_devices(query: MetricQuery, _window: str, /) -> Expression:
    """Return the sum over devices: a file system that is mounted in several places has several series."""
    return _sum_of_devices(query, query.name)


@attrs.frozen
class DifferenceOfDevices:
    """The sum over devices minus the sum over devices of another metric."""

    other: str

    def __call__(self, query: MetricQuery, _window: str, /) -> Expression:
        """Return the difference."""
        return BinaryOperation("-", _sum_of_devices(query, query.name), _sum_of_devices(query, self.other))


def _sum_of_devices(query: MetricQuery, name: str) -> Aggregation:
    # The series of the mount points of a device are the same, except that each was read at another instant.
    device = Aggregation("max", Selector(name, query.matchers), (*query.group_by, "device"))
    return Aggregation("sum", device, query.group_by)
