"""The series that a metric backend holds while it is checked: 45 minutes up to now, one sample every 15 seconds."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple, Self

import attrs

from statcore.queriers.container import CONTAINER_METRIC_LABEL, CONTAINER_SERIES

METRIC: Final = "statcore_conformance"
"""The name of all planted series but those of the container."""
INTERVAL_S: Final = 15
COUNT: Final = 181
"""Samples of a series that lasts the whole time; the last is at `MetricDataset.end`."""
GROWTH: Final = 30
"""What the counters grow by from sample to sample: 2 per second."""
ENDED_COUNT: Final = 21
"""Samples of the series that ends early, five minutes after the start."""
FRACTION_S: Final = 0.123
"""How long after the start the only sample of the series `fraction` is."""

OWNERS: Final = {("u1", "a"): 1.0, ("u1", "b"): 2.0, ("u2", "c"): 4.0, ("", "d"): 8.0}
"""(user, object) to value; the last series has no label `user`."""
SHAPES: Final = {"square": 1.0, "s.uare": 2.0, "circle": 4.0, "Circle": 8.0, "a|b": 16.0, "": 32.0}
"""Shape to value; the last series has no label `shape`."""
ODD_NUMBERS: Final = {
    "nan": math.nan,
    "inf": math.inf,
    "minus_inf": -math.inf,
    "minus_zero": -0.0,
    "least": 5e-324,
    "most": 1.7976931348623157e308,
    "sum": 0.1 + 0.2,
    "long": 123456789012345680.0,
    "long_fraction": 1.2345678901234567e-9,
    "small": 1e-6,
    "smaller": 9.99999e-7,
    "large": 999999999999999900000.0,
    "larger": 1e21,
    "huge": 1e23,
    "negative": -2.5,
}
HOSTILE_VALUES: Final = (
    '"',
    "\\",
    "\\\\",
    "\\n",
    "\n",
    "\r\n",
    "\t",
    "\x00",
    "\x7f",
    "\x85",
    " ",
    " padded ",
    "'",
    "`",
    'say "no"\\',
    '"} or vector(1) #',
    "{a=b}",
    "a,b",
    "$1",
    "%00",
    "(.*)",
    "^[a-z]+$",
    "[:^alpha:]",
    "x" * 500,
    "undefined",
    "naïve",
    "e\u0301",
    "\u00e9",
    "名前",
    "🦀",
    "\U0010ffff",
    "\ufffd",
    "\ufeff",
    "\u2028",
    "\u202e",
)
KERNEL_ID: Final = "0f0c5a0e-6f5b-4f43-9f0e-57a7c04e0001"
AGENT_ID: Final = 'i-"agent"'
NET_CAPACITY: Final = 125_000_000.0
MEM: Final = 4096.0
PERCENT_AGENT: Final = "i-percent"
"""The agent of kernels with capacities: two with both series, one without a capacity, and one whose capacity is 0."""
SHARES: Final = {"cpu_util": (50.0, 100.0, None, 0.0), "mem": (25.0, 50.0, None, 0.0)}
"""Metric to the percentage of each kernel; None where there is no capacity, 0 where the capacity is 0."""


class PlantedSeries(NamedTuple):
    """One series: the metric name, the other labels, and (unix seconds, value) in order of time."""

    name: str
    labels: Mapping[str, str]
    samples: Sequence[tuple[float, float]]


def counter(number: int) -> float:
    """Return a sample of the series `counter`."""
    return 1000.0 + GROWTH * number


def percent_kernel(number: int) -> str:
    """Return the id of one of the kernels of `PERCENT_AGENT`, by its place in `SHARES`."""
    return f"{KERNEL_ID[:-4]}1{number:03}"


def _always(value: float) -> Callable[[int], float]:
    return lambda _: value


def _reset(number: int) -> float:
    return counter(number) if number <= COUNT // 2 else float(GROWTH * (number - COUNT // 2))


def _planted(start: float) -> Iterator[PlantedSeries]:
    times = [start + INTERVAL_S * number for number in range(COUNT)]

    def sampled(labels: Mapping[str, str], value: Callable[[int], float], name: str = METRIC) -> PlantedSeries:
        return PlantedSeries(name, labels, [(time, value(number)) for number, time in enumerate(times)])

    def constant(labels: Mapping[str, str], value: float) -> PlantedSeries:
        return sampled({label: text for label, text in labels.items() if text}, lambda _: value)

    yield sampled({"case": "ramp"}, float)
    yield sampled({"case": "counter"}, counter)
    yield sampled({"case": "reset"}, _reset)
    yield PlantedSeries(METRIC, {"case": "ended"}, [(time, 7.0) for time in times[:ENDED_COUNT]])
    yield PlantedSeries(METRIC, {"case": "rare"}, [(time, counter(number)) for number, time in enumerate(times[::40])])
    yield PlantedSeries(METRIC, {"case": "fraction"}, [(start + FRACTION_S, 3.0)])
    for (user, object_), value in OWNERS.items():
        yield constant({"case": "owners", "user": user, "object": object_}, value)
    for shape, value in SHAPES.items():
        yield constant({"case": "shapes", "shape": shape}, value)
    for kind, value in ODD_NUMBERS.items():
        yield constant({"case": "odd_numbers", "kind": kind}, value)
    for number, text in enumerate(HOSTILE_VALUES):
        yield constant({"case": "hostile", "text": text}, float(number))
    owners = {"kernel_id": KERNEL_ID, "agent_id": AGENT_ID}
    container: dict[tuple[str, str], Callable[[int], float]] = {
        ("cpu_util", "current"): counter,
        ("net_rx", "current"): counter,
        ("net_rx", "capacity"): lambda _: NET_CAPACITY,
        ("mem", "current"): lambda _: MEM,
    }
    for (metric, value_type), sample in container.items():
        yield sampled({CONTAINER_METRIC_LABEL: metric, "value_type": value_type, **owners}, sample, CONTAINER_SERIES)
    for labels, sample in _percent():
        yield sampled({**labels, "agent_id": PERCENT_AGENT}, sample, CONTAINER_SERIES)


def _percent() -> Iterator[tuple[dict[str, str], Callable[[int], float]]]:
    for metric, shares in SHARES.items():
        used = GROWTH / INTERVAL_S if metric == "cpu_util" else MEM
        for number, share in enumerate(shares):
            labels = {CONTAINER_METRIC_LABEL: metric, "kernel_id": percent_kernel(number)}
            yield {**labels, "value_type": "current"}, counter if metric == "cpu_util" else _always(MEM)
            if share is not None:
                capacity = used / share * 100 if share else 0.0
                yield {**labels, "value_type": "capacity"}, _always(capacity)


@attrs.frozen(kw_only=True)
class MetricDataset:
    """The planted series, and the time of the first sample; a backend must accept samples that are 45 minutes old."""

    start: datetime
    series: tuple[PlantedSeries, ...] = attrs.field(repr=False)

    @classmethod
    def recent(cls) -> Self:
        """Return the series that end at the present whole second; one check expects to find them within five minutes."""
        start = datetime.now(UTC).replace(microsecond=0) - timedelta(seconds=INTERVAL_S * (COUNT - 1))
        return cls(start=start, series=tuple(_planted(start.timestamp())))

    @property
    def end(self) -> datetime:
        """The time of the last sample."""
        return self.at(INTERVAL_S * (COUNT - 1))

    def at(self, seconds: float) -> datetime:
        """Return the time that is some seconds after the first sample, to the millisecond."""
        return self.start + timedelta(milliseconds=round(seconds * 1000))
