"""`statcore serve` as an operator runs it: a process, or several workers, in front of real servers."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import psutil
import pytest
from aiohttp import ClientSession
from tests.e2e.program import environment, statcore
from tests.faults.proxy import TcpProxy
from tests.support.certificates import Authority
from tests.support.polling import until
from tests.support.service import NO_STORES, PATIENCE_S, Service, metric, serving
from tests.support.tcp import has_ipv6, listening_addresses
from tests.support.web_host import TokenFile

from statcore.testing.servers import Server, free_port, running_prometheus

QUERY: Final = {"query": "{ compute_session_list { total_count } }"}
CONNECTIONS: Final = 12


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory, require_program: Callable[..., str]) -> Iterator[Server]:
    """A Prometheus without series."""
    require_program("prometheus")
    with running_prometheus(tmp_path_factory.mktemp("prometheus"), targets={}) as server:
        yield server


@pytest.fixture
def stores(valkey: Server, prometheus: Server) -> dict[str, str]:
    """The settings of a store and a metric backend that answer."""
    return {"statistics_url": valkey.url, "metrics_url": prometheus.url}


@asynccontextmanager
async def client_of(service: Service, token: str | None = None) -> AsyncGenerator[ClientSession]:
    """Yield a client of a service."""
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    async with ClientSession(service.url, headers=headers) as client:
        yield client


async def status(client: ClientSession, path: str) -> int:
    """Return the HTTP status of a path."""
    async with client.get(path) as response:
        await response.read()
        return response.status


async def limit(client: ClientSession, query: str) -> str:
    """Return the name of the limit that a query exceeds."""
    async with client.post("/graphql", json={"query": query}) as response:
        errors = (await response.json(content_type=None))["errors"]
    (name,) = {error["extensions"]["limit"] for error in errors}
    return str(name)


@pytest.mark.parametrize("workers", [1, 3])
async def test_sigterm_under_load_loses_no_request(
    workers: int, stores: dict[str, str], tmp_path: Path, require_program: Callable[..., str]
) -> None:
    """Each request on an open connection is answered; then the connection is closed, and the exit code is 0."""
    script = tmp_path / "query.lua"
    script.write_text(
        'wrk.method, wrk.headers["Content-Type"] = "POST", "application/json"\n'
        f"wrk.body = {json.dumps(json.dumps(QUERY))}\n"
    )
    with serving(tmp_path, "--workers", str(workers), "--log-level", "warning", **stores) as service:
        options = ["-t1", f"-c{CONNECTIONS}", "-d60s", "--timeout", "60s", "-s", str(script)]
        command = [require_program("wrk"), *options, f"{service.url}/graphql"]
        load = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
        async with client_of(service) as client:
            await until(lambda: _answered(client, 5 * CONNECTIONS), "some answers on each connection")
        code = await asyncio.to_thread(service.stop)
        load.send_signal(signal.SIGINT)  # it prints what it has counted so far
        output = (await load.communicate())[0].decode()

        # wrk counts refused connections, which it makes after the end, as failed writes, and lost requests as failed reads.
        # It prints these numbers unless all are 0.
        assert 0 == code, service.log
        assert "requests in" in output, output
        assert {"0"} >= set(re.findall(r"(?:read|timeout) (\d+)", output)), output
        assert "Non-2xx" not in output
        assert "" == service.log


@pytest.mark.parametrize("workers", [1, 2])
async def test_the_environment_makes_no_service_count_in_files(
    workers: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """prometheus_client's own mode for several processes would; workers count in memory that they share."""
    folder = tmp_path / "metrics"
    folder.mkdir()
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(folder))
    with serving(tmp_path, "--workers", str(workers), **NO_STORES) as service:
        async with client_of(service) as client:
            assert 200 == await status(client, "/healthz")
            assert 1 == await metric(client, "statcore_http_requests_total", route="/healthz")
    assert [] == list(folder.iterdir())


async def _answered(client: ClientSession, requests: int) -> bool:
    return requests <= await metric(client, "statcore_http_requests_total", route="/graphql", status="200")


class Connection:
    """A connection that stays open, and the worker that has accepted it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Keep the two ends."""
        self.reader = reader
        self.writer = writer
        self.port: int = writer.get_extra_info("sockname")[1]

    @classmethod
    async def to(cls, service: Service) -> Connection:
        """Connect."""
        return cls(*await asyncio.open_connection(*service.address))

    async def request(self, path: str) -> int:
        """Send a request, read the response, and return its status."""
        self.writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
        length = re.search(r"(?i)content-length: (\d+)", head)
        await self.reader.readexactly(int(length[1]) if length else 0)
        return int(head.split()[1])

    def is_of(self, worker: psutil.Process) -> bool:
        """Return whether a worker has accepted this connection."""
        return any(end.raddr and end.raddr.port == self.port for end in worker.net_connections("tcp"))


async def test_a_killed_worker_is_noticed_by_no_other_connection(tmp_path: Path) -> None:
    """Its own connections end. The others and new ones are served, it is started again, and no count is lost."""
    with serving(tmp_path, "--workers", "3", "--log-level", "warning", **NO_STORES) as service:
        await until(lambda: len(service.workers()) == 3, "three workers")
        connections = [await Connection.to(service)]
        assert 200 == await connections[0].request("/healthz")
        killed = next(worker for worker in service.workers() if connections[0].is_of(worker))
        while len(others := [connection for connection in connections if not connection.is_of(killed)]) < CONNECTIONS:
            connections.append(await Connection.to(service))
            assert 200 == await connections[-1].request("/healthz")

        killed.kill()
        assert {200} == {await connection.request("/healthz") for connection in others for _ in range(5)}
        assert b"" == await connections[0].reader.read()
        new = await Connection.to(service)
        assert 200 == await new.request("/healthz")
        await until(lambda: len(service.workers()) == 3, "another worker")
        async with client_of(service) as client:
            requests = len(connections) + 5 * len(others) + 1
            assert requests == await metric(client, "statcore_http_requests_total", route="/healthz")
        assert f"(process {killed.pid}) ended with code -9" in service.log
        for connection in [*connections, new]:
            connection.writer.close()
        assert 0 == service.stop()


async def test_workers_end_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    """They have no parent that could tell them to, and would keep the port."""
    with serving(tmp_path, "--workers", "2", **NO_STORES) as service:
        await until(lambda: len(service.workers()) == 2, "two workers")
        workers = service.workers()
        service.process.kill()
        assert [] == psutil.wait_procs(workers, timeout=PATIENCE_S)[1]


async def test_limits_of_a_token_hold_over_all_workers(tmp_path: Path) -> None:
    """A token with a very low rate may make one request, whichever worker accepts it, also after all were killed."""
    tokens = TokenFile(tmp_path / "tokens.toml")
    secrets = tokens.write(slow='scope = "everything"\nrequests_per_s = 0.0001', fast='scope = "everything"')
    arguments = ["--workers", "3", "--token-file", str(tokens.path), "--log-level", "warning"]
    with serving(tmp_path, *arguments, **NO_STORES) as service:
        await until(lambda: len(service.workers()) == 3, "three workers")
        statuses: list[int] = []
        for _ in range(CONNECTIONS):
            async with client_of(service, secrets["slow"]) as client:
                statuses.append(await status(client, "/graphql?query={schema_version}"))
        assert [200] + [429] * (CONNECTIONS - 1) == sorted(statuses)
        async with client_of(service, secrets["fast"]) as client:
            assert CONNECTIONS - 1 == await metric(client, "statcore_limits_exceeded_total", limit="requests_per_s")
            assert 200 == await status(client, "/graphql?query={schema_version}")

        killed = service.workers()
        for worker in killed:
            worker.kill()
        await until(lambda: len(set(service.workers()).difference(killed)) == 3, "three other workers")
        async with client_of(service, secrets["slow"]) as client:
            assert 429 == await status(client, "/graphql?query={schema_version}")


async def test_stores_may_come_later(tmp_path: Path, prometheus: Server, valkey: Server) -> None:
    """The service starts without them, says that it is not ready, and becomes ready by itself."""
    store_port, metrics_port = free_port(), free_port()
    urls = {"statistics_url": f"valkey://127.0.0.1:{store_port}", "metrics_url": f"http://127.0.0.1:{metrics_port}"}
    with serving(tmp_path, **urls) as service:
        async with client_of(service) as client:
            assert (200, 503) == (await status(client, "/healthz"), await status(client, "/readyz"))
            async with (
                TcpProxy(valkey.port, port=store_port).running(),
                TcpProxy(prometheus.port, port=metrics_port).running(),
            ):
                await until(lambda: _has_status(client, "/readyz", 200), "the service to be ready")
            await until(lambda: _has_status(client, "/readyz", 503), "the service not to be ready")


async def _has_status(client: ClientSession, path: str, expected: int) -> bool:
    return expected == await status(client, path)


async def test_a_running_request_is_finished_or_cut_off(valkey: Server, tmp_path: Path) -> None:
    """A first signal lets it run as long as the service drains; a second one ends the service without an answer."""
    for signals, answered in ((1, True), (2, False)):
        async with TcpProxy(valkey.port).running() as proxy:
            proxy.hold()
            urls = {"statistics_url": f"valkey://127.0.0.1:{proxy.port}", "metrics_url": NO_STORES["metrics_url"]}
            with serving(tmp_path, **urls) as service:
                connection = await Connection.to(service)
                request = asyncio.create_task(connection.request("/readyz"))
                await proxy.held.wait()
                for _ in range(signals):
                    service.process.send_signal(signal.SIGTERM)
                    await until(lambda: "stopping" in service.log, "the service to stop")
                if answered:
                    proxy.let_go()
                    assert 503 == await request
                else:
                    with pytest.raises(asyncio.IncompleteReadError):
                        await request
                assert 0 == await asyncio.to_thread(service.process.wait, PATIENCE_S)
                assert ("cut off" in service.log) is not answered
                connection.writer.close()


@pytest.mark.parametrize("output", ["/dev/full", None])
def test_workers_that_cannot_serve_are_not_kept(output: str | None, tmp_path: Path) -> None:
    """The service ends with an error if its URL cannot be printed, or if the certificate cannot be used."""
    (tmp_path / "no.pem").write_text("no certificate")
    options = [] if output else ["--tls-cert", str(tmp_path / "no.pem")]
    with Path(output or tmp_path / "output").open("w") as printed:
        ended = subprocess.run(
            [sys.executable, "-m", "statcore_cli", "serve", "--port", "0", "--workers", "2", *options],
            env=environment(**NO_STORES),
            stdout=printed,
            stderr=subprocess.PIPE,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
    assert (1 if output else 2) == ended.returncode
    assert ended.stderr.splitlines()[-1].startswith("statcore: ")
    assert "Traceback" not in ended.stderr


async def test_the_printed_address_answers_whatever_the_given_host_is_called(tmp_path: Path) -> None:
    """A service without tokens knows its own address, and its name in any case."""
    with serving(tmp_path, "--host", "127.2", **NO_STORES) as service:
        assert "127.0.0.2" == service.address[0]
        async with client_of(service) as client:
            assert 200 == await status(client, "/healthz")
    with serving(tmp_path, "--host", "LocalHost", **NO_STORES) as service:
        async with client_of(service) as client, client.get("/healthz", headers={"Host": "LocalHost"}) as response:
            assert 200 == response.status


@pytest.mark.parametrize("host", ["0.0.0.0", *["::"][: has_ipv6()]])  # noqa: S104 - refused, or for a moment
def test_other_machines_need_a_token(host: str, tmp_path: Path) -> None:
    """Without one the service does not start, unless everyone may see everything."""
    refused = statcore("serve", "--host", host, "--port", "0", **NO_STORES)
    both = statcore("serve", "--host", host, "--port", "0", "--insecure", "--token-file", "tokens.toml", **NO_STORES)

    assert (2, "", 2) == (refused.returncode, refused.stdout, both.returncode)
    assert "--token-file" in refused.stderr
    assert "Traceback" not in refused.stderr + both.stderr
    with serving(tmp_path, "--host", host, "--insecure", **NO_STORES) as service:
        assert 0 == service.stop()


def test_the_service_listens_on_loopback_by_default(tmp_path: Path) -> None:
    """No other machine can reach it."""
    with serving(tmp_path, **NO_STORES) as service:
        assert ["127.0.0.1"] == listening_addresses(psutil.Process(service.process.pid))


def test_no_command_line_has_a_secret(tmp_path: Path) -> None:
    """The list of processes shows the arguments of workers to every user, but not what the environment names."""
    settings = {"statistics_url": "valkey://reader:hunter2@127.0.0.1:9", "metrics_url": "http://reader:hunter2@127.0.0.1:9"}
    with serving(tmp_path, "--workers", "2", **settings) as service:
        parent = psutil.Process(service.process.pid)
        commands = [process.cmdline() for process in (parent, *parent.children(recursive=True))]
        assert 3 <= len(commands)
        assert "hunter2" not in str(commands)


async def test_tokens_are_required_where_there_are_some(tmp_path: Path) -> None:
    """A token that is added to the file is valid without a restart."""
    tokens = TokenFile(tmp_path / "tokens.toml")
    tokens.write(first='scope = "everything"')
    with serving(tmp_path, token_file=str(tokens.path), **NO_STORES) as service:
        async with client_of(service) as client:
            assert 401 == await status(client, "/graphql?query={schema_version}")
        added = statcore("token", "new", "second", "--everything", token_file=str(tokens.path))
        async with client_of(service, added.stdout.strip()) as client:
            assert 200 == await status(client, "/graphql?query={schema_version}")


async def test_a_new_certificate_is_used_without_a_restart(tmp_path: Path, require_program: Callable[..., str]) -> None:
    """Open connections keep the old one."""
    authority = Authority.new(require_program("openssl"), tmp_path, "authority")
    pair, other = authority.issue("first"), authority.issue("second")
    context = ssl.create_default_context(cafile=str(authority.certificate))
    arguments = ["--tls-cert", str(pair.certificate), "--tls-key", str(pair.key)]
    with serving(tmp_path, *arguments, **NO_STORES) as service:
        assert service.url.startswith("https://")

        async def name() -> str:
            _, writer = await asyncio.open_connection(*service.address, ssl=context)
            certificate = writer.get_extra_info("peercert")
            writer.close()
            return str(dict(pair for part in certificate["subject"] for pair in part)["commonName"])

        assert "first" == await name()
        other.key.replace(pair.key)
        other.certificate.replace(pair.certificate)
        assert "second" == await name()
        assert 0 == service.stop()


async def test_settings_come_from_a_file_the_environment_and_options(tmp_path: Path) -> None:
    """An option wins over the environment, and that over the file, whose paths are relative to it."""
    tokens = TokenFile(tmp_path / "tokens.toml")
    secrets = tokens.write(one='scope = "everything"')
    file = tmp_path / "statcore.toml"
    file.write_text(
        f'statistics_url = "{NO_STORES["statistics_url"]}"\nmetrics_url = "{NO_STORES["metrics_url"]}"\n'
        '[serve]\nhost = "127.0.0.2"\nport = 1\ntoken_file = "tokens.toml"\nlog_format = "text"\n'
        "[limits]\ndepth = 2\n"
    )
    with serving(tmp_path, "--host", "127.0.0.3", "--limit", "aliases=1", config=str(file), log_format="json") as service:
        async with client_of(service, secrets["one"]) as client:
            assert "depth" == await limit(client, "{ compute_session_list { items { kernels { kernel_id } } } }")
            assert "aliases" == await limit(client, "{ a: schema_version b: schema_version }")
        assert "127.0.0.3" == service.address[0]
        assert 0 == service.stop()
        lines = [json.loads(line) for line in service.log.splitlines()]
        assert {"time", "level", "logger", "message"} <= set.intersection(*map(set, lines))
        assert "one" in {line.get("token") for line in lines}


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[serve]\nport = 70000", "port"),
        ("[serve]\nno_such = 1", "no_such"),
        ("[serve]\norigins = ['*']", "origins"),
        ("[limits]\nids = 0", "ids"),
        ("serve = 1", "serve"),
    ],
)
def test_a_setting_of_the_file_that_cannot_be_used_is_named(text: str, named: str, tmp_path: Path) -> None:
    """The message names the file and the setting."""
    file = tmp_path / "statcore.toml"
    file.write_text(text)
    ended = statcore("serve", "--config", str(file), **NO_STORES)
    assert (2, "") == (ended.returncode, ended.stdout)
    assert str(file) in ended.stderr
    assert named in ended.stderr


@pytest.mark.parametrize("workers", [1, 2])
async def test_systemd_hears_of_the_start_and_the_stop(
    workers: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each state is sent once, whatever the number of workers."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(PATIENCE_S)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        with serving(tmp_path, "--workers", str(workers), **NO_STORES) as service:
            assert b"READY=1" == systemd.recv(100)
            assert 0 == service.stop()
        assert b"STOPPING=1" == systemd.recv(100)
        systemd.settimeout(0)
        with pytest.raises(BlockingIOError):
            systemd.recv(100)
