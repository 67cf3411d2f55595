"""The manager's own released clients as statcore's store: the constructor of the proposal."""

from __future__ import annotations

import pickle
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgpack
import pytest
from ai.backend.common.clients.valkey_client.valkey_stat.client import ValkeyStatClient
from real_agent import DockerNumbers, Kernel, live_client, running_agent, stat_client

from statcore import StatisticsRepository, UnsupportedError
from statcore.model import ProblemKind
from statcore.testing.servers import Server
from statcore_valkey import ValkeyStatistics

PICKLED = 3
"""The MessagePack extension code of a decimal number, which the released packages pickle."""


@pytest.fixture
async def clients(valkey: Server) -> AsyncIterator[tuple[ValkeyStatClient, Any]]:
    """Connect the manager's two clients."""
    async with stat_client(valkey) as statistics, live_client(valkey) as live:
        yield statistics, live


@pytest.fixture
def repository(clients: tuple[ValkeyStatClient, Any]) -> StatisticsRepository:
    """The repository as the proposal builds it."""
    statistics, live = clients
    return StatisticsRepository(valkey_stat=statistics, valkey_live=live)


async def test_the_repository_answers_as_over_its_own_store(
    valkey: Server,
    store: ValkeyStatistics,
    repository: StatisticsRepository,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Kernels that the agent wrote, an endpoint that nobody wrote, and a session without activity."""
    kernels = [Kernel(kernel_id=uuid4(), docker=DockerNumbers(mem=5, mem_limit=10)) for _ in range(3)]
    ids = [str(kernel.kernel_id) for kernel in kernels]
    async with running_agent(valkey, tmp_path, kernels, monkeypatch) as agent:
        await agent.measure_kernels()
    expected = [dict(entry or {}) for entry in await store.fetch_kernel_statistics(ids)]
    assert expected == list(await repository.get_kernel_statistics_batch(ids))
    assert [None] == list(await repository.get_endpoint_statistics_batch([uuid4()]))
    activity = await repository.get_inference_metrics_batch([uuid4()])
    assert [{"requests": 0, "last_response_ms": 0}] == list(activity)
    assert ProblemKind.INCOMPLETE == activity.problems[0].kind


async def test_a_method_that_the_released_clients_lack_is_unsupported(repository: StatisticsRepository) -> None:
    """They have no batch of replicas; all other calls work."""
    with pytest.raises(UnsupportedError):
        await repository.get_replica_statistics_batch([(uuid4(), uuid4())])


async def test_a_payload_that_the_client_cannot_decode_costs_its_own_entry(
    clients: tuple[ValkeyStatClient, Any], repository: StatisticsRepository
) -> None:
    """The client alone loses the whole batch to it: its log line cannot decode the bytes as text."""
    good, bad = [str(uuid4()) for _ in range(9)], str(uuid4())
    payload = msgpack.packb({"mem": {"current": "5"}})
    statistics, _ = clients
    await statistics.set_multiple_keys({**dict.fromkeys(good, payload), bad: b"\xc1\xff\xfe"})
    with pytest.raises(UnicodeDecodeError):
        await statistics.get_session_statistics_batch([*good, bad])
    batch = await repository.get_kernel_statistics_batch([*good, bad])
    assert [*[{"mem": {"current": "5"}}] * 9, None] == list(batch)
    assert [9] == list(batch.problems)


class _Opens:
    """A pickle of it opens a file when it is loaded."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return open, (str(self._path), "w")


async def test_pickles_in_payloads_are_run_by_the_manager_and_never_by_statcore(
    clients: tuple[ValkeyStatClient, Any], store: ValkeyStatistics, tmp_path: Path
) -> None:
    """The released client unpickles extensions; statcore's store finds the entry malformed."""
    kernel, opened = str(uuid4()), tmp_path / "opened"
    payload = msgpack.packb({"mem": msgpack.ExtType(PICKLED, pickle.dumps(_Opens(opened)))})
    statistics, _ = clients
    await statistics.set_multiple_keys({kernel: payload})
    batch = await store.fetch_kernel_statistics([kernel])
    assert ProblemKind.MALFORMED == batch.problems[0].kind
    assert not opened.exists()
    await statistics.get_session_statistics_batch([kernel])
    assert opened.exists()
