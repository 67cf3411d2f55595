"""The simulation: its clock, its network and what it finds at the end of a run."""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import pytest

from statcore.testing.simulation import NothingLeftError, Simulation, simulate, simulation_steps


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
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
        assert b"how much?" == await _ask(b"how much?")
        return asyncio.get_running_loop().time() - start_s

    assert 150.0 == simulate(scenario, seed=1)


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
        assert b"still there?" == await asking

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


@pytest.mark.parametrize("way", ["close", "abort"])
def test_connections_that_end_together_have_one_order(way: str) -> None:
    """A driver closes the connections of a set in an order that another process does not have; the events are the same."""

    def events(order: Sequence[int]) -> list[tuple[str, int, float]]:
        found: list[tuple[str, int, float]] = []

        def note(event: str, number: int) -> None:
            found.append((event, number, asyncio.get_running_loop().time()))

        async def leave(number: int, writer: asyncio.StreamWriter) -> None:
            with suppress(ConnectionError):
                await writer.wait_closed()
            note("left", number)

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            (number,) = await reader.readexactly(1)
            with suppress(ConnectionError):
                await reader.read()
            note("gone", number)
            writer.close()

        async def scenario(_: Simulation) -> None:
            await asyncio.start_server(serve, "store", 7)
            writers = [(await asyncio.open_connection("store", 7))[1] for _ in order]
            for number, writer in enumerate(writers):
                writer.write(bytes([number]))
            await asyncio.sleep(1)
            leaving = [asyncio.create_task(leave(number, writer)) for number, writer in enumerate(writers)]
            await asyncio.sleep(1)
            for number in order:
                getattr(writers[number].transport, way)()
            await asyncio.wait(leaving)

        simulate(scenario, seed=1)
        return found

    first = events([0, 1, 2, 3])
    assert {("left", 0), ("gone", 3)} < {(event, number) for event, number, _ in first}
    assert first == events([2, 3, 1, 0])


@pytest.mark.parametrize("way", ["close", "abort"])
def test_what_is_closed_has_ended_once_the_network_is_settled(way: str) -> None:
    """The peer knows of it; nothing that was sent before is still on its way."""

    async def scenario(simulation: Simulation) -> None:
        await asyncio.start_server(_echo, "store", 7)
        _, writer = await asyncio.open_connection("store", 7)
        await asyncio.sleep(1)
        getattr(writer.transport, way)()
        await simulation.network.settle()
        await asyncio.sleep(0)
        assert [] == simulation.network.host("store").connections()

    simulate(scenario, seed=1)


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


def test_a_writer_waits_for_a_slow_reader() -> None:
    """What has not been read fills the connection, and then the writer pauses."""

    async def pour(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _number in range(100):
            writer.write(bytes(10_000))
            await writer.drain()
            poured.append(len(poured))
        writer.close()

    async def scenario(simulation: Simulation) -> None:
        await asyncio.start_server(pour, "store", 7)
        reader, writer = await asyncio.open_connection("store", 7)
        await asyncio.sleep(10)
        assert 0 < len(poured) < 100
        assert 1_000_000 == len(await reader.read())
        writer.close()
        assert [] == simulation.network.host("store").connections()

    poured: list[int] = []
    simulate(scenario, seed=1)
    assert 100 == len(poured)


def test_a_closed_server_keeps_its_connections_until_they_are_closed() -> None:
    """Nobody else connects; the others go on until the server closes them."""

    async def scenario(_: Simulation) -> None:
        server: Any = await asyncio.start_server(_echo, "store", 7)
        reader, writer = await asyncio.open_connection("store", 7)
        assert server.is_serving()
        server.close()
        await server.wait_closed()
        assert not server.is_serving()
        with pytest.raises(ConnectionRefusedError):
            await _ask(b"a")
        writer.write(b"b")
        assert b"b" == await reader.read(1)
        server.close_clients()
        assert b"" == await reader.read()
        writer.close()

    simulate(scenario, seed=1)


def test_names_and_ports_are_those_of_the_network() -> None:
    """A host exists once it is named, and has each port once; there is no TLS."""

    async def scenario(simulation: Simulation) -> None:
        with pytest.raises(socket.gaierror):
            await _ask(b"a")
        simulation.network.host("store")
        with pytest.raises(ConnectionRefusedError):
            await _ask(b"a")
        await asyncio.start_server(_echo, "store", 7)
        with pytest.raises(OSError, match="store:7 is taken"):
            await asyncio.start_server(_echo, "store", 7)
        with pytest.raises(NotImplementedError):
            await asyncio.open_connection("store", 7, ssl=True)

    simulate(scenario, seed=1)


def test_a_driver_may_resolve_names_and_connect_sockets_itself() -> None:
    """As aiohttp does: it asks for addresses, connects a socket, and hands it to the loop."""

    async def scenario(_: Simulation) -> bytes:
        await asyncio.start_server(_echo, "store", 7)
        loop = asyncio.get_running_loop()
        ((family, kind, protocol, _name, address),) = await loop.getaddrinfo("store", 7)
        connected = socket.socket(family, kind, protocol)
        connected.settimeout(0)
        await loop.sock_connect(connected, address)
        reader, writer = await asyncio.open_connection(sock=connected)
        assert ("store", 7) == writer.get_extra_info("peername")
        writer.write(b"abc")
        found = await reader.readexactly(3)
        writer.close()
        return found

    assert b"abc" == simulate(scenario, seed=1)


def test_an_executor_is_the_loop_itself() -> None:
    """A function for a thread is called at once, and its error is that of the call."""

    async def scenario(_: Simulation) -> int:
        with pytest.raises(ZeroDivisionError):
            await asyncio.to_thread(lambda: 1 // 0)
        return await asyncio.to_thread(lambda: 1 + 1)

    assert 2 == simulate(scenario, seed=1)


def test_a_path_resets_and_lies() -> None:
    """A share of writes ends in a reset, and what servers send may be changed."""

    async def scenario(simulation: Simulation) -> None:
        await asyncio.start_server(_echo, "store", 7)
        path = simulation.network.host("store").path
        path.lie = bytes.upper
        assert b"ABC" == await _ask(b"abc")
        path.reset_share = 1.0
        with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
            await _ask(b"abc")

    for seed in range(10):
        simulate(scenario, seed=seed)


def test_an_error_of_the_loop_fails_the_run() -> None:
    """What asyncio would only log, such as an error of a callback, is an error of the run."""

    async def scenario(_: Simulation) -> None:
        asyncio.get_running_loop().call_soon(lambda: 1 // 0)
        await asyncio.sleep(1)

    with pytest.raises(AssertionError, match="ZeroDivisionError"):
        simulate(scenario, seed=1)


def test_steps_go_on_where_they_stopped() -> None:
    """Time and tasks go on with each step; a step that fails is not followed by the checks of the end."""

    async def later(seconds: float) -> float:
        await asyncio.sleep(seconds)
        return asyncio.get_running_loop().time()

    async def begin() -> asyncio.Task[float]:
        return asyncio.create_task(later(10))

    with simulation_steps(seed=1) as steps:
        first_s = steps.run(later(0))
        task = steps.run(begin())
        assert first_s + 4 == steps.run(later(4))
        assert not task.done()
        assert first_s + 11 == steps.run(later(7))
        assert first_s + 10 == task.result()
    with pytest.raises(ZeroDivisionError), simulation_steps(seed=1) as steps:  # noqa: PT012 - the block is what is tested
        steps.run(begin())
        steps.run(asyncio.to_thread(lambda: 1 // 0))
    with pytest.raises(AssertionError, match="tasks that are left"), simulation_steps(seed=1) as steps:
        steps.run(begin())
