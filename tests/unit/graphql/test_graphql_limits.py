"""Limits on the size of a query."""

from __future__ import annotations

import asyncio

import pytest
from graphql import get_introspection_query
from tests.support.graphql_host import Host

from statcore_graphql.schema.limits import MAX_ALIASES, MAX_DEPTH, MAX_TOKENS

FIELD = "compute_session_list { total_count }"


@pytest.fixture(scope="module")
def host() -> Host:
    """A host without objects."""
    return Host()


def aliases(count: int) -> str:
    """Return the given number of aliased fields."""
    return " ".join(f"a{number}: {FIELD}" for number in range(count))


def nested(depth: int) -> str:
    """Return a field nested to the given depth; the schema need not have it."""
    return "a { " * (depth - 1) + "a" + " }" * (depth - 1)


async def refusals(host: Host, query: str) -> list[str]:
    """Return the errors about a query, except that the schema lacks a field."""
    answer = await host.execute(query)
    if answer.errors:
        assert answer.data is None
    return [error["message"] for error in answer.errors if "Cannot query field" not in error["message"]]


async def test_tokens_are_limited(host: Host) -> None:
    """A query with one token more than the limit is refused by the parser."""
    before, after = "query ($x: JSON = [", "]) { available_metrics(querier: $x) }"  # nineteen tokens
    numbers = MAX_TOKENS - 19
    assert not any("tokens" in message for message in await refusals(host, before + "1 " * numbers + after))
    refused = [f"Syntax Error: Document contains more than {MAX_TOKENS} tokens. Parsing aborted."]
    assert refused == await refusals(host, before + "1 " * (numbers + 1) + after)


@pytest.mark.parametrize(
    "query",
    [
        "{{ {} }}",
        "{{ ... on Query {{ {} }} }}",
        "{{ ...One }} fragment One on Query {{ ...Two }} fragment Two on Query {{ {} }}",
        "query One {{ queriers {{ name }} }} query Two {{ {} }}",
    ],
    ids=["plain", "inline fragment", "fragments", "second operation"],
)
async def test_depth_and_aliases_are_limited(host: Host, query: str) -> None:
    """Fragments of both kinds count, in every operation of a document."""
    expected = f"the query is nested {MAX_DEPTH + 1} deep, more than {MAX_DEPTH}"
    assert [] == [message for message in await refusals(host, query.format(nested(MAX_DEPTH))) if "nested" in message]
    assert [expected] == [
        message for message in await refusals(host, query.format(nested(MAX_DEPTH + 1))) if "nested" in message
    ]
    expected = f"the query has {MAX_ALIASES + 1} aliases, more than {MAX_ALIASES}"
    for count, messages in ((MAX_ALIASES, []), (MAX_ALIASES + 1, [expected])):
        errors = await refusals(host, query.format(aliases(count)))
        assert messages == [message for message in errors if "aliases" in message]


async def test_aliases_of_introspection_count(host: Host) -> None:
    """They are values of the answer like any other."""
    names = " ".join(f"a{number}: __typename" for number in range(MAX_ALIASES + 1))
    (errors,) = await refusals(host, f"{{ compute_session_list {{ items {{ {names} }} }} }}")
    assert f"the query has {MAX_ALIASES + 1} aliases, more than {MAX_ALIASES}" == errors


async def test_aliases_count_as_often_as_their_fragment_is_spread(host: Host) -> None:
    """Otherwise a small query could request much."""
    spreads = " ".join("... on Query { ...Two }" for _ in range(26))
    query = f"{{ {spreads} }} fragment Two on Query {{ {aliases(2)} }}"
    assert [f"the query has 52 aliases, more than {MAX_ALIASES}"] == await refusals(host, query)


async def test_fragments_that_spread_others_twice_take_no_time(host: Host) -> None:
    """There are 2 to the power of 40 paths, too many to follow."""
    chain = "".join(f" fragment F{n} on Query {{ ...F{n + 1} ...F{n + 1} }}" for n in range(40))
    end = " fragment F40 on Query { queriers { name } }"
    async with asyncio.timeout(60):
        assert [] == await refusals(host, "{ ...F0 }" + chain + end)
        aliased = " fragment F40 on Query { a: queriers { name } }"
        assert [f"the query has {2**40} aliases, more than {MAX_ALIASES}"] == await refusals(
            host, "{ ...F0 }" + chain + aliased
        )


async def test_fragments_in_a_circle_are_refused(host: Host) -> None:
    """GraphQL's own rule refuses them."""
    query = "{ ...A } fragment A on Query { ...B } fragment B on Query { ...A }"
    assert ["Cannot spread fragment 'A' within itself via 'B'."] == await refusals(host, query)


async def test_introspection_may_be_deeper_than_other_queries(host: Host) -> None:
    """The standard introspection query of tools is accepted."""
    data = await host.execute_cleanly(get_introspection_query())
    assert "ComputeSession" in {kind["name"] for kind in data["__schema"]["types"]}
    endless = "{ __schema { types { " + "fields { type { " * 8 + "name" + " } }" * 8 + " } } }"
    assert "Maximum introspection depth exceeded" in await refusals(host, endless)
