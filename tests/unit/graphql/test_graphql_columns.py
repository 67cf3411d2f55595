"""Columns of the sessions of a page."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.graphql_host import CountedStatistics, Host, inventory_of, kernel_id, session_id

from statcore.model import MetricValue, Problem, ProblemKind
from statcore_graphql.schema.loaded import MAX_FIELDS
from statcore_memory import MemoryStatistics

QUERY = "query ($fields: [String!]!) { compute_session_list { columns(fields: $fields) { field values } %s } }"


async def planted() -> MemoryStatistics:
    """A store with entries of the first kernels of four sessions; the second is stale, and the third has a bad metric."""
    store = MemoryStatistics()
    for number in range(3):
        value = MetricValue(current=f"{number}", capacity="10", pct=f"{10 * number}.00", stats={"max": "9"})
        store.plant(kernel_id(number), {"mem": value.to_map(), "net_rx": value.to_map()})
    stale = {"mem": MetricValue(current="1", capacity="10", pct="10.00", stats={"max": "9"}).to_map()}
    store.plant(kernel_id(1), stale, problem=Problem(ProblemKind.STALE, message="old"))
    store.plant(session_id(2), {"mem": {"current": ["a list"], "pct": "20.00"}})
    return store


async def test_columns_have_a_value_for_each_session() -> None:
    """They are what the sessions' `live_stat` has; problems are at the paths of the values."""
    host = Host(statistics=await planted(), inventory=inventory_of(4))
    answer = await host.execute(QUERY % "items { session_id }", fields=["mem.current", "net_rx.pct", "mem.stats.max"])
    assert [
        {"field": "mem.current", "values": ["0", "1", None, None]},
        {"field": "net_rx.pct", "values": [None, None, None, None]},
        {"field": "mem.stats.max", "values": ["9", "9", None, None]},
    ] == answer.data["compute_session_list"]["columns"]
    columns = range(3)
    expected: dict[str, Any] = {f"compute_session_list.columns.{at}.values.1": "stale" for at in columns}
    expected |= {f"compute_session_list.columns.{at}.values.2": "malformed" for at in columns}
    assert (expected, []) == (answer.problems, answer.errors)


async def test_columns_and_items_share_one_read() -> None:
    """Sessions and kernels are read once, whatever is selected besides."""
    store = CountedStatistics(await planted())
    selected = "items { live_stat kernels { live_stat } }"
    answer = await Host(statistics=store, inventory=inventory_of(4)).execute(QUERY % selected, fields=["mem.pct"])
    assert [("kernel_statistics", 8)] == store.reads
    page = answer.data["compute_session_list"]
    (column,) = page["columns"]
    of_items = [item["live_stat"] and item["live_stat"]["mem"].get("pct") for item in page["items"]]
    assert of_items == column["values"]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            ["mem.pct", "mem.pct"],
            "fields must be a list of different names such as 'cpu_util.pct', not ('mem.pct', 'mem.pct')",
        ),
        ([""], "fields must be a list of different names such as 'cpu_util.pct', not ('',)"),
        (
            [f"m{number}.pct" for number in range(MAX_FIELDS + 1)],
            f"fields has {MAX_FIELDS + 1} names, more than {MAX_FIELDS}",
        ),
    ],
)
async def test_bad_fields_are_an_error_of_the_columns_alone(fields: list[str], message: str) -> None:
    """The items are answered."""
    answer = await Host(inventory=inventory_of(1)).execute(QUERY % "items { session_id }", fields=fields)
    assert {"columns": None, "items": [{"session_id": session_id(0)}]} == answer.data["compute_session_list"]
    (error,) = answer.errors
    assert (["compute_session_list", "columns"], message) == (error["path"], error["message"])
