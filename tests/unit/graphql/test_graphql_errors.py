"""What a client gets when reads fail: errors, problems of doubtful values, and what the log has."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from typing import Any, cast

import attrs
import pytest
import strawberry
from tests.support.graphql_host import CountedStatistics, Host, inventory_of, session_id
from tests.support.lazy_entries import Lazy

from statcore.errors import (
    AccessDeniedError,
    ClosedError,
    InputError,
    MalformedEntryError,
    MissingExtraError,
    PartialAnswerError,
    PluginError,
    ProtocolError,
    StatcoreError,
    TimedOutError,
    UnavailableError,
)
from statcore.model import Problem, ProblemKind, StatisticsBatch
from statcore.model.statistics import MAX_LEVELS
from statcore_graphql.schema import Query
from statcore_memory import MemoryStatistics

STATISTICS = "{ compute_session_list { items { live_stat inference_metrics } } }"


@attrs.frozen(kw_only=True)
class Failing(MemoryStatistics):
    """A store that cannot read kernel statistics."""

    error: Exception

    async def fetch_kernel_statistics(self, ids: Sequence[str], /) -> StatisticsBatch:
        """Raise."""
        del ids
        raise self.error


def log_of(caplog: pytest.LogCaptureFixture, name: str) -> list[logging.LogRecord]:
    """Return the log records of a logger."""
    return [record for record in caplog.records if record.name == name]


@pytest.mark.parametrize(
    ("error", "message_end"),
    [
        (UnavailableError("refused\nby valkey://db:6379"), "is unavailable; the server's log says more"),
        (AccessDeniedError("the user reader may not"), "is unavailable; the server's log says more"),
        (TimedOutError("no answer in 5 s", timeout_s=5), "did not answer in time"),
        (ClosedError("this client belongs to another event loop"), "is closed; the server's log says more"),
        (ProtocolError("not MessagePack: 0xdeadbeef"), "gave an invalid answer; the server's log says more"),
        (
            PartialAnswerError("store-2: rpc error", warnings=()),
            "could not read all of its data; the server's log says more",
        ),
        (PluginError("Acme failed: KeyError: 'secret'"), "a plugin failed; the server's log says more"),
        (MissingExtraError("valkey"), "internal error; the server's log says more"),
        (MalformedEntryError("key k is garbage", key="k"), "key k is garbage"),
    ],
    ids=lambda part: type(part).__name__,
)
async def test_a_kind_that_fails_is_an_error_on_each_of_its_paths(
    error: StatcoreError, message_end: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It has its code and whether a retry may help; the message of a service is only in the log, in one line."""
    extensions = {"code": type(error).__name__, "retryable": error.retryable}
    host = Host(statistics=Failing(error=error), inventory=inventory_of(20))
    await host.statistics.store_session_activity(session_id(0), requests=1, last_response_ms=2)  # type: ignore[attr-defined]
    answer = await host.execute(STATISTICS)
    items = answer.data["compute_session_list"]["items"]
    assert [None] * 20 == [item["live_stat"] for item in items]
    assert {"requests": 1, "last_response_ms": 2} == items[0]["inference_metrics"]
    paths = [["compute_session_list", "items", number, "live_stat"] for number in range(20)]
    assert paths == sorted((shown["path"] for shown in answer.errors), key=lambda path: path[2])
    assert all(extensions == shown["extensions"] for shown in answer.errors)
    (message,) = {shown["message"] for shown in answer.errors}
    assert message.endswith(message_end)
    (record,) = log_of(caplog, "statcore_graphql")
    message = " ".join(str(error).split())
    assert f"compute_session_list.items.0.live_stat and 19 others: {extensions['code']}: {message}" == record.getMessage()
    assert (logging.WARNING, None) == (record.levelno, record.exc_info)
    assert [] == log_of(caplog, "strawberry.execution")


async def test_an_unexpected_exception_is_an_internal_error(caplog: pytest.LogCaptureFixture) -> None:
    """The response contains nothing of it, and the log contains it once; the other kind is answered."""
    secret = "password hunter2 in frame"  # noqa: S105 - no real one
    host = Host(statistics=Failing(error=ZeroDivisionError(secret)), inventory=inventory_of(3))
    answer = await host.execute(STATISTICS)
    assert ["internal error; the server's log says more"] * 3 == [error["message"] for error in answer.errors]
    assert {"InternalError"} == set(answer.codes.values())
    assert all({"code": "InternalError"} == error["extensions"] for error in answer.errors)
    everything = json.dumps([answer.data, answer.errors, answer.extensions])
    assert not any(word in everything for word in ("hunter2", "ZeroDivision", "Traceback", ".py"))
    zeros = {"requests": 0, "last_response_ms": 0}
    assert [zeros] * 3 == [item["inference_metrics"] for item in answer.data["compute_session_list"]["items"]]
    (record,) = log_of(caplog, "strawberry.execution")
    assert logging.ERROR == record.levelno
    assert record.exc_info
    assert secret == str(record.exc_info[1])
    assert [] == log_of(caplog, "statcore_graphql")


@strawberry.type
class Fragile(Query):
    """A host's fields that raise."""

    @strawberry.field
    def broken(self) -> int | None:
        """Raise."""
        raise KeyError("/secret/path")

    @strawberry.field
    def refused(self) -> int | None:
        """Raise an error for the client."""
        raise InputError("not so")


async def test_errors_of_a_hosts_fields_are_treated_in_the_same_way(caplog: pytest.LogCaptureFixture) -> None:
    """An unexpected exception stays in the log; a `StatcoreError` has its code."""
    answer = await Host(query=Fragile).execute("{ broken refused queriers { name } }")
    assert {"broken": "InternalError", "refused": "InputError"} == answer.codes
    assert "container" in [querier["name"] for querier in answer.data["queriers"]]
    assert "secret" not in json.dumps(answer.errors)
    assert "/secret/path" in caplog.text


async def test_an_exception_during_validation_stays_in_the_log(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The client gets a general message."""
    host = Host()

    def fail(*_: object) -> None:
        raise OSError("/secret/path")

    monkeypatch.setattr("statcore_graphql.schema.limits.SizeRule.enter_operation_definition", fail)
    answer = await host.execute("{ queriers { name } }")
    assert answer.data is None
    assert ["InternalError"] == [error["extensions"]["code"] for error in answer.errors]
    assert "secret" not in json.dumps(answer.errors)
    assert "/secret/path" in caplog.text


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("{ no_such_field }", "Cannot query field 'no_such_field' on type 'Query'."),
        ('{ compute_session_list(limit: "x") { total_count } }', 'Int cannot represent non-integer value: "x"'),
        ("{ computeSessionList { total_count } }", "Cannot query field 'computeSessionList' on type 'Query'."),
        ("{ ...Nowhere }", "Unknown fragment 'Nowhere'."),
        ("{ ", "Syntax Error: Expected Name, found <EOF>."),
    ],
)
async def test_a_wrong_query_gets_graphqls_message(query: str, message: str, caplog: pytest.LogCaptureFixture) -> None:
    """The log has one line."""
    answer = await Host().execute(query)
    assert answer.data is None
    assert [message] == [error["message"].partition(" Did you mean")[0] for error in answer.errors]
    (record,) = caplog.records
    assert f"query: GraphQLError: {message}" == record.getMessage().partition(" Did you mean")[0]
    assert record.exc_info is None


async def test_the_objects_and_values_of_a_request_are_limited() -> None:
    """Listed objects and loaded values count, a value that is selected twice only once; each request starts from zero.

    The values of the kind that exceeds the limit are errors.
    """
    host = Host(inventory=inventory_of(5), limits={"max_ids": 15})
    within = "a: live_stat b: live_stat kernels { live_stat }"
    for _ in range(2):
        await host.execute_cleanly(f"{{ compute_session_list {{ items {{ {within} }} }} }}")
    answer = await host.execute(f"{{ compute_session_list {{ items {{ inference_metrics {within} }} }} }}")
    beyond = "the request asks for more than 15 objects and statistics of objects; ask for fewer"
    assert {(beyond, "LimitError", "ids")} == {
        (error["message"], error["extensions"]["code"], error["extensions"]["limit"]) for error in answer.errors
    }
    expected = {
        "inference_metrics": {"requests": 0, "last_response_ms": 0},
        "a": None,
        "b": None,
        "kernels": [{"live_stat": None}],
    }
    assert [expected] * 5 == answer.data["compute_session_list"]["items"]
    assert 15 == len(answer.errors)
    lists = " ".join(f"list{number}: compute_session_list {{ total_count }}" for number in range(4))
    answer = await host.execute(f"{{ {lists} }}")
    assert {"list3": None} == {name: found for name, found in answer.data.items() if found is None}


@pytest.mark.parametrize(("name", "ids"), [("compute_session_list", 10), ("kernel_list", 5), ("agent_list", 3)])
async def test_the_statistics_that_a_list_is_sorted_by_are_limited(name: str, ids: int) -> None:
    """Those of all objects count, whatever the limit of the page, and of a session with its kernels; none is read."""
    query = f'{{ {name}(limit: 1, sort: "-mem_bytes") {{ total_count }} }}'

    within = await Host(inventory=inventory_of(5), limits={"max_ids": ids + 1}).execute_cleanly(query)
    host = Host(inventory=inventory_of(5), limits={"max_ids": ids - 1})
    answer = await host.execute(query)

    assert within[name]["total_count"] <= ids
    assert [("LimitError", "ids")] == [
        (error["extensions"]["code"], error["extensions"]["limit"]) for error in answer.errors
    ]
    assert "sort" in answer.errors[0]["message"]
    assert [] == cast("CountedStatistics", host.statistics).reads


async def test_an_entry_that_is_missing_with_a_problem_is_an_error_with_its_kind() -> None:
    """Each kind of problem, beside an entry that is absent and an entry that is returned with a problem."""
    store = MemoryStatistics()
    kinds = list(ProblemKind)
    for number, kind in enumerate(kinds):
        store.plant(session_id(number), None, problem=Problem(kind, message="as planted", key=session_id(number)))
    store.plant(session_id(6), {"mem": {"current": "1"}}, problem=Problem(ProblemKind.STALE, message="old"))
    answer = await Host(statistics=store, inventory=inventory_of(7)).execute(
        "{ compute_session_list { items { live_stat } } }"
    )
    items = answer.data["compute_session_list"]["items"]
    assert [*[None] * 6, {"mem": {"current": "1"}}] == [item["live_stat"] for item in items]
    unavailable = "the store or backend of this field is unavailable; the server's log says more"
    malformed = {ProblemKind.MALFORMED, ProblemKind.OVERSIZED}
    assert {
        number: ("MalformedEntryError", f"{kind}: as planted") if kind in malformed else ("UnavailableError", unavailable)
        for number, kind in enumerate(kinds)
    } == {error["path"][2]: (error["extensions"]["code"], error["message"]) for error in answer.errors}
    assert {"compute_session_list.items.6.live_stat": "stale"} == answer.problems
    expected: dict[str, Any] = {
        "path": ["compute_session_list", "items", 6, "live_stat"],
        "kind": "stale",
        "message": "old",
    }
    assert [expected] == answer.extensions["problems"]


class LazyStore(MemoryStatistics):
    """A store of entries that are decoded when they are read."""

    async def fetch_kernel_statistics(self, ids: Any, /) -> StatisticsBatch:
        """Answer for sessions: a good one, one with bad metrics, one that cannot be read, and one nested too deeply."""
        deep: Any = 1
        for _ in range(100_000):
            deep = [deep]
        good = {"current": "1"}
        entries: list[dict[Any, Any]] = [
            {"mem": good, 5: good},
            {"bad": 0, "mem": good, "bad2": 0},
            {"nothing": 0},
            {"mem": good, "x": deep},
        ]
        stored = {session_id(number): Lazy(parts) for number, parts in enumerate(entries)}
        return StatisticsBatch([stored.get(id_) for id_ in ids])


async def test_a_metric_that_is_malformed_when_it_is_read_is_a_problem_at_its_path() -> None:
    """The other metrics of the entry are answered; an entry that cannot be read at all is an error."""
    host = Host(statistics=LazyStore(), inventory=inventory_of(4))
    answer = await host.execute("{ compute_session_list { items { live_stat again: live_stat } } }")
    good = {"current": "1"}
    expected = [{"mem": good, "5": good}, {"mem": good}, None, {"mem": good}]
    for name in ("live_stat", "again"):
        assert expected == [item[name] for item in answer.data["compute_session_list"]["items"]]
    where = [f"compute_session_list.items.1.{field}.{name}" for field in ("live_stat", "again") for name in ("bad", "bad2")]
    deep = [f"compute_session_list.items.3.{field}.x" for field in ("live_stat", "again")]
    assert dict.fromkeys([*where, *deep], "malformed") == answer.problems
    messages = {problem["message"] for problem in answer.extensions["problems"]}
    assert {"bad holds garbage", "bad2 holds garbage", f"nested more than {MAX_LEVELS} levels deep"} == messages
    paths = [f"compute_session_list.items.2.{field}" for field in ("live_stat", "again")]
    assert dict.fromkeys(paths, "MalformedEntryError") == answer.codes


@pytest.mark.parametrize(
    "query", [f"{{ {'x' * 100_000} }}", f"{{ {'x' * 100_000}: compute_session_list(limit: -1) {{ total_count }} }}"]
)
async def test_the_log_quotes_a_part_of_a_long_query(query: str, caplog: pytest.LogCaptureFixture) -> None:
    """A client cannot fill the disk with its queries."""
    assert (await Host().execute(query)).errors
    (record,) = caplog.records
    assert len(record.getMessage()) < 2_000
