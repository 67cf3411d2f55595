"""Fits lines through measured costs, and computes from them and from stated assumptions what a larger site needs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final, Self

import attrs
from report import Row, Table

KERNELS: Final = (10_000, 100_000, 1_000_000, 10_000_000)
"""The sites that are computed."""
GB: Final = 1e9
KERNELS_OF_AGENT: Final = 100
"""How many kernels write and are scraped together, in the measurements as well."""
_LEAST_CLUSTER: Final = 3
"""With fewer primaries no majority is left when one of them fails."""


def _assume(default: float, what: str) -> Any:  # noqa: ANN401 - the value of a field, as `attrs.field` itself returns it
    return attrs.field(default=default, metadata={"help": what})


@attrs.frozen(kw_only=True)
class Site:
    """What is assumed of a site; each field is an argument of `make scale`."""

    memory_share: float = _assume(0.5, "share of a machine's memory that is planned for")
    core_share: float = _assume(0.5, "share of a core's time that is planned for")

    def text(self) -> str:
        """Return all assumptions in a sentence."""
        return "Assumed: " + "; ".join(
            f"{field.metadata['help']}: {getattr(self, field.name):,g}" for field in attrs.fields(type(self))
        )


@attrs.frozen(kw_only=True)
class ValkeySite(Site):
    """What is assumed of a site with Valkey."""

    write_interval_s: float = _assume(5.0, "seconds between two writes of a kernel by its agent")
    read_interval_s: float = _assume(10.0, "seconds between two reads of three fields of all kernels by the host")
    kernels_of_agent: int = _assume(KERNELS_OF_AGENT, "kernels of an agent")
    replicas: int = _assume(1, "replicas of a Valkey")
    shard_gb: float = _assume(16.0, "GB of memory of a machine with a Valkey")
    pool_size: int = _assume(16, "connections of a host's process to a Valkey")
    max_clients: int = _assume(10_000, "connections that a Valkey accepts")


@attrs.frozen(kw_only=True)
class PrometheusSite(Site):
    """What is assumed of a site with Prometheus."""

    scrape_interval_s: float = _assume(15.0, "seconds between two scrapes of a kernel")
    prometheus_gb: float = _assume(64.0, "GB of memory of a machine with a Prometheus")
    prometheus_cores: int = _assume(8, "cores of a machine with a Prometheus")


@attrs.frozen(kw_only=True)
class Line:
    """A line through measured points: `fixed + each * size`.

    Args:
        fixed: the value at size 0.
        each: how much each item adds.
        error: the largest deviation from a measured point, as a share of the point.
    """

    fixed: float
    each: float
    error: float

    @classmethod
    def fit(cls, points: Mapping[int, float]) -> Self:
        """Return the line with the least squares of relative deviations, so that small sizes count as large ones do.

        Args:
            points: measured values above zero by size; at least two sizes.
        """
        weights = {size: value**-2 for size, value in points.items()}
        whole = sum(weights.values())
        middle = sum(weight * size for size, weight in weights.items()) / whole
        mean = sum(weights[size] * value for size, value in points.items()) / whole
        spread = sum(weight * (size - middle) ** 2 for size, weight in weights.items())
        each = sum(weights[size] * (size - middle) * value for size, value in points.items()) / spread
        fixed = mean - each * middle
        error = max(abs((fixed + each * size) / value - 1) for size, value in points.items())
        return cls(fixed=fixed, each=each, error=error)

    def at(self, size: float) -> float:
        """Return the value at a size."""
        return self.fixed + self.each * size

    def size_at(self, value: float) -> float:
        """Return the size at which the line reaches a value."""
        return (value - self.fixed) / self.each


@attrs.frozen(kw_only=True)
class ValkeyCosts:
    """What kernels cost a Valkey, one server or a cluster, and its readers, by the number of kernels.

    Args:
        memory_bytes: the memory of all primaries.
        write_s: the CPU time of all primaries to write all kernels once.
        read_s: the CPU time of all primaries to read three fields of all kernels once.
        client_s: the CPU time of the reading process.
        replica_share: the CPU time that a replica adds to the writes of its primary, as a share.
    """

    memory_bytes: Line
    write_s: Line
    read_s: Line
    client_s: Line
    replica_share: float

    def busy_cores(self, kernels: float, site: ValkeySite) -> float:
        """Return how many cores the primaries keep busy."""
        write_s = self.write_s.at(kernels) * (1 + site.replicas * self.replica_share)
        return write_s / site.write_interval_s + self.read_s.at(kernels) / site.read_interval_s

    def shards(self, kernels: float, site: ValkeySite) -> tuple[int, int]:
        """Return how many primaries the memory needs, and how many the CPU time needs."""
        by_memory = self.memory_bytes.at(kernels) / (site.shard_gb * GB * site.memory_share)
        return math.ceil(by_memory), math.ceil(self.busy_cores(kernels, site) / site.core_share)

    def largest(self, site: ValkeySite) -> tuple[float, float]:
        """Return the kernels at which one primary has the planned memory, and the planned CPU time."""
        by_memory = self.memory_bytes.size_at(site.shard_gb * GB * site.memory_share)
        fixed = self.busy_cores(0, site)
        return by_memory, (site.core_share - fixed) / (self.busy_cores(1, site) - fixed)


def plan_valkey(one: ValkeyCosts, cluster: ValkeyCosts, site: ValkeySite) -> list[Table]:
    """Return the tables of fitted costs and of sites beyond the measured one.

    Args:
        one: the costs of one server.
        cluster: the costs of a cluster.
        site: what is assumed.
    """
    fitted = [
        _fitted(f"{name}, {what}", line, unit=unit)
        for name, costs in (("one server", one), ("cluster", cluster))
        for what, line, unit in (
            ("memory, bytes", costs.memory_bytes, 1.0),
            ("CPU of primaries to write, µs", costs.write_s, 1e6),
            ("CPU of primaries to read, µs", costs.read_s, 1e6),
            ("CPU of the reader, µs", costs.client_s, 1e6),
        )
    ]
    return [
        _fits("Costs of a kernel in Valkey, fitted", fitted),
        Table(
            title="Valkey for larger sites, computed from the fitted costs",
            subject="kernels",
            rows=[_valkey_site(kernels, one, cluster, site) for kernels in KERNELS],
            notes=[site.text(), *_valkey_steps(one, site)],
        ),
    ]


def _valkey_site(kernels: int, one: ValkeyCosts, cluster: ValkeyCosts, site: ValkeySite) -> Row:
    fits_one = max(one.shards(kernels, site)) == 1
    costs = one if fits_one else cluster
    by_memory, by_cpu = costs.shards(kernels, site)
    primaries = 1 if fits_one else max(by_memory, by_cpu, _LEAST_CLUSTER)
    processes = math.ceil(costs.client_s.at(kernels) / site.read_interval_s / site.core_share)
    agents = math.ceil(kernels / site.kernels_of_agent)
    return Row(
        contender=f"{kernels:,}",
        figures={
            "GB": costs.memory_bytes.at(kernels) / GB,
            "writes/s": round(kernels / site.write_interval_s),
            "busy cores": costs.busy_cores(kernels, site),
            "primaries by memory": by_memory,
            "primaries by CPU": by_cpu,
            "primaries": primaries,
            "servers": primaries * (1 + site.replicas),
            "processes of the host": processes,
            "connections of a server, host": processes * site.pool_size,
            "connections of a server, agents": agents,
        },
    )


def _valkey_steps(one: ValkeyCosts, site: ValkeySite) -> list[str]:
    by_memory, by_cpu = one.largest(site)
    memory = f"its memory then reaches {site.memory_share:.0%} of {site.shard_gb:g} GB"
    cpu = f"its thread is then busy {site.core_share:.0%} of the time"
    second_process = one.client_s.size_at(site.core_share * site.read_interval_s)
    most_agents = site.max_clients * site.kernels_of_agent
    return [
        (
            f"One Valkey is enough up to about {_about(min(by_memory, by_cpu))} kernels at a write interval of "
            f"{site.write_interval_s:g} s, because {memory if by_memory < by_cpu else cpu}; then a cluster is due. "
            f"Memory alone would be enough up to {_about(by_memory)} kernels, CPU alone up to {_about(by_cpu)}"
        ),
        (
            f"A second process of the host is due at about {_about(second_process)} kernels, because these reads then take "
            f"{site.core_share:.0%} of a core"
        ),
        (
            f"Above {_about(most_agents)} kernels the agents alone have more connections to a server than its limit of "
            f"{site.max_clients:,}: raise its `maxclients`, or let agents share connections"
        ),
        (
            f"A replica adds {one.replica_share:.0%} to the CPU time of its primary's writes: the writes of a cluster with"
            " replicas, measured once, over those of the cluster without"
        ),
    ]


@attrs.frozen(kw_only=True)
class PrometheusCosts:
    """What kernels cost a Prometheus, by the number of kernels.

    Args:
        series: the series of a kernel.
        memory_bytes: the resident memory.
        ingest_s: the CPU time to scrape all kernels once.
        query_s: the time of statcore's query of all kernels over an hour.
    """

    series: int
    memory_bytes: Line
    ingest_s: Line
    query_s: Line

    def busy_cores(self, kernels: float, site: PrometheusSite) -> float:
        """Return how many cores the scrapes keep busy."""
        return self.ingest_s.at(kernels) / site.scrape_interval_s

    def largest(self, site: PrometheusSite) -> tuple[float, float]:
        """Return the kernels at which one Prometheus has the planned memory, and the planned CPU time."""
        cores = site.prometheus_cores * site.core_share
        by_memory = self.memory_bytes.size_at(site.prometheus_gb * GB * site.memory_share)
        return by_memory, self.ingest_s.size_at(cores * site.scrape_interval_s)


def plan_prometheus(by_version: Mapping[str, PrometheusCosts], site: PrometheusSite) -> list[Table]:
    """Return the tables of fitted costs and of sites beyond the measured one; the last version counts for the sites.

    Args:
        by_version: the costs by the name of the server.
        site: what is assumed.
    """
    fitted = [
        _fitted(f"{name}, {what}", line, unit=unit)
        for name, costs in by_version.items()
        for what, line, unit in (
            ("memory, bytes", costs.memory_bytes, 1.0),
            ("CPU of a scrape, µs", costs.ingest_s, 1e6),
            ("query of all over an hour, µs", costs.query_s, 1e6),
        )
    ]
    name, costs = list(by_version.items())[-1]
    return [
        _fits("Costs of a kernel in Prometheus, fitted", fitted),
        Table(
            title=f"{name} for larger sites, computed from the fitted costs",
            subject="kernels",
            rows=[_prometheus_site(kernels, costs, site) for kernels in KERNELS],
            notes=[site.text(), *_prometheus_steps(costs, site)],
        ),
    ]


def _prometheus_site(kernels: int, costs: PrometheusCosts, site: PrometheusSite) -> Row:
    parts = max(math.ceil(kernels / largest) for largest in costs.largest(site))
    series = kernels * costs.series
    return Row(
        contender=f"{kernels:,}",
        figures={
            "series": series,
            "samples/s": round(series / site.scrape_interval_s),
            "GB": costs.memory_bytes.at(kernels) / GB,
            "busy cores": costs.busy_cores(kernels, site),
            "machines": parts,
            "machines with a second copy": 2 * parts,
            "query of all over an hour, s": costs.query_s.at(kernels),
        },
    )


def _prometheus_steps(costs: PrometheusCosts, site: PrometheusSite) -> list[str]:
    by_memory, by_cpu = costs.largest(site)
    memory = f"its memory then reaches {site.memory_share:.0%} of {site.prometheus_gb:g} GB"
    cpu = f"scrapes then keep {site.core_share:.0%} of {site.prometheus_cores} cores busy"
    slow = costs.query_s.size_at(site.scrape_interval_s)
    return [
        (
            f"One Prometheus is enough up to about {_about(min(by_memory, by_cpu))} kernels at a scrape interval of "
            f"{site.scrape_interval_s:g} s, because {memory if by_memory < by_cpu else cpu}; then a distributed engine is "
            f"due. Memory alone would be enough up to {_about(by_memory)} kernels, CPU alone up to {_about(by_cpu)}"
        ),
        (
            f"From about {_about(slow)} kernels on, an hour of all kernels takes longer to read than the scrape interval: "
            "read pages of kernels, or sums that a recording rule keeps"
        ),
    ]


def _fitted(name: str, line: Line, *, unit: float) -> Row:
    figures = {"each kernel": line.each * unit, "largest deviation %": line.error * 100}
    return Row(contender=name, figures=figures)


def _fits(title: str, rows: Sequence[Row]) -> Table:
    note = "Lines with the least squares of relative deviations; the deviation is that of the worst measured point"
    return Table(title=title, subject="cost", rows=rows, notes=[note])


def _about(kernels: float) -> str:
    """Return a number of kernels with two digits."""
    return f"{int(float(f'{kernels:.1e}')):,}"
