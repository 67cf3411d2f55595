"""Whatever a store may hold, as strict JSON; and what of it can only be found malformed when it is read."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.graphql_asking import Host, inventory_of

from statcore.errors import MalformedEntryError
from statcore.model import StatisticsBatch
from statcore_graphql.schema.json import MAX_LEVELS, to_json
from statcore_memory import MemoryStatistics

LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text()
    | st.binary()
    | st.binary().map(bytearray)
    | st.uuids()
    | st.decimals()
    | st.datetimes()
    | st.just(frozenset([1]))
)
KEYS = st.text() | st.integers() | st.binary() | st.uuids() | st.none() | st.booleans() | st.floats()
ANYTHING = st.recursive(
    LEAVES, lambda inner: st.lists(inner) | st.lists(inner).map(tuple) | st.dictionaries(KEYS, inner), max_leaves=20
)
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(ANYTHING)
def test_anything_is_strict_json(value: object) -> None:
    """No encoder needs help with it, and reading it back gives the same."""
    converted = to_json(value)
    assert converted == json.loads(json.dumps(converted, allow_nan=False))


@given(PLAIN)
def test_what_is_json_stays_as_it_is(value: object) -> None:
    """Numbers are numbers, whole or not, and nothing turns into zero."""
    assert value == to_json(value)
    assert json.dumps(value) == json.dumps(to_json(value))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (math.nan, "NaN"),
        (math.inf, "+Inf"),
        (-math.inf, "-Inf"),
        (b"\xff\x00", "ff00"),
        (UUID(int=5), "00000000-0000-0000-0000-000000000005"),
        (Decimal("1E+30"), "1E+30"),
        (datetime(2026, 11, 22, tzinfo=UTC), "2026-11-22 00:00:00+00:00"),
        ({b"\xff": (1, b"\x01")}, {"ff": [1, "01"]}),
        ({1: {None: True}}, {"1": {"None": True}}),
    ],
)
def test_what_json_has_no_word_for_is_text(value: object, expected: object) -> None:
    """In the words of Prometheus, in hex, or as it prints."""
    assert expected == to_json(value)


def test_nesting_has_an_end() -> None:
    """One level more than is allowed is malformed."""
    value: object = 1
    for _ in range(MAX_LEVELS):
        value = [value]
    assert value == to_json(value)
    for deeper in ([value], {"x": value}):
        with pytest.raises(MalformedEntryError, match=f"nested more than {MAX_LEVELS} levels deep"):
            to_json(deeper)


@attrs.frozen(eq=False)
class Lazy(Mapping[Any, Any]):
    """An entry that decodes when it is read; what is called `bad` cannot be, nor can an entry with `nothing` be listed."""

    parts: dict[Any, Any]

    def __getitem__(self, name: Any) -> Any:
        """Decode."""
        if str(name).startswith("bad"):
            raise MalformedEntryError(f"{name} holds garbage", key="k", metric=name)
        return self.parts[name]

    def __iter__(self) -> Iterator[Any]:
        """List the names."""
        if "nothing" in self.parts:
            raise MalformedEntryError("nothing can be read", key="k")
        return iter(self.parts)

    def __len__(self) -> int:
        """Count the names."""
        return len(self.parts)


class LazyStore(MemoryStatistics):
    """A store of entries that decode when they are read."""

    async def fetch_kernel_statistics(self, ids: Any, /) -> StatisticsBatch:
        """Answer a good one, one with bad metrics, one of which nothing can be read, and one nested too deeply."""
        del ids
        deep: Any = 1
        for _ in range(100_000):
            deep = [deep]
        good = {"current": "1"}
        entries = [{"mem": good, 5: good}, {"bad": 0, "mem": good, "bad2": 0}, {"nothing": 0}, {"mem": good, "x": deep}]
        return StatisticsBatch([Lazy(parts) for parts in entries])

    async def fetch_agent_statistics(self, ids: Any, /) -> StatisticsBatch:
        """Answer halves that decode themselves, too."""
        value = {"current": "1"}
        devices = Lazy({"mem": {"0": value}, "bad": {}})
        return StatisticsBatch([Lazy({"node": Lazy({"bad": 0, "mem": value}), "devices": devices}) for _ in ids])


async def test_a_metric_that_is_malformed_when_it_is_read_is_a_problem_at_its_path() -> None:
    """The other metrics of the entry are there; an entry of which nothing can be read is an error."""
    host = Host(statistics=LazyStore(), inventory=inventory_of(4))
    answer = await host.ask("{ compute_session_list { items { live_stat again: live_stat } } }")
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
    answer = await Host(statistics=LazyStore(), inventory=inventory_of(1)).ask("{ agent_list { items { live_stat } } }")
    assert [] == answer.errors
    good = {"current": "1"}
    expected = {"node": {"mem": good}, "devices": {"mem": {"0": good}}}
    assert [{"live_stat": expected}] == answer.data["agent_list"]["items"]
    paths = [f"agent_list.items.0.live_stat.{half}.bad" for half in ("node", "devices")]
    assert dict.fromkeys(paths, "malformed") == answer.problems
