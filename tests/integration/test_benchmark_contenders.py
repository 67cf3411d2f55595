"""The contenders of each benchmark return the same, read from a real Valkey; how long they take is not tested."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import loaders
import msgpack
import pytest
from callers import CALLERS, readers, serve
from cluster_reads import contenders, stored_in_cluster
from live_reads import FIELDS, KernelReads, many_kernels, one_kernel
from service import CALLERS as SERVICE_CALLERS
from service import headers_of, pages_s, write_tokens
from serving import INFERENCE, LIVE, Host, items_of, running_host
from workload import Stored, kernel_ids, stored

from statcore.model.statistics import shown_value

SIZE = 5


@pytest.fixture
async def source(tmp_path: Path, require_program: Callable[..., str]) -> AsyncIterator[Stored]:
    """A Valkey with some kernels and sessions."""
    require_program("valkey-server", "redis-server")
    async with stored(tmp_path, kernels=SIZE, sessions=SIZE) as source:
        yield source


@pytest.fixture
async def host(source: Stored) -> AsyncIterator[Host]:
    """A host of these sessions."""
    async with running_host(source.server.url, sessions=SIZE) as host:
        yield host


async def test_reads_of_every_field_are_equal(source: Stored) -> None:
    """As mappings and as JSON."""
    reads = KernelReads(source, kernel_ids(SIZE))
    expected = await reads.redis_msgpack()
    assert SIZE == len(expected)
    assert expected == await reads.every_field()
    assert expected == json.loads(await reads.redis_json())
    assert expected == json.loads(await reads.all_as_json())["entries"]


async def test_reads_of_three_fields_are_equal(source: Stored) -> None:
    """By entry and by column."""
    reads = KernelReads(source, kernel_ids(SIZE))
    expected = await reads.redis_three_fields()
    assert expected == await reads.three_fields()
    for columns in (await reads.columns(), await reads.columns_of_batch()):
        assert expected == list(zip(*(columns[field] for field in FIELDS), strict=True))


async def test_one_kernel_is_the_first(source: Stored) -> None:
    """The undecoded payload holds the entry of the batch."""
    payload, batch = [await contender.run() for contender in one_kernel(source)]
    assert isinstance(payload, bytes)
    assert [msgpack.unpackb(payload)] == list(_entries(batch))


async def test_every_contender_of_a_table_runs(source: Stored) -> None:
    """Each has a name of its own; the first is the baseline and has no goal."""
    contenders = many_kernels(source, SIZE)
    assert not contenders[0].goals
    assert len(contenders) == len({contender.name for contender in contenders})
    for contender in contenders:
        assert await contender.run()


async def test_callers_read_the_same(source: Stored) -> None:
    """Undecoded, as dicts and as a batch."""
    payloads, same_payloads, decoded, batch = [await read(kernel_ids(SIZE)) for read in readers(source).values()]
    assert payloads == same_payloads
    expected = list(map(msgpack.unpackb, _entries(payloads)))
    assert expected == decoded == list(_entries(batch))


async def test_callers_together_make_the_calls(source: Stored) -> None:
    """No call is made twice, however many callers there are."""
    calls: list[list[str]] = []

    async def read(ids: list[str]) -> None:
        calls.append(ids)

    await serve(read, callers=CALLERS, calls=2 * CALLERS + 1, helpers=source.helpers)
    assert 2 * CALLERS + 1 == len(calls)


async def test_reads_of_a_cluster_are_those_of_one_server(tmp_path: Path, require_program: Callable[..., str]) -> None:
    """As a batch and undecoded."""
    require_program("valkey-server", "redis-server")
    async with stored_in_cluster(tmp_path, kernels=SIZE) as reads:
        expected, *others = [_entries(await contender.run()) for contender in contenders(reads)]
    assert SIZE == len(expected)
    assert [expected] * 3 == [list(map(msgpack.unpackb, other)) if bytes is type(other[0]) else other for other in others]


async def test_loaders_load_the_batch(source: Stored) -> None:
    """Many at once, and key by key."""
    batch, *loaded = [await contender.run() for contender in loaders.contenders(source, SIZE)]
    assert SIZE == len(list(_entries(batch)))
    assert [batch] * 2 == loaded


async def test_answers_about_inference_are_equal(host: Host) -> None:
    """Over REST, over GraphQL, and with per-item reads."""
    expected = items_of(await host.rest("inference", limit=SIZE))
    assert SIZE == len(expected)
    assert expected == items_of(await host.graphql(INFERENCE, limit=SIZE))
    assert expected == items_of(await host.graphql(INFERENCE, limit=SIZE, path="/per-item"))


async def test_answers_about_kernels_are_equal(host: Host) -> None:
    """Over REST, with per-item reads, and over GraphQL, which has null for numbers that mean nothing."""
    stored_items = items_of(await host.rest("live", limit=SIZE))
    assert SIZE == len(stored_items)
    assert stored_items == items_of(await host.graphql(LIVE, limit=SIZE, path="/per-item"))
    for session in stored_items:
        for kernel in session["kernels"]:
            kernel["live_stat"] = {metric: shown_value(metric, value) for metric, value in kernel["live_stat"].items()}
    assert stored_items == items_of(await host.graphql(LIVE, limit=SIZE))


async def test_host_is_profiled_while_it_answers(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """The profile lists functions; a second profile starts anew."""
    monkeypatch.setattr("serving._PROFILE_S", 0.0)
    for _ in range(2):
        assert "ncalls" in await host.profile(lambda: host.graphql(INFERENCE, limit=SIZE))


def _entries(values: Any) -> list[Any]:
    """Return the values, each of them present."""
    assert all(value is not None for value in values)
    return list(values)


async def test_callers_of_the_service_get_the_page_of_the_host(source: Stored, tmp_path: Path) -> None:
    """A token whose rate is used up gets no page."""
    tokens = tmp_path / "tokens.toml"
    secrets = write_tokens(tokens)
    async with running_host(source.server.url, sessions=SIZE, tokens=tokens) as host:
        assert SERVICE_CALLERS == len(await pages_s(host, secrets["callers"], SERVICE_CALLERS))
        answers: list[tuple[int, bytes]] = []
        for name in ("callers", "limited", "limited"):
            body = {"query": LIVE, "variables": {"limit": SIZE, "offset": 0}}
            headers = headers_of(secrets[name])
            async with host.client.post(f"{host.url}/service/graphql", json=body, headers=headers) as response:
                answers.append((response.status, await response.read()))
        page = items_of(await host.graphql(LIVE, limit=SIZE))
    assert [200, 200, 429] == [status for status, _ in answers]
    assert page == items_of(answers[0][1]) == items_of(answers[1][1])
