"""What the checks of odd and hostile values are there for: queriers that are wrong, each failing its check."""

from __future__ import annotations

from typing import Any

import attrs
import pytest
from tests.conformance.racks import Rack, called, racks, some, spec_of, total

from statcore.errors import InputError
from statcore.promql import Aggregation, BinaryOperation, Expression, Selector
from statcore.queriers import LabelMatcher, ResolvedQuerier
from statcore.testing import querier_checks as checks
from statcore.testing.querier_checks import CHECKS, QuerierCheck


@attrs.frozen(kw_only=True)
class Validated(Rack):
    """Racks, some of which are refused by another error."""

    rack: str | None = attrs.field(default=None, validator=attrs.validators.in_([None, "r1", "r2"]))


class OnlyOdd(Rack):
    """Racks, which take odd text alone, and make nothing of it."""

    def labels(self) -> dict[str, Any]:
        """Refuse what is plain."""
        if (self.rack or "").islower():
            raise InputError("too plain")
        return {**super().labels(), "rack": "odd"}


@attrs.frozen
class Remembers:
    """Asks for the metric that the querier that made it is named by."""

    rack: str

    def __call__(self, asked: ResolvedQuerier, _window: str, /) -> Expression:
        """Use a name beside the one that is to be used."""
        return BinaryOperation("/", total(asked), Aggregation("sum", Selector(self.rack, asked.wanted), asked.group_by))


UNITS = {"power": "watts"}


def given(rack: Any, *names: str) -> dict[str, Any]:
    """Return fields that are not None as labels."""
    return {name: getattr(rack, name) for name in names if getattr(rack, name) is not None}


CAUGHT: list[tuple[QuerierCheck, str, list[Any]]] = [
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
        racks(query_strategy=lambda rack: Remembers(rack.rack or "none")),
    ),
    (
        checks.check_hostile_text_stays_in_its_place,
        "UnicodeEncodeError",
        racks(labels=lambda rack: {name: text.encode().decode() for name, text in given(rack, "rack", "note").items()}),
    ),
    (checks.check_hostile_text_stays_in_its_place, "what is refused is refused with InputError", some(Validated)),
]


@pytest.mark.parametrize(("check", "says", "queriers"), CAUGHT, ids=called)
def test_a_querier_that_is_wrong_fails_its_check(check: QuerierCheck, says: str, queriers: list[Any]) -> None:
    """By an assertion that says what is wrong."""
    with pytest.raises(AssertionError, match=says):
        check(spec_of(queriers), queriers)


def test_every_check_of_hostile_values_catches_something() -> None:
    """None is without a querier that fails it."""
    assert {check for check in CHECKS if check.__module__.endswith("hostile")} == {check for check, *_ in CAUGHT}
