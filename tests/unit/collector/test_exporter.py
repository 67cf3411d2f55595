"""The HTTP endpoint for Prometheus: series and labels of the wire format, the collector's own metrics, health."""

from __future__ import annotations

import re
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from subprocess import Popen
from typing import Any
from uuid import uuid4

import pytest
from prometheus_client import REGISTRY
from prometheus_client.parser import text_string_to_metric_families
from tests.unit.collector.conftest import METRICS

from statcore import InputError, UnavailableError
from statcore_collector import Collector, Exporter, KernelTarget, start_exporter

KERNEL, SESSION, USER, PROJECT = (str(uuid4()) for _ in range(4))
OWNERS = {"agent_id", "kernel_id", "session_id", "user_id", "project_id"}


@pytest.fixture
async def collecting(sink: Any, sleeper: Popen[bytes]) -> Collector:
    """A collector after a round with one kernel, whose project is unknown."""
    collecting = Collector(sink, agent_id='i-"1"\n', interval_s=60)
    collecting.add(KernelTarget(pid=sleeper.pid, kernel_id=KERNEL, session_id=SESSION, user_id=USER))
    await collecting.collect()
    return collecting


@pytest.fixture
def exporter(collecting: Collector) -> Iterator[Exporter]:
    """The exporter of that collector."""
    exporter = start_exporter(collecting)
    yield exporter
    exporter.close()


def families(exporter: Exporter) -> dict[str, Any]:
    """Return the served metrics by name, parsed by prometheus_client."""
    with urllib.request.urlopen(f"http://{exporter.address}/metrics", timeout=30) as answer:
        return {family.name: family for family in text_string_to_metric_families(answer.read().decode())}


def scrape(exporter: Exporter) -> dict[str, list[Any]]:
    """Return the samples of the wire format by series; every series must be a gauge."""
    wire = {name: family for name, family in families(exporter).items() if name.startswith("backendai_")}
    assert {"gauge"} == {family.type for family in wire.values()}
    return {name: family.samples for name, family in wire.items()}


def get(exporter: Exporter, path: str) -> tuple[int, str]:
    """Return status and text of an answer."""
    try:
        with urllib.request.urlopen(f"http://{exporter.address}{path}", timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_labels_are_those_of_the_wire_format(exporter: Exporter) -> None:
    """Each of the three series has exactly these labels."""
    expected = {
        "backendai_container_utilization": {"container_metric_name", "value_type", *OWNERS},
        "backendai_process_utilization": {"process_metric_name", "value_type", "container_id", "pid", *OWNERS},
        "backendai_device_utilization": {"device_metric_name", "value_type", "agent_id", "device_id"},
    }
    found = scrape(exporter)
    assert set(expected) == set(found)
    for name, samples in found.items():
        assert [expected[name]] * len(samples) == [set(sample.labels) for sample in samples]


def test_label_values_are_the_owners(exporter: Exporter, sleeper: Popen[bytes]) -> None:
    """A missing owner is `undefined`; special characters survive."""
    owners = {"agent_id": 'i-"1"\n', "kernel_id": KERNEL, "session_id": SESSION, "user_id": USER, "project_id": "undefined"}
    found = scrape(exporter)
    container, process = found["backendai_container_utilization"][0], found["backendai_process_utilization"][0]
    assert owners == {label: container.labels[label] for label in owners}
    expected = {**owners, "container_id": KERNEL, "pid": str(sleeper.pid)}
    assert expected == {label: process.labels[label] for label in expected}


def test_values_are_raw(exporter: Exporter, sink: Any) -> None:
    """Counters are exported from the first round on, with capacities and no other value type."""
    container = {
        (sample.labels["container_metric_name"], sample.labels["value_type"]): sample.value
        for sample in scrape(exporter)["backendai_container_utilization"]
    }
    assert {(metric, "current") for metric in METRICS} | {("cpu_util", "capacity"), ("mem", "capacity")} == set(container)
    assert 1000 == container["cpu_util", "capacity"]
    assert int(sink.kernels[KERNEL]["mem"].current) == container["mem", "current"]
    assert int(sink.kernels[KERNEL]["mem"].capacity) == container["mem", "capacity"]


def test_a_backend_in_the_process_gets_the_same_samples(exporter: Exporter, collecting: Collector) -> None:
    """`Collector.samples` and `/metrics` are equal, and no series is repeated."""
    scraped = [
        (sample.name, frozenset(sample.labels.items()), sample.value)
        for samples in scrape(exporter).values()
        for sample in samples
    ]
    handed = [(name, frozenset(labels.items()), value) for name, labels, value in collecting.samples()]
    assert set(handed) == set(scraped)
    assert len(scraped) == len({(name, labels) for name, labels, _ in handed})


async def test_the_collector_has_metrics_of_its_own(collecting: Collector, exporter: Exporter, sink: Any) -> None:
    """Rounds by outcome, their duration in seconds, failures by kind, the age of the newest samples in seconds."""
    sink.failures["store_kernel_statistics"] = UnavailableError("down")
    with pytest.raises(UnavailableError):
        await collecting.collect()
    own = {name: family for name, family in families(exporter).items() if name.startswith("statcore_")}
    assert {
        "statcore_collector_rounds": "counter",
        "statcore_collector_round_duration_seconds": "summary",
        "statcore_collector_failures": "counter",
        "statcore_collector_newest_sample_age_seconds": "gauge",
    } == {name: family.type for name, family in own.items()}
    values = {(sample.name, *sample.labels.values()): sample.value for family in own.values() for sample in family.samples}
    assert (1, 1) == tuple(values["statcore_collector_rounds_total", outcome] for outcome in ("succeeded", "failed"))
    assert {"machine": 0, "item": 0, "store": 1} == {
        kind: values["statcore_collector_failures_total", kind] for kind in ("machine", "item", "store")
    }
    assert 2 == values["statcore_collector_round_duration_seconds_count",]
    assert 0 < values["statcore_collector_round_duration_seconds_sum",]
    assert 0 < values["statcore_collector_newest_sample_age_seconds",]


def test_there_is_no_age_before_the_first_round(sink: Any) -> None:
    """The metric is absent; an age of 0 would look fresh."""
    exporter = start_exporter(Collector(sink, agent_id="i-1"))
    assert "statcore_collector_newest_sample_age_seconds" not in families(exporter)
    exporter.close()


async def test_the_health_check_says_what_is_wrong(collecting: Collector, exporter: Exporter, sink: Any) -> None:
    """Status 200 after a good round, 503 with the reason after a failed round."""
    assert (200, "ok\n") == get(exporter, "/healthz")
    sink.failures["store_kernel_statistics"] = UnavailableError("down")
    with pytest.raises(UnavailableError):
        await collecting.collect()
    assert (503, "the last round failed: down\n") == get(exporter, "/healthz")


@pytest.mark.parametrize("path", ["/", "/healthz/x", "/metrics/x", "/favicon.ico"])
def test_other_paths_are_not_found(exporter: Exporter, path: str) -> None:
    """A probe of a wrong path does not look healthy."""
    assert 404 == get(exporter, path)[0]


def test_the_registry_is_its_own(exporter: Exporter) -> None:
    """The host's default registry is unchanged."""
    assert exporter.port
    assert not [family for family in REGISTRY.collect() if family.name.startswith("backendai_")]


def test_closing_ends_the_thread_and_frees_the_port(collecting: Collector) -> None:
    """A second close does nothing; another exporter can use the port."""
    exporter = start_exporter(collecting)
    exporter.close()
    exporter.close()
    assert not exporter._thread.is_alive()
    again = start_exporter(collecting, port=exporter.port)
    assert exporter.port == again.port
    again.close()


def test_a_port_that_is_taken_is_an_error(collecting: Collector) -> None:
    """The message names the address."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        expected = re.escape(f"cannot serve metrics on 127.0.0.1:{port}: Address already in use")
        with pytest.raises(UnavailableError, match=f"^{expected}$"):
            start_exporter(collecting, port=port)


@pytest.mark.parametrize(
    ("address", "message"),
    [
        *(({"port": port}, f"from 0 to 65535, not {port}$") for port in (-1, 65536)),
        *(({"host": host}, f"cannot serve metrics on '{re.escape(host)}'") for host in ("a" * 64, "a..b")),
    ],
)
def test_a_bad_address_is_refused(collecting: Collector, address: dict[str, Any], message: str) -> None:
    """The message names it; for a bad host, Python raises a UnicodeError."""
    with pytest.raises(InputError, match=message):
        start_exporter(collecting, **address)


def test_an_ipv6_address_is_written_as_a_target(collecting: Collector) -> None:
    """It is in brackets, before the port."""
    exporter = start_exporter(collecting, host="::1")
    try:
        assert f"[::1]:{exporter.port}" == exporter.address
        assert "backendai_container_utilization" in scrape(exporter)
    finally:
        exporter.close()
