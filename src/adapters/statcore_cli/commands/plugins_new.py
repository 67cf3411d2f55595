"""`statcore plugins new NAME`: a plugin project that passes its own tests."""

from __future__ import annotations

from pathlib import Path

import click

from statcore_cli.options import format_option
from statcore_cli.output import write
from statcore_cli.plugin_project import check_kind, project_files, write_project
from statcore_cli.session import Session


@click.command(
    params=[click.Argument(["name"]), format_option()],
    epilog="""\b
Examples:
    statcore plugins new rack
    statcore plugins new tape-library --format json
""",
)
@click.pass_context
def command(ctx: click.Context, /, name: str, output_format: str) -> None:
    """Write a project for a plugin with a kind of querier of your own.

    NAME is the kind of object, as users will type it: rack, tape-library. The project is a new folder statcore-NAME with a
    querier, its tests and what builds a wheel; nothing is overwritten.

    JSON is {"folder", "files": [path, ...], "next": [command, ...]}.
    """
    check_kind(name, Session.of(ctx).registry)
    folder = Path(f"statcore-{name}")
    files = project_files(name)
    write_project(folder, files)
    paths = [str(folder / path) for path in files]
    commands = [f"cd {folder}", "pip install --editable '.[test]'", "pytest", f"statcore query {name} --help"]
    if output_format == "text":
        click.echo("\n    ".join(["Wrote:", *paths]))
        click.echo("\n    ".join(["Next:", *commands]))
        return
    document = {"folder": str(folder), "files": paths, "next": commands}
    write(output_format, ["file"], ([path] for path in paths), lambda: document)
