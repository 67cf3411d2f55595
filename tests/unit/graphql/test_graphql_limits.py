"""Limits on the size of a query, and what is kept of documents that are known."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import pytest
import strawberry
from graphql import FieldNode, GraphQLError, ValidationRule, get_introspection_query, parse
from strawberry.extensions import AddValidationRules, MaxTokensLimiter, SchemaExtension
from tests.support.graphql_host import Host, inventory_of, session_id

from statcore_graphql import DataLoaderManager
from statcore_graphql.schema import Query, build_schema, documents
from statcore_graphql.schema.limits import MAX_ALIASES, MAX_DEPTH, MAX_TOKENS

FIELD = "compute_session_list { total_count }"


@strawberry.type
class Extended(Query):
    """A host's query with a field of its own."""

    @strawberry.field
    def own(self) -> int:
        """Return a number."""
        return 5


class NoFields(ValidationRule):
    """A host's rule that refuses each field."""

    def enter_field(self, node: FieldNode, *_: object) -> None:
        """Refuse."""
        self.report_error(GraphQLError("no fields", node))


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
    """There are 2 to the power of 40 paths; a test that follows them does not end."""
    chain = "{ ...F0 }" + "".join(f" fragment F{n} on Query {{ ...F{n + 1} ...F{n + 1} }}" for n in range(40))
    assert [] == await refusals(host, chain + " fragment F40 on Query { queriers { name } }")
    refused = [f"the query has {2**40} aliases, more than {MAX_ALIASES}"]
    assert refused == await refusals(host, chain + " fragment F40 on Query { a: queriers { name } }")


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


async def test_fragments_of_items_that_spread_others_twice_take_no_time() -> None:
    """The plan of a list has each field once, however many paths of fragments lead to it."""
    host = Host(inventory=inventory_of(3))
    chain = "".join(f" fragment F{n} on ComputeSession {{ ...F{n + 1} ...F{n + 1} }}" for n in range(40))
    end = (
        " fragment F40 on ComputeSession { session_id live_stat kernels { ...K ...K } } fragment K on Kernel { live_stat }"
    )
    data = await host.execute_cleanly("{ compute_session_list { items { ...F0 ...F0 } } }" + chain + end)
    expected = [{"session_id": session_id(n), "live_stat": None, "kernels": [{"live_stat": None}]} for n in range(3)]
    assert expected == data["compute_session_list"]["items"]


@pytest.mark.parametrize("query", ["{ queriers { ", "{ no_such_field }", f"{{ {aliases(MAX_ALIASES + 1)} }}", "{ ...F }"])
async def test_a_refused_query_is_refused_each_time(host: Host, query: str) -> None:
    """A document that is known by its text has its errors again, and a request cannot change them for the next one."""
    answers = [await host.execute(query) for _ in range(3)]
    assert answers[0].errors
    assert None is answers[0].data
    assert [answers[0]] * 3 == answers


async def test_schemas_do_not_share_what_they_know_of_a_text() -> None:
    """A field of one host is unknown to the other; other rules and limits of tokens give another answer."""
    query = "{ own }"
    extended, plain = Host(query=Extended), Host()
    for _ in range(2):
        assert {"own": 5} == await extended.execute_cleanly(query)
        assert 1 == len((await plain.execute(query)).errors)
    strict, few_tokens = Host(query=Extended), Host(query=Extended)
    strict.schema.extensions = (lambda: AddValidationRules([NoFields]), *strict.schema.extensions)
    assert {"own": 5} == await few_tokens.execute_cleanly(query)
    few_tokens.schema.extensions = (lambda: MaxTokensLimiter(2), *few_tokens.schema.extensions[1:])
    for _ in range(2):
        assert ["no fields"] == await refusals(strict, query)
        assert ["Syntax Error: Document contains more than 2 tokens. Parsing aborted."] == await refusals(few_tokens, query)


class Refusing(SchemaExtension):
    """A host's extension that refuses some requests during validation."""

    refuses = True

    def on_validate(self) -> Iterator[None]:
        """Refuse."""
        if self.refuses:
            self.execution_context.pre_execution_errors = [GraphQLError("not now")]
        yield


@pytest.mark.parametrize("is_first", [True, False])
async def test_the_decision_of_a_hosts_extension_is_for_its_request_only(
    is_first: bool,  # noqa: FBT001 - a parameter of the test
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The next request with the same text is decided anew."""
    host = Host(query=Extended)
    others = host.schema.extensions
    host.schema.extensions = (Refusing, *others) if is_first else (*others, Refusing)
    for refuses in (True, False, True):
        monkeypatch.setattr(Refusing, "refuses", refuses)
        answer = await host.execute("{ own }")
        assert (None if refuses else {"own": 5}) == answer.data
        assert (["not now"] if refuses else []) == [error["message"] for error in answer.errors]


NESTED: Final[Mapping[str, Callable[[int], str]]] = {
    "fields": lambda depth: "{ " + "a { " * depth + "a" + " }" * (depth + 1),
    "fragments": lambda depth: "{ " + "... { " * depth + "a" + " }" * (depth + 1),
    "introspection": lambda depth: "{ __schema { types { " + "ofType { " * depth + "name" + " }" * depth + " } } }",
    "objects": lambda depth: "{ a(x: " + "{a: " * depth + "1" + "}" * depth + ") }",
    "lists": lambda depth: "{ a(x: " + "[" * depth + "]" * depth + ") }",
    "types": lambda depth: "query ($x: " + "[" * depth + "Int" + "]" * depth + ") { a }",
}
"""Documents that are nested to a depth."""


@pytest.mark.parametrize("depth", [245, 325, 490])
@pytest.mark.parametrize("nested", NESTED.values(), ids=NESTED)
async def test_a_deep_query_is_refused_with_its_own_errors(host: Host, nested: Callable[[int], str], depth: int) -> None:
    """It is a mistake of the client: neither the parser nor the table of known documents fails."""
    for _ in range(2):
        answer = await host.execute(nested(depth))
        assert answer.errors
        assert not any("internal error" in error["message"] for error in answer.errors)


async def test_what_is_known_of_documents_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A known text is parsed once. A text is forgotten after enough others, and one that is very long is not kept."""
    parsed: list[int] = []

    def count(text: str, **options: Any) -> Any:
        parsed.append(len(text))
        return parse(text, **options)

    monkeypatch.setattr(documents, "parse", count)
    host = Host(query=Extended)
    for _ in range(3):
        await host.execute_cleanly("{ own }")
    assert 1 == len(parsed)
    for number in range(documents._KEPT_DOCUMENTS):
        await host.execute_cleanly(f"{{ a{number}: own }}")
    await host.execute_cleanly("{ own }")
    assert documents._KEPT_DOCUMENTS + 2 == len(parsed)
    for _ in range(2):
        assert {"own": 5} == await host.execute_cleanly("{ own } #" + " " * documents._LONGEST_TEXT)
    assert documents._LONGEST_TEXT >= max(parsed)


@pytest.mark.parametrize(
    ("limit", "query"),
    [
        ("depth", "{ health { healthy } }"),
        ("aliases", "{ a: schema_version b: __typename }"),
        ("tokens", "{ " + "x " * 9),
    ],
)
async def test_a_hosts_limits_hold_and_are_named_in_the_error(limit: str, query: str) -> None:
    """Another schema has other limits; the error has a code, and the name of the limit."""
    strict = build_schema(DataLoaderManager(), max_depth=1, max_aliases=1, max_tokens=9)
    result = await strict.execute(query, context_value=Host().context())
    assert [{"code": "LimitError", "retryable": False, "limit": limit}] == [
        error.formatted["extensions"] for error in result.errors or []
    ]
