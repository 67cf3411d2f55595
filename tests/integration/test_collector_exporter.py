"""From real processes through `/metrics` into a real Prometheus, and into the backend in memory."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from subprocess import Popen
from typing import Any
from uuid import uuid4

import pytest
from tests.integration.kernel_programs import DUTY_CYCLE, Start, cpu_ms

from statcore import ContainerMetricQuerier
from statcore.testing.servers import Server, raw_query
from statcore_collector import Collector, KernelTarget, start_exporter
from statcore_memory import MemoryMetrics, MemoryStatistics

KERNEL = str(uuid4())


def _collector(process: Popen[bytes], interval_s: float) -> Collector:
    collector = Collector(MemoryStatistics(), agent_id="i-1", interval_s=interval_s)
    collector.add(KernelTarget(pid=process.pid, kernel_id=KERNEL))
    return collector


async def test_prometheus_has_the_rate_that_proc_has(start_kernel: Start, start_prometheus: Callable[..., Server]) -> None:
    """Scraped twice a second, the rate of the raw counter is within a tenth of the rate in /proc over the same time."""
    burner = start_kernel(DUTY_CYCLE)
    collector = _collector(burner, 0.1)
    exporter = start_exporter(collector)
    stop = asyncio.Event()
    looks: list[tuple[float, int]] = []
    selector = (
        f'backendai_container_utilization{{container_metric_name="cpu_util",kernel_id="{KERNEL}",value_type="current"}}'
    )

    async def ask(promql: str) -> list[dict[str, Any]]:
        return await asyncio.to_thread(raw_query, server, promql, looks[-1][0])

    try:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(collector.run(stop))
            server = await asyncio.to_thread(
                start_prometheus, targets={"statcore": exporter.address}, scrape_interval="500ms"
            )
            known = 0
            while known < 13:  # more samples than the window holds; a scrape has no event
                await asyncio.sleep(0.05)
                looks.append((time.time(), cpu_ms(burner.pid, children=False)))
                known = sum(len(series["values"]) for series in await ask(f"{selector}[1m]"))
            (raw,), (rate,) = [await ask(query) for query in (f"{selector}[5s]", f"rate({selector}[5s])")]
            stop.set()
    finally:
        exporter.close()
    assert {"agent_id": "i-1", "user_id": "undefined", "instance": exporter.address}.items() <= rate["metric"].items()
    window = [look for look in looks if raw["values"][0][0] <= look[0] <= raw["values"][-1][0]]
    expected = (window[-1][1] - window[0][1]) / (window[-1][0] - window[0][0])
    assert expected == pytest.approx(float(rate["value"][1]), rel=0.1)


async def test_the_backend_in_memory_takes_the_same_samples(start_kernel: Start) -> None:
    """The querier of containers finds them."""
    burner = start_kernel(DUTY_CYCLE)
    collector = _collector(burner, 60)
    backend = MemoryMetrics(clock=lambda: 1_000.0)
    await collector.collect()
    backend.append_scrape(collector.samples(), target="collector", time=1_000.0)
    querier = ContainerMetricQuerier(metric_name="mem", value_type="current", kernel_id=KERNEL)
    expected = next(value for _, labels, value in collector.samples() if labels.get("container_metric_name") == "mem")
    found = await backend.query_utilization_now(querier)
    assert [expected] == [sample.value for sample in found.samples]
