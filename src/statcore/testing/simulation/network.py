"""A network in memory: hosts that listen, connections between them, and what goes wrong on the way."""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from collections.abc import Callable, Iterator
from contextvars import Context, copy_context
from random import Random
from typing import Any, Final, Literal, TypeAlias

import attrs

_CLIENT: Final = "client"
_FIRST_CLIENT_PORT: Final = 40_000
_PAUSE_ABOVE_BYTES: Final = 131_072
_RESUME_BELOW_BYTES: Final = 32_768

Lie: TypeAlias = Callable[[bytes], bytes]
_End: TypeAlias = Literal["end", "reset"]


@attrs.define
class Path:
    """What happens to bytes from and to a host.

    Attributes:
        latency_s: the shortest and the longest time that bytes take.
        piece_bytes: the most bytes that arrive at once, or None for as many as were written.
        is_cut: whether nothing arrives; bytes and connections wait until it is False again, as when packets are lost.
        reset_share: the share of writes, from 0 to 1, at which the connection is reset instead.
        lie: changes what the host's servers send, or None.
    """

    latency_s: tuple[float, float] = (0.0001, 0.001)
    piece_bytes: int | None = None
    is_cut: bool = False
    reset_share: float = 0.0
    lie: Lie | None = None


@attrs.define(eq=False)
class SimulatedServer:
    """What `loop.create_server` returns: a port that is listened on until it is closed."""

    host: Host
    port: int

    def close(self) -> None:
        """Take no further connections; those that are open stay."""
        self.host.listeners.pop(self.port, None)

    async def wait_closed(self) -> None:
        """Do nothing."""

    def is_serving(self) -> bool:
        """Tell whether connections are taken."""
        return self.port in self.host.listeners

    def close_clients(self) -> None:
        """Close the connections to this port."""
        for end in self.host.connections(self.port):
            end.close()

    @property
    def sockets(self) -> tuple[()]:
        """No sockets."""
        return ()


@attrs.define(eq=False)
class Host:
    """A machine of the network.

    Attributes:
        name: its name and address in one.
        path: what happens to bytes from and to it.
        listeners: what makes the protocol of a new connection, by port.
    """

    network: Network
    name: str
    path: Path = attrs.field(factory=Path)
    listeners: dict[int, Callable[[], asyncio.BaseProtocol]] = attrs.field(
        factory=dict[int, Callable[[], asyncio.BaseProtocol]], init=False
    )

    def listen(self, port: int, protocol_factory: Callable[[], asyncio.BaseProtocol]) -> SimulatedServer:
        """Take connections to a port.

        Raises:
            OSError: the port is taken.
        """
        if port in self.listeners:
            raise OSError(f"{self.name}:{port} is taken")
        self.listeners[port] = protocol_factory
        return SimulatedServer(self, port)

    def connections(self, port: int | None = None) -> list[SimulatedTransport]:
        """Return the host's ends of the open connections that were made to it, or to one of its ports."""
        return [end for end in self.network.ends() if end.host is self and not end.is_client and port in (None, end.own[1])]

    def crash(self) -> None:
        """Stop listening and reset every connection, as when a process is killed."""
        self.network.record(f"{self.name} crashes")
        self.listeners.clear()
        for end in self.connections():
            end.abort()

    def cut(self) -> None:
        """Let nothing arrive from now on."""
        self.network.record(f"{self.name} is cut off")
        self.path.is_cut = True

    def heal(self) -> None:
        """Deliver what waited, and all later bytes."""
        self.network.record(f"{self.name} is reached again")
        self.path.is_cut = False
        self.network.wake()


@attrs.define(eq=False)
class Network:
    """Hosts and the connections between them.

    Args:
        random: chooses latencies, pieces and resets.
        record: is given a line for each event.
    """

    random: Random
    _record: Callable[[float, str], object]
    _loop: asyncio.AbstractEventLoop = attrs.field(init=False)
    _hosts: dict[str, Host] = attrs.field(factory=dict[str, Host], init=False)
    _ends: dict[SimulatedTransport, None] = attrs.field(factory=dict["SimulatedTransport", None], init=False)
    _ending: list[tuple[SimulatedTransport, Context]] = attrs.field(
        factory=list[tuple["SimulatedTransport", Context]], init=False
    )
    """What has been closed or reset in this turn, with the context of the caller."""
    _healed: asyncio.Event = attrs.field(init=False, factory=asyncio.Event)
    _next_port: int = attrs.field(init=False, default=_FIRST_CLIENT_PORT)

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """Use the clock of a loop."""
        self._loop = loop

    def record(self, event: str) -> None:
        """Keep a line about what happened."""
        self._record(self._loop.time(), event)

    def host(self, name: str) -> Host:
        """Return a host, which is made when its name is new."""
        if name not in self._hosts:
            self._hosts[name] = Host(self, name)
        return self._hosts[name]

    def resolve(self, name: str) -> Host:
        """Return a host that exists.

        Raises:
            socket.gaierror: no host has this name.
        """
        if name not in self._hosts:
            raise socket.gaierror(socket.EAI_NONAME, f"no host is named {name!r}")
        return self._hosts[name]

    def ends(self) -> Iterator[SimulatedTransport]:
        """Return both ends of all connections that are open, oldest first."""
        return iter(list(self._ends))

    async def reach(self, name: str, port: int) -> None:
        """Wait as long as a connection to a port takes to be made.

        Raises:
            socket.gaierror: no host has this name.
            ConnectionRefusedError: nothing listens on the port.
        """
        host = self.resolve(name)
        await asyncio.sleep(self._latency_s(host.path))
        while host.path.is_cut:
            self._healed.clear()
            await self._healed.wait()
        self._check_port(host, port)

    def connect(self, protocol: asyncio.BaseProtocol, name: str, port: int) -> SimulatedTransport:
        """Make a connection to a port and return the client's end.

        Raises:
            ConnectionRefusedError: nothing listens on the port.
        """
        host = self.resolve(name)
        self._check_port(host, port)
        self._next_port += 1
        places = (_CLIENT, self._next_port), (name, port)
        client = SimulatedTransport(self, self._loop, host, protocol, *places, is_client=True)
        server = SimulatedTransport(self, self._loop, host, host.listeners[port](), *reversed(places), is_client=False)
        client.peer, server.peer = server, client
        self._ends |= {client: None, server: None}
        self.record(f"{client.label} opens")
        Context().run(server.protocol.connection_made, server)  # a server knows no context variables of its clients
        client.protocol.connection_made(client)
        return client

    async def settle(self) -> None:
        """Heal every host, and wait until the bytes that are on their way now have arrived."""
        for host in self._hosts.values():
            host.path.is_cut = False
        self.wake()
        await asyncio.sleep(0)  # what is closed now is sent in the next turn
        last_s = max((end.last_arrival_s for end in self._ends), default=0.0)
        await asyncio.sleep(max(0.0, last_s - self._loop.time()))

    def wake(self) -> None:
        """Deliver what can be delivered now."""
        self._healed.set()
        for end in self.ends():
            end.deliver()

    def forget(self, end: SimulatedTransport) -> None:
        """Take an end that is closed out of the open ones."""
        self._ends.pop(end, None)

    def end_soon(self, end: SimulatedTransport) -> None:
        """Let an end be closed or reset in the next turn; the ends of a turn are taken in the order of their connections.

        Drivers keep connections in sets, whose order depends on addresses of memory. So that a seed is one run, the order
        in which they close connections has no effect.
        """
        self.forget(end)
        if not self._ending:
            self._loop.call_soon(self._end_all, context=Context())  # it belongs to no call
        self._ending.append((end, copy_context()))

    def _end_all(self) -> None:
        ending, self._ending = sorted(self._ending, key=lambda each: each[0].place), []
        for end, context in ending:
            context.run(end.end)

    def forget_hosts(self) -> None:
        """Drop all hosts and what listened there, so that nothing holds the servers of a run that has ended."""
        self._hosts.clear()

    def arrival_s(self, host: Host) -> float:
        """Return the time at which bytes that are sent now arrive."""
        return self._loop.time() + self._latency_s(host.path)

    def _latency_s(self, path: Path) -> float:
        return self.random.uniform(*path.latency_s)

    def _check_port(self, host: Host, port: int) -> None:
        if port not in host.listeners:
            self.record(f"{host.name}:{port} refuses a connection")
            raise ConnectionRefusedError(f"nothing listens on {host.name}:{port}")


class SimulatedTransport(asyncio.Transport):
    """One end of a connection: what it writes arrives at its peer later, in order."""

    peer: SimulatedTransport

    def __init__(
        self,
        network: Network,
        loop: asyncio.AbstractEventLoop,
        host: Host,
        protocol: asyncio.BaseProtocol,
        own: tuple[str, int],
        remote: tuple[str, int],
        *,
        is_client: bool,
    ) -> None:
        """Make an end without a peer."""
        super().__init__({"sockname": own, "peername": remote})
        self.host = host
        self.own = own
        self.is_client = is_client
        self.protocol: Any = protocol
        client, server = (own, remote) if is_client else (remote, own)
        self.last_arrival_s: float = 0.0
        """When the last of the bytes for this end arrives."""
        self.place: tuple[int, bool] = client[1], not is_client
        """Where it stands among all ends: oldest first, and the client's before the server's."""
        self.label: str = f"{client[1]} to {server[0]}:{server[1]}"
        self._network = network
        self._loop = loop
        self._inbox: deque[bytes | _End] = deque()
        self._inbox_bytes = 0
        self._arrived = 0
        self._is_closing = False
        self._is_lost = False
        self._resets = False
        self._has_ended = False
        self._reads = True
        self._writer_waits = False

    def __repr__(self) -> str:
        """Show both places."""
        return f"<connection {self.label}, the {'client' if self.is_client else 'server'}'s end>"

    def get_protocol(self) -> asyncio.BaseProtocol:
        """Return the protocol."""
        return self.protocol  # type: ignore[no-any-return]

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Replace the protocol."""
        self.protocol = protocol

    def is_closing(self) -> bool:
        """Tell whether it was closed."""
        return self._is_closing

    def is_reading(self) -> bool:
        """Tell whether bytes are taken."""
        return self._reads and not self._is_closing

    def pause_reading(self) -> None:
        """Take no bytes until `resume_reading`."""
        self._reads = False

    def resume_reading(self) -> None:
        """Take bytes again."""
        if not self._reads:
            self._reads = True
            self._loop.call_soon(self.deliver)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Do nothing: the limits are those of the simulation."""

    def get_write_buffer_size(self) -> int:
        """Return the bytes on their way."""
        return self.peer._inbox_bytes  # noqa: SLF001 - the other end

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """Return the bytes below and above which the protocol is told to go on or to pause."""
        return _RESUME_BELOW_BYTES, _PAUSE_ABOVE_BYTES

    def can_write_eof(self) -> Literal[True]:
        """Return True."""
        return True

    def write_eof(self) -> None:
        """Tell the peer that no bytes follow."""
        if not self._is_closing:
            self._send_end()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send bytes."""
        if self._is_closing or self._has_ended or not data:
            return
        path, random = self.host.path, self._network.random
        content = bytes(data)
        if path.lie is not None and not self.is_client:
            content = path.lie(content)
        if path.reset_share and random.random() < path.reset_share:
            self._network.record(f"{self.label} is reset in the middle of {len(content)} bytes")
            self._send(content[: random.randrange(len(content) + 1)])
            self._send("reset")
            self._lose(ConnectionResetError("the simulated connection was reset"))
            return
        step = path.piece_bytes or len(content)
        for start in range(0, len(content), max(step, 1)):
            self._send(content[start : start + step])
        if self.peer._inbox_bytes > _PAUSE_ABOVE_BYTES and not self._writer_waits:  # noqa: SLF001 - the other end
            self._writer_waits = True
            self.protocol.pause_writing()

    def close(self) -> None:
        """Close this end; what was written still arrives."""
        self._end_soon(resets=False)

    def abort(self) -> None:
        """Reset the connection."""
        self._end_soon(resets=True)

    def end(self) -> None:
        """Tell the peer and the protocol that this end was closed or reset."""
        if self._is_lost:  # the peer has reset the connection meanwhile
            return
        done, by = "reset" if self._resets else "closed", "client" if self.is_client else "server"
        self._network.record(f"{self.label} is {done} by the {by}")
        if self._resets:
            self._send("reset")
        else:
            self._send_end()
        self._lose(None)

    def deliver(self) -> None:
        """Give the protocol what has arrived."""
        while self._arrived and self._reads and not self.host.path.is_cut:
            self._arrived -= 1
            item = self._inbox.popleft()
            if isinstance(item, bytes):
                self._take(item)
            elif item == "reset":
                self._lose(ConnectionResetError("the simulated peer reset the connection"))
            elif not self._is_closing and not self.protocol.eof_received():
                self.close()

    def _take(self, content: bytes) -> None:
        self._inbox_bytes -= len(content)
        if self._is_closing:  # bytes for an end that has closed are answered by a reset
            self._send("reset")
            return
        self.protocol.data_received(content)
        writer = self.peer
        if writer._writer_waits and self._inbox_bytes < _RESUME_BELOW_BYTES:  # noqa: SLF001 - the other end
            writer._writer_waits = False  # noqa: SLF001
            if not writer._is_lost:  # noqa: SLF001
                writer.protocol.resume_writing()

    def _send(self, item: bytes | _End) -> None:
        peer = self.peer
        arrival_s = max(self._network.arrival_s(self.host), peer.last_arrival_s)
        peer.last_arrival_s = arrival_s
        peer._inbox.append(item)  # noqa: SLF001 - the other end
        if isinstance(item, bytes):
            peer._inbox_bytes += len(item)  # noqa: SLF001
        self._loop.call_at(arrival_s, peer._arrive)  # noqa: SLF001

    def _send_end(self) -> None:
        if not self._has_ended:
            self._has_ended = True
            self._send("end")

    def _arrive(self) -> None:
        """Note that the next item has come; it waits as long as the host is cut off or the protocol does not read."""
        self._arrived += 1
        self.deliver()

    def _end_soon(self, *, resets: bool) -> None:
        if not self._is_closing:
            self._is_closing, self._resets = True, resets
            self._network.end_soon(self)

    def _lose(self, error: Exception | None) -> None:
        if self._is_lost:
            return
        self._is_closing = self._is_lost = True
        self._network.forget(self)
        self._loop.call_soon(self.protocol.connection_lost, error)
