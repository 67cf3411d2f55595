"""Ways to query that are none of statcore's three; all are values, so that queriers of many nodes share requests."""

from __future__ import annotations

import attrs

from statcore.promql import Aggregation, BinaryOperation, Call, Expression, RangeSelector, Selector
from statcore.queriers import ResolvedQuerier


def count(asked: ResolvedQuerier, _window: str, /) -> Expression:
    """Return how many series there are."""
    return Aggregation("count", Selector(asked.name, asked.wanted), asked.group_by)


def highest_rate(asked: ResolvedQuerier, window: str, /) -> Expression:
    """Return the rate of the series that grows fastest: shares of time of several devices do not add up."""
    rate = Call("rate", RangeSelector(Selector(asked.name, asked.wanted), window))
    return Aggregation("max", rate, asked.group_by)


@attrs.frozen
class Less:
    """The sum of the series, less that of another metric's."""

    other: str

    def __call__(self, asked: ResolvedQuerier, _window: str, /) -> Expression:
        """Return the difference."""
        whole, part = (
            Aggregation("sum", Selector(name, asked.wanted), asked.group_by) for name in (asked.name, self.other)
        )
        return BinaryOperation("-", whole, part)


def each_device_once(asked: ResolvedQuerier, _window: str, /) -> Expression:
    """Return the sum over devices: a file system that is mounted in several places has a series for each."""
    return _each_device_once(asked, asked.name)


@attrs.frozen
class EachDeviceOnceLess:
    """The sum over devices, each once, less that of another metric's."""

    other: str

    def __call__(self, asked: ResolvedQuerier, _window: str, /) -> Expression:
        """Return the difference."""
        return BinaryOperation("-", _each_device_once(asked, asked.name), _each_device_once(asked, self.other))


def _each_device_once(asked: ResolvedQuerier, name: str) -> Aggregation:
    # What its mount points say of one device is the same, but for the instant at which each was read.
    device = Aggregation("max", Selector(name, asked.wanted), (*asked.group_by, "device"))
    return Aggregation("sum", device, asked.group_by)
