"""What the command line and GraphQL make of a querier's class."""

from __future__ import annotations

import inspect
import json
from collections.abc import Sequence
from itertools import combinations

from statcore.errors import InputError, PluginError
from statcore.plugins.hooks import QuerierSpec
from statcore.plugins.querier_kinds import check_options
from statcore.promql.quoting import label_text, selector_parts
from statcore.queriers.interface import UtilizationMetricQuerier
from statcore.testing.expectations import expect
from statcore.testing.querier_checks.reading import (
    arguments_of,
    at_least_one,
    build,
    build_and_resolve,
    fields_of,
    values_of,
)


def check_the_spec_describes_them(spec: QuerierSpec, queriers: Sequence[UtilizationMetricQuerier]) -> None:
    """The spec names the class of the queriers, and its series and its label are valid names."""
    for querier in at_least_one(queriers):
        expect(spec.querier, type(querier), f"the class of {querier!r:.200}")
    try:
        for text, write in ((spec.series, selector_parts), (spec.metric_label, label_text)):
            if text is not None:
                write(text)
    except InputError as error:
        raise AssertionError(str(error)) from error


def check_fields_are_keyword_only_and_documented(spec: QuerierSpec, queriers: Sequence[UtilizationMetricQuerier]) -> None:
    """The constructor takes keyword arguments only, and the docstring describes each of them under `Args:`."""
    del queriers
    for parameter in inspect.signature(spec.querier).parameters.values():
        if parameter.kind is not parameter.KEYWORD_ONLY:
            raise AssertionError(f"{spec.querier.__name__} takes {parameter}, which is not keyword-only")
    for field in fields_of(spec):
        if not field.help:
            raise AssertionError(
                f"the docstring of {spec.querier.__name__} does not say under `Args:` what {field.name} is"
            )


def check_fields_are_options_of_their_own(spec: QuerierSpec, queriers: Sequence[UtilizationMetricQuerier]) -> None:
    """No two fields become the same option of the command line, with or without the name of the kind in front.

    The command line drops underscores around a name, and puts the kind in front of a field that is named like an option of
    a command: `rack_step` and `step` of the kind `rack` would both be `--rack-step`.
    """
    del queriers
    try:
        check_options(spec)
    except PluginError as error:
        raise AssertionError(str(error)) from error


def check_equal_fields_make_equal_queriers(spec: QuerierSpec, queriers: Sequence[UtilizationMetricQuerier]) -> None:
    """Queriers are values: frozen; equal, with equal hashes, where all fields are equal; unequal where a field differs."""
    with_arguments = [(querier, arguments_of(spec, querier)) for querier in queriers]
    for querier, arguments in with_arguments:
        other = spec.querier(**arguments)
        expect(True, querier == other, f"whether {querier!r:.200} equals another with the same fields")  # noqa: FBT003
        try:
            expect(hash(querier), hash(other), f"the hash of another {querier!r:.200}")
        except TypeError as error:
            raise AssertionError(f"{querier!r:.200} cannot be hashed, as objects of a frozen class can: {error}") from error
        for field, value in arguments.items():
            try:
                setattr(querier, field, value)
            except Exception:  # noqa: BLE001, S112 - however the class refuses
                continue
            raise AssertionError(f"{type(querier).__name__}.{field} can be set: make it a frozen class")
    for (first, first_arguments), (second, second_arguments) in combinations(with_arguments, 2):
        expect(first_arguments == second_arguments, first == second, f"whether {first!r:.200} equals {second!r:.200}")


def check_queriers_are_built_from_text(spec: QuerierSpec, queriers: Sequence[UtilizationMetricQuerier]) -> None:
    """The fields of a querier as JSON or command line values (text, truth, numbers, choices) build an equal querier."""
    for querier in queriers:
        values = values_of(spec, querier)
        try:
            rebuilt = build(spec, json.loads(json.dumps(values)))
        except InputError as error:
            raise AssertionError(f"{querier!r:.200} cannot be built from {values!r:.500}: {error}") from error
        expect(querier, rebuilt, f"the querier built from {values!r:.500}")


def check_optional_fields_may_be_left_out(spec: QuerierSpec, queriers: Sequence[UtilizationMetricQuerier]) -> None:
    """The required fields alone, or with one other field, give an expression or an `InputError`."""
    for querier in queriers:
        values = values_of(spec, querier)
        required = {field.name for field in fields_of(spec) if field.required}
        for also in (None, *(values.keys() - required)):
            given = {name: value for name, value in values.items() if name == also or name in required}
            _answer_or_refuse(spec, given)


def _answer_or_refuse(spec: QuerierSpec, values: dict[str, object]) -> None:
    try:
        build_and_resolve(spec, values)
    except InputError:
        return
