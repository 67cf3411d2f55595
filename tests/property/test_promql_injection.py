"""Text in an expression cannot leave its place.

Any text is put into every place of a text. Either it is refused, or promql-parser finds exactly that text in
exactly that place, and nothing else in the query.
"""

from __future__ import annotations

import re
from typing import Any, Final

import promql_parser
from hypothesis import example, given
from hypothesis import strategies as st
from tests.support.promql_expressions import is_grouped_by_the_parser

from statcore.errors import InputError
from statcore.model import parse_duration
from statcore.promql import render, url_path_name, utilization_query
from statcore.queriers import QueryStrategy
from statcore.testing.queriers import FixedQuerier
from statcore.testing.strategies import hostile_texts

PIECES: Final = (
    *('"', "\\", "\n", "'", "`", "{", "}", "(", ")", "[", "]", ",", "=", "~", "|", ":", "#", " ", "\x00", "\r", "\ufffd"),
    *("up", "a", "sum", " by ", " or ", "vector(1)", "5m", "1h", "offset 1h", "@ 1e+20", "__name__", "=~", '="'),
    '"} or up{a="',
    *("\\u0022", "\\x22", "\\", "\ud800", "é", "🦀", "\u2028", "\u202e", "0", "-", "."),
)
hostile: Final = st.lists(st.sampled_from(PIECES), min_size=1, max_size=6).map("".join) | st.text(min_size=1, max_size=10)


def selector_in(node: Any) -> tuple[str, list[tuple[str, str]]]:
    """Return the metric and labels of `sum(…)` or `sum(rate(…[…]))`; any other text fails."""
    assert isinstance(node, promql_parser.AggregateExpr)
    inner: Any = node.expr
    if isinstance(inner, promql_parser.Call):
        inner = inner.args[0].vector_selector
    assert isinstance(inner, promql_parser.VectorSelector)
    assert (None, None, []) == (inner.offset, inner.at, inner.matchers.or_matchers)
    labels = [(matcher.name, matcher.value) for matcher in inner.matchers.matchers]
    names = [inner.name] if inner.name else [value for label, value in labels if label == "__name__"]
    assert 1 == len(names)
    return names[0], [pair for pair in labels if pair[0] != "__name__"]


def parsed(querier: FixedQuerier, **settings: Any) -> Any:
    """Return what the parser reads, or None where the input is refused."""
    try:
        text = render(utilization_query(querier, **settings))
    except InputError:
        return None
    return promql_parser.parse(text)


@given(hostile)
@example('up{a="b"} or vector(1) #')
@example("up[5m]")
@example("sum(up)")
def test_a_metric_name(text: str) -> None:
    """It is the metric, and the selector has no label."""
    node = parsed(FixedQuerier(text))
    assert node is None or (text, []) == selector_in(node)


@given(hostile)
@example('a="b",c')
@example('a"')
def test_a_label_name(text: str) -> None:
    """It is the only label."""
    node = parsed(FixedQuerier("up", {text: "x"}))
    assert node is None or ("up", [(text, "x")]) == selector_in(node)


@given(hostile | hostile_texts())
@example('"} or vector(1) #')
@example("\\")
def test_a_label_value(text: str) -> None:
    """It is the value, and never the empty text, which means no label; only text that cannot be encoded is refused."""
    assert text
    node = parsed(FixedQuerier("up", {"a": text}))
    assert (node is None) == any("\ud800" <= character <= "\udfff" for character in text)
    assert node is None or ("up", [("a", text)]) == selector_in(node)


@given(hostile.filter(is_grouped_by_the_parser))
@example("a) or sum(up")
@example("a,b")
def test_a_label_to_group_by(text: str) -> None:
    """It is the only label of the grouping."""
    node = parsed(FixedQuerier("up", group_by=[text]))
    assert node is None or ([text], ("up", [])) == (node.modifier.labels, selector_in(node))


@given(hostile)
@example("5m] or up[5m")
@example("5m:1m")
@example("5m offset 1h")
def test_a_window(text: str) -> None:
    """It is the range."""
    node = parsed(FixedQuerier("up", strategy=QueryStrategy.RATE), rate_interval=text)
    assert node is None or parse_duration(text) == node.expr.args[0].range
    assert node is None or ("up", []) == selector_in(node)


@given(hostile)
def test_a_name_in_a_path(text: str) -> None:
    """No character of it has a meaning in a URL, and a server decodes the name."""
    try:
        escaped = url_path_name(text)
    except InputError:
        return
    assert re.fullmatch(r"[a-zA-Z0-9_:]+", escaped)
    if escaped.startswith("U__"):
        escaped = re.sub("__|_([0-9a-f]+)_", lambda found: chr(int(found[1], 16)) if found[1] else "_", escaped[3:])
    assert text == escaped
