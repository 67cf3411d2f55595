"""How `examples/manager` reports settings and clusters that it cannot use."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from tests.e2e.program import ID_1

EXAMPLES = Path(__file__).parent.parent.parent / "examples"


async def _refusal(settings: Mapping[str, str]) -> str:
    """Return the one line that a manager prints before it ends with 1."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "manager"),
        cwd=EXAMPLES,
        env={**os.environ, **{f"MANAGER_{name}": value for name, value in settings.items()}},
        stderr=asyncio.subprocess.PIPE,
    )
    _, output = await process.communicate()
    assert 1 == process.returncode
    (line,) = output.decode().splitlines()
    return line


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"PORT": "x"}, "manager: MANAGER_PORT must be a number from 0 to 65535, not 'x'"),
        ({"TICK_S": "0"}, "manager: MANAGER_TICK_S must be a number of seconds above zero, not '0'"),
        ({"CLUSTER": "nowhere.toml"}, "manager: cannot read nowhere.toml: No such file or directory"),
        ({"CLUSTER": "manager/app.py"}, "manager: manager/app.py is not TOML: "),
        ({"KERNEL_STATISTICS": "x"}, "manager: MANAGER_KERNEL_STATISTICS must be store or metrics, not 'x'"),
        ({"STATISTICS_URL": "mysql://"}, "there is no statistics store mysql:"),
    ],
)
async def test_bad_settings_are_one_line(settings: Mapping[str, str], says: str) -> None:
    """The exit code is 1, and the line names the setting."""
    assert says in await _refusal({"CLUSTER": "manager/cluster.toml", "PORT": "0", **settings})


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('[[sessions]]\nsession_id = "x"', "session 0 lacks 'kernels'"),
        ('sessions = ["a"]', "session 0: string indices must be integers"),
        ('[[endpoints]]\nendpoint_id = "x"\nreplicas = []', "endpoint 0: not an id: 'x'"),
        (
            f'[[endpoints]]\nendpoint_id = "{ID_1}"\nreplicas = []\nrules = [{{uper_threshold = 1}}]',
            "endpoint 0: ThresholdRule",
        ),
    ],
)
async def test_a_bad_cluster_names_the_file_and_the_item(text: str, says: str, tmp_path: Path) -> None:
    """The exit code is 1, and the error is one line."""
    cluster = tmp_path / "c.toml"
    cluster.write_text(text)
    assert f"manager: {cluster}, {says}" in await _refusal({"CLUSTER": str(cluster)})
