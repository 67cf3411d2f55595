"""An installed plugin with kinds of querier that the core does not know."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from graphql import version_info

PLUGIN = '''
from dataclasses import dataclass
from typing import Literal

from statcore.errors import InputError
from statcore.plugins import QuerierSpec, hookimpl
from statcore.queriers import QueryStrategy, UtilizationMetricQuerier

STATCORE_PLUGIN_API = 1

@dataclass(kw_only=True)
class NodeMetricQuerier(UtilizationMetricQuerier):
    """Utilization of nodes.

    Args:
        metric_name: what is measured.
        node_id: which node.
        rack: how many of them.
    """

    metric_name: str
    node_id: str | None = None
    value_type: Literal["current", "capacity"] = "current"
    rack: int = 1
    def __post_init__(self):
        if self.metric_name == "crash": raise KeyError("the secret of the plugin")
        if self.rack < 0: raise InputError("rack must not be negative")
    def name(self): return "node_utilization"
    def labels(self):
        if self.metric_name == "late": raise KeyError("labels")
        labels = {"metric": self.metric_name, "value_type": self.value_type}
        return labels if self.node_id is None else {**labels, "node_id": self.node_id}
    def group_by_labels(self): return ["value_type"] + ["node_id"] * (self.node_id is not None)
    def query_strategy(self): return QueryStrategy.GAUGE

class Single(NodeMetricQuerier): pass

class Unreadable(NodeMetricQuerier):
    def __init__(self, *, what: "NoSuchType"): pass

@hookimpl
def statcore_queriers():
    return [
        QuerierSpec(
            name="node", summary="nodes", querier=NodeMetricQuerier, series="node_utilization", metric_label="metric"
        ),
        QuerierSpec(name="single", summary="one metric", querier=Single, series="node_utilization"),
        QuerierSpec(name="absent", summary="no series", querier=Single, series="absent_utilization"),
        QuerierSpec(name="unreadable", summary="nobody knows", querier=Unreadable, series="x"),
    ]
'''


@pytest.fixture
def nodes(install: Callable[..., Path]) -> Any:
    """The module of the plugin, installed like any plugin."""
    install("acme-nodes", nodes=PLUGIN)
    import acme_nodes_nodes  # type: ignore[import-not-found]  # noqa: PLC0415 - installed just now

    return acme_nodes_nodes


@pytest.fixture
def lists() -> Any:
    """The module that completes lists by plans, for which graphql-core has the methods since 3.3."""
    if version_info < (3, 3):
        pytest.skip("plans need graphql-core 3.3")
    return import_module("statcore_graphql.schema.lists")
