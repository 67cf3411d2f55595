"""Real Valkey servers and clusters, those of statcore's own tests, and glide clients of them."""

from __future__ import annotations

import importlib.util
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final

import pytest
import tests

# pytest makes a package `tests` of this folder; the package of the repository continues it.
tests.__path__.append(str(Path(__file__).parents[3] / "tests"))

pytest_plugins = ["statcore.testing.fixtures", "tests.support.valkey_fixtures"]
HAS_DRIVER: Final = importlib.util.find_spec("glide") is not None
collect_ignore_glob = [] if HAS_DRIVER else ["test_glide_[!p]*.py"]


def pytest_report_header() -> str:
    """Say whether the tests that need the driver run."""
    return "valkey-glide: found" if HAS_DRIVER else "valkey-glide: not installed, so only the tests of discovery run"


@pytest.fixture
async def connect() -> AsyncIterator[Callable[..., Awaitable[Any]]]:
    """`connect(port, …, cluster=False)` makes a client, with glide's settings by name; it is closed with the test."""
    from glide import (  # noqa: PLC0415 - it may not be installed
        GlideClient,
        GlideClientConfiguration,
        GlideClusterClient,
        GlideClusterClientConfiguration,
        NodeAddress,
    )

    async with AsyncExitStack() as stack:

        async def make(*ports: int, cluster: bool = False, **settings: Any) -> Any:
            places = [NodeAddress("127.0.0.1", port) for port in ports]
            settings = {"request_timeout": 2_000, **settings}  # glide's own 250 ms are short for a busy machine
            client: Any
            if cluster:
                client = await GlideClusterClient.create(GlideClusterClientConfiguration(places, **settings))
            else:
                client = await GlideClient.create(GlideClientConfiguration(places, **settings))
            stack.push_async_callback(client.close)
            return client

        yield make
