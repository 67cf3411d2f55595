"""`statcore metrics NAME`: which metrics the backend has for a kind of object."""

from __future__ import annotations

import click

from statcore.plugins.hooks import QuerierSpec
from statcore.plugins.querier_kinds import metric_names
from statcore_cli.options import format_option, setting_options
from statcore_cli.output import write
from statcore_cli.querier_commands import QuerierGroup
from statcore_cli.session import Session, run


def _build(spec: QuerierSpec) -> click.Command:
    def answer(output_format: str, **_: object) -> None:
        names = run(_list(Session.of(click.get_current_context()), spec), doing=f"listing metrics of {spec.name}")
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


async def _list(session: Session, spec: QuerierSpec) -> list[str]:
    async with session.metrics() as backend:
        return await metric_names(backend, spec)


command = QuerierGroup(
    build=_build,
    name="metrics",
    help='List the metrics that a kind of object has. JSON is {"metrics": [name, ...]}.',
    epilog="""\b
Example:
    statcore metrics container
""",
    params=setting_options("metrics_url"),
)
