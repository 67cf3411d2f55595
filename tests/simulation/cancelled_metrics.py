"""The coroutines of metric backends, and of what queries a backend, with calls of each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from tests.simulation.cancelled_cases import Call, Calls, Subject
from tests.simulation.cancelled_statistics import CONTRIBUTOR, LIFE, SCOPE, facts, some
from tests.simulation.cancelled_world import NOW, RANGE, on_hosts_clients, on_memory, on_pair, on_servers, querier
from tests.support.scoped_world import KERNELS, PRESETS, START

from statcore.plugins.checked_ports import checked_metrics
from statcore.ports.promql import as_promql
from statcore.promql import Selector
from statcore.queriers.container import CONTAINER_METRIC_LABEL, CONTAINER_SERIES
from statcore.scopes import ConfinedMetrics
from statcore.services import (
    ContainerMetricAction,
    ContainerMetricMetadataAction,
    ContainerMetricOptionalLabel,
    ContainerUtilizationMetricService,
    PresetService,
)
from statcore.statistics import UtilizationSource, utilization
from statcore_memory import MemoryMetrics
from statcore_prometheus import PrometheusClient

KERNEL_NUMBERS = (2, 5, 9)


def of_kernels(call: Callable[[Any, int], Any]) -> Sequence[Call]:
    """Return the call for each of some kernels."""

    async def of_kernel(number: int, client: object) -> object:
        return await call(client, number)

    return [partial(of_kernel, number) for number in KERNEL_NUMBERS]


def selector(number: int) -> Selector:
    """Select the series of a kernel."""
    return Selector(CONTAINER_SERIES, {"kernel_id": KERNELS[number].kernel_id})


def promql(number: int) -> str:
    """Return the text of a preset for a kernel."""
    return PRESETS["most"].promql(labels={"kernel_id": KERNELS[number].kernel_id})


def action(number: int) -> ContainerMetricAction:
    """Return the request for a kernel."""
    labels = ContainerMetricOptionalLabel(value_type="current", kernel_id=KERNELS[number].kernel_id)
    return ContainerMetricAction("mem", labels, start=RANGE.start, end=RANGE.end, step=RANGE.step)


def preset_labels(number: int) -> dict[str, str]:
    """Return the parameters of a preset for a kernel."""
    return {"kernel_id": KERNELS[number].kernel_id}


PERIOD = START, NOW
METRICS: Calls = {
    "query_utilization": of_kernels(lambda metrics, number: metrics.query_utilization(querier(number), RANGE)),
    "query_utilization_now": of_kernels(lambda metrics, number: metrics.query_utilization_now(querier(number), time=NOW)),
    "query": of_kernels(lambda metrics, number: metrics.query(promql(number), time=NOW)),
    "query_range": of_kernels(lambda metrics, number: metrics.query_range(promql(number), RANGE)),
    "label_values": of_kernels(
        lambda metrics, number: metrics.label_values("kernel_id", match=selector(number), time_range=PERIOD)
    ),
    "series": of_kernels(lambda metrics, number: metrics.series(selector(number), time_range=PERIOD)),
    **LIFE,
}
PROMETHEUS: Calls = {
    **METRICS,
    "diagnose": [lambda metrics: metrics.diagnose()] * 3,
    "find_missing_data": [lambda metrics: metrics.find_missing_data()] * 3,
    "query_available_container_metrics": [lambda metrics: metrics.query_available_container_metrics()],
    "server_facts": [facts],
}

SUBJECTS = [
    Subject(home=PrometheusClient, ports=on_servers, of=lambda ports: ports.metrics, calls=PROMETHEUS, is_client=True),
    Subject(
        home=PrometheusClient,
        ports=on_hosts_clients,
        of=lambda ports: ports.metrics,
        calls=some(METRICS, "query_utilization", "query"),
        is_client=True,
        note="host's session",
    ),
    Subject(
        home=PrometheusClient,
        ports=on_pair,
        of=lambda ports: ports.metrics,
        calls=some(METRICS, "query_utilization", "label_values", "aclose"),
        is_client=True,
        note="pair",
    ),
    Subject(
        home=PrometheusClient,
        ports=on_servers,
        of=lambda ports: checked_metrics(ports.metrics, CONTRIBUTOR),
        calls=some(METRICS, "query_utilization", "query", "aclose"),
        note="checked",
    ),
    Subject(home=MemoryMetrics, ports=on_memory, of=lambda ports: ports.metrics, calls=METRICS),
    Subject(home=ConfinedMetrics, ports=on_servers, of=lambda ports: ConfinedMetrics(ports.metrics, SCOPE), calls=METRICS),
    Subject(
        home=utilization,
        ports=on_servers,
        calls={
            "available_metrics": [
                lambda ports: utilization.available_metrics(
                    ports.metrics, series=CONTAINER_SERIES, metric_label=CONTAINER_METRIC_LABEL
                ),
                lambda ports: utilization.available_metrics(ports.metrics, series=CONTAINER_SERIES, metric_label=None),
            ]
        },
    ),
    Subject(
        home=UtilizationSource,
        ports=on_servers,
        of=lambda ports: UtilizationSource(ports.metrics, max_values=2),
        calls={
            "read_utilization_batch": [
                lambda source: source.read_utilization_batch([*map(querier, range(1, 8))], RANGE),
                lambda source: source.read_utilization_batch([*map(querier, range(8, 12))], RANGE),
            ],
            "read_utilization_now_batch": [
                lambda source: source.read_utilization_now_batch([*map(querier, range(1, 8))], time=NOW),
                lambda source: source.read_utilization_now_batch([*map(querier, range(8, 12))], time=NOW),
            ],
        },
    ),
    Subject(
        home=ContainerUtilizationMetricService,
        ports=on_servers,
        of=lambda ports: ContainerUtilizationMetricService(ports.metrics),
        calls={
            "fetch_metric": of_kernels(lambda service, number: service.fetch_metric(action(number))),
            "query_metric": of_kernels(lambda service, number: service.query_metric(action(number))),
            "query_metadata": [lambda service: service.query_metadata(ContainerMetricMetadataAction())],
        },
    ),
    Subject(
        home=PresetService,
        ports=on_servers,
        of=lambda ports: PresetService(as_promql(ports.metrics, reason="of presets"), PRESETS),
        calls={
            "query_preset": of_kernels(
                lambda service, number: service.query_preset("most", time_range=RANGE, labels=preset_labels(number))
            ),
            "query_preset_now": of_kernels(
                lambda service, number: service.query_preset_now("most", time=NOW, labels=preset_labels(number))
            ),
        },
    ),
]
