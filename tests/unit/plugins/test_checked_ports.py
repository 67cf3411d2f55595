"""Stores and backends of third parties: a broken contract is a `PluginError` that names the plugin."""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from tests.support.lazy_entries import Lazy
from tests.unit.plugins.plugin_modules import OPENERS, ORIGIN, registry_of, settings

from statcore.errors import MalformedEntryError, PluginError, UnavailableError, UnsupportedError
from statcore.model import (
    Column,
    MatrixResult,
    Problem,
    ProblemKind,
    QueryTimeRange,
    Sample,
    Series,
    StatisticsBatch,
    StatisticsColumns,
    VectorResult,
)
from statcore.plugins import PluginRegistry
from statcore.ports import (
    DatedStatisticsPort,
    DiagnosisPort,
    MetricQuerierPort,
    PromQLPort,
    ServerFacts,
    ServerFactsPort,
    StatisticsPort,
    StatisticsSinkPort,
    TenantPort,
    TopologyPort,
)
from statcore.ports.metrics import utilization_text_of
from statcore.promql import RATE_INTERVAL, Selector
from statcore.queriers import ContainerMetricQuerier
from statcore.runtime import Settings, open_metrics, open_runtime, open_sink, open_statistics
from statcore.statistics import StatisticsStatefulSource

PLUGIN = """
from statcore.plugins import MetricBackendSpec, StatisticsStoreSpec, hookimpl
STATCORE_PLUGIN_API = 1
ANSWERS = {}

class Adapter:
    beside = "beside the port"

def answers(name):
    async def method(self, *arguments, **options):
        answer = ANSWERS.get(name)
        return answer(*arguments, **options) if callable(answer) else answer
    return method

READ = ["fetch_kernel_statistics", "fetch_inference_metrics", "fetch_endpoint_statistics", "fetch_replica_statistics",
        "fetch_agent_statistics", "ping", "aclose"]
WRITE = ["store_kernel_statistics", "store_agent_statistics", "store_container_count", "store_endpoint_statistics",
         "store_replica_statistics", "store_session_activity", "remove", "aclose"]
ASK = ["query_utilization", "query_utilization_now", "label_values", "series", "ping", "aclose"]

def opener(*names):
    adapter = type("Adapter", (Adapter,), {name: answers(name) for name in names})
    async def open(url, options):
        return adapter()
    return open

def store(scheme, open, open_sink=None):
    return StatisticsStoreSpec(name=f"{scheme}-store", summary="s", schemes=(scheme,), open=open, open_sink=open_sink)

@hookimpl
def statcore_statistics_stores():
    return [store("acme", opener(*READ), opener(*WRITE)), store("unclosed", opener(*READ[:-1]), opener(*WRITE[:-1]))]

@hookimpl
def statcore_metric_backends():
    return [
        MetricBackendSpec(name=f"{scheme}-backend", summary="s", schemes=(scheme,), open=open)
        for scheme, open in [
            ("acme", opener(*ASK)), ("promql", opener(*ASK, "query", "query_range")), ("unclosed", opener(*ASK[:-1]))
        ]
    ]
"""
IDS = ["a", "b"]
PAIRS = [("a", "b"), ("b", "a")]
FETCHES: dict[str, Any] = {
    "fetch_kernel_statistics": IDS,
    "fetch_inference_metrics": IDS,
    "fetch_endpoint_statistics": IDS,
    "fetch_replica_statistics": PAIRS,
    "fetch_agent_statistics": IDS,
}
QUERIER = ContainerMetricQuerier(metric_name="mem", value_type="current")
RANGE = QueryTimeRange(start=0, end=60, step=30)
ASKED: dict[str, tuple[Any, ...]] = {
    "query_utilization": (QUERIER, RANGE),
    "query_utilization_now": (QUERIER,),
    "label_values": ("user_id",),
    "series": (Selector("up"),),
    "query": ("up",),
    "query_range": ("up", RANGE),
}
STORES: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {
    "store_kernel_statistics": (({},), {}),
    "store_agent_statistics": (("i-a",), {"node": {}, "devices": {}, "interval_s": 1.0}),
    "store_container_count": (("i-a", 1), {}),
    "store_endpoint_statistics": (({},), {}),
    "store_replica_statistics": (({},), {}),
    "store_session_activity": (("a",), {"requests": 1, "last_response_ms": 2}),
    "remove": ((["a"],), {}),
}
METHODS = [*FETCHES, *ASKED, *STORES, "ping"]


@pytest.fixture
def registry(install: Callable[..., Path]) -> PluginRegistry:
    """A registry with one plugin of a third party, whose adapters return the test's answers."""
    return registry_of(install, PLUGIN)


@pytest.fixture
def answers(registry: PluginRegistry) -> dict[str, Any]:
    """The answer of each method: a value, or a function that returns or raises."""
    del registry
    from acme_all_all import ANSWERS  # type: ignore[import-not-found]  # noqa: PLC0415 - the plugin just installed

    found: dict[str, Any] = ANSWERS
    return found


def raising(error: BaseException) -> Callable[..., Any]:
    """Return a function that raises."""

    def answer(*_: object, **__: object) -> Any:
        raise error

    return answer


def matrix(**changes: Any) -> MatrixResult:
    """Return an answer with one series, with changes."""
    series = {"labels": {"a": "b"}, "timestamps": array("d", [1.0, 2.0]), "values": array("d", [3.0, 4.0]), **changes}
    return MatrixResult(series=(Series(**series),))


def vector(**changes: Any) -> VectorResult:
    """Return an answer with one sample, with changes."""
    return VectorResult(samples=(Sample(**{"labels": {"a": "b"}, "timestamp": 1.0, "value": 2.0, **changes}),))


def odd(result: Any, **changes: Any) -> Any:
    """Return an answer with fields of types that its class does not allow, but does not check."""
    for name, value in changes.items():
        object.__setattr__(result, name, value)
    return result


BAD_BATCHES: list[tuple[Any, str]] = [
    ([{}, {}], "a StatisticsBatch"),
    (None, "a StatisticsBatch"),
    (StatisticsBatch([None]), "answered 1 entries for 2 ids"),
    (StatisticsBatch([None] * 3), "answered 3 entries for 2 ids"),
    (StatisticsBatch([None, "text"]), "a map as an entry"),  # type: ignore[list-item]
    (StatisticsBatch([None, None], problems={2: Problem(ProblemKind.STALE, message="m")}), "a Problem by the position"),
    (StatisticsBatch([None, None], problems={0: "old"}), "a Problem by the position of an id"),  # type: ignore[dict-item]
    (StatisticsBatch([None, None], ages_s={2: 5.0}), "an age in seconds by the position of an id"),
    (StatisticsBatch([None, None], ages_s={0: "old"}), "an age in seconds by the position"),  # type: ignore[dict-item]
    (StatisticsBatch([None, None], ages_s={0: float("nan")}), "an age in seconds by the position of an id"),
    (StatisticsBatch([None, None], problems={0: Problem("stale", message="m")}), "a Problem by"),  # type: ignore[arg-type]
    (StatisticsBatch([None, None], problems={0: Problem(ProblemKind.STALE, message=5)}), "a Problem"),  # type: ignore[arg-type]
]


@pytest.mark.parametrize("method", FETCHES)
@pytest.mark.parametrize(("answer", "message"), BAD_BATCHES)
async def test_a_store_that_answers_something_else(
    registry: PluginRegistry, answers: dict[str, Any], method: str, answer: Any, message: str
) -> None:
    """Another type, another length, another element: the error names plugin, store and method."""
    answers[method] = answer

    async with open_statistics(Settings(statistics_url="acme:"), registry) as store:
        with pytest.raises(PluginError, match=rf"^acme-store {ORIGIN}: {method}\(\) .*{message}") as raised:
            await getattr(store, method)(FETCHES[method])

    assert ("all", method) == (raised.value.plugin, raised.value.method)


@pytest.mark.parametrize(
    ("method", "entry", "message"),
    [
        *((name, {"mem": 5}, "a map as an entry and as each metric in it") for name in list(FETCHES)[::2][:2]),
        ("fetch_kernel_statistics", {"mem": {"current": "1"}, 7: {}}, "answered 7: expected text as the key of an entry"),
        ("fetch_replica_statistics", {"mem": None}, "a map as an entry and as each metric in it"),
        ("fetch_inference_metrics", {"requests": 1}, "an entry with last_response_ms"),
        ("fetch_inference_metrics", {"requests": 1, "last_response_ms": "2"}, "whole numbers"),
        ("fetch_agent_statistics", {"node": {}}, "an entry with devices"),
        ("fetch_agent_statistics", {"node": {"mem": 5}, "devices": {}}, "a map as an entry"),
        ("fetch_agent_statistics", {"node": {}, "devices": {"mem": {"0": 5}}}, "a map as an entry"),
    ],
)
async def test_metrics_that_are_no_maps(
    registry: PluginRegistry, answers: dict[str, Any], method: str, entry: Any, message: str
) -> None:
    """Every fetch has entries of its own shape."""
    answers[method] = StatisticsBatch([None, entry])

    async with open_runtime(Settings(statistics_url="acme:", metrics_url="acme:"), registry) as runtime:
        with pytest.raises(PluginError, match=rf"^acme-store {ORIGIN}: {method}\(\) .*{message}"):
            await getattr(runtime.statistics, method)(FETCHES[method])


async def test_right_answers_come_through(registry: PluginRegistry, answers: dict[str, Any]) -> None:
    """Answers are unchanged: dicts are handed on, and problems stay."""
    metrics = {"mem": {"current": "1", "stats.max": None}}
    problem = Problem(ProblemKind.STALE, message="m")
    activity = {"requests": 1, "last_response_ms": 2}
    agent = {"node": metrics, "devices": {"cuda_mem": {"0": {"current": "1"}}}}
    expected: dict[str, Any] = dict.fromkeys(FETCHES, metrics)
    expected |= {"fetch_inference_metrics": activity, "fetch_agent_statistics": agent}
    answers |= {method: StatisticsBatch([None, entry], problems={1: problem}) for method, entry in expected.items()}

    from acme_all_all import Adapter as adapter  # noqa: N813, PLC0415 - the plugin just installed

    async with open_statistics(Settings(statistics_url="acme:"), registry) as store:
        for method, entry in expected.items():
            assert StatisticsBatch([None, entry], problems={1: problem}) == await getattr(store, method)(FETCHES[method])
        (_, kernel) = await store.fetch_kernel_statistics(IDS)
        await store.ping()
        assert metrics is kernel
        assert isinstance(store, StatisticsPort)
        assert isinstance(store, adapter)
        assert "beside the port" == getattr(store, "beside")  # noqa: B009
        with pytest.raises(AttributeError):
            getattr(store, "_private")  # noqa: B009


async def test_entries_that_decode_themselves_are_checked_on_access(
    registry: PluginRegistry, answers: dict[str, Any]
) -> None:
    """A metric is decoded when it is read; each fails alone, and a missing one is a KeyError."""
    bad = MalformedEntryError("garbage", key="k", metric="bad")
    raising_now = {"raising": ZeroDivisionError("division by zero"), "lost": KeyError("codec")}
    lazy = Lazy({"mem": {"current": "1"}, "number": 5, **raising_now, "bad": bad})
    answers["fetch_kernel_statistics"] = StatisticsBatch([None, lazy])

    async with open_statistics(Settings(statistics_url="acme:"), registry) as store:
        (_, entry) = await store.fetch_kernel_statistics(IDS)

    assert entry is not None
    assert (5, list(lazy.parts), True) == (len(entry), list(entry), "raising" in entry)
    assert {"current": "1"} == entry["mem"]
    assert None is entry.get("io_read")
    with pytest.raises(PluginError, match=rf"^acme-store {ORIGIN}: fetch_kernel_statistics\(\) answered 5: expected a map"):
        entry["number"]
    with pytest.raises(PluginError, match=r"raised ZeroDivisionError: division by zero; at .*\.py:\d+$"):
        entry["raising"]
    with pytest.raises(PluginError, match=r"fetch_kernel_statistics\(\) raised KeyError for 'lost', which its entry lists"):
        entry["lost"]
    with pytest.raises(MalformedEntryError):
        entry["bad"]


async def test_the_backend_of_a_tenant_is_checked_too(
    registry: PluginRegistry, answers: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is a port as the backend is, and its answers and its making are checked."""
    import acme_all_all  # noqa: PLC0415 - the plugin just installed

    monkeypatch.setattr(acme_all_all.Adapter, "for_tenant", lambda self, _: self, raising=False)
    async with open_metrics(Settings(metrics_url="promql:"), registry) as backend:
        assert isinstance(backend, TenantPort)
        of_tenant = backend.for_tenant("a")
        assert isinstance(of_tenant, PromQLPort)
        answers["query"] = 5
        with pytest.raises(PluginError, match=rf"{ORIGIN}: query\(\) answered 5: expected a VectorResult"):
            await of_tenant.query("up")
        monkeypatch.setattr(acme_all_all.Adapter, "for_tenant", lambda *_: 5)
        with pytest.raises(PluginError, match=rf"{ORIGIN}: for_tenant\(\) answered int, which lacks aclose"):
            backend.for_tenant("a")


async def test_the_text_of_a_query_is_checked(registry: PluginRegistry, monkeypatch: pytest.MonkeyPatch) -> None:
    """A backend need not have it, and may have none for a querier."""
    import acme_all_all  # noqa: PLC0415 - the plugin just installed

    querier = ContainerMetricQuerier(metric_name="mem", value_type="current")
    async with open_metrics(Settings(metrics_url="promql:"), registry) as backend:
        assert utilization_text_of(backend, querier) is None
        monkeypatch.setattr(acme_all_all.Adapter, "utilization_text", lambda *_, **__: "up", raising=False)
        assert "up" == utilization_text_of(backend, querier)
        monkeypatch.setattr(acme_all_all.Adapter, "utilization_text", lambda *_, **__: 5)
        with pytest.raises(PluginError, match=rf"{ORIGIN}: utilization_text\(\) answered 5: expected a text or None"):
            utilization_text_of(backend, querier)


BAD_MATRICES = [
    (None, "a MatrixResult"),
    (vector(), "a MatrixResult"),
    (odd(matrix(), series=[]), "a tuple of Series as series"),
    (odd(matrix(), series=(1,)), "a Series in series"),
    (matrix(labels=None), "labels, a map of text to text"),
    (matrix(labels={"a": 1}), "labels, a map of text to text"),
    (matrix(values=[3.0, 4.0]), r"values as array\('d'\)"),
    (matrix(timestamps=array("f", [1.0, 2.0])), r"values as array\('d'\)"),
    (matrix(timestamps=array("d", [2.0, 1.0])), "timestamps in order"),
    (matrix(timestamps=array("d", [1.0, 1e20])), "timestamps in order, in unix seconds"),
    (matrix(timestamps=array("d", [1.0, float("nan")])), "timestamps in order, in unix seconds"),
    (odd(matrix(), warnings=["w"]), "a tuple of texts as warnings"),
    (odd(matrix(), infos=(1,)), "a tuple of texts as infos"),
    (odd(matrix(), partial="no"), "True or False as partial"),
]
BAD_VECTORS = [
    (None, "a VectorResult"),
    (matrix(), "a VectorResult"),
    (odd(vector(), samples=(1,)), "a Sample in samples"),
    (vector(labels={1: "a"}), "labels, a map of text to text"),
    (vector(value="2"), "numbers as timestamp and value"),
    (vector(timestamp=float("inf")), "timestamps in order, in unix seconds"),
]


@pytest.mark.parametrize(
    ("method", "answer", "message"),
    [
        *((method, *case) for method in ("query_utilization", "query_range") for case in BAD_MATRICES),
        *((method, *case) for method in ("query_utilization_now", "query") for case in BAD_VECTORS),
        ("label_values", None, "a list of texts"),
        ("label_values", "text", "a list of texts"),
        ("label_values", ["a", 1], "a list of texts"),
        ("series", None, "a list of label sets"),
        ("series", ["a"], "labels, a map of text to text"),
        ("series", [{"a": 1}], "labels, a map of text to text"),
    ],
)
async def test_a_backend_that_answers_something_else(
    registry: PluginRegistry, answers: dict[str, Any], method: str, answer: Any, message: str
) -> None:
    """Another type, another element, wrong labels or numbers: the error names plugin, backend and method."""
    answers[method] = answer

    async with open_metrics(Settings(metrics_url="promql:"), registry) as backend:
        with pytest.raises(PluginError, match=rf"^promql-backend {ORIGIN}: {method}\(\) answered .*{message}") as raised:
            await getattr(backend, method)(*ASKED[method])

    assert ("all", method) == (raised.value.plugin, raised.value.method)


async def test_right_answers_of_a_backend_come_through(registry: PluginRegistry, answers: dict[str, Any]) -> None:
    """They are unchanged."""
    answers |= {"query_utilization": matrix(), "query_utilization_now": vector(), "query_range": matrix()}
    answers |= {"query": vector(), "label_values": ["a"], "series": [{"__name__": "up"}]}
    async with open_metrics(Settings(metrics_url="promql:"), registry) as backend:
        assert isinstance(backend, PromQLPort)
        assert isinstance(backend, MetricQuerierPort)
        assert (matrix(), vector()) == (
            await backend.query_utilization(QUERIER, RANGE),
            await backend.query_utilization_now(QUERIER),
        )
        assert ["a"] == await backend.label_values("user_id", match=Selector("up"))
        assert [{"__name__": "up"}] == await backend.series(Selector("up"))
        assert (matrix(), vector()) == (await backend.query_range("up", RANGE), await backend.query("up"))


async def test_arguments_are_those_of_the_port(registry: PluginRegistry, answers: dict[str, Any]) -> None:
    """The adapter gets them, or the port's defaults; one that the port does not have is a mistake of the caller."""
    calls: list[Any] = []
    now = datetime.fromtimestamp(60, UTC)

    def answer_now(*arguments: Any, **options: Any) -> VectorResult:
        calls.append((arguments, options))
        return vector()

    answers["query_utilization_now"] = answer_now
    async with open_metrics(Settings(metrics_url="acme:"), registry) as backend:
        await backend.query_utilization_now(QUERIER)
        await backend.query_utilization_now(QUERIER, time=now, rate_interval="1m")
        with pytest.raises(TypeError, match="window"):
            await backend.query_utilization_now(QUERIER, window="1m")  # type: ignore[call-arg]
    expected = [{"time": None, "rate_interval": RATE_INTERVAL}, {"time": now, "rate_interval": "1m"}]
    assert [((QUERIER,), options) for options in expected] == calls


async def test_a_backend_without_promql_has_no_promql_port(registry: PluginRegistry) -> None:
    """The checks add no method that the adapter does not have, and messages name the adapter."""
    settings = Settings(statistics_url="acme:", metrics_url="acme:", kernel_statistics="metrics")

    async with open_metrics(settings, registry) as backend:
        assert not isinstance(backend, PromQLPort)
        assert not hasattr(backend, "query")
    with pytest.raises(UnsupportedError, match="must evaluate PromQL; Adapter does not"):
        async with open_runtime(settings, registry):
            pass


async def _call(registry: PluginRegistry, method: str) -> object:
    """Open the adapter that has the method, and call it."""
    settings = Settings(statistics_url="acme:", metrics_url="promql:")
    if method in ASKED:
        async with open_metrics(settings, registry) as backend:
            return await getattr(backend, method)(*ASKED[method])
    if method in STORES:
        arguments, options = STORES[method]
        async with open_sink(settings, registry) as sink:
            assert isinstance(sink, StatisticsSinkPort)
            return await getattr(sink, method)(*arguments, **options)
    async with open_statistics(settings, registry) as store:
        return await (store.ping() if method == "ping" else getattr(store, method)(FETCHES[method]))


async def test_optional_methods_are_checked_too(
    registry: PluginRegistry, answers: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`doctor` and `statcore kernels` use them where an adapter has them."""
    import acme_all_all  # noqa: PLC0415 - the plugin just installed

    monkeypatch.setattr(acme_all_all.Adapter, "diagnose", acme_all_all.answers("diagnose"), raising=False)
    monkeypatch.setattr(acme_all_all.Adapter, "topology", acme_all_all.answers("topology"), raising=False)
    monkeypatch.setattr(acme_all_all.Adapter, "server_facts", acme_all_all.answers("server_facts"), raising=False)
    monkeypatch.setattr(acme_all_all.Adapter, "with_ages", lambda self: self, raising=False)
    async with open_statistics(Settings(statistics_url="acme:"), registry) as store:
        assert isinstance(store, DiagnosisPort)
        assert isinstance(store, DatedStatisticsPort)
        assert await store.diagnose() is None
        assert isinstance(store, TopologyPort)
        assert await store.topology() is None
        answers |= {"diagnose": 5, "fetch_kernel_statistics": [{}, {}]}
        with pytest.raises(PluginError, match=rf"{ORIGIN}: diagnose\(\) answered 5: expected a text or None"):
            await store.diagnose()
        answers |= {"topology": []}
        with pytest.raises(PluginError, match=rf"{ORIGIN}: topology\(\) answered \[\]: expected a Topology or None"):
            await store.topology()
        assert isinstance(store, ServerFactsPort)
        for wrong in (None, [5]):
            answers |= {"server_facts": wrong}
            with pytest.raises(PluginError, match=rf"{ORIGIN}: server_facts\(\) answered .*expected a list of ServerFacts"):
                await store.server_facts()
        answers |= {"server_facts": [ServerFacts(program="Acme 1.0")]}
        assert ["Acme 1.0"] == [facts.program for facts in await store.server_facts()]
        reader = store.with_ages()
        with pytest.raises(PluginError, match=rf"{ORIGIN}: fetch_kernel_statistics\(\) .*a StatisticsBatch"):
            await reader.fetch_kernel_statistics(IDS)
        monkeypatch.setattr(acme_all_all.Adapter, "with_ages", lambda _: 5)
        with pytest.raises(PluginError, match=r"with_ages\(\) answered int, which lacks fetch_kernel_statistics"):
            store.with_ages()


def columns(texts: Sequence[Any] = ("1", None), problems: Mapping[int, Any] | None = None) -> StatisticsColumns:
    """Return the column mem.pct of two ids."""
    return StatisticsColumns({"mem.pct": Column(tuple(texts))}, problems=problems or {}, ages_s={})


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (StatisticsBatch([None, None]), "expected StatisticsColumns"),
        (StatisticsColumns({}, problems={}, ages_s={}), r"answered \[\]: expected the columns \['mem.pct'\]"),
        (columns(["1"]), "a text or None for each of 2 ids"),
        (columns(["1", 2]), "a text or None for each of 2 ids"),
        (columns(problems={2: [Problem(ProblemKind.STALE, message="m")]}), "a list of Problem by the position of an id"),
        (columns(problems={0: ["old"]}), "a list of Problem by the position of an id"),
        (odd(columns(), ages_s={0: "old"}), "an age in seconds by the position of an id"),
        (raising(ZeroDivisionError("division by zero")), "raised ZeroDivisionError"),
    ],
)
async def test_columns_of_a_store_are_checked(
    registry: PluginRegistry, answers: dict[str, Any], monkeypatch: pytest.MonkeyPatch, answer: Any, message: str
) -> None:
    """The error names the plugin; right columns come through."""
    import acme_all_all  # noqa: PLC0415 - the plugin just installed

    method = "fetch_kernel_columns"
    monkeypatch.setattr(acme_all_all.Adapter, method, acme_all_all.answers(method), raising=False)
    async with open_statistics(Settings(statistics_url="acme:"), registry) as store:
        source = StatisticsStatefulSource(store)
        answers[method] = answer
        with pytest.raises(PluginError, match=rf"{ORIGIN}: {method}\(\) .*{message}"):
            await source.read_kernel_statistics_columns([UUID(int=1), UUID(int=2)], ["mem.pct"])
        answers[method] = columns(problems={1: [Problem(ProblemKind.STALE, message="m")]})
        assert answers[method] == await source.read_kernel_statistics_columns([UUID(int=1), UUID(int=2)], ["mem.pct"])


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("error", [ZeroDivisionError("division by zero"), SystemExit(3), MemoryError()])
async def test_a_foreign_exception(
    registry: PluginRegistry, answers: dict[str, Any], method: str, error: BaseException
) -> None:
    """The error has the line of the plugin's code, and the exception as its cause."""
    answers[method] = raising(error)

    with pytest.raises(PluginError, match=rf"{ORIGIN}: {method}\(\) raised {type(error).__name__}.*; at .+:\d+$") as raised:
        await _call(registry, method)

    assert error is raised.value.__cause__


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("error", [UnavailableError("away"), asyncio.CancelledError()])
async def test_errors_of_ours_and_cancellation_pass(
    registry: PluginRegistry, answers: dict[str, Any], method: str, error: BaseException
) -> None:
    """The caller gets the error that the adapter raised."""
    answers[method] = raising(error)

    with pytest.raises(type(error)) as raised:
        await _call(registry, method)

    assert error is raised.value


@pytest.mark.parametrize("method", METHODS)
async def test_a_method_that_is_not_async(
    registry: PluginRegistry, answers: dict[str, Any], monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    """The error says what to write."""
    del answers
    import acme_all_all  # noqa: PLC0415 - the plugin just installed

    monkeypatch.setattr(
        acme_all_all.Adapter,
        "__getattribute__",
        lambda self, name: (lambda *_, **__: 5) if name == method else object.__getattribute__(self, name),
    )

    with pytest.raises(PluginError, match=rf"{method}\(\) answered int instead of being async: write `async def`"):
        await _call(registry, method)


@pytest.mark.parametrize("answer", [False, "PONG"])
async def test_a_ping_that_says_something(registry: PluginRegistry, answers: dict[str, Any], answer: object) -> None:
    """The caller would take a returned value for an answer of the server."""
    answers["ping"] = answer

    for opener, setting in ((open_statistics, "statistics_url"), (open_metrics, "metrics_url")):
        async with opener(settings(**{setting: "acme:"}), registry) as opened:
            with pytest.raises(PluginError, match=r"ping\(\) answered .*: expected None"):
                await opened.ping()


@OPENERS
async def test_an_adapter_that_cannot_be_closed(registry: PluginRegistry, opener: Any, setting: str) -> None:
    """It is refused when it is opened."""
    with pytest.raises(
        PluginError, match=rf"^unclosed-\w+ {ORIGIN}: open(_sink)?\(\) answered Adapter, which lacks aclose"
    ):
        async with opener(settings(**{setting: "unclosed:"}), registry):
            pytest.fail("it was opened")


@OPENERS
async def test_an_adapter_whose_attributes_raise(
    registry: PluginRegistry, opener: Any, setting: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is refused when it is opened, also if looking for its `aclose` raises."""
    import acme_all_all  # noqa: PLC0415 - the plugin just installed

    def fail(_: object, name: str) -> Any:
        raise ZeroDivisionError(name)

    monkeypatch.setattr(acme_all_all.Adapter, "__getattribute__", fail)
    with pytest.raises(PluginError, match=rf"^acme-\w+ {ORIGIN}: open(_sink)?\(\) raised ZeroDivisionError"):
        async with opener(settings(**{setting: "acme:"}), registry):
            pytest.fail("it was opened")


@OPENERS
async def test_closing_that_fails(
    registry: PluginRegistry, answers: dict[str, Any], opener: Any, setting: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The error names the plugin; an error of the block itself stays, and that of closing is logged."""
    answers["aclose"] = raising(ZeroDivisionError("division by zero"))
    message = rf"^acme-\w+ {ORIGIN}: aclose\(\) raised ZeroDivisionError: division by zero; at .+:\d+$"

    with pytest.raises(PluginError, match=message):
        async with opener(settings(**{setting: "acme:"}), registry):
            pass
    with pytest.raises(KeyError, match="the caller's"):
        async with opener(settings(**{setting: "acme:"}), registry):
            raise KeyError("the caller's")

    assert [True] == ["aclose() raised ZeroDivisionError" in record.getMessage() for record in caplog.records]


async def test_our_own_adapters_are_handed_out_as_they_are() -> None:
    """They are not wrapped."""
    registry = PluginRegistry.discover()

    async with open_runtime(Settings(statistics_url="memory:", metrics_url="memory:"), registry) as runtime:
        assert ["statcore_memory", "statcore_memory"] == [
            type(opened).__module__.partition(".")[0] for opened in (runtime.statistics, runtime.metrics)
        ]
