"""What the page's modules return without a browser: numbers with units, addresses, the operations of a query."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs

import graphql
from tests.support.page_modules import call


def test_operations_are_those_of_a_parser() -> None:
    """The explorer finds the operations that graphql-core finds, in their order, whatever is in strings and arguments."""
    documents = [
        "{ a { b } }",
        "query A { a(b: {c: {d: 1}}) { b } } query B($x: T = {query: {y: 1}}) @skip(if: true) { c }",
        'query A { a(b: "} query C {") } # query D { x }\nfragment F on T { query { fragment } } query G { query }',
        'query S { a(b: """ "} { query E { \\""" """) { c } } query query { x }',
    ]
    parsed = [
        [
            definition.name.value if definition.name else ""
            for definition in graphql.parse(document).definitions
            if isinstance(definition, graphql.OperationDefinitionNode)
        ]
        for document in documents
    ]
    assert parsed == call("drafts.js", "operationsOf", *([document] for document in documents))


def test_numbers_have_units_that_people_read() -> None:
    """Three digits that mean something, binary prefixes for bytes, zero as zero, and a dash for what is not known."""
    values = {
        (0, "percent"): "0 %",
        (12.345, "percent"): "12.3 %",
        (0.004, "percent"): "0.004 %",
        (1234.5, "percent"): "1235 %",
        (0, "bytes"): "0 B",
        (1023, "bytes"): "1023 B",
        (1024, "bytes"): "1 KiB",
        (1024**3 - 1, "bytes"): "1 GiB",
        (5 * 1024**3 // 2, "bytes"): "2.5 GiB",
        (1_500_000, "bytes_per_s"): "1.43 MiB/s",
        (0.25, "seconds"): "250 ms",
        (59, "seconds"): "59 s",
        (3600, "seconds"): "1 h",
        (273_600, "seconds"): "3 d 4 h",
        (1_500, None): "1.5 k",
        (7, "requests"): "7 requests",
        (None, "bytes"): "—",
    }
    assert list(values.values()) == call("units.js", "format", *map(list, values))


def test_an_address_leads_back_to_its_place() -> None:
    """Each part of a path and each parameter comes back as it was, whatever its letters are."""
    nasty = ["plain", "a/b", "50%", "%2F", "ä 漢 🙂", "a=b&c", "#?", "+ +"]
    hrefs = call("state.js", "hrefOf", *([["object", "session", text], {"q": text, "sort": ""}] for text in nasty))
    expected = [["object", "session", text] for text in nasty]
    assert expected == [place["path"] for place in call("state.js", "placeOf", *([href] for href in hrefs))]
    assert [{"q": [text]} for text in nasty] == [parse_qs(href.partition("?")[2]) for href in hrefs]


def test_an_address_that_names_nothing_is_the_first_view() -> None:
    """An empty fragment, or one that is not a path."""
    places = call("state.js", "placeOf", [""], ["#"], ["#content"], ["#/agents"])
    assert [["sessions"], ["sessions"], ["sessions"], ["agents"]] == [place["path"] for place in places]


def test_problems_are_found_at_their_items() -> None:
    """Problems and errors of fields have the kind of their looks; those elsewhere are left out."""
    response: Any = {
        "extensions": {"problems": [{"path": ["list", "items", 2, "figures"], "kind": "stale", "message": "old"}]},
        "errors": [
            {"path": ["list", "items", 2, "devices"], "message": "away", "extensions": {"code": "TimedOutError"}},
            {"path": ["other", "items", 2], "message": "elsewhere", "extensions": {"code": "InputError"}},
        ],
    }
    (stale,) = response["extensions"]["problems"]
    away = {"kind": "unavailable", "message": "away"}
    calls = [[response, ["list", "items", number]] for number in (1, 2)]
    assert [[], [stale, away]] == call("problems.js", "wrongAt", *calls)
