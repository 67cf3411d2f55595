"""Values are read as they were written: every field, odd numbers, any text."""

from __future__ import annotations

from typing import Any, Final

from statcore.model.statistics import STATS, MetricValue
from statcore.ports.sink import StatisticsSinkPort
from statcore.ports.statistics import StatisticsPort
from statcore.testing.expectations import expect
from statcore.testing.statistics.planting import (
    AGENT_INTERVAL_S,
    AGENTS,
    GAUGE,
    HISTOGRAM,
    PLAIN_VALUE,
    expect_entries,
    new_ids,
    shown,
)

ODD_NUMBERS: Final = (
    "0",
    "-0",
    "0.00",
    "NaN",
    "-NaN",
    "sNaN",
    "Infinity",
    "-Infinity",
    "1E+30",
    "1e-7",
    "9" * 40,
    "",
    " 1",
    "٣",
)
ODD_TEXTS: Final = (
    "",
    " ",
    "bytes/s",
    "µs",
    "e\u0301",
    "\u00e9",
    "名前",
    "🦀",
    "\ufffd",
    "\x00",
    "\n",
    '"',
    "\\",
    "{a.b}",
    "x" * 300,
)


async def check_every_field_round_trips(store: StatisticsPort, sink: StatisticsSinkPort) -> None:
    """A `MetricValue` is read back equal: all fields set, only `current` set, `capacity` None, some moving statistics."""
    metrics = {
        "all": PLAIN_VALUE,
        "least": MetricValue(current="1"),
        "no_capacity": MetricValue(current="5", capacity=None, pct="0.00", unit_hint="msec", stats={"rate": "3"}),
        **{f"only_{name}": MetricValue(current="7", stats={name: "7.5"}) for name in STATS},
    }
    (kernel,) = new_ids(1)
    await sink.store_kernel_statistics({kernel: metrics})
    batch = await store.fetch_kernel_statistics([kernel])
    expect_entries([shown(metrics)], batch, "the stored metrics")
    found = {name: MetricValue.from_map(fields) for name, fields in (batch[0] or {}).items()}
    expect(metrics, found, "the stored metrics as values")


async def check_numbers_stay_the_text_they_were(store: StatisticsPort, sink: StatisticsSinkPort) -> None:
    """Numbers are text and stay unchanged: nothing parses, rounds or repairs `-0`, `NaN`, `1E+30` or an empty text."""
    metrics = {
        f"odd_{position}": MetricValue(current=text, capacity=text, pct=text, stats=dict.fromkeys(STATS, text))
        for position, text in enumerate(ODD_NUMBERS)
    }
    (kernel,) = new_ids(1)
    await sink.store_kernel_statistics({kernel: metrics})
    expect_entries([shown(metrics)], await store.fetch_kernel_statistics([kernel]), "odd numbers")


async def check_any_text_round_trips(store: StatisticsPort, sink: StatisticsSinkPort) -> None:
    """Units, and names of metrics, devices and agents, may be any Unicode text; similar texts stay different."""
    metrics = {text: MetricValue(current="1", unit_hint=text) for text in ODD_TEXTS}
    id_, other = new_ids(2)
    await sink.store_kernel_statistics({id_: metrics})
    expect_entries([shown(metrics)], await store.fetch_kernel_statistics([id_]), "a kernel with odd texts")

    inference = {text: {**GAUGE, "unit_hint": text} for text in ODD_TEXTS}
    await sink.store_endpoint_statistics({id_: inference})
    expect_entries([inference], await store.fetch_endpoint_statistics([id_]), "an endpoint with odd texts")
    await sink.store_replica_statistics({(id_, other): inference})
    expect_entries([inference], await store.fetch_replica_statistics([(id_, other)]), "a replica with odd texts")

    devices: dict[str, dict[str, MetricValue]] = dict.fromkeys(ODD_TEXTS, metrics)
    await sink.store_agent_statistics(id_, node=metrics, devices=devices, interval_s=AGENT_INTERVAL_S)
    agent = {"node": shown(metrics), "devices": {text: shown(metrics) for text in ODD_TEXTS}}
    expect_entries([agent], await store.fetch_agent_statistics([id_]), "an agent with odd texts")
    agents = [f"{id_}{text}" for text in (*ODD_TEXTS[1:], "a", "A")]
    await AGENTS.store(sink, {agent: number for number, agent in enumerate(agents)})
    await AGENTS.expect(range(len(agents)), store, agents)


async def check_histograms_round_trip(store: StatisticsPort, sink: StatisticsSinkPort) -> None:
    """An InferenceValue may be a scalar or a histogram; thresholds stay text, `count` and `sum` may be None."""
    metrics: dict[str, dict[str, Any]] = {
        "vllm_num_requests_running": GAUGE,
        "vllm_time_to_first_token": HISTOGRAM,
        "vllm_empty": {**HISTOGRAM, "current": {}, "count": None, "sum": None},
        "vllm_zero": {**HISTOGRAM, "count": 0, "sum": "-0"},
    }
    (endpoint,) = new_ids(1)
    await sink.store_endpoint_statistics({endpoint: metrics})
    expect_entries([metrics], await store.fetch_endpoint_statistics([endpoint]), "inference values")
