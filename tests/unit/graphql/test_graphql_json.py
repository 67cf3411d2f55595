"""What of a stored entry can only be found malformed when it is read."""

from __future__ import annotations

from typing import Any

from tests.graphql_host import Host, inventory_of, session_id
from tests.lazy_entries import Lazy

from statcore.model import StatisticsBatch
from statcore.model.batch import MAX_LEVELS
from statcore_memory import MemoryStatistics


class LazyStore(MemoryStatistics):
    """A store of entries that decode when they are read."""

    async def fetch_kernel_statistics(self, ids: Any, /) -> StatisticsBatch:
        """Answer for sessions: a good one, one with bad metrics, one that cannot be read, and one nested too deeply."""
        deep: Any = 1
        for _ in range(100_000):
            deep = [deep]
        good = {"current": "1"}
        entries = [{"mem": good, 5: good}, {"bad": 0, "mem": good, "bad2": 0}, {"nothing": 0}, {"mem": good, "x": deep}]
        stored = {session_id(number): Lazy(parts) for number, parts in enumerate(entries)}
        return StatisticsBatch([stored.get(id_) for id_ in ids])

    async def fetch_agent_statistics(self, ids: Any, /) -> StatisticsBatch:
        """Answer halves that decode themselves, too."""
        value = {"current": "1"}
        devices = Lazy({"mem": {"0": value}, "bad": {}})
        return StatisticsBatch([Lazy({"node": Lazy({"bad": 0, "mem": value}), "devices": devices}) for _ in ids])


async def test_a_metric_that_is_malformed_when_it_is_read_is_a_problem_at_its_path() -> None:
    """The other metrics of the entry are there; an entry of which nothing can be read is an error."""
    host = Host(statistics=LazyStore(), inventory=inventory_of(4))
    answer = await host.execute("{ compute_session_list { items { live_stat again: live_stat } } }")
    good = {"current": "1"}
    expected = [{"mem": good, "5": good}, {"mem": good}, None, {"mem": good}]
    for name in ("live_stat", "again"):
        assert expected == [item[name] for item in answer.data["compute_session_list"]["items"]]
    where = [f"compute_session_list.items.1.{field}.{name}" for field in ("live_stat", "again") for name in ("bad", "bad2")]
    deep = [f"compute_session_list.items.3.{field}.x" for field in ("live_stat", "again")]
    assert dict.fromkeys([*where, *deep], "malformed") == answer.problems
    told = {problem["message"] for problem in answer.extensions["problems"]}
    assert {"bad holds garbage", "bad2 holds garbage", f"nested more than {MAX_LEVELS} levels deep"} == told
    paths = [f"compute_session_list.items.2.{field}" for field in ("live_stat", "again")]
    assert dict.fromkeys(paths, "MalformedEntryError") == answer.codes


async def test_a_bad_metric_of_an_agents_half_harms_no_other() -> None:
    """Neither in its half nor in the other one."""
    answer = await Host(statistics=LazyStore(), inventory=inventory_of(1)).execute("{ agent_list { items { live_stat } } }")
    assert [] == answer.errors
    good = {"current": "1"}
    expected = {"node": {"mem": good}, "devices": {"mem": {"0": good}}}
    assert [{"live_stat": expected}] == answer.data["agent_list"]["items"]
    paths = [f"agent_list.items.0.live_stat.{half}.bad" for half in ("node", "devices")]
    assert dict.fromkeys(paths, "malformed") == answer.problems
