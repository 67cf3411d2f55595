"""The sum of what the scenarios of the simulation counted, at the end of the report."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show how many answers were checked; `make long` has this line in its table."""
    counted = Counter[str]()
    reports: list[Any] = terminalreporter.getreports("passed")
    for report in reports:
        counted.update({name: number for name, number in report.user_properties if isinstance(number, int)})
    if counted:
        terminalreporter.write_line(f"counted: {', '.join(f'{number:,} {name}' for name, number in counted.items())}")
