"""What happens to any server of a topology."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeAlias

from tests.simulation.topology_scenario import Harm, TopologyScenario

from statcore.testing.simulation.valkey_replication import Peer, ReplicatedValkey

End: TypeAlias = Callable[[], object]
"""What ends a harm."""


def _server(run: TopologyScenario) -> Peer:
    return run.simulation.random.choice(run.servers())


def _replicated(run: TopologyScenario) -> ReplicatedValkey:
    return run.simulation.random.choice([server for server in run.servers() if isinstance(server, ReplicatedValkey)])


def _crash(run: TopologyScenario) -> End:
    server = _server(run)
    with_data = run.simulation.random.random() < 0.5
    if server.is_running:
        server.crash()
    return lambda: None if server.is_running else server.restart(with_data=with_data)


def _restart_at_once(run: TopologyScenario) -> End:
    _server(run).restart(with_data=run.simulation.random.random() < 0.5)
    return nothing


def _hang(run: TopologyScenario) -> End:
    server = _server(run)
    server.hang()
    return server.wake


def _cut(run: TopologyScenario) -> End:
    server = _server(run)
    server.host.cut()
    return server.host.heal


def _apart(run: TopologyScenario) -> End:
    server = _server(run)
    server.side = run.simulation.random.choice([1, 1, 2])
    return lambda: setattr(server, "side", 0)


def _long_apart(run: TopologyScenario) -> End:
    """Keep one server apart for so long that the others have replaced it, or have replaced another without it."""
    return _apart(run)


def _slow_path(run: TopologyScenario) -> End:
    latency_s = (0.0, run.simulation.random.choice([0.1, 0.4, 1.5]))
    return _with_path(_server(run), latency_s=latency_s)


def _resets(run: TopologyScenario) -> End:
    return _with_path(_server(run), reset_share=run.simulation.random.choice([0.05, 0.3, 0.9]))


def _trickle(run: TopologyScenario) -> End:
    return _with_path(_server(run), piece_bytes=run.simulation.random.choice([1, 3, 50]))


def _cuts_connections(run: TopologyScenario) -> End:
    for end in _server(run).host.connections():
        end.abort()
    return nothing


def _slow_process(run: TopologyScenario) -> End:
    server = _server(run)
    server.delay_s = run.simulation.random.choice([0.02, 0.3, 0.8])
    return lambda: setattr(server, "delay_s", 0.0)


def _lag(run: TopologyScenario) -> End:
    server = _replicated(run)
    server.lag_s = (0.0, run.simulation.random.choice([0.5, 5.0]))
    return lambda: setattr(server, "lag_s", (0.0005, 0.005))


def _no_links(run: TopologyScenario) -> End:
    """Let replicas lose their links, and get no data; the next primary may lack all that is written now."""
    server = _replicated(run)
    server.is_withholding = True
    for replica in server.replicas():
        replica.unlink()
    return lambda: setattr(server, "is_withholding", False)


def _empty_replicas(run: TopologyScenario) -> End:
    """Restart the replicas of a primary, empty, while it sends no data, and end the primary itself."""
    servers = [server for server in run.servers() if isinstance(server, ReplicatedValkey) and any(server.replicas())]
    server = run.simulation.random.choice(servers) if servers else _replicated(run)
    server.is_withholding = True
    for replica in server.replicas():
        if replica.is_running:
            replica.restart(with_data=False)
    if server.is_running:
        server.crash()

    def end() -> None:
        server.is_withholding = False
        if not server.is_running:
            server.restart(with_data=False)

    return end


def _with_path(server: Peer, **values: Any) -> End:
    path = server.host.path
    before = {name: getattr(path, name) for name in values}

    def change(values: dict[str, Any]) -> None:
        for name, value in values.items():
            setattr(path, name, value)

    change(values)
    return lambda: change(before)


def nothing() -> None:
    """Do nothing."""


HARMS: Final = [
    *(Harm(begin) for begin in (_crash, _restart_at_once, _hang, _cut, _apart, _slow_path, _resets, _trickle)),
    *(Harm(begin) for begin in (_cuts_connections, _slow_process, _lag, _no_links)),
    Harm(_empty_replicas, least_s=5.0),
    Harm(_long_apart, least_s=20.0),
]
"""Of any server."""
