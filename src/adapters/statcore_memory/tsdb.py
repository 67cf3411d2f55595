"""All series in memory: filled scrape by scrape, bounded in number and in time."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import OrderedDict
from collections.abc import Collection, Mapping
from itertools import islice
from operator import attrgetter
from typing import Final

import attrs

from statcore.errors import InputError
from statcore.promql import Selector
from statcore_memory.matching import accepts
from statcore_memory.semantics import Semantics
from statcore_memory.series import Labels, StoredSeries

_KEY: Final = attrgetter("key")
_HOUR_OF_SAMPLES: Final = 3_600


@attrs.frozen
class _Scrape:
    """The time of a target's last scrape, and its series."""

    time: int
    keys: Collection[Labels]


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Tsdb:
    """Series by label set, which scrapes begin, continue and end as in Prometheus; times are unix ms.

    Samples are kept for `retention_ms` before the newest scrape, and at most one per second of the retention, or of an hour
    if that is longer; the oldest are removed first. New series beyond `max_series` replace series that have ended, in the
    order in which they ended; a scrape that needs still more series is refused.
    """

    retention_ms: int
    max_series: int
    semantics: Semantics
    # Series and targets are in the order of their last scrape, the oldest first.
    _series: OrderedDict[Labels, StoredSeries] = attrs.field(factory=OrderedDict[Labels, StoredSeries], init=False)
    _targets: OrderedDict[str, _Scrape] = attrs.field(factory=OrderedDict[str, _Scrape], init=False)
    _by_name: dict[str, list[StoredSeries]] = attrs.field(factory=dict[str, list[StoredSeries]], init=False)

    def append(self, samples: Mapping[Labels, float], *, target: str, time: int) -> None:
        """Add one scrape of a target; series of its previous scrape that are not in this one end now.

        Raises:
            InputError: the target or a series already has newer or equally new data, or there is no room; nothing is added.
        """
        previous = self._targets.get(target, _Scrape(-1, ()))
        self._check_order(samples, previous, target=target, time=time)
        self._forget(before=time - self.retention_ms)
        gone = set(previous.keys).difference(samples)
        self._make_room(samples, gone)

        for key in gone:
            ending = self._series.get(key)
            if ending is not None and ending.newest < time:
                ending.mark_stale(time)
                self._series.move_to_end(key)
        for key, value in samples.items():
            series = self._series.get(key) or self._begin(key)
            series.append(time, value)
            self._trim(series, newest=time)
            self._series.move_to_end(key)
        self._targets[target] = _Scrape(time, tuple(samples))
        self._targets.move_to_end(target)

    def select(self, match: Selector | None = None) -> list[StoredSeries]:
        """Return the series that `match` selects, sorted by labels; its offset is ignored. Without it, return all unsorted.

        Raises:
            QueryRejectedError: a regular expression is not valid.
            UnsupportedError: a regular expression uses syntax that is not supported.
        """
        if match is None:
            selected = list(self._series.values())
        else:
            accept = accepts(match.matchers, self.semantics)
            named = sorted(self._series.values(), key=_KEY) if match.name is None else self._by_name.get(match.name, ())
            selected = [series for series in named if accept(series.labels)]
        for series in selected:  # no scrape trims series that have ended
            self._trim(series, newest=next(reversed(self._targets.values())).time)
        return [series for series in selected if series.times]

    def _check_order(self, samples: Mapping[Labels, float], previous: _Scrape, *, target: str, time: int) -> None:
        if previous.time >= time:
            raise InputError(f"target {target!r} was scraped at {previous.time} ms already, which is not before {time} ms")
        for key in samples:
            known = self._series.get(key)
            if known is not None and known.newest >= time:
                raise InputError(f"{dict(key)} has a sample at {known.newest} ms already, which is not before {time} ms")

    def _trim(self, series: StoredSeries, *, newest: int) -> None:
        series.trim(before=newest - self.retention_ms, max_samples=max(self.retention_ms // 1000, _HOUR_OF_SAMPLES))

    def _forget(self, *, before: int) -> None:
        while self._series and next(iter(self._series.values())).newest < before:
            self._drop(next(iter(self._series)))
        while self._targets and next(iter(self._targets.values())).time < before:
            self._targets.popitem(last=False)

    def _make_room(self, samples: Mapping[Labels, float], gone: Collection[Labels]) -> None:
        new = sum(key not in self._series for key in samples)
        excess = len(self._series) + new - self.max_series
        if excess > 0:
            over = (key for key, series in self._series.items() if key not in samples and (series.ended or key in gone))
            dropped = list(islice(over, excess))
            if len(dropped) < excess:
                raise InputError(
                    f"{new} new series are {excess - len(dropped)} more than max_series={self.max_series} allows"
                )
            for key in dropped:
                self._drop(key)

    def _begin(self, key: Labels) -> StoredSeries:
        series = self._series[key] = StoredSeries(key)
        insort(self._by_name.setdefault(series.labels["__name__"], []), series, key=_KEY)
        return series

    def _drop(self, key: Labels) -> None:
        name = self._series.pop(key).labels["__name__"]
        namesakes = self._by_name[name]
        del namesakes[bisect_left(namesakes, key, key=_KEY)]
        if not namesakes:
            del self._by_name[name]
