"""The base of kinds of queriers of which only the fields matter."""

from __future__ import annotations

from collections.abc import Mapping

from statcore.queriers import QueryStrategy, UtilizationMetricQuerier


class Known(UtilizationMetricQuerier):
    """A querier whose answers do not matter here."""

    def name(self) -> str:
        """Answer."""
        return "m"

    def labels(self) -> Mapping[str, str]:
        """Answer."""
        return {}

    def group_by_labels(self) -> list[str]:
        """Answer."""
        return []

    def query_strategy(self) -> QueryStrategy:
        """Answer."""
        return QueryStrategy.GAUGE
