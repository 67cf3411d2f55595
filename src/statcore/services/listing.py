"""Lists of what exists: sessions, kernels, agents and endpoints with their owners and main figures, sorted and paged."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import datetime
from heapq import merge
from itertools import chain, islice
from typing import Any, Final, Generic, Self, TypeAlias, TypeVar, cast

import attrs

from statcore.concurrency import ITEMS_PER_TURN, give_way, in_turns, map_keeping_errors
from statcore.errors import InputError, MalformedEntryError, StatcoreError
from statcore.model.batch import StatisticsBatch
from statcore.model.inventory import AgentRecord, EndpointRecord, KernelRecord, Page, SessionRecord
from statcore.model.numbers import finite_number
from statcore.model.statistics import Entry, Problem, ProblemKind, shown_value
from statcore.model.text import describe
from statcore.ports.inventory import InventoryPort, find_records, list_agent_records, list_kernels
from statcore.queriers.container import OWNER_LABELS
from statcore.statistics.repository import StatisticsRepository
from statcore.statistics.sessions import SessionStatistics

_OBJECTS_PER_READ: Final = 200
"""How many objects one read of statistics is for: few enough to be joined in one turn of the event loop."""
_KEYS_PER_TURN: Final = 1_000
_ENTRIES_PER_TURN: Final = 32
_CPU: Final = "cpu_util"
_AGE: Final = "age_s"
_UNREADABLE: Final = "the cursor cannot be read; take the next_cursor of the previous page"

_Record = TypeVar("_Record")
_Key: TypeAlias = tuple[bool, float | str, str]
"""The place of an object in a list: whether it comes last for want of a value, its value, and its id."""
_Objects: TypeAlias = "dict[str, ListedObject[_Record]]"


@attrs.frozen(kw_only=True)
class Figures:
    """The main numbers of an object; None is a number that is not known.

    Args:
        cpu_pct: CPU use in percent of one core, or of all cores of an agent.
        mem_bytes: memory in use.
        accelerator_pct: use of the accelerators in percent, of the busiest kind if there are several kinds.
        accelerator_mem_bytes: memory of accelerators in use.
        rx_bytes_per_s, tx_bytes_per_s: received and sent bytes per second.
        age_s: the seconds since the statistics were written.
        devices: by metric, the sorted ids of the devices of an agent that have it.
        problem: what is wrong with the statistics, or None.
    """

    cpu_pct: float | None = None
    mem_bytes: float | None = None
    accelerator_pct: float | None = None
    accelerator_mem_bytes: float | None = None
    rx_bytes_per_s: float | None = None
    tx_bytes_per_s: float | None = None
    age_s: float | None = None
    devices: Mapping[str, Sequence[str]] | None = None
    problem: str | None = None

    @classmethod
    def of_entry(cls, entry: Entry, *, age_s: float | None = None, problem: str | None = None) -> Self:
        """Return the figures of an entry of metrics; a metric that cannot be read is not known, and part of the problem."""
        faults = [] if problem is None else [problem]

        def number(metric: str, field: str) -> float | None:
            try:
                return _number(entry, metric, field)
            except StatcoreError as error:
                faults.append(str(error))
                return None

        try:
            names = [name for name in map(str, entry) if name != _CPU]
        except StatcoreError as error:  # an entry may decode itself only now
            return cls(age_s=age_s, problem="; ".join([*faults, str(error)]))
        accelerator_pcts = [number(name, "pct") for name in names if name.endswith("_util")]
        accelerator_mems = [number(name, "current") for name in names if name.endswith("_mem")]
        return cls(
            cpu_pct=number(_CPU, "pct"),
            mem_bytes=number("mem", "current"),
            accelerator_pct=max(_known(accelerator_pcts), default=None),
            accelerator_mem_bytes=sum(known) if (known := _known(accelerator_mems)) else None,
            rx_bytes_per_s=number("net_rx", "current"),
            tx_bytes_per_s=number("net_tx", "current"),
            age_s=age_s,
            problem="; ".join(faults) or None,
        )


def _known(numbers: Sequence[float | None]) -> list[float]:
    return [number for number in numbers if number is not None]


def _number(entry: Entry, metric: str, field: str) -> float | None:
    """Return the number in a field of a metric, None if there is none.

    Raises:
        StatcoreError: the metric cannot be read, or has something else in the field.
    """
    fields = shown_value(metric, entry.get(metric))
    value: object = cast("Mapping[str, Any]", fields).get(field) if isinstance(fields, Mapping) else fields
    number = finite_number(value)
    if number is None and value is not None:
        raise MalformedEntryError(f"{metric}.{field} is {value!r:.100}, not the text of a finite number", key="")
    return None if number is None else float(number)


FIGURES: Final = tuple(field.name for field in attrs.fields(Figures) if field.name not in {"devices", "problem"})
"""The names of the figures that are numbers."""
SORTS: Final = ("id", *OWNER_LABELS[1:], "kernels", "started_at", *FIGURES)
"""By what a list can be sorted; `-` in front of a name sorts in descending order."""


@attrs.frozen(kw_only=True)
class ListedObject(Generic[_Record]):
    """An object of a list.

    Args:
        object_id: its id.
        record: its record in the inventory.
        labels: by label of `OWNER_LABELS`, the known ids of its owners and of the kernels that it has, sorted; an object
            has its own id under its own label.
        figures: its main numbers, or None if they were not requested.
        problem: what is not known of its kernels, so that figures lack it, or None.
    """

    object_id: str
    record: _Record
    labels: Mapping[str, Sequence[str]]
    figures: Figures | None = None
    problem: str | None = None

    @property
    def kernel_ids(self) -> Sequence[str]:
        """The kernels whose statistics together are those of the object."""
        return self.labels.get("kernel_id", ())

    def value(self, sort: str) -> float | str | None:
        """Return the value that the object is sorted by, None if it is not known."""
        if sort == "id":
            return self.object_id
        if sort == "started_at":
            started_at: datetime | None = getattr(self.record, "started_at", None)
            return None if started_at is None else started_at.timestamp()
        if sort == "kernels":
            return float(len(self.kernel_ids)) if "kernel_id" in self.labels else None
        if sort in OWNER_LABELS:
            return ", ".join(self.labels.get(sort, ())) or None
        return None if self.figures is None else getattr(self.figures, sort)


@attrs.frozen(kw_only=True)
class ListPage(Generic[_Record]):
    """A page of a list.

    Args:
        items: the objects, in the order of the list.
        total_count: how many objects the filters select, on all pages together.
        next_cursor: the cursor of the next page, or None on the last page and in a list sorted by age.
    """

    items: Sequence[ListedObject[_Record]]
    total_count: int
    next_cursor: str | None


@attrs.frozen
class ObjectKind(Generic[_Record]):
    """A kind of object that can be listed: `SESSIONS`, `KERNELS`, `AGENTS` or `ENDPOINTS`.

    Args:
        name: the plural of its name.
        read: reads all objects of an inventory by id.
        statistics: reads the statistics of some of them, in order.
        figures: returns the figures of an entry of these statistics.
        reads_kernels: whether the statistics of an object are read with those of its kernels.
    """

    name: str
    read: Callable[[InventoryPort], Awaitable[_Objects[_Record]]] = attrs.field(repr=False)
    statistics: Callable[[ObjectListing, Sequence[ListedObject[Any]]], Awaitable[StatisticsBatch]] = attrs.field(repr=False)
    figures: Callable[..., Figures] = attrs.field(default=Figures.of_entry, repr=False)
    reads_kernels: bool = attrs.field(default=False, kw_only=True, repr=False)

    def statistics_count(self, object_: ListedObject[Any]) -> int:
        """Return how many ids the statistics of an object are read for."""
        return 1 + (len(object_.kernel_ids) if self.reads_kernels else 0)


@attrs.frozen
class ObjectListing:
    """Lists the objects of an inventory with the main figures of their statistics.

    Confined ports give a confined list: an object outside the scope is neither listed nor counted.

    Args:
        inventory: which objects exist: series, the collector's inventory, or that of a host.
        repository: their live statistics; read only for figures.
        count: called with the number of ids before their statistics are read; what it raises ends the read.
    """

    inventory: InventoryPort
    repository: StatisticsRepository
    count: Callable[[int], object] = attrs.field(default=lambda _: None, kw_only=True, repr=False)

    async def read(
        self,
        kind: ObjectKind[_Record],
        *,
        sort: str = "id",
        filters: Sequence[str] = (),
        after: str | None = None,
        limit: int | None = None,
        figures: bool = False,
    ) -> ListPage[_Record]:
        """Return a page of the objects of a kind.

        A page begins after the place where the previous page ended, and not after a number of objects. So an object that
        appears, vanishes or changes between two pages neither repeats nor hides another. In a list sorted by a figure or an
        owner, only the object that changes itself may be on two pages or on none. Every age grows between two pages, so a
        list sorted by age has one page only.

        Args:
            kind: the kind of object.
            sort: a name of `SORTS`, with `-` in front for descending order. Objects with equal values are sorted by id in
                the same direction, and objects without a value come last. Sorting by a figure reads the statistics of all
                selected objects.
            filters: each object matches all of them. `LABEL=ID`, with a label of `OWNER_LABELS`, selects by owner or by
                part; any other text is searched in the ids of the object, its owners and its kernels, in any case.
            after: the `next_cursor` of the previous page, whose list had the same `sort`.
            limit: how many objects the page has at most; None means all.
            figures: whether the objects of the page have figures. If their statistics cannot be read, the figures have a
                problem.

        Raises:
            InputError: a sort, filter, cursor or limit cannot be used.
            StatcoreError: the inventory failed, or the store failed and the list is sorted by figures.
            Exception: what `count` raises.
        """
        Page.cut((), limit=limit, offset=0)  # raises before anything is read
        order = _Order.read(sort)
        start = None if after is None else order.key_of_cursor(after)
        is_selected = _selection(filters)
        objects = await kind.read(self.inventory)
        async for ids in in_turns(list(objects)):
            for id_ in ids:
                if not is_selected(objects[id_]):
                    del objects[id_]
        total_count = len(objects)
        if order.by in FIGURES:
            objects = await self._with_figures(kind, objects, is_required=True)
        keys = await _first_keys(order, objects, start, None if limit is None else limit + 1)
        more = limit is not None and len(keys) > limit
        page = {key[-1]: objects[key[-1]] for key in keys[:limit]}
        if figures and order.by not in FIGURES:
            page = await self._with_figures(kind, page, is_required=False)
        cursor = order.cursor(keys[limit - 1]) if more and limit and order.by != _AGE else None
        while objects:  # to free thousands of objects at once takes milliseconds
            for _ in range(min(ITEMS_PER_TURN, len(objects))):
                objects.popitem()
            await give_way()
        return ListPage(items=list(page.values()), total_count=total_count, next_cursor=cursor)

    async def _with_figures(
        self, kind: ObjectKind[_Record], objects: _Objects[_Record], *, is_required: bool
    ) -> _Objects[_Record]:
        self.count(sum(map(kind.statistics_count, objects.values())))

        async def read(part: Sequence[ListedObject[_Record]]) -> list[ListedObject[_Record]]:
            batch = await kind.statistics(self, part)
            with_figures: list[ListedObject[_Record]] = []
            async for positions in in_turns(range(len(part)), size=_ENTRIES_PER_TURN):
                with_figures += [attrs.evolve(part[at], figures=_figures(kind, part[at], batch, at)) for at in positions]
            return with_figures

        parts = [part async for part in in_turns(list(objects.values()), size=_OBJECTS_PER_READ)]
        found: _Objects[_Record] = {}
        for part, result in zip(parts, await map_keeping_errors(parts, read), strict=True):
            if not isinstance(result, StatcoreError):
                found.update((object_.object_id, object_) for object_ in result)
            elif is_required:
                raise result
            else:
                failed = Figures(problem=describe(result))
                found.update((object_.object_id, attrs.evolve(object_, figures=failed)) for object_ in part)
            await give_way()
        return found


def _figures(kind: ObjectKind[Any], object_: ListedObject[Any], batch: StatisticsBatch, position: int) -> Figures:
    entry, found, age_s = batch[position], batch.problems.get(position), batch.ages_s.get(position)
    problem = "; ".join(filter(None, [object_.problem, "" if found is None else found.message])) or None
    if entry is None:
        return Figures(age_s=age_s, problem=problem)
    return kind.figures(entry, age_s=age_s, problem=problem)


@attrs.frozen
class _Order:
    by: str
    is_descending: bool

    @classmethod
    def read(cls, sort: str) -> Self:
        by = sort.removeprefix("-")
        if by not in SORTS:
            raise InputError(f"sort must be one of {', '.join(SORTS)}, with - in front to descend, not {sort!r:.100}")
        return cls(by, is_descending=by != sort)

    @property
    def _nothing(self) -> float | str:
        return "" if self.by == "id" or self.by in OWNER_LABELS else 0.0

    def key(self, object_: ListedObject[Any]) -> _Key:
        value = object_.value(self.by)
        comes_last = (value is None) is not self.is_descending
        return comes_last, self._nothing if value is None else value, object_.object_id

    def is_after(self, key: _Key, start: _Key) -> bool:
        return key < start if self.is_descending else key > start

    def cursor(self, key: _Key) -> str:
        return urlsafe_b64encode(json.dumps([self.by, self.is_descending, *key]).encode()).decode()

    def key_of_cursor(self, cursor: str) -> _Key:
        try:
            by, is_descending, comes_last, value, id_ = json.loads(urlsafe_b64decode(cursor))
        except (ValueError, TypeError, RecursionError):
            raise InputError(_UNREADABLE) from None
        if self.by == _AGE:
            raise InputError(
                f"a list sorted by {_AGE} has no further pages, because ages change; raise the limit, or filter"
            )
        if (by, is_descending) != (self.by, self.is_descending):
            raise InputError("the cursor is of a list with another sort; take the sort of the previous page")
        if type(comes_last) is not bool or type(value) is not type(self._nothing) or type(id_) is not str:
            raise InputError(_UNREADABLE)
        return comes_last, value, id_


def _selection(filters: Sequence[str]) -> Callable[[ListedObject[Any]], bool]:
    owners: list[tuple[str, str]] = []
    texts: list[str] = []
    for text in filters:
        label, equals, id_ = text.partition("=")
        if equals and label not in OWNER_LABELS:
            raise InputError(f"a filter is text or LABEL=ID with a label of {', '.join(OWNER_LABELS)}, not {text!r:.100}")
        if not text or (equals and not id_):
            raise InputError("a filter is empty, which would select everything; leave it out")
        if equals:
            owners.append((label, id_.casefold()))
        else:
            texts.append(text.casefold())

    def is_selected(object_: ListedObject[Any]) -> bool:
        labels = object_.labels
        if not all(any(id_ == known.casefold() for known in labels.get(label, ())) for label, id_ in owners):
            return False
        if not texts:
            return True
        searched = "\n".join([object_.object_id, *(id_ for ids in labels.values() for id_ in ids)]).casefold()
        return all(text in searched for text in texts)

    return is_selected


async def _first_keys(
    order: _Order, objects: Mapping[str, ListedObject[Any]], start: _Key | None, count: int | None
) -> list[_Key]:
    """Return the first keys after a place, in order: sorted in parts that are merged, since one sort takes too long."""
    parts: list[list[_Key]] = []
    async for part in in_turns(list(objects.values()), size=_KEYS_PER_TURN):
        keys = [key for key in map(order.key, part) if start is None or order.is_after(key, start)]
        parts.append(sorted(keys, reverse=order.is_descending))
    merged = islice(merge(*parts, reverse=order.is_descending), count)
    first: list[_Key] = []
    while keys := list(islice(merged, ITEMS_PER_TURN)):
        first += keys
        await give_way()
    return first


def _labels(kernels: Iterable[KernelRecord], **own: str | None) -> dict[str, Sequence[str]]:
    """Return the ids under each label: of some kernels, and those that the object itself has."""
    ids: dict[str, set[str]] = {label: {id_} for label, id_ in own.items() if id_ is not None}
    for kernel in kernels:
        for label in OWNER_LABELS:
            if (id_ := getattr(kernel, label)) is not None:
                ids.setdefault(label, set()).add(id_)
    return {label: sorted(of_label) for label, of_label in ids.items()}


async def _read_sessions(inventory: InventoryPort) -> _Objects[SessionRecord]:
    objects: _Objects[SessionRecord] = {}
    async for part in in_turns((await inventory.list_sessions()).items):
        for record in part:
            labels = {"kernel_id": (), **_labels(record.kernels, session_id=record.session_id)}
            objects[record.session_id] = ListedObject(object_id=record.session_id, record=record, labels=labels)
    return objects


async def _read_kernels(inventory: InventoryPort) -> _Objects[KernelRecord]:
    """Return the kernels, with those that have no session if the inventory lists them."""
    objects: _Objects[KernelRecord] = {}
    async for part in in_turns((await list_kernels(inventory)).items):
        for record in part:
            objects[record.kernel_id] = ListedObject(object_id=record.kernel_id, record=record, labels=_labels([record]))
    return objects


async def _read_agents(inventory: InventoryPort) -> _Objects[AgentRecord]:
    """Return the agents, with their kernels, and with their owners where the inventory knows them."""
    records = (await list_agent_records(inventory)).items
    kernel_ids: dict[str | None, list[str]] = {}
    async for kernels in in_turns((await list_kernels(inventory)).items):
        for kernel in kernels:
            kernel_ids.setdefault(kernel.agent_id, []).append(kernel.kernel_id)
    objects: _Objects[AgentRecord] = {}
    async for part in in_turns(records):
        for record in part:
            id_ = record.agent_id
            own = _labels((), agent_id=id_, user_id=record.user_id, project_id=record.project_id)
            labels = {"kernel_id": sorted(kernel_ids.get(id_, ())), **own}
            objects[id_] = ListedObject(object_id=id_, record=record, labels=labels)
    return objects


@attrs.frozen
class ReplicaKernels:
    """The kernels of the sessions of an endpoint's replicas, each once; their statistics are the endpoint's.

    Args:
        kernels: the kernels.
        problem: *incomplete* if the inventory does not know one of the sessions, otherwise None.
    """

    kernels: Sequence[KernelRecord]
    problem: Problem | None


async def kernels_of_replicas(
    inventory: InventoryPort, sessions_of: Mapping[str, Sequence[str]]
) -> dict[str, ReplicaKernels]:
    """Return the kernels of each endpoint.

    Args:
        inventory: which kernels a session has.
        sessions_of: by endpoint, the ids of the sessions of its replicas.

    Raises:
        StatcoreError: the inventory failed.
    """
    sessions = await find_records(inventory.find_sessions, chain.from_iterable(sessions_of.values()))
    kernels_of: dict[str, ReplicaKernels] = {}
    async for part in in_turns(list(sessions_of.items())):
        for endpoint_id, session_ids in part:
            known = [sessions[id_] for id_ in session_ids if id_ in sessions]
            kernels = {kernel.kernel_id: kernel for session in known for kernel in session.kernels}
            unknown = [id_ for id_ in session_ids if id_ not in sessions]
            message = "; ".join(f"session {id_} of a replica is not known" for id_ in unknown)
            problem = Problem(ProblemKind.INCOMPLETE, message=message, key=unknown[0]) if unknown else None
            kernels_of[endpoint_id] = ReplicaKernels(list(kernels.values()), problem)
    return kernels_of


async def _read_endpoints(inventory: InventoryPort) -> _Objects[EndpointRecord]:
    """Return the endpoints, with the kernels of the sessions of their replicas."""
    records = (await inventory.list_endpoints()).items
    kernels_of = await kernels_of_replicas(inventory, {record.endpoint_id: record.session_ids for record in records})
    objects: _Objects[EndpointRecord] = {}
    async for part in in_turns(records):
        for record in part:
            own = _labels((), user_id=record.user_id, project_id=record.project_id)
            of_replicas = kernels_of[record.endpoint_id]
            labels = {"kernel_id": (), **_labels(of_replicas.kernels), **own}  # its own owners count
            problem = None if of_replicas.problem is None else of_replicas.problem.message
            objects[record.endpoint_id] = ListedObject(
                object_id=record.endpoint_id, record=record, labels=labels, problem=problem
            )
    return objects


async def _sum_of_kernels(listing: ObjectListing, objects: Sequence[ListedObject[Any]]) -> StatisticsBatch:
    kernels_of = {object_.object_id: object_.kernel_ids for object_ in objects}
    return await SessionStatistics(listing.repository, listing.inventory).read(kernels_of)


async def _of_kernels(listing: ObjectListing, objects: Sequence[ListedObject[Any]]) -> StatisticsBatch:
    return await listing.repository.get_kernel_statistics_batch([object_.object_id for object_ in objects])


async def _of_agents(listing: ObjectListing, objects: Sequence[ListedObject[Any]]) -> StatisticsBatch:
    return await listing.repository.get_agent_statistics_batch([object_.object_id for object_ in objects])


def _agent_figures(entry: Entry, *, age_s: float | None, problem: str | None) -> Figures:
    """Return the figures of an agent's node, with the devices of the agent."""
    try:
        node, devices = entry.get("node"), entry.get("devices")
    except MalformedEntryError as error:
        return Figures(age_s=age_s, problem=problem or str(error))
    figures = Figures.of_entry(cast("Entry", node) if isinstance(node, Mapping) else {}, age_s=age_s, problem=problem)
    if not isinstance(devices, Mapping):
        return figures
    by_metric = cast("Mapping[str, object]", devices)
    ids = {
        metric: sorted(map(str, cast("Entry", of_metric)))
        for metric, of_metric in by_metric.items()
        if isinstance(of_metric, Mapping)
    }
    return attrs.evolve(figures, devices=ids)


SESSIONS: Final = ObjectKind("sessions", _read_sessions, _sum_of_kernels, reads_kernels=True)
KERNELS: Final = ObjectKind("kernels", _read_kernels, _of_kernels)
AGENTS: Final = ObjectKind("agents", _read_agents, _of_agents, _agent_figures)
ENDPOINTS: Final = ObjectKind("endpoints", _read_endpoints, _sum_of_kernels, reads_kernels=True)
