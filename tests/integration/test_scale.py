"""What `make scale` measures, with a few kernels; how long anything takes is not tested."""

from __future__ import annotations

import time
import urllib.request
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
import scale_valkey
from prometheus_client.parser import text_string_to_metric_families
from scale_prometheus import STEP_S, kernel_series, serve_pages
from server_process import running_server
from tests.support.environments import ROOT
from workload import kernel_ids

KERNELS = 20


@pytest.mark.parametrize("running", [scale_valkey.one_server, scale_valkey.cluster])
async def test_kernels_are_written_and_read(
    tmp_path: Path,
    require_program: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
    running: Callable[[Path], AbstractContextManager[scale_valkey.Topology]],
) -> None:
    """In one server and in a cluster, with as many connections as the pools of all processes have."""
    require_program("valkey-server")
    monkeypatch.setattr(scale_valkey, "LEAST_KERNELS", 1)
    monkeypatch.syspath_prepend(ROOT)  # for the process that reads
    with running(tmp_path) as topology:
        measured = await scale_valkey.measure_size(topology, KERNELS)
        row = await scale_valkey.measure_connections(topology, 2)
    assert measured.memory_bytes > KERNELS * 1_000
    assert 2 * len(topology.nodes) * row.figures["connections of a process to a server"] == row.figures["connections"]


def test_page_has_the_series_of_its_kernels_and_the_next_minute_each_time() -> None:
    """Prometheus takes in an hour from pages that it scrapes one after the other."""
    start_s = int(time.time())
    with running_server(serve_pages, 2, start_s) as (address, _):
        for step in range(2):
            with urllib.request.urlopen(f"http://{address}/agents/0") as answer:
                families = text_string_to_metric_families(answer.read().decode())
            samples = [sample for family in families for sample in family.samples]
            assert len(list(kernel_series(0))) * 2 == len(samples)
            assert set(kernel_ids(2)) == {sample.labels["kernel_id"] for sample in samples}
            assert {start_s + step * STEP_S} == {float(str(sample.timestamp)) for sample in samples}
