"""What Prometheus is served: the series and labels of the wire format, and nothing else."""

from __future__ import annotations

import re
import socket
import urllib.request
from collections.abc import Iterator
from subprocess import Popen
from typing import Any
from uuid import uuid4

import pytest
from prometheus_client import REGISTRY
from prometheus_client.parser import text_string_to_metric_families

from statcore import InputError, UnavailableError
from statcore_collector import Collector, Exporter, KernelTarget, start_exporter

KERNEL, SESSION, USER, PROJECT = (str(uuid4()) for _ in range(4))
OWNERS = {"agent_id", "kernel_id", "session_id", "user_id", "project_id"}


@pytest.fixture
async def collecting(sink: Any, sleeper: Popen[bytes]) -> Collector:
    """A collector that has collected one kernel, whose project is not known."""
    collecting = Collector(sink, agent_id='i-"1"\n', interval_s=60)
    collecting.add(KernelTarget(pid=sleeper.pid, kernel_id=KERNEL, session_id=SESSION, user_id=USER))
    await collecting.collect()
    return collecting


@pytest.fixture
def exporter(collecting: Collector) -> Iterator[Exporter]:
    """Its exporter."""
    exporter = start_exporter(collecting)
    yield exporter
    exporter.close()


def scrape(exporter: Exporter) -> dict[str, list[Any]]:
    """Return samples by series, as prometheus_client's parser reads them; every family must be a gauge."""
    with urllib.request.urlopen(f"http://{exporter.address}/metrics", timeout=30) as answer:
        families = list(text_string_to_metric_families(answer.read().decode()))
    assert {"gauge"} == {family.type for family in families}
    return {family.name: family.samples for family in families}


def test_labels_are_those_of_the_wire_format(exporter: Exporter) -> None:
    """No label more, none less, on each of the three series."""
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
    """A missing owner is `undefined`; any text survives."""
    owners = {
        "agent_id": 'i-"1"\n',
        "kernel_id": KERNEL,
        "session_id": SESSION,
        "user_id": USER,
        "project_id": "undefined",
    }
    found = scrape(exporter)
    container, process = found["backendai_container_utilization"][0], found["backendai_process_utilization"][0]
    assert owners == {label: container.labels[label] for label in owners}
    expected = {**owners, "container_id": KERNEL, "pid": str(sleeper.pid)}
    assert expected == {label: process.labels[label] for label in expected}


def test_values_are_raw(exporter: Exporter, sink: Any) -> None:
    """Counters from the first round on, capacities where there are some, and no other value type."""
    container = {
        (sample.labels["container_metric_name"], sample.labels["value_type"]): sample.value
        for sample in scrape(exporter)["backendai_container_utilization"]
    }
    currents = {"cpu_util", "cpu_used", "mem", "io_read", "io_write", "net_rx", "net_tx"}
    assert {(metric, "current") for metric in currents} | {("cpu_util", "capacity"), ("mem", "capacity")} == set(container)
    assert 1000 == container["cpu_util", "capacity"]
    assert int(sink.kernels[KERNEL]["mem"].current) == container["mem", "current"]
    assert int(sink.kernels[KERNEL]["mem"].capacity) == container["mem", "capacity"]


def test_a_backend_in_the_process_gets_the_same_samples(exporter: Exporter, collecting: Collector) -> None:
    """`Collector.samples` and `/metrics` come from one place; no series is there twice."""
    scraped = [
        (sample.name, frozenset(sample.labels.items()), sample.value)
        for samples in scrape(exporter).values()
        for sample in samples
    ]
    handed = [(name, frozenset(labels.items()), value) for name, labels, value in collecting.samples()]
    assert set(handed) == set(scraped)
    assert len(scraped) == len({(name, labels) for name, labels, _ in handed})


def test_a_removed_kernel_is_gone_from_the_next_scrape(exporter: Exporter, collecting: Collector) -> None:
    """No round has to come first."""
    collecting.remove(KERNEL)
    assert {"backendai_device_utilization"} == set(scrape(exporter))


def test_the_registry_is_its_own(exporter: Exporter) -> None:
    """The host's default registry is left alone, and its metrics are not served."""
    assert exporter.port
    assert not [family for family in REGISTRY.collect() if family.name.startswith("backendai_")]


def test_closing_ends_the_thread_and_frees_the_port(collecting: Collector) -> None:
    """Closing twice is allowed; another exporter can have the port then."""
    exporter = start_exporter(collecting)
    exporter.close()
    exporter.close()
    assert not exporter._thread.is_alive()
    again = start_exporter(collecting, port=exporter.port)
    assert exporter.port == again.port
    again.close()


def test_a_port_that_is_taken_is_one_clear_line(collecting: Collector) -> None:
    """It names the address."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        expected = re.escape(f"cannot serve metrics on 127.0.0.1:{port}: Address already in use")
        with pytest.raises(UnavailableError, match=f"^{expected}$"):
            start_exporter(collecting, port=port)


@pytest.mark.parametrize("port", [-1, 65536])
def test_a_port_that_cannot_be_is_refused(collecting: Collector, port: int) -> None:
    """It names the port."""
    with pytest.raises(InputError, match=f"from 0 to 65535, not {port}$"):
        start_exporter(collecting, port=port)


def test_an_ipv6_address_is_written_as_a_target(collecting: Collector) -> None:
    """In brackets, so that the port can be told from it."""
    exporter = start_exporter(collecting, host="::1")
    try:
        assert f"[::1]:{exporter.port}" == exporter.address
        assert "backendai_container_utilization" in scrape(exporter)
    finally:
        exporter.close()
