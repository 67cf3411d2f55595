"""Port of metric backends in the same process that take scrapes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Protocol, TypeAlias, runtime_checkable

ScrapeSample: TypeAlias = tuple[str, Mapping[str, str], float]
"""Name of the series, its other labels, value."""


@runtime_checkable
class ScrapeSinkPort(Protocol):
    """A metric backend that is given samples which a server would scrape over HTTP."""

    def append_scrape(self, samples: Iterable[ScrapeSample], /, *, target: str, time: datetime | float) -> None:
        """Add one scrape of one target at `time`, aware or in unix seconds.

        Series that the target's previous scrape had and this one has not end at `time`.

        Raises:
            InputError: the scrape cannot be stored; no part of it is.
        """
        ...
