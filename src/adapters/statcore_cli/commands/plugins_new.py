"""`statcore plugins new [--store | --backend] NAME`: a plugin project that passes its own tests."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

from statcore.errors import InputError
from statcore_cli.options import format_option
from statcore_cli.output import write
from statcore_cli.plugin_project import Part, check_name, project_files, write_project
from statcore_cli.session import Session

_NEXT: Final = {
    Part.QUERIER: "statcore query {name} --help",
    Part.STORE: "statcore doctor --statistics-url {name}:///path/of/the/file",
    Part.BACKEND: "statcore doctor --metrics-url {name}:///path/of/the/file",
}


@click.command(
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
def command(ctx: click.Context, /, name: str, *, store: bool, backend: bool, output_format: str) -> None:
    """Write a project for a plugin with a kind of querier, a store or a backend of your own.

    NAME is the kind of object, as users will type it: rack, tape-library. For a store or a backend it is the scheme of its
    URLs. The project is a new folder statcore-NAME with a class that works, tests that pass, and what builds a wheel;
    nothing is overwritten. The store keeps entries in a SQLite file, the backend reads samples from a file: both are where
    yours starts, and the tests say what it must go on doing.

    JSON is {"folder", "files": [path, ...], "next": [command, ...]}.
    """
    if store and backend:
        raise InputError("--store and --backend are a project each; give one of them")
    part = Part.STORE if store else Part.BACKEND if backend else Part.QUERIER
    check_name(name, Session.of(ctx).registry, part)
    folder = Path(f"statcore-{name}")
    files = project_files(name, part)
    write_project(folder, files)
    paths = [str(folder / path) for path in files]
    commands = [f"cd {folder}", "pip install --editable '.[test]'", "pytest", _NEXT[part].format(name=name)]
    if output_format == "text":
        click.echo("\n    ".join(["Wrote:", *paths]))
        click.echo("\n    ".join(["Next:", *commands]))
        return
    document = {"folder": str(folder), "files": paths, "next": commands}
    write(output_format, ["file"], ([path] for path in paths), lambda: document)
