"""What guards the supply: the audit of dependencies, and the linter's security rules."""

from __future__ import annotations

import gzip
import json
import os
import runpy
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, Final

import pytest
from tests.support.environments import ROOT

FOUND_IN_ATTRS: Final = {
    "id": "PYSEC-2026-1",
    "affected": [
        {
            "package": {"name": "attrs", "ecosystem": "PyPI"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "99.1"}]}],
        }
    ],
}
FOUND_IN_PREACT: Final = {
    "id": 1,
    "url": "https://advisories.invalid/1",
    "title": "planted",
    "severity": "high",
    "vulnerable_versions": ">=1",
}


@contextmanager
def vulnerability_service(found: dict[str, Any]) -> Iterator[str]:
    """A server that answers as OSV and as a registry of npm do, with a finding for each package that is named."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            packages = json.loads(body)
            if "package" in packages:  # OSV
                name = packages["package"]["name"]
                answer: dict[str, Any] = {"vulns": [found[name]]} if name in found else {}
            else:
                answer = {name: [found[name]] for name in packages if name in found}
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode())

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()


def audit(service: str, *, kind: str = "osv") -> subprocess.CompletedProcess[str]:
    """Run the script with a service of the test."""
    services = {
        "PIP_AUDIT_VULNERABILITY_SERVICE": kind,
        "PIP_AUDIT_OSV_URL": f"{service}/v1/query",
        "npm_config_registry": service,
    }
    command = [sys.executable, "scripts/audit.py"]
    return subprocess.run(command, cwd=ROOT, env=os.environ | services, capture_output=True, text=True, check=False)


def test_a_vulnerability_fails_the_audit() -> None:
    """Each is named with its package, of Python as of npm."""
    with vulnerability_service({"attrs": FOUND_IN_ATTRS, "preact": FOUND_IN_PREACT}) as service:
        done = audit(service)
    assert 1 == done.returncode
    python, npm = done.stderr.splitlines()
    assert python.startswith("attrs ")
    assert python.endswith(": PYSEC-2026-1, fixed in 99.1")
    assert "preact: https://advisories.invalid/1" == npm


def test_without_a_vulnerability_the_audit_succeeds() -> None:
    """It says how many packages it has audited."""
    with vulnerability_service({}) as service:
        done = audit(service)
    assert (0, "") == (done.returncode, done.stderr)
    python, npm = done.stdout.splitlines()
    assert 30 <= int(python.removeprefix("Python packages: ").removesuffix(" audited"))
    assert 4 <= int(npm.removeprefix("npm packages: ").removesuffix(" audited"))


def test_without_a_service_nothing_is_audited_and_the_output_says_so() -> None:
    """A machine without internet access passes; the output does not claim an audit."""
    done = audit("http://127.0.0.1:1")
    assert 0 == done.returncode
    assert ["Python packages: not audited", "npm packages: not audited"] == [
        line.partition(": no ")[0] for line in done.stdout.splitlines()
    ]


def test_an_audit_that_cannot_begin_fails() -> None:
    """Only a service that does not answer is excused; a wrong setting of pip-audit is not."""
    done = audit("http://127.0.0.1:1", kind="unknown")
    assert (1, "") == (done.returncode, done.stdout)
    assert "unknown" in done.stderr


def test_a_package_that_a_service_does_not_know_fails_the_audit(capsys: pytest.CaptureFixture[str]) -> None:
    """A pin without an answer was withdrawn or misspelt, unless the service knows no package at all."""
    findings = runpy.run_path(str(ROOT / "scripts/audit.py"))["python_findings"]
    unknown = {"name": "yarl", "skip_reason": "yarl was not found"}
    assert ["yarl was not found"] == findings([{"name": "attrs", "version": "1", "vulns": []}, unknown])
    assert [] == findings([unknown])
    assert capsys.readouterr().out.splitlines()[-1].startswith("Python packages: not audited")


@pytest.mark.parametrize(
    "file",
    [
        "src/statcore/x.py",
        "src/adapters/statcore_web/x.py",
        "plugins/statcore-node/src/x.py",
        "scripts/x.py",
        "hatch_build.py",
    ],
)
def test_the_security_rules_hold_for_what_runs(file: str) -> None:
    """Ruff reports an `eval`, a shell, and a pickle that is read, wherever they are."""
    source = "import pickle\nimport subprocess\n\neval(x)\nsubprocess.run(x, shell=True)\npickle.loads(x)\n"
    command = [sys.executable, "-m", "ruff", "check", "--output-format=json", "--stdin-filename", file, "-"]
    done = subprocess.run(command, cwd=ROOT, input=source, capture_output=True, text=True, check=False)
    assert {"S301", "S307", "S602"} <= {found["code"] for found in json.loads(done.stdout)}
