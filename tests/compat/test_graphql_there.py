"""statcore's GraphQL schema with the libraries that the released manager installs, which are older than the newest."""

from __future__ import annotations

from graphql import version_info
from tests.support.graphql_host import Host, inventory_of, kernel_id, session_id

from statcore.model import MetricValue
from statcore_valkey import ValkeyStatistics, ValkeyStatisticsSink


async def test_a_list_of_sessions_is_answered(store: ValkeyStatistics, sink: ValkeyStatisticsSink) -> None:
    """The first session has statistics, and the second has none."""
    assert version_info < (3, 3)
    await sink.store_kernel_statistics({kernel_id(0): {"mem": MetricValue(current="5", capacity="10", unit_hint="bytes")}})
    host = Host(statistics=store, inventory=inventory_of(2))
    answer = await host.execute("{ compute_session_list { items { session_id kernels { live_stat } } } }")
    assert [] == answer.errors
    (first, second) = answer.data["compute_session_list"]["items"]
    assert (session_id(0), session_id(1)) == (first["session_id"], second["session_id"])
    (kernel,) = first["kernels"]
    assert ("5", "10", "bytes") == tuple(kernel["live_stat"]["mem"][key] for key in ("current", "capacity", "unit_hint"))
    assert [{"live_stat": None}] == second["kernels"]
