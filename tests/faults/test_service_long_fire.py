"""Faults 29 to 32 at once, with the page open: workers die, the log is full, clients are slow, hostile and many."""

from __future__ import annotations

import asyncio
import json
import os
import random
import resource
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import ExitStack, closing, suppress
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import attrs
import psutil
import pytest
from aiohttp import ClientError, ClientSession
from playwright.async_api import Browser, expect
from tests.e2e.test_overview import looking
from tests.faults.test_service_fire import HOSTILE
from tests.support.planted_server import planted_server
from tests.support.polling import until
from tests.support.service import Service, serving
from tests.support.two_projects import EVERYTHING, PROJECT, Part, fill, id_of, planted, value_of

from statcore.testing.servers import Server, free_port
from statcore_web import new_secret, secret_hash

pytest_plugins = ["tests.support.browser_fixtures"]
pytestmark = [pytest.mark.long, pytest.mark.timeout(900), pytest.mark.asyncio(loop_scope="module")]

FIRE_S: Final = float(os.environ.get("FIRE_S", "60"))
"""How long the service is under fire, in seconds; the planted series end a quarter of an hour after the start."""
WORKERS: Final = 3
QUERY: Final = {
    "query": '{ compute_session_list(sort: "id") { total_count items { session_id kernels { kernel_id live_stat } } } }'
}
SCOPES: Final[Mapping[str, Part]] = {"mine": PROJECT, "operator": EVERYTHING, "flood": EVERYTHING}

history = planted_server(lambda: planted(EVERYTHING))


def write_tokens(path: Path, secrets: Mapping[str, str]) -> None:
    """Replace a file of tokens by one with these tokens, and another one."""
    tables = [
        f'[tokens.{name}]\nhash = "{secret_hash(secret)}"\nscope = {SCOPES.get(name, EVERYTHING).scope}\n'
        for name, secret in {**secrets, "changing": new_secret()}.items()
    ]
    new = path.with_suffix(".new")
    new.write_text("".join(tables))
    new.replace(path)


@attrs.define
class Fire:
    """What happens to a service, one thing after another.

    Args:
        service: the service.
        tokens: its file of tokens.
        secrets: the secrets of tokens that stay, by name.
    """

    service: Service
    tokens: Path
    secrets: Mapping[str, str]
    kills: int = 0

    async def rotate(self) -> None:
        """Change a token."""
        write_tokens(self.tokens, self.secrets)

    async def kill(self) -> None:
        """Kill a worker, and wait for the next one."""
        workers = self.service.workers()
        self.kills += 1
        random.choice(workers).kill()  # noqa: S311 - any of them
        await until(lambda: len(set(self.service.workers()) - set(workers)) == 1, "another worker")

    async def full_log(self) -> None:
        """Let the log take nothing for a moment."""
        processes = [psutil.Process(self.service.process.pid), *self.service.workers()]
        size = self.service.log_file.stat().st_size
        limits = [(process, process.rlimit(resource.RLIMIT_FSIZE)) for process in processes]
        for process, (_, most) in limits:
            process.rlimit(resource.RLIMIT_FSIZE, (size, most))
        await asyncio.sleep(1)
        for process, (_, most) in limits:
            with suppress(psutil.NoSuchProcess):
                process.rlimit(resource.RLIMIT_FSIZE, (most, most))

    async def slow_clients(self) -> None:
        """Open many connections with a part of a request, or with many requests, and read nothing."""
        head = b"GET / HTTP/1.1\r\nHost: localhost\r\n"
        body = b"POST /graphql HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n{"
        whole = b"GET /static/page.js HTTP/1.1\r\nHost: localhost\r\n\r\n" * 100
        with ExitStack() as stack:
            for number in range(300):
                client = stack.enter_context(closing(socket.create_connection(self.service.address)))
                client.settimeout(0)
                with suppress(BlockingIOError):
                    client.send((b"", head, body, whole)[number % 4])
            await asyncio.sleep(1)

    async def flood(self) -> None:
        """Send many queries at once with one token, and go away before the answers."""
        headers = {"Authorization": f"Bearer {self.secrets['flood']}"}
        async with ClientSession(self.service.url, headers=headers) as client:
            requests = [asyncio.create_task(_document(client, QUERY)) for _ in range(200)]
            await asyncio.wait(requests, timeout=1)
            for request in requests:
                request.cancel()
            await asyncio.gather(*requests, return_exceptions=True)

    async def hostile_queries(self) -> None:
        """Send queries that are too large."""
        headers = {"Authorization": f"Bearer {self.secrets['flood']}", "Content-Type": "application/json"}
        async with ClientSession(self.service.url, headers=headers) as client:
            for _, body in HOSTILE.values():
                with suppress(ClientError):  # of a worker that is killed
                    async with client.post("/graphql", data=BytesIO(body)) as response:
                        assert response.status < 500

    async def burn(self, seconds: float) -> None:
        """Do one after another, in a random order, until the time is over."""
        loop = asyncio.get_running_loop()
        end_s = loop.time() + seconds
        ways: Sequence[Callable[[], Awaitable[None]]] = (
            self.rotate,
            self.kill,
            self.full_log,
            self.slow_clients,
            self.flood,
            self.hostile_queries,
        )
        while loop.time() < end_s:
            for way in random.sample(ways, len(ways)):
                await way()


async def _document(client: ClientSession, query: object) -> Any:
    async with client.post("/graphql", json=query) as response:
        return response.status, json.loads(await response.text())


async def use(service: Service, secret: str, ended: asyncio.Event, *, keep: bool) -> tuple[list[Any], int]:
    """Query again and again; return the distinct answers, and how many connections were lost."""
    answers: list[Any] = []
    lost = 0
    while not ended.is_set():
        async with ClientSession(service.url, headers={"Authorization": f"Bearer {secret}"}) as client:
            while not ended.is_set():
                try:
                    answer = await _document(client, QUERY)
                except ClientError:
                    lost += 1
                else:
                    if answer not in answers:
                        answers.append(answer)
                if not keep:
                    break
    return answers, lost


async def test_nothing_wrong_is_answered_under_fire_and_the_page_goes_on(
    browser: Browser, start_valkey: Callable[..., Server], history: Server, tmp_path: Path
) -> None:
    """Each answer is that of its caller, and complete; a killed worker costs connections, and nothing else does.

    The page goes on. It shows the end of the whole service, and heals by itself.
    """
    valkey = start_valkey()
    await fill(valkey, EVERYTHING)
    secrets, tokens = {name: new_secret() for name in SCOPES}, tmp_path / "tokens.toml"
    write_tokens(tokens, secrets)
    urls = {"statistics_url": valkey.url, "metrics_url": history.url, "token_file": str(tokens)}
    with serving(tmp_path, "--workers", str(WORKERS), "--port", str(free_port()), **urls) as service:
        expected = {name: await reference(service, secrets[name], SCOPES[name]) for name in ("mine", "operator")}
        fire, ended = Fire(service, tokens, secrets), asyncio.Event()
        async with looking(browser, f"{service.url}/#/sessions?sort=id") as shown:
            dialog = shown.page.get_by_role("dialog")
            await dialog.get_by_label("Token").fill(secrets["mine"])
            await dialog.get_by_role("button", name="Sign in").click()
            memory = shown.cell(id_of("session", "mine", 1), "Memory")
            await expect(memory).to_have_text("1.18 MiB")
            using = {
                (name, keep): asyncio.create_task(use(service, secrets[name], ended, keep=keep))
                for name in expected
                for keep in (True, False)
            }
            await fire.burn(FIRE_S)
            ended.set()
            for (name, _), task in using.items():
                answers, lost = await task
                assert [expected[name]] == answers
                assert lost <= fire.kills
            assert fire.kills > 0
            await expect(shown.connection).to_contain_text("Live")

            assert "Traceback" not in service.log

            workers = service.workers()
            service.process.kill()
            await asyncio.to_thread(psutil.wait_procs, workers)
            await shown.visit.refresh()
            await expect(shown.connection).to_contain_text("does not answer")
            await expect(memory).to_have_text("1.18 MiB")
            with serving(tmp_path, "--port", str(service.address[1]), **urls):
                await expect(shown.connection).to_contain_text("Live")


async def reference(service: Service, secret: str, part: Part) -> Any:
    """Return the answer to a caller with a token, which has every kernel of a scope with its statistics."""
    async with ClientSession(service.url, headers={"Authorization": f"Bearer {secret}"}) as client:
        status, document = await _document(client, QUERY)
    found = {
        kernel["kernel_id"]: kernel["live_stat"]["mem"]["current"]
        for session in document["data"]["compute_session_list"]["items"]
        for kernel in session["kernels"]
    }
    assert {str(kernel.kernel_id): str(value_of(kernel)) for kernel in part.kernels} == found
    return status, document
