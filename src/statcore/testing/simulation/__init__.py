"""Simulation by a seed: real clients on a virtual clock and a network in memory that loses, delays, cuts and lies.

A test of an adapter starts a server in the network, as on a real loop, and calls the adapter with the server's name::

    async def scenario(simulation: Simulation) -> None:
        await asyncio.start_server(answer, "store", 6379)
        simulation.network.host("store").path.piece_bytes = 1
        ...

    simulate(scenario, seed=17)

Minutes of faults take milliseconds. A failure names its seed, which makes the same run again.
"""

from __future__ import annotations

from statcore.testing.simulation.event_loop import NothingLeftError, SimulatedLoop
from statcore.testing.simulation.network import Host, Network, Path
from statcore.testing.simulation.run import TRACE, Simulation, SimulationSteps, simulate, simulation_steps

__all__ = [
    "TRACE",
    "Host",
    "Network",
    "NothingLeftError",
    "Path",
    "SimulatedLoop",
    "Simulation",
    "SimulationSteps",
    "simulate",
    "simulation_steps",
]
