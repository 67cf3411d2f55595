"""The root fields of the schema, and pages of lists. Each field may be null, so that an error affects only this field."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Annotated, Any, Final, Generic, TypeAlias, TypeVar, cast

import attrs
import strawberry
from graphql import FieldNode, FragmentSpreadNode, GraphQLResolveInfo, InlineFragmentNode
from strawberry.scalars import JSON

from statcore.concurrency import in_turns
from statcore.errors import InputError, UnsupportedError
from statcore.model.inventory import Page
from statcore.model.text import id_text
from statcore.model.time import QueryTimeRange
from statcore.plugins.querier_kinds import build_querier, metric_names, prepare
from statcore.ports import InventoryPort, OwnerInventoryPort
from statcore.ports.inventory import list_agent_records, list_kernels, owner_inventory
from statcore.services import AGENTS, ENDPOINTS, KERNELS, SESSIONS, SORTS, Figures, ObjectKind, ObjectListing
from statcore.services.figures import FIGURES
from statcore_graphql.context import GraphQueryContext
from statcore_graphql.schema.agent import Agent, AgentList
from statcore_graphql.schema.compute_session import ComputeSession, ComputeSessionList, Kernel, KernelList
from statcore_graphql.schema.endpoint import Endpoint, EndpointList
from statcore_graphql.schema.loaded import LOADER
from statcore_graphql.schema.preset import PRESET_LOADER, Preset, load_preset
from statcore_graphql.schema.querier import Querier
from statcore_graphql.schema.service import Health, Limit, Plugin, installed_version
from statcore_graphql.schema.utilization import UTILIZATION_LOADER, Utilization, load_utilization

DEFAULT_LIMIT: Final = 100
"""The most objects of a page for which the query names no limit."""
MAX_LIMIT: Final = 10_000
"""The highest limit that a query may name."""
SCHEMA_VERSION: Final = 1
"""Raised when a field is removed or means something else; new fields do not change it."""

_PAGING: Final = (
    "Without `sort`, `filter` and `after`, pages have a `limit` and an `offset`, and no `next_cursor`. With one of them,"
    " pages neither repeat nor hide objects when others come and go: pass the `next_cursor` of a page as `after` for the"
    f" next page. `sort` is one of {', '.join(SORTS)}, with `-` in front to descend; a list sorted by `age_s` has one page"
    " only. Each `filter` must match: `LABEL=ID` such as `user_id=…`, or a text to search in ids."
)

_FEWER_FIGURES: Final = (
    "a sort by a figure reads the statistics of all objects that the filters select: filter the list, or sort it by ids"
)

_Info = strawberry.Info[GraphQueryContext]
_Filters: TypeAlias = Annotated[list[str] | None, strawberry.argument(name="filter")]
_Record = TypeVar("_Record")
_Object = TypeVar("_Object")


@strawberry.type
class Query:
    """The root type; a host may subclass it to add its own fields."""

    @strawberry.field(description=f"A page of the sessions. {_PAGING}")
    async def compute_session_list(
        self,
        info: _Info,
        limit: int = DEFAULT_LIMIT,
        offset: int = 0,
        sort: str | None = None,
        filters: _Filters = None,
        after: str | None = None,
    ) -> ComputeSessionList | None:
        """Read from the inventory."""
        page = _PageArguments(limit, offset, sort, filters, after)
        read = await page.read(info, SESSIONS, info.context.inventory.list_sessions)
        items = await _as_objects(ComputeSession.of, read.items)
        return ComputeSessionList(items=items, total_count=read.total_count, next_cursor=read.next_cursor)

    @strawberry.field(description="The session with an id; null when there is none.")
    async def compute_session(self, info: _Info, session_id: str) -> ComputeSession | None:
        """Read from the inventory."""
        (record,) = await info.context.inventory.find_sessions([id_text(session_id)])
        return None if record is None else ComputeSession.of(record)

    @strawberry.field(description="The kernel with an id; null when there is none.")
    async def kernel(self, info: _Info, kernel_id: str) -> Kernel | None:
        """Read from the inventory."""
        (record,) = await _with_lookup(info.context.inventory).find_kernels([id_text(kernel_id)])
        return None if record is None else Kernel.of(record)

    @strawberry.field(description="The inference endpoint with an id; null when there is none.")
    async def endpoint(self, info: _Info, endpoint_id: str) -> Endpoint | None:
        """Read from the inventory."""
        (record,) = await info.context.inventory.find_endpoints([id_text(endpoint_id)])
        return None if record is None else Endpoint.of(record)

    @strawberry.field(description="The agent with an id; null when there is none.")
    async def agent(self, info: _Info, agent_id: str) -> Agent | None:
        """Read from the inventory."""
        (record,) = await _with_lookup(info.context.inventory).find_agents([agent_id])
        return None if record is None else Agent.of(record)

    @strawberry.field(description=f"A page of the kernels, with those that are in no session. {_PAGING}")
    async def kernel_list(
        self,
        info: _Info,
        limit: int = DEFAULT_LIMIT,
        offset: int = 0,
        sort: str | None = None,
        filters: _Filters = None,
        after: str | None = None,
    ) -> KernelList | None:
        """Read from the inventory."""
        page = _PageArguments(limit, offset, sort, filters, after)
        read = await page.read(info, KERNELS, partial(list_kernels, info.context.inventory))
        items = await _as_objects(Kernel.of, read.items)
        return KernelList(items=items, total_count=read.total_count, next_cursor=read.next_cursor)

    @strawberry.field(description=f"A page of the inference endpoints. {_PAGING}")
    async def endpoint_list(
        self,
        info: _Info,
        limit: int = DEFAULT_LIMIT,
        offset: int = 0,
        sort: str | None = None,
        filters: _Filters = None,
        after: str | None = None,
    ) -> EndpointList | None:
        """Read from the inventory."""
        page = _PageArguments(limit, offset, sort, filters, after)
        read = await page.read(info, ENDPOINTS, info.context.inventory.list_endpoints)
        items = await _as_objects(Endpoint.of, read.items)
        return EndpointList(items=items, total_count=read.total_count, next_cursor=read.next_cursor)

    @strawberry.field(description=f"A page of the agents. {_PAGING}")
    async def agent_list(
        self,
        info: _Info,
        limit: int = DEFAULT_LIMIT,
        offset: int = 0,
        sort: str | None = None,
        filters: _Filters = None,
        after: str | None = None,
    ) -> AgentList | None:
        """Read from the inventory."""
        page = _PageArguments(limit, offset, sort, filters, after)
        read = await page.read(info, AGENTS, partial(list_agent_records, info.context.inventory))
        items = await _as_objects(Agent.of, read.items)
        return AgentList(items=items, total_count=read.total_count, next_cursor=read.next_cursor)

    @strawberry.field(description="The kinds of querier that are installed.")
    def queriers(self, info: _Info) -> list[Querier]:
        """List the kinds of the plugins."""
        return [Querier.of(spec) for spec in info.context.plugins.queriers.values()]

    @strawberry.field(description="The names of the metrics that the backend has for a kind of querier.")
    async def available_metrics(self, info: _Info, querier: str) -> list[str] | None:
        """Read the names from the backend."""
        return await metric_names(info.context.metrics, info.context.plugins.querier(querier))

    @strawberry.field(
        description="Utilization over time. `selector` is an object with the fields of the kind of querier. Times are"
        " RFC 3339 with a zone or unix seconds; the step is a duration such as 1m.",
        metadata={LOADER: UTILIZATION_LOADER},
    )
    async def utilization(
        self, info: _Info, querier: str, selector: JSON, start: str, end: str, step: str
    ) -> Utilization | None:
        """Query the backend."""
        spec = info.context.plugins.querier(querier)
        query = prepare(build_querier(spec, _fields(selector)), spec.units)
        return await load_utilization(info.context, query, start=start, end=end, step=step)

    @strawberry.field(description="The named queries.")
    def presets(self, info: _Info) -> list[Preset]:
        """List the presets of the context."""
        return [Preset.of(preset) for preset in info.context.presets.values()]

    @strawberry.field(
        description="What a preset answers over time. `labels` is an object of label names to a value, or to a list of"
        " values of which any may match. Times and step are as in `utilization`.",
        metadata={LOADER: PRESET_LOADER},
    )
    async def preset_result(
        self,
        info: _Info,
        name: str,
        start: str,
        end: str,
        step: str,
        labels: JSON | None = None,
        group_labels: list[str] | None = None,
        window: str | None = None,
    ) -> Utilization | None:
        """Query the backend."""
        time_range = QueryTimeRange(start=start, end=end, step=step)
        return await load_preset(
            info.context,
            name,
            time_range=time_range,
            labels={} if labels is None else labels,
            group_labels=group_labels or [],
            window=window,
        )

    @strawberry.field(
        description="What a preset answers at an instant, one value for each series. `labels` is as in `preset_result`;"
        " `time` is RFC 3339 with a zone.",
        metadata={LOADER: PRESET_LOADER},
    )
    async def preset_result_at(
        self,
        info: _Info,
        name: str,
        time: str,
        labels: JSON | None = None,
        group_labels: list[str] | None = None,
        window: str | None = None,
    ) -> Utilization | None:
        """Query the backend for a range of one point."""
        return await load_preset(
            info.context,
            name,
            time_range=QueryTimeRange(start=time, end=time, step="1s"),
            labels={} if labels is None else labels,
            group_labels=group_labels or [],
            window=window,
        )

    @strawberry.field(description="Whether the store and the metric backend answer.")
    async def health(self, info: _Info) -> Health | None:
        """Ping both."""
        return await Health.check(info.context)

    @strawberry.field(description="The limits of requests to this service.")
    def limits(self, info: _Info) -> list[Limit]:
        """List the limits that the context enforces, and those that the service enforces."""
        context = info.context
        limits = {**context.limits, "ids": context.max_ids, "points": context.max_points}
        return [Limit(name=name, value=value) for name, value in limits.items()]

    @strawberry.field(description="The version of statcore.")
    def version(self) -> str:
        """Return the version."""
        return installed_version()

    @strawberry.field(description="The installed plugins, with those that cannot be used.")
    def plugins(self, info: _Info) -> list[Plugin]:
        """List the reports of the registry."""
        context = info.context
        return [Plugin.of(report, with_error=not context.is_confined) for report in context.plugins.reports]

    @strawberry.field(description="The version of this schema: raised when a field is removed or means something else.")
    def schema_version(self) -> int:
        """Return the version."""
        return SCHEMA_VERSION


def _fields(selector: object) -> dict[str, object]:
    if isinstance(selector, dict):
        return cast("dict[str, object]", selector)
    raise InputError(f"selector must be an object of fields, not {type(selector).__name__}")


async def _as_objects(
    convert: Callable[[_Record, Figures | None], _Object], items: Sequence[tuple[_Record, Figures | None]]
) -> list[_Object]:
    """Return the GraphQL object of each item, and give way to the event loop."""
    objects: list[_Object] = []
    async for part in in_turns(items):
        objects += [convert(*item) for item in part]
    return objects


def _with_lookup(inventory: InventoryPort) -> OwnerInventoryPort:
    """Return an inventory as one that finds kernels and agents by id.

    Raises:
        UnsupportedError: it does not find them.
    """
    if (with_lookup := owner_inventory(inventory)) is None:
        raise UnsupportedError("the inventory cannot find kernels and agents by id; read kernel_list or agent_list instead")
    return with_lookup


@attrs.frozen
class _ReadPage(Generic[_Record]):
    """A page: its records, each with the figures that the list is sorted by, if there are any."""

    items: Sequence[tuple[_Record, Figures | None]]
    total_count: int
    next_cursor: str | None = None


@attrs.frozen
class _PageArguments:
    """The arguments of a list; the first page by `offset`, or with any of the last three a page of an `ObjectListing`."""

    limit: int
    offset: int
    sort: str | None
    filters: Sequence[str] | None
    after: str | None

    async def read(
        self, info: _Info, kind: ObjectKind[_Record], list_: Callable[..., Awaitable[Page[_Record]]]
    ) -> _ReadPage[_Record]:
        """Return a page, and count its objects, and the statistics that it is sorted by, for the limit of the request.

        The page has no items if the query does not select them: a program that skips pages needs only the cursor.

        Raises:
            InputError: the limit is above `MAX_LIMIT`, an argument cannot be used, or the request lists and loads too many
                objects.
        """
        context, has_items = info.context, _selects(info, "items")
        is_sorted = not (self.sort is None and self.filters is None and self.after is None)
        if self.limit > MAX_LIMIT:
            raise InputError(f"limit must be at most {MAX_LIMIT}, not {self.limit}; page with offset")
        if is_sorted and self.offset:
            raise InputError("offset excludes sort, filter and after; page with after")
        if is_sorted:
            count = partial(context.loaders.count, advice=_FEWER_FIGURES)
            page = await ObjectListing(context.inventory, context.statistics_repository, count=count).read(
                kind,
                sort=self.sort or "id",
                filters=self.filters or (),
                after=self.after,
                limit=self.limit,
                figures=has_items and self.sort is not None and self.sort.removeprefix("-") in FIGURES,
            )
            read = _ReadPage([(item.record, item.figures) for item in page.items], page.total_count, page.next_cursor)
        else:
            plain = await list_(limit=self.limit, offset=self.offset)
            read = _ReadPage([(record, None) for record in plain.items], plain.total_count)
        context.loaders.count(len(read.items))
        return read if has_items else attrs.evolve(read, items=())


def _selects(info: _Info, name: str) -> bool:
    """Return whether the query selects a field of the object that is resolved now, by itself or in a fragment."""
    # The public form takes exponential time for fragments that spread others twice.
    resolved: GraphQLResolveInfo[GraphQueryContext] = cast("Any", info)._raw_info  # noqa: SLF001
    pending = [node.selection_set for node in resolved.field_nodes]
    spread: set[str] = set()
    while pending:
        selection_set = pending.pop()
        for selection in selection_set.selections if selection_set else ():
            if isinstance(selection, FieldNode):
                if selection.name.value == name:
                    return True
            elif isinstance(selection, FragmentSpreadNode):
                fragment = selection.name.value
                pending += [] if fragment in spread else [resolved.fragments[fragment].selection_set]
                spread.add(fragment)
            else:
                pending.append(cast("InlineFragmentNode", selection).selection_set)
    return False
