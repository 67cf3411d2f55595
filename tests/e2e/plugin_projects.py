"""Projects of plugins as their authors would publish them, to build and install."""

from __future__ import annotations

from pathlib import Path
from typing import Final

HEAD: Final = """
from statcore.plugins import QuerierSpec, hookimpl
from statcore.queriers import ContainerMetricQuerier
STATCORE_PLUGIN_API = 1
"""


def offering(kind: str) -> str:
    """Return the source of a plugin that offers one kind of querier."""
    spec = f"QuerierSpec(name={kind!r}, summary='s', querier=ContainerMetricQuerier, series='s')"
    return f"{HEAD}\n@hookimpl\ndef statcore_queriers():\n    return [{spec}]\n"


def write_project(folder: Path, distribution: str, source: str, *, version: str = "1.0", name: str | None = None) -> Path:
    """Write a project whose plugin is one module; `name` is the name of its entry point, by default the distribution's."""
    module = distribution.replace("-", "_")
    project = folder / distribution
    (project / module).mkdir(parents=True)
    (project / module / "__init__.py").write_text(source, encoding="utf-8")
    (project / "pyproject.toml").write_text(
        f"""
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "{distribution}"
version = "{version}"
dependencies = ["statcore"]

[project.entry-points.statcore]
{name or distribution} = "{module}"
""",
        encoding="utf-8",
    )
    return project
