"""`statcore promql NAME`: the PromQL text of a query, to paste into a console or a dashboard."""

from __future__ import annotations

from typing import Any

import click

from statcore.plugins.hooks import QuerierSpec
from statcore.promql.syntax import render
from statcore.promql.utilization import utilization_query
from statcore_cli.command_context import CommandContext
from statcore_cli.command_line import setting_options
from statcore_cli.querier_commands import QuerierGroup, QuerierOptions, flags, group_by_option
from statcore_cli.standard_output import plugin_code


def _build(spec: QuerierSpec) -> click.Command:
    own = [group_by_option(), *setting_options("rate_interval")]
    options = QuerierOptions(spec, flags(own))

    def answer(**values: Any) -> None:  # noqa: ANN401 - what click parsed
        settings = CommandContext.of(click.get_current_context()).settings
        with plugin_code():
            expression = utilization_query(
                options.build(values).querier,
                rate_interval=settings.rate_interval.value,
                normalization_interval_s=settings.normalization_interval_s,
            )
            text = render(expression)
        click.echo(text)

    return click.Command(
        spec.name,
        params=[*options.params(), *own],
        callback=answer,
        help=f"Print the PromQL text: {spec.summary}.",
        epilog=f"""\b
Example:
    statcore promql {options.usage()}
""",
    )


command = QuerierGroup(
    build=_build,
    name="promql",
    help="Print the PromQL text that a query sends, without sending it.",
    epilog="""\b
Examples:
    statcore promql container --metric-name cpu_util
    statcore promql container --metric-name mem --value-type capacity
    promtool query instant http://127.0.0.1:9090 "$(statcore promql container --metric-name mem)"
""",
    params=setting_options("rate_interval"),
)
