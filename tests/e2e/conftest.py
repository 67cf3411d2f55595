"""What several end-to-end tests use: data in servers, and a browser."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable

import msgpack
import pytest
import pytest_asyncio
from playwright.async_api import Browser
from redis import Redis
from tests.e2e.program import ID_1, ID_2, MEM
from tests.support.browser import running_chromium

from statcore.testing.servers import Server


@pytest.fixture
def kernels(valkey: Server) -> str:
    """The URL of a Valkey with a good entry, a malformed entry, and nothing else."""
    with Redis(host="127.0.0.1", port=valkey.port) as client:
        client.set(ID_1, msgpack.packb({"mem": MEM, "cpu_util": {**MEM, "current": "NaN"}}), ex=86400)
        client.set(ID_2, b"\xc1garbage", ex=86400)
    return valkey.url


@pytest.fixture(scope="module")
def chromium(require_program: Callable[..., str]) -> str:
    """The path of a Chromium."""
    return require_program("chromium", "chromium-browser", "google-chrome")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser(chromium: str) -> AsyncGenerator[Browser]:
    """A running Chromium."""
    async with running_chromium(chromium) as running:
        yield running
