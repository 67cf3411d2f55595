"""Odd and hostile values in a querier's fields, from whoever may type them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from enum import Enum
from typing import Any, Final
from uuid import UUID

from statcore.errors import InputError
from statcore.model.text import describe
from statcore.plugins.contributions import QuerierSpec
from statcore.plugins.fields import FieldType, QuerierField, build_querier
from statcore.promql.utilization import utilization_query
from statcore.queriers.interface import UtilizationMetricQuerier
from statcore.queriers.matcher import LabelMatcher, MatchOperator
from statcore.queriers.strategy import ResolvedQuerier
from statcore.testing.expectations import expect, expect_error
from statcore.testing.metrics.dataset import HOSTILE_VALUES
from statcore.testing.querier_checks.asking import arguments_of, fields_of, query, values_of
from statcore.testing.queriers import FixedQuerier

_PLAIN: Final = "statcore-plain-text"
_UNKNOWN: Final = "no_such_choice"
_TEXTS: Final = ("", "}", *HOSTILE_VALUES, "\ud800")
_ODD: Final[dict[FieldType, tuple[Any, ...]]] = {
    FieldType.TRUTH: (True, False),
    FieldType.INTEGER: (0, 1, -1, 10**30),
    FieldType.NUMBER: (0.0, 1.0, -1.0, 1e308, 5e-324, float("nan"), float("inf"), float("-inf"), 10**30),
    FieldType.UUID: (UUID(int=0),),
}


def check_odd_values_are_answered_or_refused(spec: QuerierSpec, queriers: Sequence[UtilizationMetricQuerier]) -> None:
    """Every choice, truth value, number and id is answered, or refused with `InputError`: no other error comes of one."""
    for querier in queriers:
        values = values_of(spec, querier)
        for field in fields_of(spec):
            for odd in (*field.choices, *_ODD.get(field.type, ())):
                with suppress(InputError):
                    query(spec, {**values, field.name: odd})


def check_unknown_choices_are_refused(spec: QuerierSpec, queriers: Sequence[UtilizationMetricQuerier]) -> None:
    """What is none of a field's choices is refused, or asked for as it is; never is another answered in its place.

    The command line and GraphQL refuse it before the class is asked. Python code gets an `InputError`, or the `ValueError`
    or `TypeError` of a validator; a member of an enumeration cannot be an unknown one.
    """
    for querier in queriers:
        for field in fields_of(spec, FieldType.CHOICE):
            with expect_error(InputError, about=f"{field.name}={_UNKNOWN!r} as text"):
                build_querier(spec, {**values_of(spec, querier), field.name: _UNKNOWN})
            if not any(isinstance(choice, Enum) for choice in field.choices.values()):
                _expect_no_other(spec, field, arguments_of(spec, querier))


def check_hostile_text_stays_a_label_value(spec: QuerierSpec, queriers: Sequence[UtilizationMetricQuerier]) -> None:
    r"""Text in a text field is refused with `InputError`, or matched as it is, in the value of a label and nowhere else.

    Any text: empty, which must not come to mean that none was given; quotes, backslashes, braces, line breaks, emoji,
    U+FFFD; and what cannot be encoded is always refused. Matched as it is means `=` or `!=`, or one of a set.
    """
    for querier in queriers:
        values = values_of(spec, querier)
        for field in fields_of(spec, FieldType.TEXT):
            plain: ResolvedQuerier | None = None
            with suppress(InputError):
                plain, _ = query(spec, {**values, field.name: _PLAIN})
            for text in _TEXTS:
                with suppress(InputError):
                    asked, _ = query(spec, {**values, field.name: text})
                    _expect_in_place(asked, plain, text=text, field=field)


def _expect_no_other(spec: QuerierSpec, field: QuerierField, arguments: dict[str, Any]) -> None:
    try:
        querier = spec.querier(**{**arguments, field.name: _UNKNOWN})
    except (TypeError, ValueError):
        return
    try:
        text = utilization_query(querier).text
    except InputError:
        return
    except Exception as error:
        raise AssertionError(f"{field.name}={_UNKNOWN!r} is not refused, but fails: {describe(error)}") from error
    if _UNKNOWN not in text:
        raise AssertionError(f"{field.name}={_UNKNOWN!r} is not refused, but answered with {text}")


def _expect_in_place(asked: ResolvedQuerier, plain: ResolvedQuerier | None, *, text: str, field: QuerierField) -> None:
    places = [label for label, matcher in asked.labels.items() if text in _literals(matcher)]
    if not places:
        raise AssertionError(
            f"{field.name}={text!r:.200} is neither refused nor the value of a label in {asked.labels!r:.500}"
        )
    if plain is not None:
        about = f"the expression with {field.name}={text!r:.200}, but for the values of {', '.join(places)}"
        expect(_without(plain, places), _without(asked, places), about)


def _literals(matcher: LabelMatcher) -> Iterator[str]:
    if matcher.operator in {MatchOperator.EQUAL, MatchOperator.NOT_EQUAL}:
        yield matcher.value
    yield from matcher.alternatives


def _without(asked: ResolvedQuerier, places: Sequence[str]) -> str:
    wanted = {**asked.wanted, **dict.fromkeys(places, _PLAIN)}
    return utilization_query(FixedQuerier(asked.name, wanted, group_by=asked.group_by, strategy=asked.strategy)).text
