"""Callers that read utilization from a pair of simulated servers which crash, hang, lie and recover by a seed."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from random import Random
from typing import Any, Final, TypeAlias

import attrs
from tests.simulation.metric_world import (
    ATTEMPTS,
    CREDENTIAL,
    EPOCH_S,
    HISTORY_S,
    KERNELS,
    LOOKBACK_S,
    SERIES,
    SETTLE_S,
    Allowed,
    Kernel,
    Member,
    Question,
    aiohttp_on_virtual_clock,
    is_close,
    wall_s,
    wall_time,
)

from statcore.errors import PartialAnswerError, ProtocolError, StatcoreError, TimedOutError, UnavailableError
from statcore.model import MatrixResult, QueryTimeRange, StatisticsBatch, VectorResult
from statcore.model.time import parse_time
from statcore.promql import Selector
from statcore.promql.templates import Preset
from statcore.queriers.container import CONTAINER_METRIC_LABEL, CONTAINER_SERIES
from statcore.services.presets import PresetService
from statcore.statistics.live_stat import KernelLiveStatService
from statcore.statistics.series_inventory import SeriesInventory
from statcore.statistics.utilization import UtilizationSource
from statcore.testing.simulation import Simulation
from statcore.testing.simulation.prometheus import Behaviour
from statcore.testing.simulation.prometheus_faults import FAULTS, Redirect, lack_series
from statcore_prometheus import PrometheusClient, PrometheusOptions

TIMEOUT_S: Final = SETTLE_S
FAILBACK_S: Final = 20.0
CALLERS: Final = 3
PHASES: Final = 3
_ROUNDING: Final = 0.01
_TICK_S: Final = 0.001
_CANCELLED_SHARE: Final = 0.2
_HOSTS: Final = ("metrics-a", "metrics-b")
_ELSEWHERE: Final = "elsewhere"
_ERRORS: Final = (UnavailableError, TimedOutError, ProtocolError)
"""What may leave the client while no server is whole; errors about the caller or the query never may."""
_LISTS: Final = ("inventory", "names")
"""Begin the names of calls whose answer has no place for notes."""

Check: TypeAlias = Callable[[Any, Allowed], None]


@attrs.frozen
class Call:
    """A call that is made, by its name, and what checks its answer.

    Args:
        name: for the trace.
        ask: makes the call.
        check: checks what it returned.
        deadlines: how many deadlines it has, one after the other.
    """

    name: str
    ask: Callable[[], Awaitable[Any]]
    check: Check
    deadlines: int = 1


@attrs.frozen(eq=False)
class Client:
    """A client of the pair, and whether answers that lack series are errors of its calls."""

    metrics: PrometheusClient
    is_strict: bool


@attrs.define(eq=False)
class Pair:
    """Two servers, clients of both, how many answers were right, and how many calls failed for a reason."""

    simulation: Simulation
    members: Sequence[Member]
    clients: Sequence[Client]
    answers: int = attrs.field(default=0, init=False)
    failures: int = attrs.field(default=0, init=False)


def random_question(random: Random) -> Question:
    """Return a question of any kind."""
    kernel = random.choice(KERNELS)
    names = random.choice([(), ("kernel_id",), ("session_id",), ("user_id", "agent_id"), ("project_id",)])
    of = {name: kernel.labels[name] for name in names}
    if random.getrandbits(1):
        return Question(random.choice(["mem", "cpu_util"]), "pct", of, tuple(of))
    metric, value_type = random.choice(SERIES)
    by = random.choice([tuple(of), ("kernel_id",), ("session_id", "agent_id"), ("user_id",)])
    return Question(metric, value_type, of, by)


def random_time_s(random: Random) -> float:
    """Return a time of the history, exact to the millisecond, so that hardly two calls have the same."""
    return round(random.uniform(wall_s() - HISTORY_S / 2, wall_s()), 3)


def random_range(random: Random) -> QueryTimeRange:
    """Return a range of up to five requests."""
    end_s, step_s = random_time_s(random), random.choice([15, 30, 60])
    points = random.choice([1, 7, 20, 21, 45])
    return QueryTimeRange(start=round(end_s - step_s * points, 3), end=end_s, step=step_s)


def range_call(client: Client, random: Random) -> Call:
    """Return a range query of one querier."""
    question, time_range = random_question(random), random_range(random)

    def check(answer: MatrixResult, allowed: Allowed) -> None:
        allowed.check_range(question, time_range, answer)

    return Call(f"range {question}", lambda: client.metrics.query_utilization(question.querier(), time_range), check)


def now_call(client: Client, random: Random) -> Call:
    """Return an instant query of one querier."""
    question = random_question(random)
    time_s = random.choice([None, random_time_s(random)])

    def check(answer: VectorResult, allowed: Allowed) -> None:
        allowed.check_now(question, time_s, answer)

    time = None if time_s is None else parse_time(time_s)
    return Call(f"now {question}", lambda: client.metrics.query_utilization_now(question.querier(), time=time), check)


def batch_call(client: Client, random: Random) -> Call:
    """Return a batch of queriers, of which some share requests."""
    metric, value_type = random.choice(SERIES)
    kernels = random.choices(KERNELS, k=random.randrange(1, 12))
    questions = [Question(metric, value_type, {"kernel_id": k.labels["kernel_id"]}, ("kernel_id",)) for k in kernels]
    questions += [random_question(random) for _ in range(2)]
    random.shuffle(questions)
    source, time_range = UtilizationSource(client.metrics, max_values=4), random_range(random)

    def check(outcomes: Sequence[MatrixResult | StatcoreError], allowed: Allowed) -> None:
        assert len(questions) == len(outcomes)
        for question, outcome in zip(questions, outcomes, strict=True):
            if isinstance(outcome, StatcoreError):
                check_error(outcome, allowed, client)
            else:
                allowed.check_range(question, time_range, outcome)

    queriers = [question.querier() for question in questions]
    return Call("batch", lambda: source.read_utilization_batch(queriers, time_range), check, deadlines=2)


_PRESETS: Final = {
    "memory": Preset(
        name="memory",
        description="memory in bytes",
        template="sum by (value_type, ${{ group_by }})"
        f'({CONTAINER_SERIES}{{{CONTAINER_METRIC_LABEL}="mem",value_type="current",${{{{ labels }}}}}})',
        filter_labels=("kernel_id", "user_id"),
        group_labels=("kernel_id", "user_id"),
    )
}


def preset_call(client: Client, random: Random) -> Call:
    """Return a query of a preset."""
    kernel, label = random.choice(KERNELS), random.choice(["kernel_id", "user_id"])
    of = {label: kernel.labels[label]}
    question, time_range = Question("mem", "current", of, (label,)), random_range(random)
    service = PresetService(client.metrics, _PRESETS)

    def check(answer: MatrixResult, allowed: Allowed) -> None:
        allowed.check_range(question, time_range, answer)

    return Call(
        "preset",
        lambda: service.query_preset("memory", time_range=time_range, labels=of, group_labels=[label]),
        check,
    )


def time_call(client: Client, random: Random) -> Call:
    """Return a range query whose value at each point is the time of the point."""
    time_range = random_range(random)

    def check(answer: MatrixResult, allowed: Allowed) -> None:
        partial = allowed.check_notes(answer)
        assert len(answer.series) == 1 or partial, answer
        start_s, step_s = time_range.start.timestamp(), time_range.step.total_seconds()
        grid = [round(start_s + number * step_s, 3) for number in range(time_range.points)]
        for series in answer.series:
            times = [round(time_s, 3) for time_s in series.timestamps]
            assert times == [round(value, 3) for value in series.values]
            assert times == grid or (partial and set(times) < set(grid))

    return Call("time", lambda: client.metrics.query_range("time()", time_range), check)


def names_call(client: Client, random: Random) -> Call:
    """Return a look-up of label values or of series."""
    label = random.choice(["kernel_id", "agent_id", CONTAINER_METRIC_LABEL])
    metric, _ = random.choice(SERIES)
    selector = Selector(CONTAINER_SERIES, {CONTAINER_METRIC_LABEL: metric})
    known = {metric} if label == CONTAINER_METRIC_LABEL else {kernel.labels[label] for kernel in KERNELS}
    lasting = {metric} if label == CONTAINER_METRIC_LABEL else {k.labels[label] for k in KERNELS if k.end_s > EPOCH_S * 2}

    async def ask() -> set[str]:
        if label == "agent_id":
            return {labels[label] for labels in await client.metrics.series(selector)}
        return set(await client.metrics.label_values(label, match=selector))

    def check(names: set[str], allowed: Allowed) -> None:
        assert names <= known, f"invented: {names - known}"
        has_data = all(scrapes and scrapes[0] <= EPOCH_S + allowed.start_s for scrapes in allowed.scrapes)
        if has_data and not allowed.may_lack:
            assert lasting <= names, f"missing without a word: {lasting - names}"

    return Call(f"names {label}", ask, check)


def live_call(client: Client, random: Random) -> Call:
    """Return live statistics of kernels."""
    kernels = random.sample(KERNELS, k=random.randrange(1, 5))
    time_s = random_time_s(random)
    service = KernelLiveStatService(client.metrics)
    ids = [kernel.labels["kernel_id"] for kernel in kernels]

    def check(batch: StatisticsBatch, allowed: Allowed) -> None:
        for position, (kernel, entry) in enumerate(zip(kernels, batch, strict=True)):
            partial = position in batch.problems
            assert allowed.may_lack or not partial, batch.problems
            _check_entry(kernel, entry, time_s, allowed, partial=partial)

    return Call("live", lambda: service.fetch_kernel_statistics(ids, time=parse_time(time_s)), check, deadlines=1)


def _check_entry(kernel: Kernel, entry: Any, time_s: float, allowed: Allowed, *, partial: bool) -> None:
    """Check an entry of live statistics; a kernel that has ended has none, though its rates go on for their window."""
    of = {"kernel_id": kernel.labels["kernel_id"]}
    memory = Question("mem", "current", of, ("kernel_id",))
    is_live = [bool(memory.expected(scrapes, time_s)) for scrapes in allowed.scrapes]
    for metric, value_type in SERIES:
        if metric != "mem" and value_type == "capacity":
            continue
        question = Question(metric, value_type, of, ("kernel_id",))
        candidates = [list(question.expected(scrapes, time_s).values()) for scrapes in allowed.scrapes]
        shown: str | None = entry.get(metric, {}).get(value_type) if entry else None
        if shown is None or (value_type == "capacity" and partial):
            assert partial or not all(candidates) or not all(is_live), f"{question}: missing without a word"
        else:
            assert any(is_live), f"{question}: {shown} of a kernel that has ended"
            number, bands = float(shown), [band for candidate in candidates for band in candidate]
            is_right = any(is_close(number, (low - _ROUNDING, high + _ROUNDING)) for low, high in bands)
            assert is_right, f"{question}: {shown}, not {bands}"


def inventory_call(client: Client, random: Random) -> Call:
    """Return the list of all kernels."""
    ago = timedelta(milliseconds=random.randrange(1_000))
    # No two calls send the same request: those of other times that end at the same time begin at different ones.
    lookback = timedelta(seconds=LOOKBACK_S, milliseconds=4 * (wall_time().microsecond // 1_000))
    inventory = SeriesInventory(client.metrics, clock=lambda: wall_time() - ago, lookback=lookback)

    def check(ids: list[str], allowed: Allowed) -> None:
        known = [kernel.labels["kernel_id"] for kernel in KERNELS]
        lasting = {kernel.labels["kernel_id"] for kernel in KERNELS if kernel.end_s > EPOCH_S * 2}
        assert sorted(ids) == ids
        assert set(ids) <= set(known), ids
        end_s = EPOCH_S + allowed.start_s - ago.total_seconds()
        if all(any(end_s - LOOKBACK_S < scrape <= end_s for scrape in scrapes) for scrapes in allowed.scrapes):
            assert lasting <= set(ids), "missing without a word"

    async def ask() -> list[str]:
        return [kernel.kernel_id for kernel in (await inventory.list_kernels()).items]

    return Call("inventory", ask, check)


CALLS: Final = (
    range_call,
    range_call,
    now_call,
    batch_call,
    preset_call,
    time_call,
    names_call,
    live_call,
    inventory_call,
)


def check_error(error: StatcoreError, allowed: Allowed, client: Client, *, may_be_partial: bool = True) -> None:
    """Check that an error is one of a service, that no member could have answered, and that it shows no secret."""
    assert isinstance(error, (*_ERRORS, PartialAnswerError)), repr(error)
    if isinstance(error, PartialAnswerError):
        assert allowed.may_lack, repr(error)
        assert may_be_partial, repr(error)
        if client.is_strict:
            assert not any_whole(allowed), f"a member was whole: {error!r}"
    else:
        assert not any_whole(allowed), f"a member was whole: {error!r}"
    for secret in (CREDENTIAL.split(":")[1], b64encode(CREDENTIAL.encode()).decode()):
        assert secret not in f"{error!r}", "a password is shown"


def any_whole(allowed: Allowed) -> bool:
    """Tell whether a member was whole all the time, and a while before: calls of that time may still hold connections."""
    return any(
        member.whole_since_s is not None and member.whole_since_s <= allowed.start_s - TIMEOUT_S
        for member in allowed.members
    )


async def make_call(pair: Pair, call: Call, client: Client, *, cancel_after_s: float | None = None) -> None:
    """Make a call, perhaps cancel it, and check its answer or its error, and the time that it took."""
    loop = asyncio.get_running_loop()
    allowed = Allowed(pair.members, loop.time())
    pair.simulation.record(f"call {call.name}")
    task = asyncio.ensure_future(call.ask())
    bound_s = TIMEOUT_S * call.deadlines + _TICK_S
    if cancel_after_s is not None and cancel_after_s < bound_s:
        await asyncio.wait([task], timeout=cancel_after_s)
        if not task.done():
            task.cancel()
            await asyncio.wait([task], timeout=_TICK_S)
            assert task.done(), f"{call.name} goes on although it was cancelled"
            assert task.cancelled(), f"{call.name} was cancelled, but returned or raised {task!r}"
            return
    await asyncio.wait([task], timeout=allowed.start_s + bound_s - loop.time())
    assert task.done(), f"{call.name} takes longer than its deadline"
    pair.simulation.record(f"done {call.name}")
    try:
        answer = task.result()
    except StatcoreError as error:
        check_error(error, allowed, client, may_be_partial=client.is_strict or call.name.startswith(_LISTS))
        pair.failures += 1
    else:
        call.check(answer, allowed)
        pair.answers += 1
    for member in pair.members:
        assert not member.complaints, member.complaints


async def keep_calling(pair: Pair, until_s: float) -> None:
    """Make calls of any kind until a time, some of which are cancelled."""
    random = pair.simulation.random
    while asyncio.get_running_loop().time() < until_s:
        client = random.choice(pair.clients)
        call = random.choice(CALLS)(client, random)
        cancel_after_s = random.choice([0.0, random.uniform(0, 0.02), 3.0]) if random.random() < _CANCELLED_SHARE else None
        await make_call(pair, call, client, cancel_after_s=cancel_after_s)
        await asyncio.sleep(random.choice([0.0, 2.0, 10.0, 30.0]))


async def disturb(pair: Pair, phases: int) -> None:
    """Let things go wrong at one member or both, and heal them, several times."""
    random = pair.simulation.random
    for _ in range(phases):
        sick = random.choice([pair.members[:1], pair.members[1:], pair.members, pair.members])
        pair.simulation.record(f"trouble for {[member.server.name for member in sick]}")
        for member in sick:
            await _trouble(member, random)
        await asyncio.sleep(random.choice([10.0, 30.0, 60.0]))
        for member in sick:
            await member.heal()
        pair.simulation.record("healed")
        await asyncio.sleep(random.choice([0.0, 5.0, 20.0]))


async def _trouble(member: Member, random: Random) -> None:
    """Let something go wrong at a member: its process, its network, or its answers."""
    faults: list[Behaviour] = [*FAULTS, lack_series, lack_series, Redirect(f"http://{_ELSEWHERE}:9090")]
    path = member.server.host.path
    match random.randrange(8):
        case 0:
            member.crash()
        case 1:
            member.crash()
            await asyncio.sleep(random.choice([1.0, 40.0]))
            member.start(with_data=bool(random.getrandbits(1)))
        case 2:
            member.fall_sick((), 0.0)
            member.server.host.cut()
        case 3:
            member.fall_sick((), 0.0)
            path.latency_s, path.piece_bytes = (0.0, random.choice([0.05, 3.0])), random.choice([1, 100, None])
        case 4:
            member.fall_sick((), 0.0)
            path.reset_share = random.choice([0.1, 0.5])
        case _:
            member.fall_sick(random.sample(faults, k=random.randrange(1, 4)), random.choice([0.3, 1.0]))


async def metrics_scenario(simulation: Simulation) -> tuple[int, int]:
    """Let callers read while servers fail; afterwards every call is answered rightly, by the preferred server.

    Return how many answers were right and how many calls failed for a reason.
    """
    with aiohttp_on_virtual_clock():
        loop = asyncio.get_running_loop()
        members = Member(simulation, _HOSTS[0]), Member(simulation, _HOSTS[1])
        members[0].join(members[1])
        for member in members:
            member.server.start()
        visitors: list[object] = []

        def note_visitor(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            visitors.append(reader)
            writer.close()

        elsewhere = await asyncio.start_server(note_visitor, _ELSEWHERE, 9090)
        options = PrometheusOptions(
            timeout_s=TIMEOUT_S,
            attempts=ATTEMPTS,
            failback_s=FAILBACK_S,
            fallback_urls=[f"http://{CREDENTIAL}@{_HOSTS[1]}:9090"],
            max_points=20,
            max_connections=3,
            max_answer_bytes=500_000,
            clock=loop.time,
        )
        url = f"http://{CREDENTIAL}@{_HOSTS[0]}:9090"
        clients = [
            Client(PrometheusClient(url, options=attrs.evolve(options, strict=is_strict)), is_strict)
            for is_strict in (False, True)
        ]
        pair = Pair(simulation, members, clients)
        disturbing = asyncio.ensure_future(disturb(pair, PHASES))
        try:
            calling = [asyncio.ensure_future(_call_until_done(pair, disturbing)) for _ in range(CALLERS)]
            await asyncio.gather(disturbing, *calling)
            await _check_recovery(pair)
        finally:
            for client in clients:
                await client.metrics.aclose()
        assert not visitors, "a redirect was followed"
        elsewhere.close()
        return pair.answers, pair.failures


async def _call_until_done(pair: Pair, disturbing: asyncio.Future[None]) -> None:
    while not disturbing.done():
        await keep_calling(pair, asyncio.get_running_loop().time() + 1)


async def _check_recovery(pair: Pair) -> None:
    """Check that a deadline after the last fault every call is answered, and after the time of a fail-back by the first."""
    random = pair.simulation.random
    await asyncio.sleep(TIMEOUT_S)
    for new_call in dict.fromkeys(CALLS):
        for client in pair.clients:
            await make_call(pair, new_call(client, random), client)
    await asyncio.sleep(FAILBACK_S)
    for client in pair.clients:
        await make_call(pair, now_call(client, random), client)
    asked = [len(member.server.requests) for member in pair.members]
    for client in pair.clients:
        await make_call(pair, now_call(client, random), client)
    grown = [len(member.server.requests) - count for member, count in zip(pair.members, asked, strict=True)]
    assert grown == [2, 0], f"the preferred server is not asked again: {grown}"
