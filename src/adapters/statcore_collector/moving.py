"""Moving statistics over the samples of one metric."""

from __future__ import annotations


class MovingStatistics:
    """Minimum, maximum, sum and average of all samples seen, difference and rate of the last two."""

    def __init__(self) -> None:
        """Start with no sample."""
        self._count = 0
        self._last: tuple[float, float] | None = None
        self._values: dict[str, float] = {}

    @property
    def last(self) -> float | None:
        """The value of the last sample."""
        return None if self._last is None else self._last[1]

    def observe(self, time_s: float, value: float) -> None:
        """Add a sample taken at a monotonic time in seconds."""
        seen = self._values
        self._count += 1
        total = seen.get("sum", 0) + value
        self._values = {
            "min": min(seen.get("min", value), value),
            "max": max(seen.get("max", value), value),
            "sum": total,
            "avg": total / self._count,
        }
        if self._last is not None:
            before_s, before = self._last
            self._values["diff"] = value - before
            if time_s > before_s:
                self._values["rate"] = (value - before) / (time_s - before_s)
        self._last = (time_s, value)

    def values(self) -> dict[str, float]:
        """Return the statistics by name; one that does not exist yet (the rate of one sample) is left out."""
        return dict(self._values)
