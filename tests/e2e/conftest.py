"""What several end-to-end tests use: data in servers."""

from __future__ import annotations

import msgpack
import pytest
from redis import Redis
from tests.e2e.program import ID_1, ID_2, MEM

from statcore.testing.servers import Server


@pytest.fixture
def kernels(valkey: Server) -> str:
    """The URL of a Valkey with a good entry, a malformed entry, and nothing else."""
    with Redis(host="127.0.0.1", port=valkey.port) as client:
        client.set(ID_1, msgpack.packb({"mem": MEM, "cpu_util": {**MEM, "current": "NaN"}}), ex=86400)
        client.set(ID_2, b"\xc1garbage", ex=86400)
    return valkey.url
