"""What the page's modules return without a browser: numbers with units, addresses, the operations of a query."""

from __future__ import annotations

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
