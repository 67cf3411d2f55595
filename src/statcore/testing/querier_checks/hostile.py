"""Odd and hostile values in a querier's fields, from whoever may type them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from enum import Enum
from typing import Any, Final
from uuid import UUID

import attrs

from statcore.errors import InputError, StatcoreError
from statcore.model.text import describe
from statcore.plugins.fields import FieldType, QuerierField
from statcore.plugins.hooks import QuerierSpec
from statcore.plugins.querier_kinds import build_querier
from statcore.promql.utilization import utilization_query
from statcore.queriers.interface import UtilizationMetricQuerier
from statcore.queriers.matcher import LabelMatcher, MatchOperator
from statcore.queriers.query import ResolvedQuerier
from statcore.testing.expectations import expect, expect_error
from statcore.testing.metrics.dataset import HOSTILE_VALUES
from statcore.testing.querier_checks.asking import arguments_of, fields_of, query, values_of
from statcore.testing.queriers import FixedQuerier

_PLAIN: Final = "statcore-plain-text"
_UNKNOWN: Final = "no_such_choice"
_EXACT: Final = (MatchOperator.EQUAL, MatchOperator.NOT_EQUAL)
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


def check_hostile_text_stays_in_its_place(spec: QuerierSpec, queriers: Sequence[UtilizationMetricQuerier]) -> None:
    r"""Text in a text field is refused with `InputError`, or stands as it is where text is written safely.

    That is: the value of a label, or a part of it, for `=` and `!=`; one of a set; the whole of a regex, which is the
    user's then; the metric's name or a part of it, where statcore refuses what is no name; nothing else changes with it.

    Any text: empty, which must not come to mean that none was given; quotes, backslashes, braces, line breaks, emoji,
    U+FFFD; and what cannot be encoded is always refused.
    """
    for querier in queriers:
        values = values_of(spec, querier)
        for field in fields_of(spec, FieldType.TEXT):
            plain: ResolvedQuerier | None = None
            with suppress(InputError):
                plain, _ = query(spec, {**values, field.name: _PLAIN})
            for text in _TEXTS:
                try:
                    asked, expression = query(spec, {**values, field.name: text})
                except InputError:
                    continue
                about = f"the expression with {field.name}={text!r:.200}"
                if plain is not None and _holds(plain, _PLAIN):
                    expect(_with_text(plain, text, about=about), expression.text, about)
                elif not _holds(asked, text):
                    raise AssertionError(f"{field.name}={text!r:.200} is neither refused nor in {expression.text}")


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


def _holds(asked: ResolvedQuerier, text: str) -> bool:
    return _in(asked.name, text) or any(_matches(matcher, text) for matcher in asked.labels.values())


def _in(whole: str, text: str) -> bool:
    return text in whole if text else not whole  # or nothing would be in everything


def _matches(matcher: LabelMatcher, text: str) -> bool:
    if matcher.operator in _EXACT:
        return _in(matcher.value, text)
    return text == matcher.value or text in matcher.alternatives


def _with_text(plain: ResolvedQuerier, text: str, *, about: str) -> str:
    """Return the expression that has a text wherever this one has the plain one."""
    wanted = {label: _put(text, matcher) for label, matcher in plain.labels.items()}
    querier = FixedQuerier(plain.name.replace(_PLAIN, text), wanted, group_by=plain.group_by, strategy=plain.strategy)
    try:
        return utilization_query(querier).text
    except StatcoreError as error:
        raise AssertionError(f"{about} is answered, though the text in its place is not: {error}") from error


def _put(text: str, matcher: LabelMatcher) -> LabelMatcher:
    if matcher.alternatives:
        return LabelMatcher.one_of(value.replace(_PLAIN, text) for value in matcher.alternatives)
    if matcher.operator in _EXACT or matcher.value == _PLAIN:
        return attrs.evolve(matcher, value=matcher.value.replace(_PLAIN, text))
    return matcher  # a part of a regex would be one itself
