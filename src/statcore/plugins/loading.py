"""Finding installed plugins, importing each within a deadline, calling its hooks, and the report on each."""

from __future__ import annotations

import re
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from contextvars import copy_context
from importlib import metadata
from queue import Empty, SimpleQueue
from threading import Thread
from types import ModuleType
from typing import Final, TypeAlias, TypeGuard, cast

import attrs
import pluggy

from statcore.concurrency import close_coroutine
from statcore.errors import MissingExtraError, PluginError
from statcore.model.text import describe
from statcore.plugins import hooks as hook_specs
from statcore.plugins.hooks import API_VERSION, GROUP, Contribution, MetricBackendSpec, QuerierSpec, StatisticsStoreSpec
from statcore.plugins.report import PluginReport, PluginStatus, raised_at
from statcore.plugins.trial import fault_of
from statcore.promql.preset import Preset
from statcore.queriers.interface import UtilizationMetricQuerier

_UNKNOWN: Final = "unknown"
_SEPARATORS: Final = re.compile(r"[-_.]+")
# The standard library parses the whole metadata file, read-me included, for each of the two: half of what discovery costs.
_HEADER: Final = re.compile(r"^(Name|Version):[ \t]*(.*?)[ \t\r]*$", re.MULTILINE)


@attrs.frozen
class Candidate:
    """An installed plugin, and what is known of it before it is imported."""

    entry_point: metadata.EntryPoint
    distribution: str
    version: str

    @property
    def name(self) -> str:
        """The name of the entry point, by which settings and reports call the plugin."""
        return self.entry_point.name

    @property
    def or_switch_off(self) -> str:
        """The last resort of every remedy, as its end: `or switch it off: …`."""
        return f"or switch it off: STATCORE_DISABLE_PLUGINS={self.name}"

    def report(self, status: PluginStatus, *, error: str | None = None, remedy: str | None = None) -> PluginReport:
        """Return what became of it."""
        return PluginReport(
            name=self.name,
            distribution=self.distribution,
            version=self.version,
            status=status,
            error=error,
            remedy=remedy,
        )


def find_candidates() -> tuple[list[Candidate], list[PluginReport]]:
    """Return the installed plugins by name, and reports on distributions that cannot be read."""
    candidates: list[Candidate] = []
    unreadable: list[PluginReport] = []
    for distribution, name, version in _distributions():
        try:
            entry_points = list(distribution.entry_points.select(group=GROUP))
        except Exception as error:  # noqa: BLE001 - whatever is wrong with a file of any one distribution
            report = PluginReport(
                name=name,
                distribution=name,
                version=version,
                status=PluginStatus.BROKEN,
                error=f"its entry points cannot be read: {describe(error)}",
                remedy=f"reinstall or uninstall {name}",
            )
            unreadable.append(report)
        else:
            candidates += [Candidate(entry_point, name, version) for entry_point in entry_points]
    return sorted(candidates, key=lambda candidate: (candidate.name, candidate.distribution)), unreadable


def _distributions() -> Iterator[tuple[metadata.Distribution, str, str]]:
    """Yield what may be plugins, name and version, of each name the first on the path: its modules are imported."""
    seen: set[str] = set()
    for distribution in metadata.distributions():
        if not _may_be_plugin(distribution):
            continue
        name, version = _identity(distribution)
        key = _SEPARATORS.sub("-", name).lower()
        if name == _UNKNOWN:
            yield distribution, name, version
        elif key not in seen:
            seen.add(key)
            namesakes = ((one, *_identity(one)) for one in metadata.distributions(name=name))
            named = (found for found in namesakes if found[1] != _UNKNOWN)  # not folders that an uninstallation left empty
            yield next(named, (distribution, name, version))


def _may_be_plugin(distribution: metadata.Distribution) -> bool:
    """Tell at a glance, since most are none and the standard library would take the time to parse them all."""
    try:
        return f"[{GROUP}]" in (distribution.read_text("entry_points.txt") or "")
    except Exception:  # noqa: BLE001 - as above, where it is reported
        return True


def _identity(distribution: metadata.Distribution) -> tuple[str, str]:
    try:
        text = distribution.read_text("METADATA") or distribution.read_text("PKG-INFO") or ""
    except Exception:  # noqa: BLE001 - as above; a plugin without a name is one all the same
        text = ""
    headers = dict(_HEADER.findall(text.partition("\n\n")[0]))
    return headers.get("Name") or _UNKNOWN, headers.get("Version") or _UNKNOWN


HOOKS: Final[Mapping[str, type[Contribution]]] = {
    "statcore_queriers": QuerierSpec,
    "statcore_statistics_stores": StatisticsStoreSpec,
    "statcore_metric_backends": MetricBackendSpec,
    "statcore_presets": Preset,
}
"""What each hook returns a list of."""
_KINDS: Final[Mapping[type[Contribution], str]] = {
    QuerierSpec: "querier",
    StatisticsStoreSpec: "statistics store",
    MetricBackendSpec: "metric backend",
    Preset: "preset",
}


@attrs.frozen(order=True)
class Offer:
    """What users ask for: `querier container`, `statistics store valkey:`."""

    kind: str
    name: str

    def __str__(self) -> str:
        """Return it as messages name it."""
        return f"{self.kind} {self.name}"


def offer(kind: type[Contribution], name: str) -> Offer:
    """Return the offer of a querier's or a preset's name or, for stores and backends, of a URL scheme."""
    return Offer(_KINDS[kind], name if kind in {QuerierSpec, Preset} else f"{name}:")


@attrs.frozen
class Loaded:
    """A plugin after its hooks were asked; it contributes nothing unless its status is `ok`."""

    report: PluginReport
    contributions: Mapping[Offer, Contribution] = attrs.field(factory=dict[Offer, Contribution])


def new_manager() -> pluggy.PluginManager:
    """Return a plugin manager that knows the hooks."""
    manager = pluggy.PluginManager(GROUP)
    manager.add_hookspecs(hook_specs)
    return manager


def load(candidate: Candidate, manager: pluggy.PluginManager, *, trial: bool = False) -> Loaded:
    """Import a plugin and ask its hooks, on `trial` its kinds, too; whatever goes wrong is in the report."""
    try:
        plugin = candidate.entry_point.load()
        # Only modules get into the manager: it compares plugins, and an object may answer that as it likes.
        hooks = list(_hooks(manager, plugin, candidate.name)) if _is_module(plugin) else []
        if objection := _objection(plugin, {hook for hook, _ in hooks}):
            remedy = f"correct {candidate.distribution} or install another version of it, {candidate.or_switch_off}"
            return Loaded(candidate.report(PluginStatus.REJECTED, error=objection, remedy=remedy))
        contributions = _contributions(hooks)
    except BaseException as error:  # noqa: BLE001 - SystemExit and the like of a plugin must not end its host
        # Wrong arguments of a hook are the one fault that pluggy itself finds.
        status = PluginStatus.REJECTED if isinstance(error, pluggy.PluginValidationError) else PluginStatus.BROKEN
        missing = f"pip install 'statcore[{error.extra}]'" if isinstance(error, MissingExtraError) else None
        remedy = f"{missing or f'correct, reinstall or upgrade {candidate.distribution}'}, {candidate.or_switch_off}"
        return Loaded(candidate.report(status, error=f"{describe(error)}{raised_at(error)}", remedy=remedy))
    report = attrs.evolve(candidate.report(PluginStatus.OK), offers=tuple(sorted(map(str, contributions))))
    if trial and (faults := list(_faults(contributions.values()))):
        remedy = f"correct {candidate.distribution} or install another version of it, {candidate.or_switch_off}"
        report = attrs.evolve(report, status=PluginStatus.BROKEN, error="; ".join(faults), remedy=remedy)
    return Loaded(report, contributions)


def _faults(contributions: Iterable[Contribution]) -> Iterator[str]:
    for contribution in {id(each): each for each in contributions}.values():  # one for each of its schemes
        if fault := fault_of(contribution):
            yield f"{_KINDS[type(contribution)]} {contribution.name}: {fault}"


def _is_module(plugin: object) -> TypeGuard[ModuleType]:
    return issubclass(type(plugin), ModuleType)  # which a proxy cannot claim to be


def _hooks(manager: pluggy.PluginManager, plugin: object, name: str) -> Iterator[tuple[str, pluggy.HookImpl]]:
    if manager.is_registered(plugin):
        raise ValueError(f"its module is a plugin already, by the entry point {manager.get_name(plugin)}")
    manager.register(plugin, name)
    for caller in manager.get_hookcallers(plugin) or ():
        for implementation in caller.get_hookimpls():
            if implementation.plugin is plugin and (caller.name in HOOKS or not implementation.optionalhook):
                yield caller.name, implementation


def _objection(plugin: object, hooks: set[str]) -> str | None:
    if not _is_module(plugin):
        kind = plugin if isinstance(plugin, type) else type(plugin)
        named = f"{'the class' if kind is plugin else 'an object of'} {kind.__qualname__}"
        return f"its entry point names {named}; name the module that has the hooks"
    version = getattr(plugin, "STATCORE_PLUGIN_API", None)
    if version is None:
        return f"it does not say which plugin API it was written for: STATCORE_PLUGIN_API = {API_VERSION} is missing"
    if version != API_VERSION:
        return f"it was written for plugin API {version!r:.50}, this is {API_VERSION}"
    known = ", ".join(HOOKS)
    if unknown := sorted(hooks - HOOKS.keys()):
        from difflib import get_close_matches  # noqa: PLC0415 - seldom wanted, and discovery has no time for it

        meant = "".join(f", did you mean {hook}?" for hook in get_close_matches(unknown[0], HOOKS, n=1))
        return f"it implements {', '.join(unknown)}, which is no hook{meant or f'; the hooks are {known}'}"
    if unmarked := [hook for hook in HOOKS if hook not in hooks and callable(getattr(plugin, hook, None))]:
        return f"its {', '.join(unmarked)} is not marked with @statcore.plugins.hookimpl"
    return None if hooks else f"it implements none of the hooks {known}"


def _is_querier(offered: object) -> TypeGuard[type[UtilizationMetricQuerier]]:
    return isinstance(offered, type) and issubclass(offered, UtilizationMetricQuerier)


def _contributions(hooks: Iterable[tuple[str, pluggy.HookImpl]]) -> dict[Offer, Contribution]:
    contributions: dict[Offer, Contribution] = {}
    for hook, implementation in hooks:
        expected = HOOKS[hook]
        wanted = f"{expected.__name__}{' or class of queriers' if expected is QuerierSpec else ''}"
        answer: object = implementation.function()
        close_coroutine(answer)
        if not isinstance(answer, list | tuple):
            raise TypeError(f"{hook} returned {type(answer).__name__}, not a list of {wanted}")
        for offered in cast("Sequence[object]", answer):
            contribution = QuerierSpec.of(offered) if expected is QuerierSpec and _is_querier(offered) else offered
            if not isinstance(contribution, expected):
                raise TypeError(f"{hook} returned a list with {contribution!r:.200}, which is no {wanted}")
            names = (contribution.name,) if isinstance(contribution, QuerierSpec | Preset) else contribution.schemes
            for key in (offer(expected, name) for name in names):
                if key in contributions:
                    raise ValueError(f"{hook} offers {key} twice")
                contributions[key] = contribution
    return contributions


Around: TypeAlias = Callable[[PluginReport], AbstractContextManager[object]]


class _Worker(Thread):
    """A thread that loads candidates one after the other, until it has all or is given up."""

    def __init__(self, candidates: Sequence[Candidate], around: Around, *, trial: bool) -> None:
        """Start at once."""
        super().__init__(daemon=True)
        self.candidates = tuple(candidates)
        self.around = around
        self.trial = trial
        self.loaded = SimpleQueue[Loaded]()
        self.is_given_up = False
        self.start()

    def run(self) -> None:
        """Load each in a context of its own: what one sets there, the precision of decimals for one, is not the next's."""
        manager = new_manager()
        for candidate in self.candidates:
            if self.is_given_up:
                break
            self.name = candidate.name
            with self.around(candidate.report(PluginStatus.OK)):
                loaded = copy_context().run(load, candidate, manager, trial=self.trial)
            self.loaded.put(loaded)

    def whereabouts(self) -> str:
        """Return what line the thread is at: it may be another's, which this plugin waits for."""
        frames = sys._current_frames()  # noqa: SLF001 - documented all the same  # pyright: ignore[reportPrivateUsage]
        frame = frames.get(self.ident or 0)
        while frame is not None and frame.f_code.co_filename.startswith(("<frozen importlib", threading.__file__)):
            frame = frame.f_back
        return f"; it is at {frame.f_code.co_filename}:{frame.f_lineno}" if frame else ""


def load_each(
    candidates: Iterable[Candidate], timeout_s: float, around: Around = nullcontext, *, trial: bool = False
) -> Iterator[Loaded]:
    """Import plugins one after the other in a thread, and ask their hooks.

    Whatever goes wrong is in the reports; so is a plugin that takes longer than `timeout_s` seconds, for which the thread
    is given up for a new one. `around` and `trial` are as in `PluginRegistry.discover`.

    Raises:
        PluginError: a plugin calls this while it is loaded itself.
    """
    thread = threading.current_thread()
    if isinstance(thread, _Worker):
        raise PluginError(f"the plugin {thread.name} discovers plugins while it is loaded itself", plugin=thread.name)
    left = deque(candidates)
    while left:
        worker = _Worker(left, around, trial=trial)
        try:
            while left:
                yield worker.loaded.get(timeout=timeout_s)
                left.popleft()
        except Empty:
            yield _overdue(left.popleft(), timeout_s, worker.whereabouts())
        finally:
            # Nothing ends code that hangs. It may go on at any time, so the rest shares nothing with it.
            worker.is_given_up = True


def _overdue(candidate: Candidate, timeout_s: float, whereabouts: str) -> Loaded:
    error = f"it was not loaded within {timeout_s:g} s{whereabouts}"
    remedy = f"upgrade or uninstall {candidate.distribution}, {candidate.or_switch_off}"
    return Loaded(candidate.report(PluginStatus.BROKEN, error=error, remedy=remedy))
