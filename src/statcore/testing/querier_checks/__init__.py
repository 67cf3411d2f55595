"""The checks of queriers: one plain function per promise, with the promise in its docstring.

Each check takes the spec that a plugin contributes and some queriers of its class, uses no backend, and raises
`AssertionError` where the promise is broken. The more the queriers differ (with and without each optional field), the more
is checked.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

from statcore.plugins.hooks import QuerierSpec
from statcore.queriers.interface import UtilizationMetricQuerier
from statcore.testing.querier_checks.answers import (
    check_answers_keep_the_labels_grouped_by,
    check_asking_again_answers_the_same,
    check_declared_labels_are_replaced,
    check_expressions_render_for_any_window,
    check_methods_answer,
    check_names_can_be_written,
)
from statcore.testing.querier_checks.fields import (
    check_equal_fields_make_equal_queriers,
    check_fields_are_keyword_only_and_documented,
    check_fields_are_options_of_their_own,
    check_optional_fields_may_be_left_out,
    check_queriers_are_built_from_text,
    check_the_spec_describes_them,
)
from statcore.testing.querier_checks.hostile import (
    check_hostile_text_stays_in_its_place,
    check_odd_values_are_answered_or_refused,
    check_unknown_choices_are_refused,
)
from statcore.testing.querier_checks.sharing import (
    check_alike_queriers_share_requests,
    check_shared_requests_hold_every_value,
)

QuerierCheck: TypeAlias = Callable[[QuerierSpec, Sequence[UtilizationMetricQuerier]], None]

CHECKS: Final[tuple[QuerierCheck, ...]] = (
    check_the_spec_describes_them,
    check_fields_are_keyword_only_and_documented,
    check_fields_are_options_of_their_own,
    check_queriers_are_built_from_text,
    check_optional_fields_may_be_left_out,
    check_equal_fields_make_equal_queriers,
    check_methods_answer,
    check_names_can_be_written,
    check_expressions_render_for_any_window,
    check_answers_keep_the_labels_grouped_by,
    check_declared_labels_are_replaced,
    check_asking_again_answers_the_same,
    check_shared_requests_hold_every_value,
    check_alike_queriers_share_requests,
    check_odd_values_are_answered_or_refused,
    check_unknown_choices_are_refused,
    check_hostile_text_stays_in_its_place,
)

__all__ = ["CHECKS", "QuerierCheck"]
