"""Fault 32: the disk is full; the service starts, goes on, and loses no more than lines of its log."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

import pytest
from aiohttp import ClientSession
from tests.e2e.program import environment
from tests.support.polling import until
from tests.support.service import NO_STORES, Service, metric, serving_in
from tests.support.web_host import TokenFile

QUERY: Final = "/graphql?query={schema_version}"
TOKENS: Final = 30
NAMESPACE: Final = ("unshare", "--map-root-user", "--mount")
DISK: Final = 'mount -t tmpfs -o size=512k none "$TMPDIR" && cd "$TMPDIR"'
SMALL_DISK: Final = f'{DISK} && exec "$@" 2>log'
FULL_DISK: Final = f'{DISK} && : >log && {{ cat /dev/zero >filler 2>/dev/null; exec "$@" 2>>log; }}'


@pytest.fixture
def within(require_program: Callable[..., str]) -> Callable[[str], list[str]]:
    """Return a function that returns a command line to run a program by a script, which mounts a disk."""
    require_program("unshare")
    if subprocess.run([*NAMESPACE, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this machine gives no namespaces")
    return lambda script: [*NAMESPACE, "sh", "-c", script, "sh"]


def fill(file: Path) -> None:
    """Write until the disk is full."""
    with file.open("wb", buffering=0) as opened, suppress(OSError):
        while True:
            opened.write(bytes(4096))


async def statuses(service: Service, secrets: dict[str, str]) -> set[int]:
    """Return the statuses of a request with each token, each on a connection of its own."""

    async def status(secret: str) -> int:
        headers = {"Authorization": f"Bearer {secret}"}
        async with ClientSession(service.url, headers=headers) as client, client.get(QUERY) as response:
            return response.status

    return {await status(secret) for secret in secrets.values()}


async def test_a_full_disk_costs_lines_of_the_log_alone(within: Callable[[str], list[str]], tmp_path: Path) -> None:
    """Requests are answered and counted, a killed worker comes back, and the log goes on once there is room."""
    disk = tmp_path / "disk"
    disk.mkdir()
    file = TokenFile(tmp_path / "tokens.toml")
    secrets = file.write(**{f"t{number}": 'scope = "everything"\nrequests_per_s = 1000' for number in range(TOKENS)})
    arguments = ["--workers", "2", "--token-file", str(file.path)]
    with serving_in(disk, environment(**NO_STORES), *arguments, within=within(SMALL_DISK)) as service:
        await until(lambda: len(service.workers()) == 2, "two workers")
        inside = Path(f"/proc/{service.process.pid}/root{disk}")
        assert {200} == await statuses(service, secrets)
        fill(inside / "filler")
        assert {200} == await statuses(service, secrets)

        killed = service.workers()[0]
        killed.kill()
        assert {200} == await statuses(service, secrets)
        await until(lambda: killed not in service.workers() and len(service.workers()) == 2, "another worker")
        assert {200} == await statuses(service, secrets)
        async with ClientSession(service.url) as client:
            assert 4 * TOKENS == await metric(client, "statcore_http_requests_total", route="/graphql")

        (inside / "filler").unlink()
        lines = (inside / "log").read_text().count("GET /graphql: 200")
        assert lines < 4 * TOKENS
        assert {200} == await statuses(service, secrets)
        await until(lambda: lines < (inside / "log").read_text().count("GET /graphql: 200"), "new lines of the log")
        assert 0 == service.stop()


async def test_the_service_starts_on_a_full_disk(within: Callable[[str], list[str]], tmp_path: Path) -> None:
    """It needs no file of its own."""
    with serving_in(tmp_path, environment(**NO_STORES), "--workers", "2", within=within(FULL_DISK)) as service:
        assert {200} == await statuses(service, {"nobody": "none"})
        assert 0 == service.stop()
