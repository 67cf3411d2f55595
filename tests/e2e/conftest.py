"""What more than one of the program's tests finds in its servers."""

from __future__ import annotations

import msgpack
import pytest
from redis import Redis
from tests.e2e.program import MEM, ONE, TWO

from statcore.testing.servers import Server


@pytest.fixture
def kernels(valkey: Server) -> str:
    """The URL of a Valkey with one kernel that is whole, one that is garbage, and nothing else."""
    with Redis(host="127.0.0.1", port=valkey.port) as client:
        client.set(ONE, msgpack.packb({"mem": MEM, "cpu_util": {**MEM, "current": "NaN"}}), ex=86400)
        client.set(TWO, b"\xc1garbage", ex=86400)
    return valkey.url
