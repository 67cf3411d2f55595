"""Queriers of any kind, and the matchers in them."""

from __future__ import annotations

from typing import Any, get_args

from hypothesis import strategies as st

from statcore.model.statistics import has_bound
from statcore.queriers.container import ContainerMetricQuerier, ValueType
from statcore.queriers.interface import QueryStrategy, UtilizationMetricQuerier
from statcore.queriers.matcher import LabelMatcher
from statcore.testing.queriers import FixedQuerier
from statcore.testing.strategies.ids import agent_ids, ids
from statcore.testing.strategies.names import label_names, label_values, metric_names

_METRICS = ("cpu_util", "cpu_used", "mem", "net_rx", "net_tx", "io_read", "cuda_mem")
# Regular expressions that Python and RE2 read alike.
_PATTERN_PARTS = (
    "a",
    "b",
    "-",
    ".",
    ".*",
    ".+",
    "[a-c]",
    "[^a]",
    "(a|b)",
    "a?",
    "b{1,2}",
    r"\.",
    r"\\",
    "|",
    '"',
    "\n",
    "é",
)


def label_matchers() -> st.SearchStrategy[LabelMatcher]:
    """Return matchers of all four operators, and `one_of` with one and with several values."""
    patterns = st.lists(st.sampled_from(_PATTERN_PARTS), max_size=5).map("".join)
    return st.one_of(
        label_values().map(LabelMatcher.equal),
        label_values().map(LabelMatcher.not_equal),
        patterns.map(LabelMatcher.regex),
        patterns.map(LabelMatcher.not_regex),
        st.lists(label_values(), min_size=1, max_size=4).map(LabelMatcher.one_of),
    )


def container_queriers() -> st.SearchStrategy[ContainerMetricQuerier]:
    """Return queriers of containers with any value type that the metric has, and any choice of owners."""
    metrics = st.one_of(st.sampled_from(_METRICS), label_values().filter(bool))
    whats = st.tuples(metrics, st.sampled_from(get_args(ValueType))).filter(
        lambda what: what[1] != "pct" or has_bound(what[0])
    )
    owner = st.none() | ids()

    def build(what: tuple[str, ValueType], **owners: Any) -> ContainerMetricQuerier:  # noqa: ANN401 - by their labels
        return ContainerMetricQuerier(metric_name=what[0], value_type=what[1], **owners)

    return st.builds(
        build,
        whats,
        kernel_id=owner,
        session_id=owner,
        user_id=owner,
        project_id=owner,
        agent_id=st.none() | agent_ids(),
    )


def queriers() -> st.SearchStrategy[UtilizationMetricQuerier]:
    """Return queriers that keep the contract, of containers and of anything else: any names, matchers and strategy."""
    fixed = st.builds(
        FixedQuerier,
        metric_names(),
        st.dictionaries(label_names(), st.one_of(label_values(), label_matchers()), max_size=4),
        group_by=st.lists(label_names(), max_size=3),
        strategy=st.sampled_from(QueryStrategy),
    )
    return st.one_of(container_queriers(), fixed)
