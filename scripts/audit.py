"""Looks up the known vulnerabilities of the packages that statcore and its plugins run with, and of those in its page.

A vulnerability is an error. Where no service answers, as on a machine without internet access, nothing is audited: the
script prints this and succeeds. The variables PIP_AUDIT_VULNERABILITY_SERVICE, PIP_AUDIT_OSV_URL and npm_config_registry
name other services.
"""

import json
import subprocess
import sys
import tomllib
from collections.abc import Mapping, Sequence
from importlib.metadata import requires, version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT: Final = Path(__file__).parent.parent
PIP_AUDIT: Final = ("-m", "pip_audit", "--progress-spinner=off", "--format=json", "--no-deps", "--disable-pip")
NPM_AUDIT: Final = ("hatch_build.py", "npm", "audit", "--omit=dev", "--json", "--fetch-retries=0", "--fetch-timeout=15000")


def runtime_packages() -> dict[str, str]:
    """Return the installed versions of what `statcore[all]` and the plugins need, and of what these need, by name."""
    needed = [Requirement("statcore[all]")]
    for project in ROOT.glob("plugins/*/pyproject.toml"):
        needed += map(Requirement, tomllib.loads(project.read_text(encoding="utf-8"))["project"]["dependencies"])
    extras: dict[str, set[str]] = {}
    while needed:
        requirement = needed.pop()
        known = extras.setdefault(canonicalize_name(requirement.name), set())
        for extra in {"", *requirement.extras} - known:
            known.add(extra)
            further = map(Requirement, requires(requirement.name) or ())
            needed += [each for each in further if each.marker is None or each.marker.evaluate({"extra": extra})]
    return {name: version(name) for name in sorted(extras) if name != "statcore"}


def audit_python_packages() -> list[str]:
    """Return the findings of pip-audit.

    Raises:
        SystemExit: pip-audit fails before it sends a request.
    """
    with TemporaryDirectory() as folder:
        pins = Path(folder, "requirements.txt")
        pins.write_text("".join(f"{name}=={pin}\n" for name, pin in runtime_packages().items()), encoding="utf-8")
        # pip-audit has one exit code for all failures. The first run sends nothing: what fails only later is the service.
        rehearsal = _run(*PIP_AUDIT, f"--requirement={pins}", "--dry-run")
        if rehearsal.returncode:
            raise SystemExit(rehearsal.stderr)
        done = _run(*PIP_AUDIT, f"--requirement={pins}")
    if not done.stdout:
        return _not_audited("Python", done.stderr.rstrip().rpartition("\n")[2])
    return python_findings(json.loads(done.stdout)["dependencies"])


def python_findings(packages: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a line for each vulnerability, and for each package that the service does not know.

    A service that knows none of the packages counts as no answer: mirrors of an index often have the files only.

    Args:
        packages: The packages as pip-audit reports them.
    """
    unknown = [package["skip_reason"] for package in packages if "skip_reason" in package]
    if len(unknown) == len(packages):
        return _not_audited("Python", unknown[0])
    print(f"Python packages: {len(packages) - len(unknown)} audited")
    return unknown + [
        f"{package['name']} {package['version']}: {found['id']}, fixed in {', '.join(found['fix_versions']) or 'none'}"
        for package in packages
        for found in package.get("vulns", ())
    ]


def audit_npm_packages() -> list[str]:
    """Return the findings of npm for the packages in the page, its bundler, and what they need.

    Raises:
        SystemExit: npm fails before it sends a request.
    """
    done = _run(*NPM_AUDIT)
    report = json.loads(done.stdout)
    if "message" in report:
        return _not_audited("npm", report["message"])
    if "vulnerabilities" not in report:
        raise SystemExit(done.stderr)
    print(f"npm packages: {report['metadata']['dependencies']['total']} audited")
    return [
        f"{name}: {via if isinstance(via, str) else via['url']}"
        for name, found in report["vulnerabilities"].items()
        for via in found["via"]
    ]


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603 - the tools above


def _not_audited(kind: str, reason: str) -> list[str]:
    print(f"{kind} packages: not audited: no vulnerability service is reachable ({reason})")
    return []


if __name__ == "__main__":
    sys.exit("\n".join([*audit_python_packages(), *audit_npm_packages()]) or None)
