"""`statcore plugins` lists what is installed, what it offers and what is wrong with it; `new` writes a project."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import attrs
import click

from statcore.errors import InputError
from statcore_cli.command_context import CommandContext
from statcore_cli.command_line import format_option, setting_options
from statcore_cli.output import write
from statcore_cli.plugin_project import Part, check_name, project_files, write_project

_COLUMNS: Final = ("name", "distribution", "version", "status", "offers", "error", "remedy")
_NEXT_STEP: Final = {
    Part.QUERIER: "statcore query {name} --help",
    Part.STORE: "statcore doctor --statistics-url {name}:///path/of/the/file",
    Part.BACKEND: "statcore doctor --metrics-url {name}:///path/of/the/file",
}


@click.group(
    invoke_without_command=True,
    params=[*setting_options("disable_plugins"), format_option()],
    epilog="""\b
Examples:
    statcore plugins
    statcore plugins --format json
    STATCORE_DISABLE_PLUGINS=rack,tape-library statcore plugins
    statcore plugins new rack
    statcore plugins new --store attic
""",
)
@click.pass_context
def command(ctx: click.Context, /, output_format: str, **_: object) -> None:
    """List the plugins, what they offer, and what is wrong with the broken ones.

    Builds one querier of each kind, from the example of its spec or the defaults of its fields, and checks the functions
    that open stores and backends without calling them. Exits with 1 when a plugin is broken or rejected.

    JSON is {"plugins": [{"name", "distribution", "version", "status", "offers", "error", "remedy"}]}.
    """
    if ctx.invoked_subcommand is not None:
        ctx.default_map = {ctx.invoked_subcommand: {"output_format": output_format}}
        return
    reports = CommandContext.of(ctx, trial=True).registry.reports
    rows = [
        [r.name, r.distribution, r.version, r.status.value, ", ".join(r.offers), r.error or "", r.remedy or ""]
        for r in reports
    ]
    write(output_format, _COLUMNS, rows, lambda: {"plugins": [attrs.asdict(report) for report in reports]})
    if any(report.status.is_fault for report in reports):
        ctx.exit(1)


@command.command(
    "new",
    short_help="Write a project for a plugin of your own.",
    params=[
        click.Option(["--store"], is_flag=True, help="A store of live statistics, to read and to write."),
        click.Option(["--backend"], is_flag=True, help="A metric backend."),
        click.Argument(["name"]),
        format_option(),
    ],
    epilog="""\b
Examples:
    statcore plugins new rack
    statcore plugins new tape-library --format json
    statcore plugins new --store attic
    statcore plugins new --backend cellar
""",
)
@click.pass_context
def new_command(ctx: click.Context, /, name: str, *, store: bool, backend: bool, output_format: str) -> None:
    """Write a project for a plugin with a kind of querier, a store or a backend of your own.

    NAME is the kind of object, as users will type it: rack, tape-library. For a store or a backend it is the scheme of its
    URLs. The project is a new folder statcore-NAME with a class that works, tests that pass, and a pyproject.toml that
    builds a wheel; an existing folder is never overwritten. The store of the project keeps entries in a SQLite file, the
    backend reads samples from a file. Replace the file by your own storage; the tests check that the contract still holds.

    JSON is {"folder", "files": [path, ...], "next": [command, ...]}.
    """
    if store and backend:
        raise InputError("--store and --backend exclude each other; give one of them")
    part = Part.STORE if store else Part.BACKEND if backend else Part.QUERIER
    check_name(name, CommandContext.of(ctx).registry, part)
    folder = Path(f"statcore-{name}")
    files = project_files(name, part)
    write_project(folder, files)
    paths = [str(folder / path) for path in files]
    commands = [f"cd {folder}", "pip install --editable '.[test]'", "pytest", _NEXT_STEP[part].format(name=name)]
    if output_format == "text":
        click.echo("\n    ".join(["Wrote:", *paths]))
        click.echo("\n    ".join(["Next:", *commands]))
        return
    document = {"folder": str(folder), "files": paths, "next": commands}
    write(output_format, ["file"], ([path] for path in paths), lambda: document)
