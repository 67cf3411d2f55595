"""What the checks of fields are there for: queriers that are wrong, each failing its check."""

from __future__ import annotations

import enum
from datetime import timedelta
from typing import Any, Literal

import attrs
import pytest
from tests.conformance.racks import FULL, Rack, called, racks, some, spec_of

from statcore.errors import InputError
from statcore.plugins import QuerierSpec
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
class Needing(Rack):
    """Racks, of which a note needs a room, though the class does not say so."""

    def __attrs_post_init__(self) -> None:
        """Fail as no argument should."""
        if self.note is not None and self.room is None:
            raise KeyError("room")


@attrs.frozen(kw_only=True)
class Stepped(Rack):
    """Racks, with fields that are one option where a command has `--step`."""

    step: int = 1
    rack_step: int = 1


@attrs.frozen(kw_only=True)
class Trailing(Rack):
    """Racks, with fields that are one option."""

    room_: int = 1


@attrs.frozen(kw_only=True)
class Nameless(Rack):
    """Racks, with a field that no option can be called by."""

    def __init__(self, *, metric_name: Literal["power", "heat"], _: int = 1, **others: Any) -> None:
        """Take it."""
        self.__attrs_init__(metric_name=metric_name, **others)


class Same(enum.Enum):
    """Choices that are the same text."""

    NUMBER = 1
    TEXT = "1"


@attrs.frozen(kw_only=True)
class Merged(Rack):
    """Racks, with two choices that nobody could tell apart."""

    same: Same = Same.TEXT


@attrs.frozen(kw_only=True)
class Alike(Rack):
    """Equal to others."""

    rack: str | None = attrs.field(default=None, eq=False)


NOISE: Any = "noise"
NO_DEPTH: Any = None


CAUGHT: list[tuple[QuerierCheck, str, list[Any]]] = [
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


def test_every_check_of_fields_catches_something() -> None:
    """None is without a querier that fails it."""
    assert {check for check in CHECKS if check.__module__.endswith("fields")} == {check for check, *_ in CAUGHT}
