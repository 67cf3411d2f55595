"""Expressions: their text, and the fields that they refuse."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import timedelta
from enum import Enum
from typing import Any, get_args

import attrs
import pytest

from statcore.errors import InputError, UnsupportedError
from statcore.promql import (
    Aggregation,
    BinaryOperation,
    Call,
    ConstantLabel,
    Expression,
    HistogramQuantile,
    Matching,
    Number,
    Part,
    RangeSelector,
    Selector,
    Subquery,
    render,
    selectors_in,
)
from statcore.promql.syntax import SetOperator
from statcore.queriers import LabelMatcher

UP = Selector("up")
DOWN = Selector("down")


class Kind(str, Enum):  # noqa: UP042 - this is the kind of enumeration whose members format as their names
    """Text that formats as something else."""

    GPU = "gpu"
    METRIC = "up"


class Word(str, Enum):  # noqa: UP042 - the same kind
    """Words of the language; such members format as their names, too."""

    SUM = "sum"
    RATE = "rate"


@pytest.mark.parametrize(
    ("selector", "text"),
    [
        (Selector("up"), "up"),
        (Selector("up", {"job": "x"}), 'up{job="x"}'),
        (Selector("up", {"job": LabelMatcher.not_regex("x")}, offset="1h30m"), 'up{job!~"x"} offset 1h30m'),
        (Selector("node:cpu:rate5m"), "node:cpu:rate5m"),
        (Selector("sum"), '{__name__="sum"}'),
        (Selector("NaN", {"a": "b"}), '{__name__="NaN",a="b"}'),
        (Selector("my.metric", {"service.name": "b"}), '{"my.metric","service.name"="b"}'),
        (Selector("größe"), '{"größe"}'),
        (Selector("a\ufffdb"), r'{"a\ufffdb"}'),
        (Selector("up", {"by": "1", "offset": "2", "inf": "3"}), 'up{by="1",offset="2",inf="3"}'),
        (Selector.equal("up", job="x", instance="y"), 'up{job="x",instance="y"}'),
        (Selector(None, {"job": "x"}), '{job="x"}'),
    ],
)
def test_a_selector(selector: Selector, text: str) -> None:
    """Classic names stand bare, words of the language under `__name__`, any other name in quotes."""
    assert text == render(selector)


def test_a_selector_has_a_name_or_a_matcher() -> None:
    """With neither it would read all series."""
    with pytest.raises(InputError, match="neither a metric name nor a matcher"):
        Selector(None)


def test_a_selector_copies_its_labels() -> None:
    """A later change of the mapping changes neither the text nor the labels."""
    labels: dict[str, str | LabelMatcher] = {"job": "x"}
    selector = Selector("up", labels)
    labels["instance"] = "y"
    assert ('up{job="x"}', {"job": LabelMatcher.equal("x")}) == (selector.text, selector.labels)


@pytest.mark.parametrize("matcher", [5, None, b"x", ["x"]])
def test_a_label_is_matched_by_text_or_a_matcher(matcher: Any) -> None:
    """The error names the label."""
    with pytest.raises(InputError, match=r"the label 'job'.*text or a LabelMatcher"):
        Selector("up", {"job": matcher})


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("", ""),
        ("plain-1.0", "plain-1.0"),
        ('"', r"\""),
        ("\\", r"\\"),
        ("\\n", r"\\n"),
        ("\n", r"\n"),
        ("\ufffd", r"\ufffd"),
        ("\\\ufffd", r"\\\ufffd"),
        ('a"\n\\\ufffd', r"a\"\n\\\ufffd"),
        ("\x00\t\r\x7f\u2028", "\x00\t\r\x7f\u2028"),
        ("naïve 🦀 \U0010ffff", "naïve 🦀 \U0010ffff"),
        ("'`{}$", "'`{}$"),
    ],
)
def test_the_escapes_of_a_label_value(value: str, written: str) -> None:
    """Only backslash, quote, newline and U+FFFD, which servers refuse raw; characters beyond U+FFFF stay as they are."""
    assert f'up{{a="{written}"}}' == render(Selector("up", {"a": value}))
    assert f'up{{a!="{written}"}}' == render(Selector("up", {"a": LabelMatcher.not_equal(value)}))


def test_a_member_of_an_enumeration_is_its_value() -> None:
    """It is its value in every place, although `f"{Kind.GPU}"` is not."""
    selector = Selector(Kind.METRIC, [(Kind.GPU, Kind.GPU)])
    assert 'sum by (gpu)(up{gpu="gpu"})' == render(Aggregation("sum", selector, by=[Kind.GPU]))


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        (RangeSelector(UP, "5m"), "up[5m]"),
        (RangeSelector(Selector("up", {"a": "b"}, offset=timedelta(days=1)), "5m"), 'up{a="b"}[5m] offset 1d'),
        (Call("rate", RangeSelector(UP, "5m")), "rate(up[5m])"),
        (Subquery(Aggregation("sum", UP), "1h"), "(sum(up))[1h:]"),
        (Call("max_over_time", Subquery(UP, timedelta(hours=1))), "max_over_time((up)[1h:])"),
        (Aggregation("count", UP, by=["b", "a", "b"]), "count by (a,b)(up)"),
        (Aggregation("sum", UP, by=["service.name", "on"]), 'sum by (on,"service.name")(up)'),
        (Aggregation("sum", UP, by=["NaN", "inf", "without"]), 'sum by ("NaN","inf","without")(up)'),
        (BinaryOperation("*", UP, Number(100)), "up * 100.0"),
        (BinaryOperation("-", BinaryOperation("/", UP, Number(2)), Number(-1)), "(up / 2.0) - -1.0"),
        (HistogramQuantile(0.5, Aggregation("sum", UP, by=["le"])), "histogram_quantile(0.5, sum by (le)(up))"),
        (BinaryOperation(">", UP, Number(0)), "up > 0.0"),
        (BinaryOperation("and", UP, BinaryOperation("unless", UP, DOWN)), "up and (up unless down)"),
        (BinaryOperation("/", UP, DOWN, matching=Matching.on("b", "a", "b")), "up / on (a,b) down"),
        (BinaryOperation("and", UP, DOWN, matching=Matching.on()), "up and on () down"),
        (
            BinaryOperation("-", UP, BinaryOperation(">", DOWN, Number(0)), matching=Matching.ignoring("NaN", "a.b")),
            'up - ignoring ("NaN","a.b") (down > 0.0)',
        ),
        (ConstantLabel(BinaryOperation("*", UP, Number(2)), "a", "b"), 'label_replace(up * 2.0, "a", "b", "", "")'),
        (ConstantLabel(UP, "a.b", 'c"$1\ufffd'), r'label_replace(up, "a.b", "c\"$$1\ufffd", "", "")'),
        (ConstantLabel(UP, Kind.GPU, Kind.GPU), 'label_replace(up, "gpu", "gpu", "", "")'),
    ],
)
def test_an_expression(expression: Any, text: str) -> None:
    """An offset stands behind the window, an operation inside an operation in parentheses."""
    assert text == render(expression)


def test_text_and_an_exact_matcher_are_the_same() -> None:
    """The selectors are equal, and `labels` has a LabelMatcher for both."""
    assert Selector("up", {"a": "b"}) == Selector("up", {"a": LabelMatcher.equal("b")})
    assert Selector("up", {"a": "b"}) != Selector("up", {"a": LabelMatcher.regex("b")})
    assert {"a": LabelMatcher.equal("b")} == Selector("up", {"a": "b"}).labels
    assert 1 == len({Selector("up", {"a": "b"}), Selector("up", {"a": LabelMatcher.equal("b")})})


@pytest.mark.parametrize(
    "name", ["", "x" * 1025, 'a"b', "a\\", "a{b", "a}", "a\nb", "\x00", "\u2028", "\u202e", "a\u00a0b"]
)
def test_hostile_names_are_refused(name: str) -> None:
    """This holds for a metric, a label, and a label to group by."""
    with pytest.raises(InputError, match="a metric name"):
        Selector(name)
    with pytest.raises(InputError, match="a label name"):
        Selector("up", {name: "x"})
    with pytest.raises(InputError, match="a label name"):
        Aggregation("sum", UP, by=[name])


def test_the_longest_name() -> None:
    """It has 1,024 characters."""
    assert "x" * 1024 == render(Selector("x" * 1024))


@pytest.mark.parametrize("text", ["\ud800", "a\udfff"])
def test_a_lone_surrogate_is_refused_anywhere(text: str) -> None:
    """The constructor raises, before anything is sent."""
    with pytest.raises(InputError, match="a metric name holds a lone surrogate"):
        Selector(text)
    with pytest.raises(InputError, match="a label name holds a lone surrogate"):
        Selector("up", {text: "x"})
    with pytest.raises(InputError, match="a label value holds a lone surrogate"):
        Selector("up", {"x": text})


def test_the_name_is_not_a_label_beside_a_name() -> None:
    """The server refuses it."""
    with pytest.raises(InputError, match="the label __name__ beside the metric name 'up'"):
        Selector("up", {"__name__": LabelMatcher.regex(".*")})


@pytest.mark.parametrize(
    "duration", ["", "5", "0s", "-1h", "1.5h", "1h[", "1h offset 1h", timedelta(0), timedelta(hours=-1)]
)
def test_a_bad_duration_is_refused(duration: Any) -> None:
    """This holds for the window of samples, the window of a subquery, and the offset."""
    for build in (
        lambda: RangeSelector(UP, duration),
        lambda: Subquery(UP, duration),
        lambda: Selector("up", offset=duration),
    ):
        with pytest.raises(InputError, match=r"not a duration|out of range"):
            build()


@pytest.mark.parametrize("word", ["", "rate(up[5m]) or sum", "SUM", "quantile", "+", 5, None, Word.SUM, Word.RATE])
def test_an_unknown_word_is_refused(word: Any) -> None:
    """This holds for the operator of an aggregation, and for a function."""
    with pytest.raises(InputError, match="unknown operator"):
        Aggregation(word, UP)
    with pytest.raises(InputError, match="unknown function"):
        Call(word, RangeSelector(UP, "5m"))


@pytest.mark.parametrize("operator", ["or", "^", "%", "atan2", "> bool", "= 1 or", "", None, []])
def test_an_unknown_operator_is_refused(operator: Any) -> None:
    """The message lists the known operators."""
    with pytest.raises(InputError, match=r"unknown operator .*; expected one of \+, -, \*, /, ==, .*, and, unless"):
        BinaryOperation(operator, UP, DOWN)


@attrs.frozen
class Lookalike:
    """An object with a text, which is not an expression."""

    text: str = "up or vector(1)"


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda part: RangeSelector(part, "5m"), "the selector of RangeSelector must be a Selector, not "),
        (lambda part: Subquery(part, "5m"), "the expression of Subquery must be an expression, not "),
        (lambda part: Call("increase", part), "the argument of Call must be a RangeSelector or a Subquery, not "),
        (lambda part: Aggregation("sum", part), "the expression of Aggregation must be an expression, not "),
        (lambda part: BinaryOperation("-", part, UP), "the left of BinaryOperation must be an expression, not "),
        (
            lambda part: BinaryOperation("-", UP, part),
            "the right of BinaryOperation must be an expression or a Number, not ",
        ),
        (lambda part: HistogramQuantile(0.5, part), "the buckets of HistogramQuantile must be an expression, not "),
        (lambda part: ConstantLabel(part, "a", "b"), "the expression of ConstantLabel must be an expression, not "),
    ],
)
def test_a_part_of_another_type_is_refused_when_built(build: Callable[[Any], Any], message: str) -> None:
    """Text, an object with a text, and parts of other places are refused."""
    for part in ("up", None, 5, Lookalike(), Matching.on("a"), Selector):
        with pytest.raises(InputError, match=re.escape(message) + type(part).__name__):
            build(part)


@pytest.mark.parametrize(
    "build",
    [
        lambda: Call("increase", UP),  # type: ignore[arg-type]  # the mistakes in question
        lambda: Call("rate", Aggregation("sum", UP)),  # type: ignore[arg-type]
        lambda: RangeSelector(Call("rate", RangeSelector(UP, "5m")), "5m"),  # type: ignore[arg-type]
        lambda: RangeSelector(RangeSelector(UP, "5m"), "5m"),  # type: ignore[arg-type]
        lambda: Subquery(RangeSelector(UP, "5m"), "5m"),  # type: ignore[arg-type]
        lambda: Aggregation("sum", RangeSelector(UP, "5m")),  # type: ignore[arg-type]
        lambda: Aggregation("sum", Number(1)),  # type: ignore[arg-type]
        lambda: BinaryOperation("-", Number(1), UP),  # type: ignore[arg-type]
        lambda: BinaryOperation("-", UP, Subquery(UP, "5m")),  # type: ignore[arg-type]
    ],
)
def test_instant_and_range_vectors_stay_apart(build: Callable[[], Any]) -> None:
    """A server would refuse the query."""
    with pytest.raises(InputError, match="must be"):
        build()


def test_a_number_has_no_partner() -> None:
    """A number takes neither a matching nor a set operator."""
    with pytest.raises(InputError, match=r"the number 1\.0 has no labels to match"):
        BinaryOperation(">", UP, Number(1), matching=Matching.on("a"))
    for operator in get_args(SetOperator):
        with pytest.raises(InputError, match=rf"{operator} is between two expressions; 1\.0 is a number"):
            BinaryOperation(operator, UP, Number(1))


def test_a_matching_is_checked() -> None:
    """The modifier, the labels and the type are checked."""
    modifier: Any = "on (a) group_left"
    with pytest.raises(InputError, match="unknown modifier"):
        Matching(modifier, ["a"])
    with pytest.raises(InputError, match="a label name must not hold"):
        Matching.on('a"')
    matching: Any = "on (a)"
    with pytest.raises(InputError, match="the matching of BinaryOperation must be a Matching or None, not str"):
        BinaryOperation("-", UP, DOWN, matching=matching)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("__name__", "x", "__name__ is the metric's name"),
        ('a"', "x", "a label name must not hold"),
        ("", "x", "a label name has 1 to 1024 characters"),
        (None, "x", "a label name must be text"),
        ("a", "", "the value of a constant label is empty"),
        ("a", None, "a label value must be text"),
        ("a", "\ud800", "a label value holds a lone surrogate"),
    ],
)
def test_a_constant_label_is_checked(name: Any, value: Any, message: str) -> None:
    """The name and the value; an empty value would remove the label."""
    with pytest.raises(InputError, match=message):
        ConstantLabel(UP, name, value)


def test_the_selectors_of_an_expression() -> None:
    """Selectors in every kind of part, in the order of the text, however deep."""
    sides = [Selector(name) for name in "abcde"]
    calls = [Call("rate", RangeSelector(sides[0], "5m")), Call("max_over_time", Subquery(sides[1], "5m"))]
    ratio = BinaryOperation("/", *calls)
    buckets = HistogramQuantile(0.5, ConstantLabel(sides[2], "a", "b"))
    deep: Expression = BinaryOperation(
        "and", ratio, BinaryOperation("-", buckets, BinaryOperation("-", sides[3], sides[4]))
    )
    for _ in range(2_000):
        deep = Aggregation("sum", deep)
    assert sides == selectors_in(BinaryOperation(">", deep, Number(1)))


def test_a_backend_may_write_parts_its_own_way() -> None:
    """Each part passes the parts inside to the given function, and writes its own text around them."""

    def shouting(part: Part) -> str:
        return part.text.upper() if isinstance(part, Selector) else part.write(shouting)

    ratio = BinaryOperation("/", Call("rate", RangeSelector(UP, "5m")), BinaryOperation(">", DOWN, Number(0)))
    assert "sum by (a)(rate(UP[5m]) / (DOWN > 0.0))" == Aggregation("sum", ratio, by=["a"]).write(shouting)


PAIRS = [("job", LabelMatcher.equal("x")), ("job", LabelMatcher.not_equal("y")), ("host", LabelMatcher.equal("a"))]


def test_a_label_may_recur_in_pairs() -> None:
    """Every matcher is written; as a mapping the labels would lose one."""
    selector = Selector("up", [("job", "x"), ("job", LabelMatcher.not_equal("y")), ("host", "a")])
    assert ('up{job="x",job!="y",host="a"}', PAIRS) == (selector.text, selector.matchers)
    with pytest.raises(UnsupportedError, match="the label job has several matchers"):
        _ = selector.labels
    assert selector == Selector("up", reversed(PAIRS))
    assert selector != Selector("up", dict(PAIRS))


@pytest.mark.parametrize("labels", ["job", 5, None, ["job"], ("job",), [("job",)]])
def test_labels_are_a_mapping_or_pairs(labels: Any) -> None:
    """Anything else is refused."""
    with pytest.raises(InputError, match="expected a mapping of label name to text or LabelMatcher"):
        Selector("up", labels)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 10**400, "5) or vector(1", "5", b"5", None])
def test_a_number_is_finite(value: Any) -> None:
    """Text is refused, too, because it could go on after the number."""
    with pytest.raises(InputError, match="not a finite number"):
        Number(value)


@pytest.mark.parametrize("value", [-0.1, 1.5, math.nan, "0.5) or (up", None])
def test_a_quantile_is_from_0_to_1(value: Any) -> None:
    """Servers answer infinity for any other."""
    with pytest.raises(InputError, match=r"a quantile is from 0 to 1|not a finite number"):
        HistogramQuantile(value, UP)


def test_one_text_is_no_collection_of_labels() -> None:
    """Each of its letters would be a label."""
    with pytest.raises(InputError, match="not one text: 'job'"):
        Aggregation("sum", UP, by="job")  # the mistake in question
