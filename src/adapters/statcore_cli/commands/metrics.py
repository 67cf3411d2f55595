"""`statcore metrics NAME`: the metrics that the backend has for a kind of object."""

from __future__ import annotations

import click

from statcore.plugins.hooks import QuerierSpec
from statcore.plugins.querier_kinds import metric_names
from statcore_cli.command_context import CommandContext
from statcore_cli.command_line import format_option, setting_options
from statcore_cli.event_loop import run
from statcore_cli.output import write
from statcore_cli.querier_commands import QuerierGroup


def _build(spec: QuerierSpec) -> click.Command:
    def answer(output_format: str, **_: object) -> None:
        names = run(_list(CommandContext.of(click.get_current_context()), spec), doing=f"listing metrics of {spec.name}")
        write(output_format, ["metric"], ([name] for name in names), lambda: {"metrics": names})

    return click.Command(
        spec.name,
        params=[*setting_options("metrics_url"), format_option()],
        callback=answer,
        help=f"List metrics: {spec.summary}.",
        epilog=f"""\b
Example:
    statcore metrics {spec.name} --format json
""",
    )


async def _list(context: CommandContext, spec: QuerierSpec) -> list[str]:
    async with context.metrics() as backend:
        return await metric_names(backend, spec)


command = QuerierGroup(
    build=_build,
    name="metrics",
    help='List the metrics of a kind of object. JSON is {"metrics": [name, ...]}.',
    epilog="""\b
Example:
    statcore metrics container
""",
    params=setting_options("metrics_url"),
)
