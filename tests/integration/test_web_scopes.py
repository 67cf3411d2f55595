"""A scoped token on real servers sees nothing of another project, by whatever it sends."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final
from uuid import NAMESPACE_OID, uuid5

import attrs
from aiohttp import ClientResponse
from prometheus_client.parser import text_string_to_metric_families
from tests.support.planted_server import planted_server
from tests.support.web_host import Client, TokenFile, get, post, serving

from statcore.model import MetricValue
from statcore.model.inventory import EndpointRecord, KernelRecord, ReplicaRecord
from statcore.plugins import PluginRegistry, Preset
from statcore.queriers.container import CONTAINER_METRIC_LABEL, CONTAINER_SERIES, OWNER_LABELS
from statcore.runtime import Settings, open_runtime
from statcore.testing.metrics.dataset import PlantedSeries
from statcore.testing.servers import Server
from statcore_memory import MemoryInventory
from statcore_valkey import ValkeyStatisticsSink
from statcore_web import Tokens

NOW: Final = int(time.time()) // 60 * 60
TIMES: Final = f'start: "{NOW - 600}", end: "{NOW}", step: "1m"'
PRESET: Final = Preset(
    name="most",
    description="Bytes.",
    template=f"sum by (${{{{ group_by }}}})({CONTAINER_SERIES}{{${{{{ labels }}}}}})",
    filter_labels=OWNER_LABELS,
    group_labels=(*OWNER_LABELS, CONTAINER_METRIC_LABEL),
)
UNGUARDED: Final = Preset(
    name="unguarded",
    description="Has a selector without labels.",
    template=f"sum({CONTAINER_SERIES}) + sum(x{{${{{{ labels }}}}}})",
    filter_labels=OWNER_LABELS,
)
KINDS: Final = ("project", "user", "session", "kernel", "endpoint", "replica")
VALUES: Final = {"mine": "1234567", "theirs": "7654321"}


def id_of(kind: str, owner: str) -> str:
    """Return the id of an object of an owner, always the same."""
    return str(uuid5(NAMESPACE_OID, f"{kind} {owner}"))


def labels(owner: str) -> dict[str, Any]:
    """Return the owner labels of the kernel of an owner."""
    ids = {f"{kind}_id": id_of(kind, owner) for kind in ("kernel", "session", "user", "project")}
    return {**ids, "agent_id": f"agent-of-{owner}"}


MARKS: Final = {
    owner: {*(id_of(kind, owner) for kind in KINDS), f"agent-of-{owner}", f"metric_of_{owner}", value}
    for owner, value in VALUES.items()
}
"""What shows that something of an owner is in an answer."""


def planted() -> Iterator[PlantedSeries]:
    """Yield a series for the kernel of each owner."""
    for owner, value in VALUES.items():
        samples = [(float(at), float(value)) for at in range(NOW - 900, NOW + 1, 60)]
        own = {CONTAINER_METRIC_LABEL: f"metric_of_{owner}", "value_type": "current"}
        yield PlantedSeries(CONTAINER_SERIES, {**labels(owner), **own}, samples)


server = planted_server(planted)


@attrs.frozen
class Service:
    """A running service with a token for the project of `mine`, and one for everything."""

    client: Client
    mine: str
    operator: str


@asynccontextmanager
async def running(valkey: Server, prometheus: Server, folder: Path) -> AsyncGenerator[Service]:
    """Serve both owners' objects from real servers within the block."""
    sink = ValkeyStatisticsSink.from_url(valkey.url)
    inventory = MemoryInventory()
    for owner, value in VALUES.items():
        metric = {f"metric_of_{owner}": MetricValue(current=value)}
        replica = ReplicaRecord(replica_id=id_of("replica", owner), session_id=id_of("session", owner))
        owners: dict[str, Any] = {"user_id": id_of("user", owner), "project_id": id_of("project", owner)}
        endpoint_id, place = id_of("endpoint", owner), (id_of("endpoint", owner), replica.replica_id)
        inventory.register_kernel(KernelRecord(**labels(owner)))
        inventory.register_endpoint(EndpointRecord(endpoint_id=endpoint_id, replicas=(replica,), **owners))
        await sink.store_kernel_statistics({id_of("kernel", owner): metric, id_of("session", owner): metric})
        await sink.store_endpoint_statistics({endpoint_id: {f"metric_of_{owner}": {"current": value}}})
        await sink.store_replica_statistics({place: {f"metric_of_{owner}": {"current": value}}})
        await sink.store_agent_statistics(f"agent-of-{owner}", node=metric, devices={}, interval_s=5)
        await sink.store_session_activity(id_of("session", owner), requests=int(value), last_response_ms=int(value))
    await sink.aclose()
    file = TokenFile(folder / "tokens.toml")
    secrets = file.write(mine=f'scope = {{ project_id = ["{id_of("project", "mine")}"] }}', operator='scope = "everything"')
    settings = Settings(statistics_url=valkey.url, metrics_url=prometheus.url)
    plugins = PluginRegistry.discover()
    options: dict[str, Any] = {"tokens": Tokens(str(file.path)), "presets": {"most": PRESET, "unguarded": UNGUARDED}}
    async with (
        open_runtime(settings, plugins) as runtime,
        serving(attrs.evolve(runtime, inventory=inventory), plugins=plugins, **options) as client,
    ):
        yield Service(client, secrets["mine"], secrets["operator"])


def selector(label: str, owner: str) -> str:
    """Return the fields of a querier for an owner's metric, limited by one label."""
    return f'{{metric_name: "metric_of_{owner}", {label}: "{labels(owner)[label]}"}}'


def marks_of(owner: str, query: str, response_text: str) -> set[str]:
    """Return the marks of an owner that an answer has and its query does not."""
    return {mark for mark in MARKS[owner] if mark in response_text and mark not in query}


EVERY_FIELD: Final = """{
    compute_session_list {
        total_count
        columns(fields: ["metric_of_theirs.current", "metric_of_mine.current"]) { field values }
        items {
            ...All
            a: live_stat b: inference_metrics
            kernels { kernel_id agent_id live_stat ...K }
        }
    }
    endpoint_list { total_count items { endpoint_id live_stat replicas { replica_id session_id active live_stat } } }
    kernel_list { total_count items { kernel_id session_id agent_id live_stat } }
    agent_list { total_count items { agent_id live_stat } }
    queriers { name fields { name choices default } }
    presets { name template }
    health { healthy ports { name healthy error } }
    plugins { name status error remedy }
    schema_version
}
fragment All on ComputeSession { session_id live_stat inference_metrics }
fragment K on Kernel { again: live_stat(fields: ["metric_of_theirs.current"]) }
"""
UTILIZATION: Final = "{ series { labels values } warnings infos partial }"


def queries(owner: str) -> dict[str, str]:
    """Return queries that name an owner's objects in each way."""
    session_id, project_id = id_of("session", owner), id_of("project", owner)
    point = f'time: "{NOW}"'
    groups = "[" + ", ".join(f'"{label}"' for label in PRESET.group_labels) + "]"
    return {
        "session": f'{{ compute_session(session_id: "{session_id}") {{ session_id live_stat inference_metrics'
        " kernels { kernel_id agent_id live_stat }"
        f' utilization(metric_name: "metric_of_{owner}", {TIMES}) {UTILIZATION} }} }}',
        **{
            f"utilization by {label}": f'{{ utilization(querier: "container", selector: {selector(label, owner)}, {TIMES})'
            f" {UTILIZATION} }}"
            for label in OWNER_LABELS
        },
        "utilization of all": f'{{ utilization(querier: "container", selector: {{metric_name: "metric_of_{owner}"}},'
        f" {TIMES}) {UTILIZATION} }}",
        "preset": f'{{ preset_result(name: "most", labels: {{project_id: "{project_id}"}}, group_labels: {groups},'
        f" {TIMES}) {UTILIZATION} }}",
        "preset at": f'{{ preset_result_at(name: "most", labels: {{project_id: ["{project_id}"]}}, group_labels: {groups},'
        f" {point}) {UTILIZATION} }}",
        "aliases": f'{{ mine: compute_session(session_id: "{id_of("session", "mine")}") {{ live_stat }}'
        f' other: compute_session(session_id: "{session_id}") {{ live_stat }} }}',
    }


OPEN_QUERIES: Final = {
    "every field": EVERY_FIELD,
    "available metrics": '{ available_metrics(querier: "container") }',
    "preset of all": f'{{ preset_result(name: "most", group_labels: ["project_id"], {TIMES}) {UTILIZATION} }}',
    "unguarded preset": f'{{ preset_result(name: "unguarded", {TIMES}) {UTILIZATION} }}',
    **{
        f"matcher {text}": f'{{ preset_result(name: "most", labels: {{project_id: "{text}"}}, {TIMES}) {UTILIZATION} }}'
        for text in (".*", '\\"} or vector(1) #')
    },
    "errors": '{ available_metrics(querier: "nothing") preset_result(name: "nothing", start: "0", end: "0", step: "1")'
    f" {UTILIZATION} }}",
}


async def test_a_scoped_token_sees_nothing_of_another_project(valkey: Server, server: Server, tmp_path: Path) -> None:
    """No field, alias, preset, matcher, list or error has a mark of it; the operator sees it by the same queries."""
    async with running(valkey, server, tmp_path) as service:
        seen_by_operator: set[str] = set()
        seen_by_mine: set[str] = set()
        for name, query in {**OPEN_QUERIES, **queries("theirs")}.items():
            for send in (get, post):
                response = await send(service.client, query, token=service.mine)
                assert set() == marks_of("theirs", query, await response.text() + repr(response.headers)), name
                assert "127.0.0.1" not in await response.text(), name
            operator = await post(service.client, query, token=service.operator)
            seen_by_operator |= marks_of("theirs", query, await operator.text())
        for query in (*OPEN_QUERIES.values(), *queries("mine").values()):
            answer = await post(service.client, query, token=service.mine)
            seen_by_mine |= marks_of("mine", query, await answer.text())
    assert MARKS["theirs"] == seen_by_operator
    assert MARKS["mine"] == seen_by_mine


async def calls(client: Client) -> dict[tuple[str, str], float]:
    """Return how often each operation of a port was called, from the metrics."""
    text = await (await client.get("/metrics")).text()
    return {
        (sample.labels["port"], sample.labels["operation"]): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == "statcore_port_call_duration_seconds_count"
    }


def without_ids(text: str, owner: str) -> str:
    """Return an answer with the owner's marks replaced by one word."""
    for mark in (*MARKS.get(owner, ()), *(id_of(kind, owner) for kind in KINDS), f"agent-of-{owner}", f"metric_of_{owner}"):
        text = text.replace(mark, "X")
    return text


async def test_another_projects_object_is_answered_as_one_that_nobody_has(
    valkey: Server, server: Server, tmp_path: Path
) -> None:
    """The status, the body and the calls of the ports are the same."""
    async with running(valkey, server, tmp_path) as service:
        for name, query in queries("theirs").items():
            found: list[Any] = []
            for owner in ("theirs", "nobody"):
                before = await calls(service.client)
                response = await post(service.client, queries(owner)[name], token=service.mine)
                after = await calls(service.client)
                made = {call: count - before.get(call, 0) for call, count in after.items() if count != before.get(call, 0)}
                found.append((response.status, without_ids(await response.text(), owner), made))
            assert found[0] == found[1], query


async def test_a_tag_of_one_scope_means_nothing_in_another(valkey: Server, server: Server, tmp_path: Path) -> None:
    """The same body has another tag, so that nobody can learn whether an answer is that of the operator."""
    query = "{ schema_version }"
    async with running(valkey, server, tmp_path) as service:
        mine, operator = [await get(service.client, query, token=token) for token in (service.mine, service.operator)]
        assert await mine.read() == await operator.read()
        known = {"If-None-Match": operator.headers["ETag"]}
        tokens = service.mine, service.operator
        statuses = [(await get(service.client, query, token=token, **known)).status for token in tokens]
        assert [200, 304] == statuses


async def test_what_needs_no_token_names_no_object(valkey: Server, server: Server, tmp_path: Path) -> None:
    """Health and metrics have nothing of either owner, after both were queried."""
    async with running(valkey, server, tmp_path) as service:
        for query in (*OPEN_QUERIES.values(), *queries("mine").values(), *queries("theirs").values()):
            await post(service.client, query, token=service.operator)
        answers: list[ClientResponse] = [
            await service.client.get(path) for path in ("/healthz", "/readyz", "/metrics", "/explorer")
        ]
        assert [200] * 4 == [answer.status for answer in answers]
        text = "".join([await answer.text() for answer in answers])
    assert {} == {owner: found for owner in VALUES if (found := marks_of(owner, "", text))}


async def test_readiness_follows_a_server_that_ends(start_valkey: Any, server: Server, tmp_path: Path) -> None:
    """The port of a server that ended is named, without its address; the other port is ready."""
    valkey = start_valkey()
    async with running(valkey, server, tmp_path) as service:
        assert 200 == (await service.client.get("/readyz")).status
        valkey.process.terminate()
        valkey.process.wait()
        response = await service.client.get("/readyz")
        text = await response.text()
        document = json.loads(text)
        assert (503, False, True) == (
            response.status,
            document["ports"]["statistics"]["healthy"],
            document["ports"]["metrics"]["healthy"],
        )
        assert str(valkey.port) not in text
