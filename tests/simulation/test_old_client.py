"""The harness of cancellations finds the fault that redis-py had until 2023: the next caller got the cancelled answer."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import redis

PROGRAM = Path(__file__).with_name("old_client.py")
OLD = "4.5.1"


@pytest.fixture
def old_redis(request: pytest.FixtureRequest) -> Path:
    """Return a folder with the old redis-py, which is installed once, into pytest's cache."""
    cache = request.config.cache
    assert cache is not None
    folder = cache.mkdir(f"redis-py-{OLD}")
    if not (folder / f"redis-{OLD}.dist-info").exists():
        install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--retries=1", "--timeout=10"]
        packages = [f"--target={folder}", f"redis=={OLD}", "async-timeout==4.0.3"]
        try:
            subprocess.run([*install, *packages], capture_output=True, timeout=60, check=True)
        except subprocess.SubprocessError as error:
            pytest.skip(f"redis {OLD} cannot be installed, which needs pip and a package registry: {error}")
    return folder


def findings(*packages: Path) -> tuple[str, list[str]]:
    """Return the version of redis-py, and what the harness finds in it."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, packages))}
    done = subprocess.run(
        [sys.executable, str(PROGRAM)], capture_output=True, text=True, timeout=60, check=True, env=environment
    )
    version, *found = done.stdout.splitlines()
    return version, found


def test_the_fault_of_an_old_client_is_found(old_redis: Path) -> None:
    """It puts a connection back into its pool with an answer still to come, which the next question then takes."""
    version, found = findings(old_redis)
    assert OLD == version
    assert "the value of b'b': expected b'b', got b'a'" in found


def test_the_fault_is_not_in_the_client_of_today() -> None:
    """Where it loses a cancellation, because `asyncio.wait_for` of Python 3.11 does, it still gives no wrong answer."""
    version, found = findings()
    assert redis.__version__ == version
    assert [] == [line for line in found if "lost its cancellation" not in line]
