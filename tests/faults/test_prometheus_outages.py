"""Real servers that hang or end: a member of an HA pair, and a shard of a Prometheus that reads two by `remote_read`."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, aclosing, asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import attrs
import pytest
from tests.faults.proxy import TcpProxy

from statcore.errors import PartialAnswerError, StatcoreError, TimedOutError, UnavailableError
from statcore.model import QueryTimeRange
from statcore.promql import Selector
from statcore.queriers.container import CONTAINER_SERIES
from statcore.services import SeriesInventory
from statcore.testing.metrics.dataset import PlantedSeries
from statcore.testing.metrics.openmetrics import openmetrics_text
from statcore.testing.queriers import FixedQuerier
from statcore.testing.servers import Server
from statcore_prometheus import PrometheusClient, PrometheusOptions

TIME: Final = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=1)
HOUR: Final = QueryTimeRange(start=TIME - timedelta(minutes=4), end=TIME, step="1m")
Holding = Callable[..., AbstractContextManager[Any]]


def planted(value: float, **labels: str) -> PlantedSeries:
    """Return a series of one value for some minutes before `TIME`."""
    samples = [(TIME.timestamp() - back, value) for back in range(600, -1, -15)]
    return PlantedSeries(CONTAINER_SERIES, labels, samples)


def shards() -> list[PlantedSeries]:
    """Return two series, one for each shard."""
    names = {"container_metric_name": "mem", "value_type": "current"}
    return [planted(float(n), shard=str(n), kernel_id=f"0000000{n}-0000-4000-8000-000000000000", **names) for n in range(2)]


@contextmanager
def paused(server: Server) -> Iterator[None]:
    """Have a server hang during the block: it takes connections and does not answer."""
    os.kill(server.process.pid, signal.SIGSTOP)
    os.waitid(os.P_PID, server.process.pid, os.WSTOPPED | os.WNOWAIT)  # until then its threads may still answer
    try:
        yield
    finally:
        os.kill(server.process.pid, signal.SIGCONT)


def end(server: Server) -> None:
    """End a server at once."""
    server.process.kill()
    server.process.wait()


@pytest.fixture(scope="module")
def pair(prometheus_holding: Holding) -> Iterator[tuple[Server, Server]]:
    """Two servers whose samples say which of them answers, 1 or 2."""
    with (
        prometheus_holding(openmetrics_text([planted(1.0)])) as first,
        prometheus_holding(openmetrics_text([planted(2.0)])) as second,
    ):
        yield first, second


@attrs.define
class Pair:
    """A client of an HA pair, and the clock that it reads."""

    client: PrometheusClient
    clock: list[float]

    async def answering(self) -> float:
        """Return the number of the member that answers."""
        (sample,) = (await self.client.query(CONTAINER_SERIES, time=TIME)).samples
        return sample.value


@asynccontextmanager
async def client_of(first: Server, second: Server, **options: Any) -> AsyncIterator[Pair]:
    """Open a client of a pair with options by name."""
    clock = [0.0]
    fixed = PrometheusOptions(fallback_urls=(second.url,), clock=lambda: clock[0], **options)
    async with aclosing(PrometheusClient(first.url, options=fixed)) as client:
        yield Pair(client, clock)


async def test_a_member_that_hangs_is_left_until_failback(pair: tuple[Server, Server]) -> None:
    """The other answers within the same deadline, and for `failback_s` afterwards; then the first answers again."""
    async with client_of(*pair, timeout_s=10, failback_s=30) as members:
        assert 1.0 == await members.answering()
        with paused(pair[0]):
            assert [2.0, 2.0] == [await members.answering(), await members.answering()]
        assert 2.0 == await members.answering()
        members.clock[0] += 30
        assert [1.0, 1.0] == [await members.answering(), await members.answering()]


async def test_both_members_hanging_is_one_error_that_names_both(pair: tuple[Server, Server]) -> None:
    """It is a time-out; both answer again afterwards."""
    async with client_of(*pair, timeout_s=6) as members:
        with paused(pair[0]), paused(pair[1]), pytest.raises(TimedOutError) as caught:
            await members.answering()
        assert all(server.url in str(caught.value) for server in pair)
        assert 1.0 == await members.answering()


async def test_a_member_that_ended_costs_no_answer(prometheus_holding: Holding) -> None:
    """The second answers from then on; once both have ended, one error names both."""
    text = openmetrics_text([planted(7.0)])
    with prometheus_holding(text) as first, prometheus_holding(text) as second:
        async with client_of(first, second) as members:
            assert 7.0 == await members.answering()
            end(first)
            assert 7.0 == await members.answering()
            end(second)
            with pytest.raises(UnavailableError) as caught:
                await members.answering()
    assert f"{first.url}, {second.url}" == caught.value.service


async def missing(client: PrometheusClient) -> list[StatcoreError]:
    """Return the error of each way of reading, all of which must raise `PartialAnswerError`."""
    querier = FixedQuerier(CONTAINER_SERIES, group_by=["shard"])
    match = Selector(CONTAINER_SERIES)
    errors: list[StatcoreError] = []
    for reading in (
        client.query_utilization_now(querier, time=TIME),
        client.query_utilization(querier, HOUR),
        client.query("absent(backendai_container_utilization)", time=TIME),
        client.label_values("shard"),
        client.label_values("shard", match=match),
        client.series(match),
    ):
        with pytest.raises(PartialAnswerError, match="remote_read") as caught:
            await reading
        errors.append(caught.value)
    return errors


async def test_an_answer_without_a_shard_is_never_whole(
    prometheus_federation: Holding, prometheus_holding: Holding
) -> None:
    """It is partial and holds the other shard; strict mode raises, unless the other member of a pair has everything.

    A list is always an error. An inventory does not take the kernels of the shard for ended, and a tenant's client is as
    strict.
    """
    querier = FixedQuerier(CONTAINER_SERIES, group_by=["shard"])
    with (
        prometheus_federation(shards()) as federation,
        prometheus_holding(openmetrics_text(shards())) as whole,
    ):
        url = federation.server.url
        strict = PrometheusOptions(strict=True)
        async with (
            aclosing(PrometheusClient(url)) as client,
            aclosing(PrometheusClient(url, options=strict)) as strict_client,
            aclosing(
                PrometheusClient(url, options=PrometheusOptions(strict=True, fallback_urls=(whole.url,)))
            ) as strict_pair,
        ):
            answers = [await each.query_utilization(querier, HOUR) for each in (client, strict_client, strict_pair)]
            assert [(2, False)] * 3 == [(len(answer.series), answer.partial) for answer in answers]
            assert [["0", "1"]] * 2 == [list(await each.label_values("shard")) for each in (client, strict_client)]

            inventory = SeriesInventory(client, clock=lambda: TIME)
            await inventory.list_sessions()
            assert [None, None] == [await client.diagnose(), await strict_client.diagnose()]

            end(federation.shards[1])

            now = await client.query_utilization_now(querier, time=TIME)
            assert ([0.0], True) == ([sample.value for sample in now.samples], now.partial)
            ranged = await client.query_utilization(querier, HOUR)
            assert ([{"shard": "0"}], True) == ([dict(series.labels) for series in ranged.series], ranged.partial)
            for reading in (
                client.label_values("shard"),
                client.series(Selector(querier.metric)),
                inventory.list_sessions(),
            ):
                with pytest.raises(PartialAnswerError, match="remote_read"):
                    await reading
            assert ["0", "1"] == list(await strict_pair.label_values("shard"))

            for each in (client, strict_client):
                assert "answers lack data: remote_read" in (await each.diagnose() or "")
            assert await strict_pair.diagnose() is None
            assert 6 == len(await missing(strict_client))
            assert 6 == len(await missing(strict_client.for_tenant("a")))
            complete = await strict_pair.query_utilization(querier, HOUR)
            assert (2, False) == (len(complete.series), complete.partial)


@pytest.mark.parametrize("order", [1, -1], ids=["partial first", "hung first"])
async def test_a_member_without_a_shard_and_one_that_hangs(
    prometheus_federation: Holding, prometheus_holding: Holding, order: int
) -> None:
    """The part is the answer; in strict mode the error says what is missing, and not only that the time is up."""
    with prometheus_federation(shards()) as federation, prometheus_holding(openmetrics_text(shards())) as whole:
        end(federation.shards[1])
        urls = [federation.server.url, whole.url][::order]
        with paused(whole):
            for strict in (False, True):
                options = PrometheusOptions(timeout_s=6, strict=strict, fallback_urls=(urls[1],))
                async with aclosing(PrometheusClient(urls[0], options=options)) as client:
                    if strict:
                        with pytest.raises(PartialAnswerError, match="remote_read"):
                            await client.query(CONTAINER_SERIES, time=TIME)
                    else:
                        answer = await client.query(CONTAINER_SERIES, time=TIME)
                        assert ([0.0], True) == ([sample.value for sample in answer.samples], answer.partial)


async def test_a_shard_that_hangs_is_a_timeout_and_no_answer(prometheus_federation: Holding) -> None:
    """The deadline holds, nothing is answered without the shard, and all is right once it goes on."""
    querier = FixedQuerier(CONTAINER_SERIES, group_by=["shard"])
    with prometheus_federation(shards()) as federation:
        async with aclosing(PrometheusClient(federation.server.url, options=PrometheusOptions(timeout_s=5))) as client:
            with paused(federation.shards[0]), pytest.raises(TimedOutError):
                await client.query_utilization_now(querier, time=TIME)
            answer = await client.query_utilization_now(querier, time=TIME)
    assert ([0.0, 1.0], False) == (sorted(sample.value for sample in answer.samples), answer.partial)


async def test_a_shard_that_ends_during_its_answer_is_an_outage(
    start_prometheus: Callable[..., Server], prometheus_holding: Holding, tcp_proxy: Callable[..., Awaitable[TcpProxy]]
) -> None:
    """Prometheus 3 refuses the query as if it were wrong; the other member of a pair answers it."""
    series = [planted(1.0, shard=os.urandom(32).hex()) for _ in range(200)]  # such labels cannot be compressed
    with prometheus_holding(openmetrics_text(series)) as whole:
        shard = await tcp_proxy(whole.port, piece=1_000, ends_after=8_000)
        server = start_prometheus(remote_read=[f"http://127.0.0.1:{shard.port}"])
        strict = PrometheusOptions(attempts=1, strict=True)
        match = Selector(CONTAINER_SERIES)
        async with aclosing(PrometheusClient(server.url, options=strict)) as client:
            for reading in (
                client.query(CONTAINER_SERIES, time=TIME),
                client.query_range(CONTAINER_SERIES, HOUR),
                client.series(match),
            ):
                with pytest.raises((UnavailableError, PartialAnswerError)):
                    await reading
        options = attrs.evolve(strict, fallback_urls=(whole.url,))
        async with aclosing(PrometheusClient(server.url, options=options)) as pair:
            assert 200 == len((await pair.query(CONTAINER_SERIES, time=TIME)).samples)
