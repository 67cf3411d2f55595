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
    async def scenario(simulation: Simulation) -> float:
        await asyncio.start_server(_echo, "store", 7)
        simulation.network.host("store").path.latency_s = (50.0, 50.0)
        start_s = asyncio.get_running_loop().time()
        assert await _ask(b"how much?") == b"how much?"
        return asyncio.get_running_loop().time() - start_s

    assert simulate(scenario, seed=1) == 150.0


def test_a_seed_is_one_run() -> None:
    def events(seed: int) -> list[str]:
        lines: list[str] = []

        async def scenario(simulation: Simulation) -> None:
            await asyncio.start_server(_echo, "store", 7)
            simulation.network.host("store").path.latency_s = (0.1, 0.9)
            lines.append(f"{random.random()} {await _ask(b'a' * 30)!r} {asyncio.get_running_loop().time()}")

        simulate(scenario, seed=seed)
        return lines

    assert events(3) == events(3)
    assert events(3) != events(4)


def test_a_cut_host_answers_when_it_is_healed() -> None:
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
    async def scenario(_: Simulation) -> None:
        async with asyncio.timeout(None):
            await asyncio.Event().wait()

    with pytest.raises((NothingLeftError, TimeoutError)) as raised:
        simulate(scenario, seed=12)
    assert any("seed 12" in note for note in raised.value.__notes__)


def test_what_a_scenario_leaves_is_an_error() -> None:
    async def leave_a_task(_: Simulation) -> None:
        leave_a_task.task = asyncio.create_task(asyncio.sleep(9_999))  # type: ignore[attr-defined]

    async def leave_a_connection(_: Simulation) -> None:
        await asyncio.start_server(_echo, "store", 7)
        leave_a_connection.kept = await asyncio.open_connection("store", 7)  # type: ignore[attr-defined]

    async def leave_a_coroutine(_: Simulation) -> None:
        asyncio.sleep(1)  # type: ignore[unused-coroutine]

    with pytest.raises(AssertionError, match="tasks are left"):
        simulate(leave_a_task, seed=1)
    with pytest.raises(AssertionError, match="connections are left open"):
        simulate(leave_a_connection, seed=1)
    with pytest.raises(AssertionError, match="never awaited"):
        simulate(leave_a_coroutine, seed=1)
