"""Which presets there are, and what they answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Final, Self, cast

import strawberry

from statcore import plugins
from statcore.errors import InputError
from statcore.model.results import MatrixResult
from statcore.model.time import QueryTimeRange
from statcore.ports.promql import as_promql
from statcore.services import PresetService
from statcore_graphql.context import GraphQueryContext
from statcore_graphql.schema.utilization import Utilization

PRESET_LOADER: Final = "PresetMetrics.by_query"


@strawberry.type(description="A named query, and what may be filled in.")
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
        """Read a preset."""
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
    """Return what a preset answers; equal questions of a request are asked once.

    Raises:
        InputError: there is no such preset, it does not allow what is filled in, or a limit is exceeded.
        PluginError: there is no such preset, but a plugin that is broken may have it.
        UnsupportedError: the backend evaluates no PromQL.
    """
    if name not in context.presets:
        with suppress(InputError):  # which names the plugins' presets: the host may have left them out
            context.plugins.preset(name)
    service = PresetService(as_promql(context.metrics, wanted_by="this is a preset"), context.presets)
    filled_in = _read_labels(labels)
    promql = service.promql(name, time_range=time_range, labels=filled_in, group_labels=group_labels, window=window)
    loader = context.dataloader_manager.get_loader(context, PRESET_LOADER)
    result: MatrixResult = await loader.load((promql, time_range))
    return Utilization.of(result)


def _read_labels(labels: object) -> Mapping[str, str | Sequence[str]]:
    if isinstance(labels, dict):
        return cast("dict[str, str | Sequence[str]]", labels)  # a preset checks the values
    raise InputError(f"labels must be an object of texts or lists of texts, not {type(labels).__name__}")
