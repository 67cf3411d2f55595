"""Checks of `statcore.testing.querier_checks`: each fails for queriers with a fault, and says which."""

from __future__ import annotations

import enum
import itertools
from datetime import timedelta
from typing import Any, ClassVar, Literal

import attrs
import pytest
from tests.conformance.broken import assert_each_is_listed_documented_and_caught
from tests.conformance.racks import FULL, Rack, called, doing, racks, selected, some, spec_of, total

from statcore.errors import InputError
from statcore.plugins import QuerierSpec
from statcore.promql import (
    Aggregation,
    BinaryOperation,
    Call,
    ConstantLabel,
    Expression,
    HistogramQuantile,
    Matching,
    Number,
    RangeSelector,
    Selector,
)
from statcore.queriers import LabelMatcher, MetricQuery
from statcore.testing import querier_checks as checks
from statcore.testing.querier_checks import QuerierCheck

COUNTER = itertools.count()
UNITS = {"power": "watts"}
NOISE: Any = "noise"
NO_DEPTH: Any = None


def increase(query: MetricQuery, window: str) -> Aggregation:
    """Return the increase of the query, aggregated as it says."""
    return Aggregation("sum", Call("increase", RangeSelector(selected(query), window)), query.group_by)


def rates_nothing_summed(query: MetricQuery, window: str, /) -> Expression:
    """Do not aggregate, except over the buckets."""
    return HistogramQuantile(0.5, Call("rate", RangeSelector(selected(query), window)))


@attrs.frozen
class DividesByAnotherRack:
    """Divides by series with another value of a label in `group_by`, so that no series has a partner."""

    replaces: ClassVar = ("rack",)

    def __call__(self, query: MetricQuery, _window: str, /) -> Expression:
        """Return a quotient with a fixed rack on the right side."""
        other = Selector(query.name, {**query.wanted, "rack": "r9"})
        return BinaryOperation("/", total(query), Aggregation("sum", other, query.group_by))


@attrs.frozen
class Declares:
    """Has a valid expression, and an invalid `replaces`."""

    replaces: Any = attrs.field(eq=False)

    def __call__(self, query: MetricQuery, _window: str, /) -> Expression:
        """Return a valid expression."""
        return total(query)


@attrs.frozen
class SaysTheSameOfAll:
    """Declares and overwrites the label by which the results of queriers are told apart."""

    replaces: ClassVar = ("rack",)

    def __call__(self, query: MetricQuery, window: str, /) -> Expression:
        """Return one rack for all series."""
        del window
        return ConstantLabel(total(query), "rack", "every")


@attrs.frozen
class Remembers:
    """Divides by the series of the querier that made it, also where queriers share a request."""

    labels: Any = attrs.field(eq=False)

    def __call__(self, query: MetricQuery, _window: str, /) -> Expression:
        """Return a quotient with the labels of the maker on the right side."""
        return BinaryOperation("/", total(query), Aggregation("sum", Selector("rack_limit", self.labels), query.group_by))


@attrs.frozen
class Grows:
    """Is equal to itself, and multiplies by another number each time."""

    def __call__(self, query: MetricQuery, _window: str, /) -> Expression:
        """Return a product."""
        return BinaryOperation("*", total(query), Number(next(COUNTER)))


@attrs.frozen
class Owned:
    """Is equal only for queriers of the same rack."""

    rack: str | None

    def __call__(self, query: MetricQuery, _window: str, /) -> Expression:
        """Return a valid expression."""
        return total(query)


class Remembering(Rack):
    """Racks, with a strategy that must not be shared."""

    def query_strategy(self) -> Remembers:
        """Remember the labels."""
        return Remembers(self.labels())


def rotated(_: Any) -> dict[str, str]:
    """Return labels in another order each time."""
    first = next(COUNTER) % 3
    return dict.fromkeys(("abc" * 2)[first : first + 3], "x")


@attrs.frozen
class Positional(Rack):
    """Racks, by row."""

    row: str = "1"


@attrs.frozen(kw_only=True)
class Undocumented(Rack):
    """Racks."""


@attrs.frozen(kw_only=True)
class Unreadable(Rack):
    """Racks."""

    level: NoSuchType = None  # type: ignore[name-defined]  # noqa: F821 - that is the point


class Hidden(Rack):
    """Racks, with a field that cannot be read back."""

    def __init__(self, *, metric_name: str, hidden: str = "r1") -> None:
        """Keep it."""
        Rack.__init__(self, metric_name=metric_name, rack=hidden)  # type: ignore[arg-type]


@attrs.frozen(kw_only=True)
class Timed(Rack):
    """Racks, with a field that cannot be given as text."""

    since: timedelta = timedelta(1)

    def __attrs_post_init__(self) -> None:
        """Refuse all but a timedelta."""
        if not isinstance(self.since, timedelta):
            raise InputError("since is no time")


@attrs.frozen(kw_only=True)
class Insisting(Rack):
    """Racks, with an optional field that is in fact required."""

    def __attrs_post_init__(self) -> None:
        """Raise an error that is not an `InputError`."""
        if self.rack is None:
            raise KeyError("rack")


@attrs.frozen(kw_only=True)
class Needing(Rack):
    """Racks, with an optional field that requires another."""

    def __attrs_post_init__(self) -> None:
        """Raise an error that is not an `InputError`."""
        if self.note is not None and self.room is None:
            raise KeyError("room")


@attrs.frozen(kw_only=True)
class Stepped(Rack):
    """Racks, with two fields that become the same option where a command has `--step`."""

    step: int = 1
    rack_step: int = 1


@attrs.frozen(kw_only=True)
class Trailing(Rack):
    """Racks, with two fields that become the same option."""

    room_: int = 1


@attrs.frozen(kw_only=True, init=False)
class Nameless(Rack):
    """Racks, with a field without a letter, which cannot be an option."""

    def __init__(self, *, metric_name: Literal["power", "heat"], _: int = 1, **others: Any) -> None:
        """Take it."""
        self.__attrs_init__(metric_name=metric_name, **others)


class Same(enum.Enum):
    """Choices with the same text."""

    NUMBER = 1
    TEXT = "1"


@attrs.frozen(kw_only=True)
class Merged(Rack):
    """Racks, with two choices that have the same text."""

    same: Same = Same.TEXT


@attrs.frozen(kw_only=True)
class Alike(Rack):
    """Racks, which are equal although a field differs."""

    rack: str | None = attrs.field(default=None, eq=False)


@attrs.frozen(kw_only=True)
class Validated(Rack):
    """Racks, of which some are refused with an error that is not an `InputError`."""

    rack: str | None = attrs.field(default=None, validator=attrs.validators.in_([None, "r1", "r2"]))


class OnlyOdd(Rack):
    """Racks, which accept only odd text, and do not match it."""

    def labels(self) -> dict[str, Any]:
        """Refuse plain text."""
        if (self.rack or "").islower():
            raise InputError("too plain")
        return {**super().labels(), "rack": "odd"}


def given(rack: Any, *names: str) -> dict[str, Any]:
    """Return fields that are not None as labels."""
    return {name: getattr(rack, name) for name in names if getattr(rack, name) is not None}


@attrs.frozen
class NamesAnotherMetric:
    """Divides by a metric that is named by a label value."""

    rack: str

    def __call__(self, query: MetricQuery, _window: str, /) -> Expression:
        """Return a quotient with another metric on the right side."""
        return BinaryOperation("/", total(query), Aggregation("sum", Selector(self.rack, query.matchers), query.group_by))


CAUGHT: dict[QuerierCheck, list[tuple[str, list[Any]]]] = {
    checks.check_methods_answer: [
        ("there is no querier", []),
        (r"name\(\) answered ''", racks(name=lambda _: "")),
        (r"labels\(\) answered .* expected text", racks(labels=lambda _: {"rack": 5})),
        ("expected a list of label names", racks(group_by_labels=lambda _: "rack")),
        ("expected one of gauge", racks(query_strategy=lambda _: "median")),
        ("raised KeyError: 'heat'", racks(name=lambda rack: UNITS[rack.metric_name])),
        ("at least one value", racks(labels=lambda _: {"a": LabelMatcher.one_of([])})),
    ],
    checks.check_names_can_be_written: [
        ("a metric name must not hold", racks(name=lambda _: 'rack"power')),
        ("a label name must not hold", racks(labels=lambda _: {"ra}ck": "r1"})),
        ("a label name must not hold", racks(group_by_labels=lambda _: ["ra\nck"])),
        ("the label __name__ beside", racks(labels=lambda _: {"__name__": "x"})),
    ],
    checks.check_expressions_render_for_any_window: [
        ("rates over {'5m'}, though 90s", doing(lambda query, _: increase(query, "5m"))),
        (
            "rates over {'3m'}, though 5m",
            doing(lambda query, _: Aggregation("sum", Call("delta", RangeSelector(selected(query), "3m")), query.group_by)),
        ),
        (
            "with the window 90s: .*ValueError",
            doing(lambda query, window: increase(query, f"{int(window.removesuffix('m'))}m")),
        ),
        ("expected an expression", doing(lambda *_: "rack_power")),
    ],
    checks.check_answers_keep_the_labels_grouped_by: [
        ("the labels of the answer", doing(lambda query, _: Aggregation("sum", total(query)))),
        ("has all labels of its series", doing(lambda query, _: selected(query))),
        ("has all labels of its series", doing(rates_nothing_summed)),
        (
            "labels of the right side",
            doing(lambda query, window: BinaryOperation("-", rates_nothing_summed(query, window), total(query))),
        ),
        (
            "keeps rack, which .* does not have",
            doing(lambda query, _: Aggregation("max", Aggregation("sum", selected(query), ("depth",)), query.group_by)),
        ),
        ("has no buckets", doing(lambda query, window: HistogramQuantile(0.5, increase(query, window)))),
        ("labels of the right side", doing(lambda query, _: BinaryOperation("/", total(query), total(query, "room")))),
        (
            "reads more than .* does not match rack='r1'",
            doing(lambda query, _: Aggregation("sum", Selector(query.name), query.group_by)),
        ),
        (
            "reads more than its query: other does not match rack='r1'",
            doing(
                lambda query, _: BinaryOperation("-", total(query), Aggregation("sum", Selector("other"), query.group_by))
            ),
        ),
        (
            "reads more than .* does not match depth='2'",
            doing(
                lambda query, _: Aggregation("sum", Selector(query.name, {**query.wanted, "depth": "all"}), query.group_by)
            ),
        ),
        ("grouped by rack, and not all selectors match that", doing(DividesByAnotherRack())),
        ("the label rack is the querier's", doing(SaysTheSameOfAll())),
        (
            "matches on room, which a side",
            doing(lambda query, _: BinaryOperation("/", total(query), total(query), matching=Matching.on("rack", "room"))),
        ),
        (
            "labels of the right side",
            doing(
                lambda query, _: BinaryOperation(
                    "/", total(query, "room"), total(query), matching=Matching.ignoring("phase")
                )
            ),
        ),
    ],
    checks.check_declared_labels_are_replaced: [
        ("depth is declared in .*, and matched everywhere", doing(Declares(["depth"]))),
        ("declares user_id in `replaces`", doing(Declares(("a", "user_id")))),
    ],
    checks.check_asking_again_answers_the_same: [
        ("the name that .* next time", racks(name=lambda _: f"m{next(COUNTER)}")),
        ("the labels, in order", racks(labels=rotated)),
        ("the labels to group by the next time", racks(group_by_labels=lambda _: [f"g{next(COUNTER)}"])),
        ("the expression the next time", doing(Grows())),
        ("the strategy the next time", racks(query_strategy=lambda _: lambda query, _window: total(query))),
        (
            "the strategy the next time",
            racks(total=lambda _, query, _window: total(query), query_strategy=lambda rack: rack.total),
        ),
    ],
    checks.check_shared_requests_hold_every_value: [
        ("the labels of the answer", doing(lambda query, _: Aggregation("sum", selected(query), ("rack",)))),
        ('rack is to be any of another "one", r2, and not all of them', [Remembering(metric_name="heat", rack="r2")]),
        (
            "rack is to be any of r1, r2, and not all of them",
            [Remembering(metric_name="heat", rack=name) for name in ("r1", "r2")],
        ),
    ],
    checks.check_alike_queriers_share_requests: [
        ("the strategy of queriers that differ in rack alone", racks(query_strategy=lambda rack: Owned(rack.rack)))
    ],
    checks.check_the_spec_describes_them: [
        ("there is no querier", []),
        ("the class of", [Rack(metric_name="power"), Undocumented(metric_name="power")]),
    ],
    checks.check_fields_are_keyword_only_and_documented: [
        ("not keyword-only", some(Positional)),
        ("does not say under `Args:`", some(Undocumented)),
        ("NoSuchType", some(Unreadable)),
        ("same has two choices", some(Merged)),
    ],
    checks.check_fields_are_options_of_their_own: [
        ("step and rack_step", some(Stepped)),
        ("room and room_", some(Trailing)),
        ("no letter", some(Nameless)),
    ],
    checks.check_queriers_are_built_from_text: [
        ("hidden cannot be read", [Hidden(metric_name="power")]),
        ("since is no time", some(Timed)),
        ("none of its choices", [Rack(metric_name=NOISE)]),
        ("the querier built from", [Rack(metric_name="power", depth=NO_DEPTH)]),
    ],
    checks.check_optional_fields_may_be_left_out: [
        ("KeyError: 'rack'", [Insisting(**FULL)]),
        ("KeyError: 'room'", [Needing(**FULL)]),
        ("text or a LabelMatcher for the label 'rack'", racks(labels=lambda rack: {"rack": rack.rack})[:1]),
    ],
    checks.check_equal_fields_make_equal_queriers: [
        ("with the same fields", racks(__eq__=lambda one, other: one is other, __hash__=object.__hash__)),
        ("cannot be hashed", racks(__hash__=None)),
        ("can be set: make it a frozen class", racks(__setattr__=object.__setattr__)),
        ("whether .* equals .*: expected False", some(Alike)),
    ],
    checks.check_odd_values_are_answered_or_refused: [
        ("raised KeyError: 'heat'", racks(name=lambda rack: UNITS[rack.metric_name])[:1]),
        ("raised OverflowError|raised ValueError", racks(labels=lambda rack: {"share": str(int(rack.share or 0))})),
        ("ZeroDivisionError", racks(labels=lambda rack: {"depth": str(1 / rack.depth)})),
    ],
    checks.check_unknown_choices_are_refused: [
        ("is not refused, but fails: PluginError", racks(name=lambda rack: {"power": "a", "heat": "b"}[rack.metric_name])),
        (
            r"is not refused, but answered with sum by \(rack\)\(b",
            racks(name=lambda rack: "a" if rack.metric_name == "power" else "b"),
        ),
    ],
    checks.check_hostile_text_stays_in_its_place: [
        (
            "the expression with rack=.*: expected",
            racks(labels=lambda rack: {name: text.strip() for name, text in given(rack, "rack", "note").items()}),
        ),
        (
            "the expression with note='': expected",
            racks(labels=lambda rack: {name: text for name, text in given(rack, "rack", "note").items() if text}),
        ),
        (
            "the expression with note='': expected",
            racks(labels=lambda rack: given(rack, "rack") | {"note": LabelMatcher.regex(rack.note or "x")}),
        ),
        (
            "note='' is neither refused nor in .*note=~",
            racks(labels=lambda rack: given(rack, "rack") | {"note": LabelMatcher.regex(f"{rack.note}.*")}),
        ),
        (
            r"the expression with rack='\}': expected .*odd=~.*got .*odd=~",
            racks(labels=lambda rack: given(rack, "rack", "note") | {"odd": LabelMatcher.regex(f"{rack.rack}.*")}),
        ),
        ("note='' is neither refused nor in", racks(labels=lambda rack: given(rack, "rack"))),
        (
            "rack='}' is answered, though .* a metric name must not hold",
            racks(name=lambda rack: "rack_odd" if "}" in (rack.rack or "") else f"rack_{rack.rack}"),
        ),
        ("answered ''", racks(name=lambda rack: rack.note if rack.note is not None else "n")),
        ("rack='}' is neither refused nor in", some(OnlyOdd)),
        ("the expression with rack=", racks(group_by_labels=lambda rack: [rack.rack or "rack"])),
        ("the expression with rack=", racks(query_strategy=lambda rack: NamesAnotherMetric(rack.rack or "none"))),
        (
            "UnicodeEncodeError",
            racks(labels=lambda rack: {name: text.encode().decode() for name, text in given(rack, "rack", "note").items()}),
        ),
        ("what is refused is refused with InputError", some(Validated)),
    ],
}
"""Each check, and what it must catch: a part of the message that it fails with, and queriers with a fault."""


@pytest.mark.parametrize("names", [{"series": 'rack"power'}, {"metric_label": "ra}ck"}])
def test_a_spec_with_names_that_cannot_be_written_is_caught(names: dict[str, Any]) -> None:
    """A spec whose names are not valid fails the check; `statcore metrics` would fail for it."""
    spec = QuerierSpec(name="rack", summary="racks", querier=Rack, **names)
    with pytest.raises(AssertionError, match="must not hold"):
        checks.check_the_spec_describes_them(spec, some())


def test_every_check_catches_a_fault() -> None:
    """The table has each check of the module, which lists each once; the docstring of a check is its contract."""
    assert_each_is_listed_documented_and_caught(checks, CAUGHT)


@pytest.mark.parametrize(
    ("check", "message", "queriers"), [(check, *case) for check, cases in CAUGHT.items() for case in cases], ids=called
)
def test_queriers_with_a_fault_fail_their_check(check: QuerierCheck, message: str, queriers: list[Any]) -> None:
    """The check fails by an assertion that says what is wrong."""
    with pytest.raises(AssertionError, match=message):
        check(spec_of(queriers), queriers)
