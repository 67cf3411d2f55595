"""Faults 29 to 31: clients that send or read slowly, or not at all, and many at once; others are served."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Generator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Final

import psutil
import pytest
from aiohttp import ClientSession, TCPConnector
from tests.e2e.program import environment
from tests.support.certificates import Authority
from tests.support.polling import until
from tests.support.service import NO_STORES, Service, metric, serving, serving_in

SCHEMA: Final = "{__schema{types{name description fields{name description args{name description type{name}}}}}}"
RESPONSES: Final = 400
"""How many responses with the schema are more than the kernel takes for a client that does not read."""
FEW_FILES: Final = ("prlimit", "--nofile=64:64")
SLOW: Final = 100
"""More clients than such a process may have open files."""
HEAD: Final = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Slow: "
BODY: Final = (
    b"POST /graphql HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n"
)


async def answers(service: Service) -> int:
    """Return the status of an answer to a query on a new connection."""
    async with (
        ClientSession(service.url, connector=TCPConnector(ssl=False)) as client,
        client.get("/graphql?query={schema_version}") as response,
    ):
        return response.status


def has_connection(service: Service, client: socket.socket) -> bool:
    """Return whether the service has the connection of a client."""
    connections = psutil.Process(service.process.pid).net_connections("tcp")
    return client.getsockname() in [tuple(connection.raddr) for connection in connections if connection.raddr]


@contextmanager
def connected(service: Service, *, number: int = 1, send: bytes = b"") -> Generator[list[socket.socket]]:
    """Connect a number of clients, with small buffers for what they receive, and send the same from each."""
    with ExitStack() as stack:
        clients = [stack.enter_context(closing(socket.socket())) for _ in range(number)]
        for client in clients:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
            client.connect(service.address)
            client.sendall(send)
        yield clients


async def test_a_client_that_reads_nothing_is_cut_off(tmp_path: Path) -> None:
    """Its connection ends, and what it has not read is not kept."""
    request = f"GET /graphql?query={SCHEMA.replace(' ', '%20')} HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with serving(tmp_path, "--limit", "request_s=1", **NO_STORES) as service, connected(service) as (client,):
        await until(lambda: has_connection(service, client), "the connection")
        await asyncio.to_thread(client.sendall, request.encode() * RESPONSES)
        await until(lambda: "GET /graphql: 200" in service.log, "the first response")
        assert 200 == await answers(service)
        await until(lambda: not has_connection(service, client), "the end of the connection")
        assert RESPONSES > service.log.count("GET /graphql: 200")
        assert 200 == await answers(service)
        assert 0 == service.stop()
        assert "Traceback" not in service.log


async def test_a_body_that_trickles_is_refused(tmp_path: Path) -> None:
    """The time of a request includes that of its body; requests of others are answered meanwhile."""
    with serving(tmp_path, "--limit", "request_s=1", **NO_STORES) as service, connected(service, send=BODY) as (client,):
        client.settimeout(0)
        loop = asyncio.get_running_loop()
        refusal = asyncio.ensure_future(loop.sock_recv(client, 65_536))
        while not refusal.done():
            await loop.sock_sendall(client, b" ")
            assert 200 == await answers(service)
        assert b" 504 " in refusal.result()


@pytest.mark.parametrize("send", [b"", HEAD], ids=["nothing", "half a head"])
async def test_clients_that_send_no_request_make_room_for_others(send: bytes, tmp_path: Path) -> None:
    """There are more of them than the process may have open files; a connection with a request stays."""

    async def has_request() -> bool:
        async with ClientSession(service.url) as client:
            return 2 == await metric(client, "statcore_http_requests_running")  # with that for this number

    variables = environment(**NO_STORES)
    with serving_in(tmp_path, variables, within=FEW_FILES) as service, connected(service, send=BODY) as (busy,):
        await until(has_request, "the request")
        with connected(service, number=SLOW, send=send):
            assert [200] * 3 == [await answers(service) for _ in range(3)]
            assert has_connection(service, busy)
        busy.close()
        assert 0 == service.stop()
        assert "Traceback" not in service.log


async def test_clients_that_do_not_begin_with_tls_make_room_for_others(
    tmp_path: Path, require_program: Callable[..., str]
) -> None:
    """There are more of them than the process may have open files."""
    pair = Authority.new(require_program("openssl"), tmp_path, "authority").issue("server")
    tls = ["--tls-cert", str(pair.certificate), "--tls-key", str(pair.key)]
    with serving_in(tmp_path, environment(**NO_STORES), *tls, within=FEW_FILES) as service:
        with connected(service, number=SLOW):
            assert [200] * 3 == [await answers(service) for _ in range(3)]
            assert 0 == await asyncio.to_thread(service.stop)
        assert "Traceback" not in service.log


async def test_slow_clients_do_not_delay_the_end(tmp_path: Path) -> None:
    """Those without a request are not waited for, and one whose body trickles is cut off after the time to drain."""
    with serving(tmp_path, "--drain-s", "1.5", **NO_STORES) as service, ExitStack() as stack:
        for send in (b"", HEAD, BODY):
            stack.enter_context(connected(service, send=send))
        assert 200 == await answers(service)
        assert 0 == await asyncio.to_thread(service.stop)
        assert "1 requests were not finished" in service.log
        assert "Traceback" not in service.log


@pytest.mark.long
@pytest.mark.timeout(300)
async def test_no_slow_client_keeps_its_connection(tmp_path: Path) -> None:
    """Some send nothing, at first or after a response, and some a byte of a head or a body from time to time."""
    request = HEAD + b"\r\n\r\n"
    trickles = {b"": b"", request: b"", HEAD: b"x", request + HEAD: b"x", BODY: b" "}
    with serving(tmp_path, **NO_STORES) as service, ExitStack() as stack:
        slow = {send: stack.enter_context(connected(service, send=send))[0] for send in trickles}
        await until(lambda: all(has_connection(service, client) for client in slow.values()), "the connections")
        while any(has_connection(service, client) for client in slow.values()):
            for send, client in slow.items():
                with suppress(ConnectionError):  # the service has closed it
                    client.send(trickles[send])
            assert 200 == await answers(service)
            await asyncio.sleep(1)
        assert 0 == service.stop()
