"""The GraphQL type of presets, and loading what they answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Final, Self, cast

import strawberry

from statcore import plugins
from statcore.errors import InputError
from statcore.model.results import MatrixResult
from statcore.model.time import QueryTimeRange
from statcore.ports.promql import as_promql, promql_text_of
from statcore.promql import check_points
from statcore.services import PresetService
from statcore_graphql.context import GraphQueryContext
from statcore_graphql.schema.utilization import Utilization

PRESET_LOADER: Final = "PresetMetrics.by_query"


@strawberry.type(description="A named query, and what may be filled in for its placeholders.")
class Preset:
    """A preset."""

    name: str
    description: str
    filter_labels: list[str]
    group_labels: list[str]
    window: str | None
    template: str

    @classmethod
    def of(cls, preset: plugins.Preset) -> Self:
        """Convert a preset."""
        return cls(
            name=preset.name,
            description=preset.description,
            filter_labels=list(preset.filter_labels),
            group_labels=list(preset.group_labels),
            window=preset.default_window,
            template=preset.template.text,
        )


async def load_preset(
    context: GraphQueryContext,
    name: str,
    *,
    time_range: QueryTimeRange,
    labels: object,
    group_labels: Sequence[str],
    window: str | None,
) -> Utilization:
    """Return what a preset answers; equal queries of a request are sent once.

    Args:
        context: the request's context.
        name: the preset.
        time_range: the range; one point for an instant.
        labels: an object of label names to a text or a list of texts, as the client sent it.
        group_labels: the labels to group by.
        window: the window of rates; None is the preset's own.

    Raises:
        InputError: the preset is unknown, it does not allow what is filled in, or a limit is exceeded.
        LimitError: the range has more points than the context allows.
        PluginError: the preset is unknown, but a broken plugin may have it.
        UnsupportedError: the backend evaluates no PromQL.
        StatcoreError: the query fails.
    """
    check_points(time_range, context.max_points, reason=f"GraphQL answers at most {context.max_points}")
    if name not in context.presets:
        with suppress(InputError):  # its message lists presets of plugins that the host may have left out
            context.plugins.preset(name)
    service = PresetService(as_promql(context.metrics, reason="this is a preset"), context.presets)
    filled_in = _read_labels(labels)
    promql = service.promql(name, time_range=time_range, labels=filled_in, group_labels=group_labels, window=window)
    loader = context.dataloader_manager.get_loader(context, PRESET_LOADER)
    result: MatrixResult = await loader.load((promql, time_range))
    # The encoder takes no subclass of str.
    return Utilization.of(result, context, promql=lambda: str(promql_text_of(context.metrics, promql)))


def _read_labels(labels: object) -> Mapping[str, str | Sequence[str]]:
    if isinstance(labels, dict):
        return cast("dict[str, str | Sequence[str]]", labels)  # the preset checks the values
    raise InputError(f"labels must be an object of texts or lists of texts, not {type(labels).__name__}")
