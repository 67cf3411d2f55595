"""Pages of lists, and single objects by id."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.graphql_host import Host, endpoint_id, inventory_of, kernel_id, session_id
from tests.support.turns import counting_turns

from statcore.errors import UnsupportedError
from statcore.model import StatisticsBatch
from statcore.model.inventory import KernelRecord, SessionRecord
from statcore_graphql.schema import encode_response
from statcore_graphql.schema.query import DEFAULT_LIMIT, MAX_LIMIT
from statcore_memory import MemoryInventory, MemoryStatistics

LISTS = {
    "compute_session_list": "session_id",
    "kernel_list": "kernel_id",
    "endpoint_list": "endpoint_id",
    "agent_list": "agent_id",
}
EXPECTED = {
    "compute_session_list": [session_id(number) for number in range(12)],
    "kernel_list": [kernel_id(number) for number in range(12)],
    "endpoint_list": [endpoint_id(number) for number in range(5)],
    "agent_list": ["i-0", "i-1", "i-2"],
}


@pytest.fixture(scope="module")
def host() -> Host:
    """A host with the expected objects."""
    return Host(inventory=inventory_of(12, endpoints=5))


@pytest.mark.parametrize("name", LISTS)
@given(limit=st.integers(0, 15), offset=st.integers(0, 15))
async def test_a_page_is_a_slice_of_all(host: Host, name: str, limit: int, offset: int) -> None:
    """It is in order, with the total count; a page beyond the end is empty."""
    selected = f"{{ total_count items {{ {LISTS[name]} }} }}"
    query = f"query ($limit: Int!, $offset: Int!) {{ {name}(limit: $limit, offset: $offset) {selected} }}"
    page = (await host.execute_cleanly(query, limit=limit, offset=offset))[name]
    assert len(EXPECTED[name]) == page["total_count"]
    assert EXPECTED[name][offset : offset + limit] == [item[LISTS[name]] for item in page["items"]]


@pytest.mark.parametrize("name", LISTS)
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (f"limit: {MAX_LIMIT + 1}", f"limit must be at most {MAX_LIMIT}, not {MAX_LIMIT + 1}; page with offset"),
        ("limit: -1", "limit and offset must not be negative: limit -1, offset 0"),
        ("offset: -2", f"limit and offset must not be negative: limit {DEFAULT_LIMIT}, offset -2"),
    ],
)
async def test_a_bad_page_is_an_error_of_that_list_alone(host: Host, name: str, arguments: str, message: str) -> None:
    """The list is null, and another list of the query is answered."""
    answer = await host.execute(
        f"{{ bad: {name}({arguments}) {{ total_count }} good: {name}(limit: 0) {{ total_count }} }}"
    )
    assert {"bad": None, "good": {"total_count": len(EXPECTED[name])}} == answer.data
    (error,) = answer.errors
    assert (["bad"], message) == (error["path"], error["message"])
    assert {"code": "InputError", "retryable": False} == error["extensions"]


@pytest.mark.parametrize("name", LISTS)
async def test_a_cursor_leads_through_a_sorted_list(host: Host, name: str) -> None:
    """The pages together have every object once, and only the last has no cursor."""
    query = f"""query ($after: String) {{
        {name}(limit: 2, sort: "-id", after: $after) {{ total_count next_cursor items {{ {LISTS[name]} }} }}
    }}"""
    shown: list[str] = []
    after: str | None = None
    while after is not None or not shown:
        page = (await host.execute_cleanly(query, after=after))[name]
        assert len(EXPECTED[name]) == page["total_count"]
        shown += [item[LISTS[name]] for item in page["items"]]
        after = page["next_cursor"]
    assert sorted(EXPECTED[name], reverse=True) == shown


async def test_a_list_is_filtered(host: Host) -> None:
    """The total counts the selected objects; a page by offset has no cursor."""
    data = await host.execute_cleanly("""{
        some: compute_session_list(filter: ["agent_id=i-1", "0000"], limit: 1) { total_count next_cursor }
        all: compute_session_list(limit: 1) { total_count next_cursor }
    }""")
    assert 4 == data["some"]["total_count"]
    assert data["some"]["next_cursor"]
    assert {"total_count": 12, "next_cursor": None} == data["all"]


@pytest.mark.parametrize(
    "arguments",
    ['sort: "id", offset: 1', 'sort: "name"', 'after: "x"', 'filter: ["a=b"]', f'sort: "id", limit: {MAX_LIMIT + 1}'],
)
async def test_bad_arguments_of_a_sorted_list_are_input_errors(host: Host, arguments: str) -> None:
    """The list is null."""
    answer = await host.execute(f"{{ compute_session_list({arguments}) {{ total_count }} }}")
    assert {"compute_session_list": "InputError"} == answer.codes


async def test_a_page_has_a_hundred_objects_by_default() -> None:
    """The limit may be at most ten thousand."""
    host = Host(inventory=inventory_of(MAX_LIMIT + 1))
    data = await host.execute_cleanly(
        """query ($limit: Int!) {
            few: compute_session_list { items { session_id } }
            many: compute_session_list(limit: $limit) { items { session_id } total_count }
        }""",
        limit=MAX_LIMIT,
    )
    assert (100, 10_000) == (DEFAULT_LIMIT, MAX_LIMIT)
    assert (DEFAULT_LIMIT, MAX_LIMIT) == (len(data["few"]["items"]), len(data["many"]["items"]))
    assert MAX_LIMIT + 1 == data["many"]["total_count"]


async def test_a_session_is_found_by_its_id(host: Host) -> None:
    """Any spelling of the id works; an unknown session is null without an error."""
    query = "query ($id: String!) { compute_session(session_id: $id) { session_id kernels { agent_id } } }"
    expected = {"session_id": session_id(4), "kernels": [{"agent_id": "i-1"}]}
    for spelled in (session_id(4), session_id(4).replace("-", "").upper()):
        assert {"compute_session": expected} == await host.execute_cleanly(query, id=spelled)
    assert {"compute_session": None} == await host.execute_cleanly(query, id=session_id(999))


async def test_a_kernel_without_a_session_is_listed() -> None:
    """Its session is null, and it has statistics as other kernels have."""
    inventory = inventory_of(1)
    inventory.register_kernel(KernelRecord(kernel_id=kernel_id(7), agent_id="i-9"))
    query = "{ kernel_list(%s) { items { kernel_id session_id agent_id live_stat } } }"

    listed = await Host(inventory=inventory).execute_cleanly(query % 'filter: ["i-9"]')

    expected = {"kernel_id": kernel_id(7), "session_id": None, "agent_id": "i-9", "live_stat": None}
    assert {"kernel_list": {"items": [expected]}} == listed


class CanonicalInventory(MemoryInventory):
    """An inventory that accepts canonical ids only, which the port allows."""

    async def find_sessions(self, session_ids: Sequence[str], /) -> Sequence[SessionRecord | None]:
        """Answer for canonical ids only."""
        return [SessionRecord(session_id=id_) if id_ == session_id(1) else None for id_ in session_ids]


async def test_an_inventory_gets_canonical_ids() -> None:
    """Its port promises this."""
    query = "query ($id: String!) { compute_session(session_id: $id) { session_id kernels { kernel_id } } }"
    spelled = f"urn:uuid:{session_id(1).upper()}"
    expected = {"session_id": session_id(1), "kernels": []}
    assert {"compute_session": expected} == await Host(inventory=CanonicalInventory()).execute_cleanly(query, id=spelled)


async def test_a_bad_id_is_an_error_on_its_path(host: Host) -> None:
    """The other fields are answered."""
    answer = await host.execute(
        """query ($good: String!) {
            bad: compute_session(session_id: "x") { session_id }
            good: compute_session(session_id: $good) { session_id }
        }""",
        good=session_id(1),
    )
    assert {"bad": None, "good": {"session_id": session_id(1)}} == answer.data
    assert {"bad": "InputError"} == answer.codes
    assert answer.errors[0]["message"].startswith("not an id: 'x'; expected a UUID")


class NoEndpoints(MemoryInventory):
    """An inventory that does not know endpoints, like the series of Prometheus."""

    async def list_endpoints(self, **_: Any) -> Any:
        """Raise."""
        raise UnsupportedError("series do not tell of endpoints")


async def test_a_kind_that_the_inventory_does_not_know_is_an_error() -> None:
    """Its list is null, not empty; the sessions are answered."""
    inventory = NoEndpoints()
    answer = await Host(inventory=inventory).execute(
        "{ endpoint_list { total_count } compute_session_list { total_count } }"
    )
    assert {"endpoint_list": None, "compute_session_list": {"total_count": 0}} == answer.data
    assert {"endpoint_list": "UnsupportedError"} == answer.codes


@attrs.frozen(kw_only=True)
class Stored(MemoryStatistics):
    """A store with an entry for each id, which answers at once."""

    reads: list[int] = attrs.field(factory=list, init=False)

    async def fetch_kernel_statistics(self, ids: Sequence[str], /) -> StatisticsBatch:
        """Answer with one entry."""
        self.reads.append(len(ids))
        return StatisticsBatch([{"mem": {"current": "1"}}] * len(ids))


@pytest.mark.parametrize("encoded", [False, True])
@pytest.mark.parametrize(
    ("query", "size"), [("{ items { session_id } }", 64), ("{ items { live_stat kernels { live_stat } } }", 32)]
)
async def test_other_tasks_run_while_a_long_list_is_completed(
    query: str,
    size: int,
    encoded: bool,  # noqa: FBT001 - a parameter of the test
    monkeypatch: pytest.MonkeyPatch,
    lists: Any,
) -> None:
    """Another task gets a turn after each slice of the list, and no slice has more objects than the constant says."""
    completed: list[int] = []
    complete = lists.ListExecutor._complete_turn

    async def recording(*arguments: Any) -> list[Any]:
        items: list[Any] = await complete(*arguments)
        completed.append(len(items))
        return items

    monkeypatch.setattr(lists.ListExecutor, "_complete_turn", recording)
    store = Stored()
    host = Host(statistics=store, inventory=inventory_of(5_000))
    context = attrs.evolve(host.context(), encoded=encoded)
    async with counting_turns() as turns:
        result = await host.schema.execute(f"{{ compute_session_list(limit: 5000) {query} }}", context_value=context)
        counted = turns.count
    assert not result.errors
    data = json.loads(encode_response(result.data))
    assert 5_000 == len(data["compute_session_list"]["items"])
    assert (5_000, size) == (sum(completed), max(completed))
    assert counted >= 5_000 / size
    assert ([5_000] * 2 if "live_stat" in query else []) == store.reads  # the chunks of the repository, at once
