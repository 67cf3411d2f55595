"""Checks of `statcore.testing.querier_checks`: each fails for queriers with a fault, and says which."""

from __future__ import annotations

import enum
import itertools
from datetime import timedelta
from typing import Any, ClassVar, Literal

import attrs
import pytest
from tests.conformance.broken import assert_listed_and_documented
from tests.conformance.racks import FULL, Rack, called, doing, racks, some, spec_of, total

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
    RangeSelector,
    Selector,
)
from statcore.queriers import LabelMatcher, MetricQuery
from statcore.testing import querier_checks as checks
from statcore.testing.querier_checks import CHECKS, QuerierCheck


def increase(query: MetricQuery, window: str) -> Aggregation:
    """Return the increase of the query, aggregated as it says."""
    return Aggregation("sum", Call("increase", RangeSelector(Selector(query.name, query.matchers), window)), query.group_by)


def sums_everything(query: MetricQuery, _window: str, /) -> Expression:
    """Ignore `group_by`."""
    return Aggregation("sum", total(query))


def groups_by_rack(query: MetricQuery, _window: str, /) -> Expression:
    """Group by a fixed label instead of `group_by`, which is larger where queriers share a request."""
    return Aggregation("sum", Selector(query.name, query.matchers), ("rack",))


def sums_nothing(query: MetricQuery, _window: str, /) -> Expression:
    """Do not aggregate."""
    return Selector(query.name, query.matchers)


def rates_nothing_summed(query: MetricQuery, window: str, /) -> Expression:
    """Do not aggregate, except over the buckets."""
    return HistogramQuantile(0.5, Call("rate", RangeSelector(Selector(query.name, query.matchers), window)))


def one_side_sums(query: MetricQuery, window: str, /) -> Expression:
    """Aggregate only the right side of a difference."""
    return BinaryOperation("-", rates_nothing_summed(query, window), total(query))


def sums_the_label_away(query: MetricQuery, _window: str, /) -> Expression:
    """Group by a label that an inner aggregation removed."""
    return Aggregation("max", Aggregation("sum", Selector(query.name, query.matchers), ("depth",)), query.group_by)


def forgets_the_buckets(query: MetricQuery, window: str, /) -> Expression:
    """Aggregate away the label of the buckets."""
    return HistogramQuantile(0.5, increase(query, window))


def sides_differ(query: MetricQuery, _window: str, /) -> Expression:
    """Divide by an aggregation with other labels."""
    return BinaryOperation("/", total(query), total(query, "room"))


def forgets_the_matchers(query: MetricQuery, _window: str, /) -> Expression:
    """Match no label."""
    return Aggregation("sum", Selector(query.name), query.group_by)


def one_side_forgets_the_matchers(query: MetricQuery, _window: str, /) -> Expression:
    """Match no label on the right side of a difference."""
    return BinaryOperation("-", total(query), Aggregation("sum", Selector("other"), query.group_by))


def sets_the_depth_everywhere(query: MetricQuery, _window: str, /) -> Expression:
    """Match another depth than the query does, in every selector."""
    return Aggregation("sum", Selector(query.name, {**query.wanted, "depth": "all"}), query.group_by)


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


def matches_by_what_is_gone(query: MetricQuery, _window: str, /) -> Expression:
    """Match by a label that an aggregation removed."""
    return BinaryOperation("/", total(query), total(query), matching=Matching.on("rack", "room"))


def ignores_too_little(query: MetricQuery, _window: str, /) -> Expression:
    """Match by labels that only one side has."""
    return BinaryOperation("/", total(query, "room"), total(query), matching=Matching.ignoring("phase"))


def changes_in_three_minutes(query: MetricQuery, _window: str, /) -> Expression:
    """Use a fixed window for `delta`."""
    change = Call("delta", RangeSelector(Selector(query.name, query.matchers), "3m"))
    return Aggregation("sum", change, query.group_by)


def takes_five_minutes(query: MetricQuery, _window: str, /) -> Expression:
    """Use a fixed window for rates."""
    return increase(query, "5m")


def takes_minutes(query: MetricQuery, window: str, /) -> Expression:
    """Accept only windows in minutes."""
    return increase(query, f"{int(window.removesuffix('m'))}m")


@attrs.frozen
class Remembers:
    """Divides by the series of the querier that made it, also where queriers share a request."""

    labels: Any = attrs.field(eq=False)

    def __call__(self, query: MetricQuery, _window: str, /) -> Expression:
        """Return a quotient with the labels of the maker on the right side."""
        return BinaryOperation("/", total(query), Aggregation("sum", Selector("rack_limit", self.labels), query.group_by))


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


COUNTER = itertools.count()


UNITS = {"power": "watts"}


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


NOISE: Any = "noise"


NO_DEPTH: Any = None


@pytest.mark.parametrize("names", [{"series": 'rack"power'}, {"metric_label": "ra}ck"}])
def test_a_spec_with_names_that_cannot_be_written_is_caught(names: dict[str, Any]) -> None:
    """A spec whose names are not valid fails the check; `statcore metrics` would fail for it."""
    spec = QuerierSpec(name="rack", summary="racks", querier=Rack, **names)
    with pytest.raises(AssertionError, match="must not hold"):
        checks.check_the_spec_describes_them(spec, some())


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


CAUGHT: list[tuple[QuerierCheck, str, list[Any]]] = [
    (checks.check_methods_answer, "there is no querier", []),
    (checks.check_methods_answer, r"name\(\) answered ''", racks(name=lambda _: "")),
    (checks.check_methods_answer, r"labels\(\) answered .* expected text", racks(labels=lambda _: {"rack": 5})),
    (checks.check_methods_answer, "expected a list of label names", racks(group_by_labels=lambda _: "rack")),
    (checks.check_methods_answer, "expected one of gauge", racks(query_strategy=lambda _: "median")),
    (checks.check_methods_answer, "raised KeyError: 'heat'", racks(name=lambda rack: UNITS[rack.metric_name])),
    (checks.check_methods_answer, "at least one value", racks(labels=lambda _: {"a": LabelMatcher.one_of([])})),
    (checks.check_names_can_be_written, "a metric name must not hold", racks(name=lambda _: 'rack"power')),
    (checks.check_names_can_be_written, "a label name must not hold", racks(labels=lambda _: {"ra}ck": "r1"})),
    (checks.check_names_can_be_written, "a label name must not hold", racks(group_by_labels=lambda _: ["ra\nck"])),
    (checks.check_names_can_be_written, "the label __name__ beside", racks(labels=lambda _: {"__name__": "x"})),
    (checks.check_expressions_render_for_any_window, "rates over {'5m'}, though 90s", doing(takes_five_minutes)),
    (checks.check_expressions_render_for_any_window, "rates over {'3m'}, though 5m", doing(changes_in_three_minutes)),
    (checks.check_expressions_render_for_any_window, "with the window 90s: .*ValueError", doing(takes_minutes)),
    (checks.check_expressions_render_for_any_window, "expected an expression", doing(lambda *_: "rack_power")),
    (checks.check_answers_keep_the_labels_grouped_by, "the labels of the answer", doing(sums_everything)),
    (checks.check_answers_keep_the_labels_grouped_by, "has all labels of its series", doing(sums_nothing)),
    (checks.check_answers_keep_the_labels_grouped_by, "has all labels of its series", doing(rates_nothing_summed)),
    (checks.check_answers_keep_the_labels_grouped_by, "labels of the right side", doing(one_side_sums)),
    (checks.check_answers_keep_the_labels_grouped_by, "keeps rack, which .* does not have", doing(sums_the_label_away)),
    (checks.check_answers_keep_the_labels_grouped_by, "has no buckets", doing(forgets_the_buckets)),
    (checks.check_answers_keep_the_labels_grouped_by, "labels of the right side", doing(sides_differ)),
    (
        checks.check_answers_keep_the_labels_grouped_by,
        "reads more than .* does not match rack='r1'",
        doing(forgets_the_matchers),
    ),
    (
        checks.check_answers_keep_the_labels_grouped_by,
        "reads more than its query: other does not match rack='r1'",
        doing(one_side_forgets_the_matchers),
    ),
    (
        checks.check_answers_keep_the_labels_grouped_by,
        "reads more than .* does not match depth='2'",
        doing(sets_the_depth_everywhere),
    ),
    (
        checks.check_answers_keep_the_labels_grouped_by,
        "grouped by rack, and not all selectors match that",
        doing(DividesByAnotherRack()),
    ),
    (checks.check_answers_keep_the_labels_grouped_by, "the label rack is the querier's", doing(SaysTheSameOfAll())),
    (checks.check_answers_keep_the_labels_grouped_by, "matches on room, which a side", doing(matches_by_what_is_gone)),
    (checks.check_answers_keep_the_labels_grouped_by, "labels of the right side", doing(ignores_too_little)),
    (
        checks.check_declared_labels_are_replaced,
        "depth is declared in .*, and matched everywhere",
        doing(Declares(["depth"])),
    ),
    (checks.check_declared_labels_are_replaced, "declares user_id in `replaces`", doing(Declares(("a", "user_id")))),
    (checks.check_asking_again_answers_the_same, "the name that .* next time", racks(name=lambda _: f"m{next(COUNTER)}")),
    (checks.check_asking_again_answers_the_same, "the labels, in order", racks(labels=rotated)),
    (
        checks.check_asking_again_answers_the_same,
        "the strategy the next time",
        racks(query_strategy=lambda _: lambda query, _window: total(query)),
    ),
    (
        checks.check_asking_again_answers_the_same,
        "the strategy the next time",
        racks(total=lambda _, query, _window: total(query), query_strategy=lambda rack: rack.total),
    ),
    (checks.check_shared_requests_hold_every_value, "the labels of the answer", doing(groups_by_rack)),
    (
        checks.check_shared_requests_hold_every_value,
        'rack is to be any of another "one", r2, and not all of them',
        [Remembering(metric_name="heat", rack="r2")],
    ),
    (
        checks.check_shared_requests_hold_every_value,
        "rack is to be any of r1, r2, and not all of them",
        [Remembering(metric_name="heat", rack=name) for name in ("r1", "r2")],
    ),
    (
        checks.check_alike_queriers_share_requests,
        "the strategy of queriers that differ in rack alone",
        racks(query_strategy=lambda rack: Owned(rack.rack)),
    ),
    (checks.check_the_spec_describes_them, "there is no querier", []),
    (checks.check_the_spec_describes_them, "the class of", [Rack(metric_name="power"), Undocumented(metric_name="power")]),
    (checks.check_fields_are_keyword_only_and_documented, "not keyword-only", some(Positional)),
    (checks.check_fields_are_keyword_only_and_documented, "does not say under `Args:`", some(Undocumented)),
    (checks.check_fields_are_keyword_only_and_documented, "NoSuchType", some(Unreadable)),
    (checks.check_fields_are_keyword_only_and_documented, "same has two choices", some(Merged)),
    (checks.check_fields_are_options_of_their_own, "step and rack_step", some(Stepped)),
    (checks.check_fields_are_options_of_their_own, "room and room_", some(Trailing)),
    (checks.check_fields_are_options_of_their_own, "no letter", some(Nameless)),
    (checks.check_queriers_are_built_from_text, "hidden cannot be read", [Hidden(metric_name="power")]),
    (checks.check_queriers_are_built_from_text, "since is no time", some(Timed)),
    (checks.check_queriers_are_built_from_text, "none of its choices", [Rack(metric_name=NOISE)]),
    (checks.check_queriers_are_built_from_text, "the querier built from", [Rack(metric_name="power", depth=NO_DEPTH)]),
    (checks.check_optional_fields_may_be_left_out, "KeyError: 'rack'", [Insisting(**FULL)]),
    (checks.check_optional_fields_may_be_left_out, "KeyError: 'room'", [Needing(**FULL)]),
    (
        checks.check_optional_fields_may_be_left_out,
        "text or a LabelMatcher for the label 'rack'",
        racks(labels=lambda rack: {"rack": rack.rack})[:1],
    ),
    (
        checks.check_equal_fields_make_equal_queriers,
        "with the same fields",
        racks(__eq__=lambda one, other: one is other, __hash__=object.__hash__),
    ),
    (checks.check_equal_fields_make_equal_queriers, "cannot be hashed", racks(__hash__=None)),
    (
        checks.check_equal_fields_make_equal_queriers,
        "can be set: make it a frozen class",
        racks(__setattr__=object.__setattr__),
    ),
    (checks.check_equal_fields_make_equal_queriers, "whether .* equals .*: expected False", some(Alike)),
    (
        checks.check_odd_values_are_answered_or_refused,
        "raised KeyError: 'heat'",
        racks(name=lambda rack: UNITS[rack.metric_name])[:1],
    ),
    (
        checks.check_odd_values_are_answered_or_refused,
        "raised OverflowError|raised ValueError",
        racks(labels=lambda rack: {"share": str(int(rack.share or 0))}),
    ),
    (
        checks.check_odd_values_are_answered_or_refused,
        "ZeroDivisionError",
        racks(labels=lambda rack: {"depth": str(1 / rack.depth)}),
    ),
    (
        checks.check_unknown_choices_are_refused,
        "is not refused, but fails: PluginError",
        racks(name=lambda rack: {"power": "a", "heat": "b"}[rack.metric_name]),
    ),
    (
        checks.check_unknown_choices_are_refused,
        r"is not refused, but answered with sum by \(rack\)\(b",
        racks(name=lambda rack: "a" if rack.metric_name == "power" else "b"),
    ),
    (
        checks.check_hostile_text_stays_in_its_place,
        "the expression with rack=.*: expected",
        racks(labels=lambda rack: {name: text.strip() for name, text in given(rack, "rack", "note").items()}),
    ),
    (
        checks.check_hostile_text_stays_in_its_place,
        "the expression with note='': expected",
        racks(labels=lambda rack: {name: text for name, text in given(rack, "rack", "note").items() if text}),
    ),
    (
        checks.check_hostile_text_stays_in_its_place,
        "the expression with note='': expected",
        racks(labels=lambda rack: given(rack, "rack") | {"note": LabelMatcher.regex(rack.note or "x")}),
    ),
    (
        checks.check_hostile_text_stays_in_its_place,
        "note='' is neither refused nor in .*note=~",
        racks(labels=lambda rack: given(rack, "rack") | {"note": LabelMatcher.regex(f"{rack.note}.*")}),
    ),
    (
        checks.check_hostile_text_stays_in_its_place,
        r"the expression with rack='\}': expected .*odd=~.*got .*odd=~",
        racks(labels=lambda rack: given(rack, "rack", "note") | {"odd": LabelMatcher.regex(f"{rack.rack}.*")}),
    ),
    (
        checks.check_hostile_text_stays_in_its_place,
        "note='' is neither refused nor in",
        racks(labels=lambda rack: given(rack, "rack")),
    ),
    (
        checks.check_hostile_text_stays_in_its_place,
        "rack='}' is answered, though .* a metric name must not hold",
        racks(name=lambda rack: "rack_odd" if "}" in (rack.rack or "") else f"rack_{rack.rack}"),
    ),
    (
        checks.check_hostile_text_stays_in_its_place,
        "answered ''",
        racks(name=lambda rack: rack.note if rack.note is not None else "n"),
    ),
    (
        checks.check_hostile_text_stays_in_its_place,
        "rack='}' is neither refused nor in",
        some(OnlyOdd),
    ),
    (
        checks.check_hostile_text_stays_in_its_place,
        "the expression with rack=",
        racks(group_by_labels=lambda rack: [rack.rack or "rack"]),
    ),
    (
        checks.check_hostile_text_stays_in_its_place,
        "the expression with rack=",
        racks(query_strategy=lambda rack: NamesAnotherMetric(rack.rack or "none")),
    ),
    (
        checks.check_hostile_text_stays_in_its_place,
        "UnicodeEncodeError",
        racks(labels=lambda rack: {name: text.encode().decode() for name, text in given(rack, "rack", "note").items()}),
    ),
    (checks.check_hostile_text_stays_in_its_place, "what is refused is refused with InputError", some(Validated)),
]
"""A check, a part of the message that it fails with, and queriers with a fault."""


@pytest.mark.parametrize(("check", "message", "queriers"), CAUGHT, ids=called)
def test_queriers_with_a_fault_fail_their_check(check: QuerierCheck, message: str, queriers: list[Any]) -> None:
    """The check fails by an assertion that says what is wrong."""
    with pytest.raises(AssertionError, match=message):
        check(spec_of(queriers), queriers)


def test_every_check_catches_a_fault() -> None:
    """The table has each check."""
    assert set(CHECKS) == {check for check, *_ in CAUGHT}


def test_every_check_is_listed_and_documented() -> None:
    """No check of the package is left out or listed twice, and each has a docstring, which is its contract."""
    assert_listed_and_documented(checks)
