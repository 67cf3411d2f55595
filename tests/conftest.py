"""Real servers for tests; a test whose program is missing is skipped, or fails where CI=true."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import HealthCheck, settings
from tests.support.certificates import Authority
from tests.support.environments import ROOT, build_wheels

from statcore.testing.metrics.dataset import PlantedSeries
from statcore.testing.metrics.openmetrics import openmetrics_text
from statcore.testing.servers import (
    Program,
    Server,
    find_installations,
    plant_openmetrics,
    running_prometheus,
    running_valkey,
    servers_folder,
)

pytest_plugins = ["statcore.testing.fixtures", "tests.support.valkey_fixtures"]
collect_ignore = ["compat", "e2e/outside_project"]  # roots of their own: `make compat` runs the one, an e2e test the other
PROFILE = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # a busy machine fails no test
settings.register_profile("dev", PROFILE, max_examples=50)
settings.register_profile("ci", PROFILE, max_examples=200)
settings.load_profile("ci" if os.environ.get("CI") else "dev")


@attrs.frozen
class Federation:
    """A Prometheus without samples of its own, and the two that it reads."""

    server: Server
    shards: Sequence[Server]


SCRAPE_SOON = "--scrape.discovery-reload-interval=100ms"  # by default 5 s, which pass before the first scrape
PROMETHEUS = find_installations("prometheus")


def pytest_report_header() -> list[str]:
    """Say which metric servers the tests run on, and which are not found."""
    found = [*PROMETHEUS, *find_installations("victoria-metrics")]
    lines = [f"servers: {', '.join(f'{program} ({program.path})' for program in found) or 'none'}"]
    built = {program.name for program in found if Path(program.path).parent == servers_folder()}
    missing = sorted({"prometheus", "victoria-metrics"} - built)
    return [*lines, f"servers not found: current {' and '.join(missing)} (make servers-current)"] if missing else lines


@pytest.fixture(scope="session", autouse=True)
def default_signals() -> Iterator[None]:
    """Give SIGINT, SIGTERM and SIGHUP their default action, also where pytest was started to ignore them."""
    handlers: dict[signal.Signals, Any] = {
        signal.SIGINT: signal.default_int_handler,
        signal.SIGTERM: signal.SIG_DFL,
        signal.SIGHUP: signal.SIG_DFL,
    }
    ignored = [number for number in handlers if signal.getsignal(number) == signal.SIG_IGN]
    for number in ignored:
        signal.signal(number, handlers[number])
    yield
    for number in ignored:
        signal.signal(number, signal.SIG_IGN)


@pytest.fixture
def start_valkey(tmp_path: Path, require_program: Callable[..., str]) -> Iterator[Callable[..., Server]]:
    """Start a Valkey of the test's own, to be stopped or configured as it likes; arguments as `running_valkey`."""
    require_program("valkey-server", "redis-server")
    with ExitStack() as stack:

        def start(**options: Any) -> Server:
            folder = tmp_path / f"valkey-{os.urandom(4).hex()}"
            folder.mkdir()
            return stack.enter_context(running_valkey(folder, **options))

        yield start


@pytest.fixture(scope="module", params=list[Any](PROMETHEUS) or [None], ids=str)
def prometheus_program(request: pytest.FixtureRequest, require_program: Callable[..., str]) -> Program:
    """Each Prometheus that is installed, one after the other.

    Not for the session: pytest sorts tests by parameters of that scope, and would set up a module's fixtures again.
    """
    require_program("prometheus")
    require_program("promtool")
    program: Program = request.param
    return program


@pytest.fixture(scope="module")
def prometheus_holding(
    tmp_path_factory: pytest.TempPathFactory, prometheus_program: Program
) -> Callable[..., AbstractContextManager[Server]]:
    """Run a Prometheus that has the samples of an OpenMetrics text, for as long as a `with` block lasts."""

    @contextmanager
    def holding(text: str, **options: Any) -> Iterator[Server]:
        folder = tmp_path_factory.mktemp("prometheus")
        plant_openmetrics(folder, text, program=shutil.which("promtool", path=Path(prometheus_program.path).parent))
        with running_prometheus(folder, **{"targets": {}, "program": prometheus_program.path, **options}) as server:
            yield server

    return holding


@pytest.fixture(scope="module")
def prometheus_federation(
    tmp_path_factory: pytest.TempPathFactory,
    prometheus_program: Program,
    prometheus_holding: Callable[..., AbstractContextManager[Server]],
) -> Callable[..., AbstractContextManager[Federation]]:
    """Run a Prometheus that reads two others by `remote_read`, each of which has every second series."""

    @contextmanager
    def holding(series: Iterable[PlantedSeries]) -> Iterator[Federation]:
        every = list(series)
        with ExitStack() as stack:
            shards = [stack.enter_context(prometheus_holding(openmetrics_text(every[number::2]))) for number in range(2)]
            folder = tmp_path_factory.mktemp("federation")
            options: dict[str, Any] = {"remote_read": [shard.url for shard in shards], "program": prometheus_program.path}
            yield Federation(stack.enter_context(running_prometheus(folder, targets={}, **options)), shards)

    return holding


@pytest.fixture
def start_prometheus(tmp_path: Path, prometheus_program: Program) -> Iterator[Callable[..., Server]]:
    """Start a Prometheus of the test's own; arguments as `running_prometheus`, the folder by default a new one."""
    with ExitStack() as stack:

        def start(folder: Path | None = None, **options: Any) -> Server:
            if folder is None:
                folder = tmp_path / f"prometheus-{os.urandom(4).hex()}"
                folder.mkdir()
            options = {"targets": {}, "program": prometheus_program.path, "arguments": [SCRAPE_SOON], **options}
            return stack.enter_context(running_prometheus(folder, **options))

        yield start


@pytest.fixture
def new_authority(tmp_path: Path, require_program: Callable[..., str]) -> Callable[[str], Authority]:
    """Make a certificate authority by its name."""
    return partial(Authority.new, require_program("openssl"), tmp_path)


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout, built once for the whole run."""
    (path,) = build_wheels(tmp_path_factory.mktemp("wheel"), ROOT)
    return path
