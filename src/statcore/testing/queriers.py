"""A querier for tests that answers what a test gives it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs

from statcore.queriers.interface import QueryStrategy, Strategy, UtilizationMetricQuerier
from statcore.queriers.matcher import LabelMatcher


@attrs.frozen
class FixedQuerier(UtilizationMetricQuerier):
    """Returns its own fields from the four methods, unchecked."""

    metric: str
    matchers: Mapping[str, str | LabelMatcher] = attrs.field(factory=dict[str, "str | LabelMatcher"], hash=False)
    group_by: Sequence[str] = attrs.field(default=(), kw_only=True)
    strategy: Strategy = attrs.field(default=QueryStrategy.GAUGE, kw_only=True)

    def name(self) -> str:
        """Return `metric`."""
        return self.metric

    def labels(self) -> Mapping[str, str | LabelMatcher]:
        """Return `matchers`."""
        return self.matchers

    def group_by_labels(self) -> Sequence[str]:
        """Return `group_by`."""
        return self.group_by

    def query_strategy(self) -> Strategy:
        """Return `strategy`."""
        return self.strategy
