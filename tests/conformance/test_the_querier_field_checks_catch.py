"""What the checks of fields and of hostile values are there for: queriers that are wrong, each failing its check."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import attrs
import pytest
from tests.conformance.racks import FULL, Rack, called, racks, some, spec_of, total

from statcore.errors import InputError
from statcore.plugins import QuerierSpec
from statcore.promql import Aggregation, BinaryOperation, Expression, Selector
from statcore.queriers import LabelMatcher, ResolvedQuerier
from statcore.testing import querier_checks as checks
from statcore.testing.querier_checks import CHECKS, QuerierCheck


@attrs.frozen(kw_only=True)
class Positional(Rack):
    """Racks, by row."""

    row: str = attrs.field(default="1", kw_only=False)


@attrs.frozen(kw_only=True)
class Undocumented(Rack):
    """Racks."""


@attrs.frozen(kw_only=True)
class Unreadable(Rack):
    """Racks."""

    level: NoSuchType = None  # type: ignore[name-defined]  # noqa: F821 - that is the point


class Hidden(Rack):
    """Racks, whose name is not to be seen."""

    def __init__(self, *, metric_name: str, hidden: str = "r1") -> None:
        """Keep it."""
        Rack.__init__(self, metric_name=metric_name, rack=hidden)  # type: ignore[arg-type]


@attrs.frozen(kw_only=True)
class Timed(Rack):
    """Racks, of a time that no text builds."""

    since: timedelta = timedelta(1)

    def __attrs_post_init__(self) -> None:
        """Want a time."""
        if not isinstance(self.since, timedelta):
            raise InputError("since is no time")


@attrs.frozen(kw_only=True)
class Insisting(Rack):
    """Racks, of which one must be named, though the class does not say so."""

    def __attrs_post_init__(self) -> None:
        """Fail as no argument should."""
        if self.rack is None:
            raise KeyError("rack")


@attrs.frozen(kw_only=True)
class Alike(Rack):
    """Equal to others."""

    rack: str | None = attrs.field(default=None, eq=False)


@attrs.frozen(kw_only=True)
class Validated(Rack):
    """Racks, some of which are refused by another error."""

    rack: str | None = attrs.field(default=None, validator=attrs.validators.in_([None, "r1", "r2"]))


@attrs.frozen
class Remembers:
    """Asks for the metric that the querier that made it is named by."""

    rack: str

    def __call__(self, asked: ResolvedQuerier, _window: str, /) -> Expression:
        """Use a name beside the one that is to be used."""
        return BinaryOperation("/", total(asked), Aggregation("sum", Selector(self.rack, asked.wanted), asked.group_by))


NOISE: Any = "noise"
NO_DEPTH: Any = None
UNITS = {"power": "watts"}


def given(rack: Any, *names: str) -> dict[str, Any]:
    """Return fields that are not None as labels."""
    return {name: getattr(rack, name) for name in names if getattr(rack, name) is not None}


CAUGHT: list[tuple[QuerierCheck, str, list[Any]]] = [
    (checks.check_the_spec_describes_them, "there is no querier", []),
    (checks.check_the_spec_describes_them, "the class of", [Rack(metric_name="power"), Undocumented(metric_name="power")]),
    (checks.check_the_spec_describes_them, "no line that can be printed", racks(__doc__="Racks\tand rows.")),
    (checks.check_fields_are_keyword_only_and_documented, "not keyword-only", some(Positional)),
    (checks.check_fields_are_keyword_only_and_documented, "does not say under `Args:`", some(Undocumented)),
    (checks.check_fields_are_keyword_only_and_documented, "NoSuchType", some(Unreadable)),
    (checks.check_queriers_are_built_from_text, "hidden cannot be read", [Hidden(metric_name="power")]),
    (checks.check_queriers_are_built_from_text, "since is no time", some(Timed)),
    (checks.check_queriers_are_built_from_text, "none of its choices", [Rack(metric_name=NOISE)]),
    (checks.check_queriers_are_built_from_text, "the querier built from", [Rack(metric_name="power", depth=NO_DEPTH)]),
    (checks.check_optional_fields_may_be_left_out, "KeyError", [Insisting(**FULL)]),
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
        checks.check_hostile_text_stays_a_label_value,
        "rack=.* is neither refused nor the value",
        racks(labels=lambda rack: {name: text.strip() for name, text in given(rack, "rack", "note").items()}),
    ),
    (
        checks.check_hostile_text_stays_a_label_value,
        "note='' is neither refused nor the value",
        racks(labels=lambda rack: {name: text for name, text in given(rack, "rack", "note").items() if text}),
    ),
    (
        checks.check_hostile_text_stays_a_label_value,
        "note='' is neither refused nor the value",
        racks(labels=lambda rack: given(rack, "rack") | {"note": LabelMatcher.regex(rack.note or "x")}),
    ),
    (
        checks.check_hostile_text_stays_a_label_value,
        "but for the values of rack",
        racks(name=lambda rack: f"rack_{rack.rack}"),
    ),
    (
        checks.check_hostile_text_stays_a_label_value,
        "but for the values of rack",
        racks(group_by_labels=lambda rack: [rack.rack or "rack"]),
    ),
    (
        checks.check_hostile_text_stays_a_label_value,
        "but for the values of rack",
        racks(query_strategy=lambda rack: Remembers(rack.rack or "none")),
    ),
    (
        checks.check_hostile_text_stays_a_label_value,
        "UnicodeEncodeError",
        racks(labels=lambda rack: {name: text.encode().decode() for name, text in given(rack, "rack", "note").items()}),
    ),
    (checks.check_hostile_text_stays_a_label_value, "what is refused is refused with InputError", some(Validated)),
]


@pytest.mark.parametrize(("check", "says", "queriers"), CAUGHT, ids=called)
def test_a_querier_that_is_wrong_fails_its_check(check: QuerierCheck, says: str, queriers: list[Any]) -> None:
    """By an assertion that says what is wrong."""
    with pytest.raises(AssertionError, match=says):
        check(spec_of(queriers), queriers)


@pytest.mark.parametrize("names", [{"series": 'rack"power'}, {"metric_label": "ra}ck"}])
def test_a_spec_with_names_that_cannot_be_written_is_caught(names: dict[str, Any]) -> None:
    """Or `statcore metrics` would fail for it."""
    spec = QuerierSpec(name="rack", summary="racks", querier=Rack, **names)
    with pytest.raises(AssertionError, match="must not hold"):
        checks.check_the_spec_describes_them(spec, some())


def test_every_check_of_fields_and_hostile_values_catches_something() -> None:
    """None is without a querier that fails it."""
    here = ("fields", "hostile")
    assert {check for check in CHECKS if check.__module__.endswith(here)} == {check for check, *_ in CAUGHT}
