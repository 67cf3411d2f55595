"""What the checks of answers and of sharing are there for: queriers that are wrong, each failing its check."""

from __future__ import annotations

import itertools
from types import ModuleType
from typing import Any, ClassVar

import attrs
import pytest
from tests.conformance.racks import Rack, called, doing, racks, spec_of, total

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
from statcore.queriers import LabelMatcher, ResolvedQuerier
from statcore.testing import querier_checks as checks
from statcore.testing.querier_checks import CHECKS, QuerierCheck


def increase(asked: ResolvedQuerier, window: str) -> Aggregation:
    """Return what some strategies are made of."""
    return Aggregation("sum", Call("increase", RangeSelector(Selector(asked.name, asked.wanted), window)), asked.group_by)


def sums_everything(asked: ResolvedQuerier, _window: str, /) -> Expression:
    """Forget the grouping."""
    return Aggregation("sum", total(asked))


def groups_by_rack(asked: ResolvedQuerier, _window: str, /) -> Expression:
    """Group by what is grouped by where nothing is shared."""
    return Aggregation("sum", Selector(asked.name, asked.wanted), ("rack",))


def sums_nothing(asked: ResolvedQuerier, _window: str, /) -> Expression:
    """Leave every label that the series have."""
    return Selector(asked.name, asked.wanted)


def rates_nothing_summed(asked: ResolvedQuerier, window: str, /) -> Expression:
    """Leave every label but that of the buckets."""
    return HistogramQuantile(0.5, Call("rate", RangeSelector(Selector(asked.name, asked.wanted), window)))


def one_side_sums(asked: ResolvedQuerier, window: str, /) -> Expression:
    """Subtract a sum from what has all labels."""
    return BinaryOperation("-", rates_nothing_summed(asked, window), total(asked))


def sums_the_label_away(asked: ResolvedQuerier, _window: str, /) -> Expression:
    """Keep what is not there any more."""
    return Aggregation("max", Aggregation("sum", Selector(asked.name, asked.wanted), ("depth",)), asked.group_by)


def forgets_the_buckets(asked: ResolvedQuerier, window: str, /) -> Expression:
    """Sum the buckets away."""
    return HistogramQuantile(0.5, increase(asked, window))


def sides_differ(asked: ResolvedQuerier, _window: str, /) -> Expression:
    """Divide by a sum of other labels."""
    return BinaryOperation("/", total(asked), total(asked, "room"))


def forgets_the_matchers(asked: ResolvedQuerier, _window: str, /) -> Expression:
    """Ask for all racks."""
    return Aggregation("sum", Selector(asked.name), asked.group_by)


def one_side_forgets_the_matchers(asked: ResolvedQuerier, _window: str, /) -> Expression:
    """Subtract what all racks have."""
    return BinaryOperation("-", total(asked), Aggregation("sum", Selector("other"), asked.group_by))


def sets_the_depth_everywhere(asked: ResolvedQuerier, _window: str, /) -> Expression:
    """Ask for another depth than is asked for, and for nothing else."""
    return Aggregation("sum", Selector(asked.name, {**asked.wanted, "depth": "all"}), asked.group_by)


@attrs.frozen
class DividesByAnotherRack:
    """Divides by what has another value of a label that is grouped by, so that no two series meet."""

    replaces: ClassVar = ("rack",)

    def __call__(self, asked: ResolvedQuerier, _window: str, /) -> Expression:
        """Ask for one rack everywhere else."""
        other = Selector(asked.name, {**asked.wanted, "rack": "r9"})
        return BinaryOperation("/", total(asked), Aggregation("sum", other, asked.group_by))


@attrs.frozen
class Declares:
    """Right, but for what it says of itself."""

    replaces: Any = attrs.field(eq=False)

    def __call__(self, asked: ResolvedQuerier, _window: str, /) -> Expression:
        """Match everything everywhere."""
        return total(asked)


@attrs.frozen
class SaysTheSameOfAll:
    """Overwrites what tells one answer from another, and declares it."""

    replaces: ClassVar = ("rack",)

    def __call__(self, asked: ResolvedQuerier, window: str, /) -> Expression:
        """Return the same rack for all."""
        del window
        return ConstantLabel(total(asked), "rack", "every")


def matches_by_what_is_gone(asked: ResolvedQuerier, _window: str, /) -> Expression:
    """Match sums by a label that was summed away."""
    return BinaryOperation("/", total(asked), total(asked), matching=Matching.on("rack", "room"))


def ignores_too_little(asked: ResolvedQuerier, _window: str, /) -> Expression:
    """Match sums by labels that only one side has."""
    return BinaryOperation("/", total(asked, "room"), total(asked), matching=Matching.ignoring("phase"))


def changes_in_three_minutes(asked: ResolvedQuerier, _window: str, /) -> Expression:
    """Take the change of a gauge over what it likes."""
    change = Call("delta", RangeSelector(Selector(asked.name, asked.wanted), "3m"))
    return Aggregation("sum", change, asked.group_by)


def takes_five_minutes(asked: ResolvedQuerier, _window: str, /) -> Expression:
    """Take rates over what it likes."""
    return increase(asked, "5m")


def takes_minutes(asked: ResolvedQuerier, window: str, /) -> Expression:
    """Understand some windows only."""
    return increase(asked, f"{int(window.removesuffix('m'))}m")


@attrs.frozen
class Remembers:
    """Divides by what the querier that made it asks for."""

    labels: Any = attrs.field(eq=False)

    def __call__(self, asked: ResolvedQuerier, _window: str, /) -> Expression:
        """Use its own labels beside those that are to be used."""
        return BinaryOperation("/", total(asked), Aggregation("sum", Selector("rack_limit", self.labels), asked.group_by))


@attrs.frozen
class Owned:
    """Equal to that of another querier of the same rack alone."""

    rack: str | None

    def __call__(self, asked: ResolvedQuerier, _window: str, /) -> Expression:
        """Be right otherwise."""
        return total(asked)


class Remembering(Rack):
    """Racks, whose strategy is not for others."""

    def query_strategy(self) -> Remembers:
        """Remember the labels."""
        return Remembers(self.labels())


COUNTER = itertools.count()
UNITS = {"power": "watts"}


def rotated(_: Any) -> dict[str, str]:
    """Return labels in another order each time."""
    first = next(COUNTER) % 3
    return dict.fromkeys(("abc" * 2)[first : first + 3], "x")


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
        "reads more than .* asks for: other does not match rack='r1'",
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
        racks(query_strategy=lambda _: lambda asked, _window: total(asked)),
    ),
    (
        checks.check_asking_again_answers_the_same,
        "the strategy the next time",
        racks(total=lambda _, asked, _window: total(asked), query_strategy=lambda rack: rack.total),
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
]


@pytest.mark.parametrize(("check", "says", "queriers"), CAUGHT, ids=called)
def test_a_querier_that_is_wrong_fails_its_check(check: QuerierCheck, says: str, queriers: list[Any]) -> None:
    """By an assertion that says what is wrong."""
    with pytest.raises(AssertionError, match=says):
        check(spec_of(queriers), queriers)


def test_every_check_of_answers_and_sharing_catches_something() -> None:
    """None is without a querier that fails it."""
    here = ("answers", "sharing")
    assert {check for check in CHECKS if check.__module__.endswith(here)} == {check for check, *_ in CAUGHT}


def test_every_check_is_listed_and_has_a_contract() -> None:
    """None of the package is left out, none comes twice, and each says what it is for."""
    defined = [
        check
        for name, module in vars(checks).items()
        if isinstance(module, ModuleType)
        for check in vars(module).values()
        if getattr(check, "__module__", "").endswith(f".querier_checks.{name}") and check.__name__.startswith("check_")
    ]
    assert sorted(map(repr, defined)) == sorted(map(repr, CHECKS))
    assert all(check.__doc__ for check in CHECKS)
