"""A real node_exporter and a real Prometheus that scrapes it; a missing program is a skip, or a failure where CI=true."""

from __future__ import annotations

import os
import time
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator

import pytest
from node_scrapes import Counters, Scrapes, increase, key, next_scrape

from statcore.testing.servers import LOOPBACK, Server, free_port, raw_query, running_prometheus, start_program
from statcore_prometheus import PrometheusClient

pytest_plugins = ["statcore.testing.fixtures"]
_START_S = 30.0
MEGABYTES = 8
ROUNDS = 2


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 - the URL is the test's own
            return bool(answer.status == 200)
    except OSError:
        return False


@pytest.fixture(scope="session")
def node_id(require_program: Callable[..., str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A running node_exporter, by its address, which is the node's id."""
    address = f"{LOOPBACK}:{free_port()}"
    log = tmp_path_factory.mktemp("exporter") / "exporter.log"
    process = start_program([require_program("prometheus-node-exporter"), f"--web.listen-address={address}"], log)
    try:
        deadline = time.monotonic() + _START_S
        while not _answers(f"http://{address}/metrics"):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)  # it does not tell its parent when it is ready
        yield address
    finally:
        process.terminate()
        process.wait(10)


@pytest.fixture(scope="session")
def scraping(
    require_program: Callable[..., str], node_id: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """A Prometheus that scrapes the node."""
    require_program("prometheus")
    with running_prometheus(
        tmp_path_factory.mktemp("prometheus"), targets={"node": node_id}, scrape_interval="2s"
    ) as server:
        yield server


@pytest.fixture
async def client(scraping: Server) -> AsyncIterator[PrometheusClient]:
    """Its client."""
    client = PrometheusClient(scraping.url)
    yield client
    await client.aclose()


@pytest.fixture(scope="module")
def scraped(scraping: Server, tmp_path_factory: pytest.TempPathFactory) -> Scrapes:
    """Several scrapes, during which something was written to the disk, if that is where temporary files are."""
    folder = tmp_path_factory.mktemp("load")
    before = Counters.read()
    first = last = next_scrape(scraping)
    loading = Counters.read()
    loaded = loading
    for number in range(ROUNDS):
        with (folder / str(number)).open("wb") as load:
            load.write(os.urandom(MEGABYTES << 20))
            os.fsync(load.fileno())
        loaded = Counters.read()
        last = next_scrape(scraping)
    return Scrapes(first, last, before, loading, loaded, Counters.read())


@pytest.fixture
def values(scraping: Server, scraped: Scrapes) -> Callable[[str], dict[str, float]]:
    """Return a function from a series to its values at the last scrape, by device and mount point."""

    def read(series: str) -> dict[str, float]:
        return {key(series_): float(series_["value"][1]) for series_ in raw_query(scraping, series, scraped.last)}

    return read


@pytest.fixture
def slopes(scraping: Server, scraped: Scrapes) -> Callable[[str], dict[str, float]]:
    """Return a function from a counter to its increase per second between the scrapes, by mode and CPU or by device."""

    def read(series: str) -> dict[str, float]:
        found = raw_query(scraping, f"{series}[{scraped.window}]", scraped.last)
        return {key(series_): increase(series_["values"]) / (scraped.last - scraped.first) for series_ in found}

    return read
