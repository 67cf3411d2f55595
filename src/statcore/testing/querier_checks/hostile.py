"""Checks of odd and hostile values in a querier's fields, which users type."""

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
from statcore.queriers.interface import MetricQuery, UtilizationMetricQuerier
from statcore.queriers.matcher import LabelMatcher, MatchOperator
from statcore.testing.expectations import expect, expect_error
from statcore.testing.metrics.dataset import HOSTILE_VALUES
from statcore.testing.querier_checks.reading import arguments_of, build_and_resolve, fields_of, values_of
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
    """Every choice, truth value, number and id gives an expression or an `InputError`, and no other error."""
    for querier in queriers:
        values = values_of(spec, querier)
        for field in fields_of(spec):
            for odd in (*field.choices, *_ODD.get(field.type, ())):
                with suppress(InputError):
                    build_and_resolve(spec, {**values, field.name: odd})


def check_unknown_choices_are_refused(spec: QuerierSpec, queriers: Sequence[UtilizationMetricQuerier]) -> None:
    """An unknown choice is refused, or stands in the expression as it is; it never becomes another choice.

    The command line and GraphQL refuse it before the class sees it. Python code gets an `InputError`, or the `ValueError`
    or `TypeError` of a validator. Fields of an enumeration are not checked: their members are all known.
    """
    for querier in queriers:
        for field in fields_of(spec, FieldType.CHOICE):
            with expect_error(InputError, about=f"{field.name}={_UNKNOWN!r} as text"):
                build_querier(spec, {**values_of(spec, querier), field.name: _UNKNOWN})
            if not any(isinstance(choice, Enum) for choice in field.choices.values()):
                _expect_no_other(spec, field, arguments_of(spec, querier))


def check_hostile_text_stays_in_its_place(spec: QuerierSpec, queriers: Sequence[UtilizationMetricQuerier]) -> None:
    r"""Text in a text field is refused with `InputError`, or stands unchanged in a place where any text is safe.

    These places are: a label value or a part of it, for `=` and `!=`; one value of a set; the whole of a regex, which is
    then the user's own; the metric name or a part of it, where statcore refuses names that are not valid. Nothing else in
    the expression changes with the text.

    The texts are empty (which must not mean that none was given), or have quotes, backslashes, braces, line breaks, emoji
    and U+FFFD; text that cannot be encoded is always refused.
    """
    for querier in queriers:
        values = values_of(spec, querier)
        for field in fields_of(spec, FieldType.TEXT):
            plain: MetricQuery | None = None
            with suppress(InputError):
                plain, _ = build_and_resolve(spec, {**values, field.name: _PLAIN})
            for text in _TEXTS:
                try:
                    query, expression = build_and_resolve(spec, {**values, field.name: text})
                except InputError:
                    continue
                about = f"the expression with {field.name}={text!r:.200}"
                if plain is not None and _holds(plain, _PLAIN):
                    expect(_with_text(plain, text, about=about), expression.text, about)
                elif not _holds(query, text):
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


def _holds(query: MetricQuery, text: str) -> bool:
    return _in(query.name, text) or any(_matches(matcher, text) for matcher in query.labels.values())


def _in(whole: str, text: str) -> bool:
    return text in whole if text else not whole  # the empty text is in every text


def _matches(matcher: LabelMatcher, text: str) -> bool:
    if matcher.operator in _EXACT:
        return _in(matcher.value, text)
    return text == matcher.value or text in matcher.alternatives


def _with_text(plain: MetricQuery, text: str, *, about: str) -> str:
    """Return the expression of a query with another text in every place of the plain one."""
    matchers = {label: _put(text, matcher) for label, matcher in plain.labels.items()}
    querier = FixedQuerier(plain.name.replace(_PLAIN, text), matchers, group_by=plain.group_by, strategy=plain.strategy)
    try:
        return utilization_query(querier).text
    except StatcoreError as error:
        raise AssertionError(f"{about} is answered, though the text in its place is not: {error}") from error


def _put(text: str, matcher: LabelMatcher) -> LabelMatcher:
    if matcher.alternatives:
        return LabelMatcher.one_of(value.replace(_PLAIN, text) for value in matcher.alternatives)
    if matcher.operator in _EXACT or matcher.value == _PLAIN:
        return attrs.evolve(matcher, value=matcher.value.replace(_PLAIN, text))
    return matcher  # in a part of a regex the text would be read as a regex
