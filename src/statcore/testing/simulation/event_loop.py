"""An event loop with a virtual clock, whose connections are those of a `Network` in memory."""

from __future__ import annotations

import asyncio
import socket
from asyncio import base_events
from collections.abc import Callable
from contextvars import Context
from itertools import count
from typing import Any, Final, Self

from statcore.testing.simulation.network import Network, SimulatedServer

_FIRST_SECOND: Final = 1_000.0
"""The time of a new loop; some libraries take 0 for "never"."""

_MANY_TURNS: Final = 1_000
_MANY_TURNS_S: Final = 1e-6
"""How long so many turns without a wait take: a wait until a time that is nearer than the clock can tell ends as well."""


class NothingLeftError(AssertionError):
    """All tasks wait, and no timer and no byte on its way will ever wake one."""


class _Future(asyncio.Future[Any]):
    """A future whose hash is its number in the loop, so that sets of futures have the same order in every process."""

    def __init__(self, loop: SimulatedLoop) -> None:
        super().__init__(loop=loop)
        self._number = loop.next_number()

    def __hash__(self) -> int:
        return self._number


class _Task(asyncio.Task[Any]):
    """A task whose hash is its number in the loop."""

    _number: int

    def __new__(cls, *_: Any, **settings: Any) -> Self:  # noqa: ANN401 - the arguments of any task
        """Number the task; asyncio asks for its hash already in `__init__`."""
        task = super().__new__(cls)
        task._number = settings["loop"].next_number()
        return task

    def __hash__(self) -> int:
        return self._number


class _Clock:
    """Stands where an event loop has its selector: a wait for the next timer takes no time but moves the clock."""

    def __init__(self) -> None:
        self.now_s = _FIRST_SECOND
        self._turns = 0

    def select(self, timeout: float | None) -> list[Any]:
        if timeout is None:
            raise NothingLeftError("every task waits for something that cannot happen any more")
        self._turns = 0 if timeout > 0 else self._turns + 1
        self.now_s += timeout if timeout > 0 else _MANY_TURNS_S if self._turns % _MANY_TURNS == 0 else 0.0
        return []

    def close(self) -> None:
        """Do nothing."""


class SimulatedLoop(base_events.BaseEventLoop):
    """An event loop without a socket, a thread or a real second.

    The clock jumps to the next timer when nothing can run. Connections are opened in `network`; `create_server` with a
    host's name listens there. Functions for the executor run at once, in the loop.

    Args:
        network: where hosts listen and connect.

    Raises:
        NothingLeftError: by `run_until_complete`, where a real loop would wait for ever.
    """

    def __init__(self, network: Network) -> None:
        """Start the clock."""
        super().__init__()
        self.network = network
        self._selector = _Clock()
        self._dialled: dict[int, tuple[str, int]] = {}
        self.watch: Callable[[], object] | None = None
        """Called before and after each callback that `call_soon` takes meanwhile, in the context of the callback."""
        self._numbers = count()
        self.set_task_factory(_new_task)
        network.attach(self)

    def time(self) -> float:
        """Return the seconds of the virtual clock."""
        return self._selector.now_s

    def create_future(self) -> asyncio.Future[Any]:
        """Return a future."""
        return _Future(self)

    def next_number(self) -> int:
        """Return the number of a new future or task."""
        return next(self._numbers)

    def call_soon(  # type: ignore[override]
        self,
        callback: Callable[..., object],
        *args: Any,  # noqa: ANN401 - whatever the callback takes
        context: Context | None = None,
    ) -> asyncio.Handle:
        """Call a function in the next turn."""
        if self.watch is None:
            return super().call_soon(callback, *args, context=context)
        return super().call_soon(self._call_watched, callback, args, context=context)

    async def getaddrinfo(
        self, host: str | bytes | None, port: str | bytes | int | None, **_: object
    ) -> list[tuple[Any, ...]]:
        """Return the address of a host, which is its name; there is one family of addresses."""
        name = host.decode() if isinstance(host, bytes) else host or ""
        self.network.resolve(name)
        return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (name, int(port or 0)))]

    def run_in_executor(self, _executor: object, func: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:  # type: ignore[override] # noqa: ANN401
        """Call the function now and return a future that is done."""
        future = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:  # noqa: BLE001 - an executor keeps every error, too
            future.set_exception(error)
        return future

    async def sock_connect(self, sock: socket.socket, address: Any) -> None:  # noqa: ANN401 - as of any loop
        """Connect by a socket, which keeps the place but is never used itself; `create_connection` takes it over."""
        host, port = address[:2]
        await self.network.reach(host, port)
        self._dialled[sock.fileno()] = (host, port)

    async def create_connection(  # type: ignore[override]
        self,
        protocol_factory: Callable[[], asyncio.BaseProtocol],
        host: str | None = None,
        port: int | None = None,
        *,
        sock: socket.socket | None = None,
        ssl: object = None,
        **_: object,
    ) -> tuple[asyncio.Transport, asyncio.BaseProtocol]:
        """Connect to a port of a host.

        Raises:
            NotImplementedError: TLS is asked for, which the simulation does not have.
            OSError: the host is unknown, or nothing listens.
        """
        if ssl:
            raise NotImplementedError("the simulated network has no TLS")
        if sock is not None:
            host, port = self._dialled.pop(sock.fileno())
            sock.close()
        else:
            await self.network.reach(host or "", port or 0)
        protocol = protocol_factory()
        return self.network.connect(protocol, host or "", port or 0), protocol

    async def create_server(  # type: ignore[override]
        self, protocol_factory: Callable[[], asyncio.BaseProtocol], host: str, port: int, **_: object
    ) -> SimulatedServer:
        """Listen on a port of a host."""
        return self.network.host(host).listen(port, protocol_factory)

    def _call_watched(self, callback: Callable[..., object], args: tuple[Any, ...]) -> None:
        watch = self.watch or (lambda: None)
        watch()
        callback(*args)
        watch()

    def _process_events(self, event_list: list[Any]) -> None:
        """Do nothing: bytes arrive by timers."""

    def _write_to_self(self) -> None:
        """Do nothing: no other thread wakes this loop."""


def _new_task(loop: Any, coroutine: Any, **options: Any) -> _Task:  # noqa: ANN401 - a task factory of any loop
    return _Task(coroutine, loop=loop, **options)
