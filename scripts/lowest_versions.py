"""Prints the lowest version of each direct dependency that pyproject.toml allows, as constraints for pip.

Every bound must name a version that was released: pip fails where it does not exist.
"""

import tomllib
from pathlib import Path

from packaging.requirements import Requirement

with (Path(__file__).parent.parent / "pyproject.toml").open("rb") as file:
    document = tomllib.load(file)

project = document["project"]
groups = document["dependency-groups"]
lines = [
    *project["dependencies"],
    *groups["bench"],
    *groups["page"],
    *(line for line in groups["test"] if isinstance(line, str)),
]
for extra in project["optional-dependencies"].values():
    lines += extra
for requirement in map(Requirement, lines):
    if requirement.name != project["name"]:
        (lowest,) = (bound.version for bound in requirement.specifier if bound.operator == ">=")
        print(f"{requirement.name}=={lowest}")
