"""The simulation: its clock, its network and what it finds at the end of a run."""

from __future__ import annotations

import asyncio
import random

import pytest

from statcore.testing.simulation import NothingLeftError, Simulation, simulate


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(100):
        writer.write(data)
    writer.close()


async def _ask(question: bytes, *, port: int = 7) -> bytes:
    reader, writer = await asyncio.open_connection("store", port)
    try:
        writer.write(question)
        return await reader.readexactly(len(question))
    finally:
        writer.close()


def test_bytes_arrive_and_time_passes_at_once() -> None:
    """A connection, a question and its answer each take the path's time, on the virtual clock."""

    async def scenario(simulation: Simulation) -> float:
        await asyncio.start_server(_echo, "store", 7)
        simulation.network.host("store").path.latency_s = (50.0, 50.0)
        start_s = asyncio.get_running_loop().time()
        assert await _ask(b"how much?") == b"how much?"
        return asyncio.get_running_loop().time() - start_s

    assert simulate(scenario, seed=1) == 150.0


def test_a_seed_is_one_run() -> None:
    """The same seed repeats chance and times; another seed does not."""

    def events(seed: int) -> list[str]:
        lines: list[str] = []

        async def scenario(simulation: Simulation) -> None:
            await asyncio.start_server(_echo, "store", 7)
            simulation.network.host("store").path.latency_s = (0.1, 0.9)
            lines.append(f"{random.random()} {await _ask(b'a' * 30)!r} {asyncio.get_running_loop().time()}")  # noqa: S311 - no secret

        simulate(scenario, seed=seed)
        return lines

    assert events(3) == events(3)
    assert events(3) != events(4)


def test_a_cut_host_answers_when_it_is_healed() -> None:
    """Bytes for a host that is cut off wait, however long, and arrive when it is healed."""

    async def scenario(simulation: Simulation) -> None:
        await asyncio.start_server(_echo, "store", 7)
        host = simulation.network.host("store")
        host.cut()
        asking = asyncio.create_task(_ask(b"still there?"))
        await asyncio.sleep(3_600)
        assert not asking.done()
        host.heal()
        assert await asking == b"still there?"

    simulate(scenario, seed=1)


def test_a_crash_resets_connections_and_refuses_new_ones() -> None:
    """A crash is seen by clients that are connected, and by those that connect later."""

    async def scenario(simulation: Simulation) -> None:
        host = simulation.network.host("store")

        async def crash(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
            await reader.read(100)
            host.crash()

        await asyncio.start_server(crash, "store", 7)
        with pytest.raises(ConnectionResetError):
            await _ask(b"a")
        with pytest.raises(ConnectionRefusedError):
            await _ask(b"b")

    simulate(scenario, seed=1)


def test_a_wait_for_ever_is_an_error_with_its_seed() -> None:
    """A task that nothing can wake ends the run, and the error names the seed."""

    async def scenario(_: Simulation) -> None:
        async with asyncio.timeout(None):
            await asyncio.Event().wait()

    with pytest.raises(NothingLeftError) as raised:
        simulate(scenario, seed=12)
    assert any("seed 12" in note for note in raised.value.__notes__)


def test_what_a_scenario_leaves_is_an_error() -> None:
    """Tasks, connections and coroutines that are left are errors."""

    async def leave_a_task(_: Simulation) -> None:
        leave_a_task.task = asyncio.create_task(asyncio.sleep(9_999))  # type: ignore[attr-defined]

    async def leave_a_connection(_: Simulation) -> None:
        await asyncio.start_server(_echo, "store", 7)
        leave_a_connection.kept = await asyncio.open_connection("store", 7)  # type: ignore[attr-defined]

    async def leave_a_coroutine(_: Simulation) -> None:
        asyncio.sleep(1)  # type: ignore[unused-coroutine]

    with pytest.raises(AssertionError, match="tasks that are left"):
        simulate(leave_a_task, seed=1)
    with pytest.raises(AssertionError, match="connections that are left open"):
        simulate(leave_a_connection, seed=1)
    with pytest.raises(AssertionError, match="never awaited"):
        simulate(leave_a_coroutine, seed=1)


def test_a_server_that_never_closes_is_an_error() -> None:
    """A server that keeps the connection of a client that is gone does not make the run endless."""

    async def keep(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        kept.append(writer)
        await reader.read()
        await asyncio.Event().wait()

    async def scenario(_: Simulation) -> None:
        await asyncio.start_server(keep, "store", 7)
        _reader, writer = await asyncio.open_connection("store", 7)
        writer.close()

    kept: list[asyncio.StreamWriter] = []
    with pytest.raises(AssertionError, match="connections that servers keep"):
        simulate(scenario, seed=1)


def test_sets_of_tasks_have_one_order_in_every_run() -> None:
    """The order in which tasks of a set are seen does not depend on runs before."""

    async def scenario(_: Simulation) -> list[str]:
        tasks = {asyncio.create_task(asyncio.sleep(0), name=str(number)) for number in range(20)}
        await asyncio.wait(tasks)
        return [task.get_name() for task in tasks]

    first = simulate(scenario, seed=1)
    assert [first] * 20 == [simulate(scenario, seed=1) for _ in range(20)]


@pytest.mark.parametrize("piece_bytes", [1, 3, None])
def test_pieces_arrive_whole_and_in_order(piece_bytes: int | None) -> None:
    """However small the pieces and however different their times, the bytes are those that were written."""

    async def scenario(simulation: Simulation) -> bytes:
        await asyncio.start_server(_echo, "store", 7)
        path = simulation.network.host("store").path
        path.latency_s, path.piece_bytes = (0.0, 1 / 3), piece_bytes
        return await _ask(bytes(range(200)))

    for seed in range(20):
        assert bytes(range(200)) == simulate(scenario, seed=seed)
