"""From entry points to loaded plugins: find the candidates, import each within a deadline, call its hooks, report on it.

pluggy only marks the hooks and checks their arguments. It does not call them, because it would drop a hook that returns
None, and one plugin that raises would end the call for all plugins. So `_load` calls the hooks of each plugin on its own,
and whatever goes wrong becomes the report on that plugin.
"""

from __future__ import annotations

import re
import sys
import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from contextvars import copy_context
from importlib import metadata
from threading import Event, Thread
from time import monotonic
from types import FunctionType, MappingProxyType, MethodType, ModuleType
from typing import Final, NamedTuple, Self, TypeAlias, TypeGuard, cast

import pluggy

from statcore.concurrency import close_coroutine
from statcore.errors import MissingExtraError, PluginError
from statcore.model.text import describe
from statcore.plugins import hooks as hook_specs
from statcore.plugins.hooks import (
    API_VERSION,
    GROUP,
    HOOKS,
    Contribution,
    MetricBackendSpec,
    QuerierSpec,
    StatisticsStoreSpec,
)
from statcore.plugins.report import PluginReport, PluginStatus, origins, raised_at
from statcore.plugins.trial import fault_of
from statcore.promql.templates import Preset
from statcore.queriers.interface import UtilizationMetricQuerier

Around: TypeAlias = Callable[[PluginReport], AbstractContextManager[object]]
"""Makes the context that a plugin is loaded in."""

_OURS: Final = "statcore"
LOAD_TIMEOUT_S: Final = 5.0
"""How many seconds a plugin may take to load by default."""

_UNKNOWN: Final = "unknown"
_SEPARATORS: Final = re.compile(r"[-_.]+")
# The standard library parses the whole metadata file for each of the two, README included: half the time of discovery.
_HEADER: Final = re.compile(r"^(Name|Version):[ \t]*(.*?)[ \t\r]*$", re.MULTILINE)
_FUNCTIONS: Final = (FunctionType, MethodType, staticmethod, classmethod)
"""The types of what can be a hook."""
_KINDS: Final[Mapping[type[Contribution], str]] = {
    QuerierSpec: "querier",
    StatisticsStoreSpec: "statistics store",
    MetricBackendSpec: "metric backend",
    Preset: "preset",
}


class Candidate(NamedTuple):
    """An installed plugin before it is imported."""

    entry_point: metadata.EntryPoint
    distribution: str
    version: str

    @property
    def name(self) -> str:
        """The name of the entry point, by which settings and reports call the plugin."""
        return self.entry_point.name

    def remedy(self, first: str) -> str:
        """Return what to do about a fault: `first`, or to switch the plugin off."""
        return f"{first}, or switch it off: STATCORE_DISABLE_PLUGINS={self.name}"

    def report(
        self,
        status: PluginStatus,
        *,
        offers: tuple[str, ...] = (),
        error: str | None = None,
        remedy: str | None = None,
    ) -> PluginReport:
        """Return the report on this plugin."""
        return PluginReport(
            name=self.name,
            distribution=self.distribution,
            version=self.version,
            status=status,
            offers=offers,
            error=error,
            remedy=remedy,
        )


def find_candidates() -> tuple[list[Candidate], list[PluginReport]]:
    """Return the installed plugins by name, and reports on distributions that cannot be read."""
    candidates: list[Candidate] = []
    unreadable: list[PluginReport] = []
    for distribution, name, version in _distributions():
        try:
            entry_points = [entry_point for entry_point in distribution.entry_points if entry_point.group == GROUP]
        except Exception as error:  # noqa: BLE001 - anything may be wrong with the files of a distribution
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
    """Yield the distributions that may have plugins, with name and version.

    Of several distributions of the same name only the first on the path counts, because its modules are imported.
    """
    seen: set[str] = set()
    for distribution in metadata.distributions():
        if not _may_have_plugins(distribution):
            continue
        name, version = _name_and_version(distribution)
        key = _SEPARATORS.sub("-", name).lower()
        if name == _UNKNOWN:
            yield distribution, name, version
        elif key not in seen:
            seen.add(key)
            namesakes = ((namesake, *_name_and_version(namesake)) for namesake in metadata.distributions(name=name))
            # An uninstallation may leave an empty folder, which has no name.
            named = (namesake for namesake in namesakes if namesake[1] != _UNKNOWN)
            yield next(named, (distribution, name, version))


def _may_have_plugins(distribution: metadata.Distribution) -> bool:
    """Return whether the file of entry points names our group; most files do not, and parsing all of them is slow."""
    try:
        return f"[{GROUP}]" in (distribution.read_text("entry_points.txt") or "")
    except Exception:  # noqa: BLE001 - `find_candidates` reports it
        return True


def _name_and_version(distribution: metadata.Distribution) -> tuple[str, str]:
    try:
        text = distribution.read_text("METADATA") or distribution.read_text("PKG-INFO") or ""
    except Exception:  # noqa: BLE001 - a plugin of an unknown distribution can still be loaded
        text = ""
    headers = dict(_HEADER.findall(text.partition("\n\n")[0]))
    return headers.get("Name") or _UNKNOWN, headers.get("Version") or _UNKNOWN


class Offer(NamedTuple):
    """A name under which users find a contribution: `querier container`, `statistics store valkey:`."""

    kind: str
    name: str

    @classmethod
    def of(cls, kind: type[Contribution], name: str) -> Self:
        """Return the offer of a querier's or a preset's name or, for stores and backends, of a URL scheme."""
        return cls(_KINDS[kind], name if kind in {QuerierSpec, Preset} else f"{name}:")

    def __str__(self) -> str:
        """Return the text by which messages name the offer."""
        return f"{self.kind} {self.name}"


class Loaded(NamedTuple):
    """A plugin after its hooks were called; it contributes nothing unless its status is `ok`, or a trial found a fault."""

    report: PluginReport
    contributions: Mapping[Offer, Contribution] = MappingProxyType({})


def load_plugins(
    candidates: Sequence[Candidate], *, disabled: Collection[str], timeout_s: float, around: Around, trial: bool
) -> list[Loaded]:
    """Load the plugins that are not disabled and share their name with no other; arguments are as in `discover`.

    Returns:
        Each candidate in order, loaded or with a report that says why not.

    Raises:
        PluginError: a plugin calls this while it is loaded itself.
    """
    count = Counter(candidate.name for candidate in candidates)
    enabled = [candidate for candidate in candidates if count[candidate.name] == 1 and candidate.name not in disabled]
    loaded = {plugin.report.name: plugin for plugin in _load_each(enabled, timeout_s, around, trial=trial)}
    plugins: list[Loaded] = []
    for candidate in candidates:
        if candidate.name in disabled:
            plugins.append(Loaded(candidate.report(PluginStatus.BLOCKED)))
        elif candidate.name in loaded:
            plugins.append(loaded[candidate.name])
        else:
            reports = [other.report(PluginStatus.REJECTED) for other in candidates if other.name == candidate.name]
            error = f"the plugin name is taken more than once, by {origins(reports)}"
            remedy = f"uninstall {' or '.join(sorted({report.distribution for report in reports} - {_OURS}))}"
            plugins.append(Loaded(candidate.report(PluginStatus.REJECTED, error=error, remedy=remedy)))
    return plugins


def _load_each(candidates: Iterable[Candidate], timeout_s: float, around: Around, *, trial: bool) -> list[Loaded]:
    """Load plugins one after the other in a thread; after a plugin that takes too long, a new thread continues."""
    thread = threading.current_thread()
    if isinstance(thread, _Worker):
        raise PluginError(f"the plugin {thread.name} discovers plugins while it is loaded itself", plugin=thread.name)
    loaded: list[Loaded] = []
    remaining = list(candidates)
    while remaining:
        worker = _Worker(remaining, around, trial=trial)
        try:
            late = worker.wait(timeout_s)
        finally:
            # Code that hangs cannot be ended. It may continue at any time, so the new thread shares nothing with it.
            worker.is_given_up = True
        loaded += worker.loaded[:late]
        if late is None:
            break
        candidate = remaining[late]
        error = f"it was not loaded within {timeout_s:g} s{worker.position()}"
        remedy = candidate.remedy(f"upgrade or uninstall {candidate.distribution}")
        loaded.append(Loaded(candidate.report(PluginStatus.BROKEN, error=error, remedy=remedy)))
        remaining = remaining[late + 1 :]
    return loaded


class _Manager(pluggy.PluginManager):
    """Finds and checks the hooks of modules; pluggy is slow for each value, so it sees only what can be a hook."""

    def parse_hookspec_opts(self, module_or_class: ModuleType | type, name: str) -> pluggy.HookspecOpts | None:
        """Return the options of a specification, or None."""
        return super().parse_hookspec_opts(module_or_class, name) if name in HOOKS else None

    def parse_hookimpl_opts(self, plugin: object, name: str) -> pluggy.HookimplOpts | None:
        """Return the options of a hook, or None."""
        is_function = issubclass(type(vars(plugin).get(name)), _FUNCTIONS)
        return super().parse_hookimpl_opts(plugin, name) if is_function else None


class _Worker(Thread):
    """A thread that loads candidates one after the other, until it has loaded all or is given up."""

    def __init__(self, candidates: Iterable[Candidate], around: Around, *, trial: bool) -> None:
        """Start at once."""
        super().__init__(daemon=True)
        self.candidates = tuple(candidates)
        self.around = around
        self.trial = trial
        self.loaded: list[Loaded] = []
        self.is_given_up = False
        self._current = (0, monotonic())
        self._has_ended = Event()
        self.start()

    def run(self) -> None:
        """Load each plugin in a context of its own: a precision of decimals that it sets there does not outlast it."""
        manager = _Manager(GROUP)
        manager.add_hookspecs(hook_specs)
        for index, candidate in enumerate(self.candidates):
            if self.is_given_up:
                break
            self.name = candidate.name
            self._current = (index, monotonic())
            with self.around(candidate.report(PluginStatus.OK)):
                loaded = copy_context().run(_load, candidate, manager, trial=self.trial)
            self.loaded.append(loaded)
        self._has_ended.set()

    def wait(self, timeout_s: float) -> int | None:
        """Wait until all candidates are loaded or one takes longer than `timeout_s`, and return the index of that one.

        The caller sleeps meanwhile: waking it for each plugin would take longer than calling the plugin's hooks.
        """
        while True:
            current = index, started_s = self._current
            if self._has_ended.wait(max(0.0, started_s + timeout_s - monotonic())):
                return None
            if self._current is current:
                return index

    def position(self) -> str:
        """Return the line that the thread is at; where a plugin waits for another's import, a line of the other."""
        frames = sys._current_frames()  # noqa: SLF001 - documented all the same  # pyright: ignore[reportPrivateUsage]
        frame = frames.get(self.ident or 0)
        while frame is not None and frame.f_code.co_filename.startswith(("<frozen importlib", threading.__file__)):
            frame = frame.f_back
        return f"; it is at {frame.f_code.co_filename}:{frame.f_lineno}" if frame else ""


def _load(candidate: Candidate, manager: pluggy.PluginManager, *, trial: bool) -> Loaded:
    """Import a plugin, call its hooks and, on `trial`, try what they contribute; whatever goes wrong is in the report."""
    try:
        plugin = candidate.entry_point.load()
        # Only modules are registered: the manager compares plugins, and comparing another object may return anything.
        hooks = _hooks(manager, plugin, candidate.name) if _is_module(plugin) else []
        if objection := _objection(plugin, {hook for hook, _ in hooks}):
            remedy = candidate.remedy(f"correct {candidate.distribution} or install another version of it")
            return Loaded(candidate.report(PluginStatus.REJECTED, error=objection, remedy=remedy))
        contributions = _contributions(hooks)
    except BaseException as error:  # noqa: BLE001 - SystemExit and the like of a plugin must not end its host
        # Wrong arguments of a hook are the only fault that pluggy finds.
        status = PluginStatus.REJECTED if isinstance(error, pluggy.PluginValidationError) else PluginStatus.BROKEN
        first = f"correct, reinstall or upgrade {candidate.distribution}"
        if isinstance(error, MissingExtraError):
            first = f"pip install '{error.requirement}'"
        description = f"{describe(error)}{raised_at(error)}"
        return Loaded(candidate.report(status, error=description, remedy=candidate.remedy(first)))
    offers = tuple(sorted(map(str, contributions)))
    if trial and (faults := list(_faults(contributions.values()))):
        remedy = candidate.remedy(f"correct {candidate.distribution} or install another version of it")
        report = candidate.report(PluginStatus.BROKEN, offers=offers, error="; ".join(faults), remedy=remedy)
        return Loaded(report, contributions)
    return Loaded(candidate.report(PluginStatus.OK, offers=offers), contributions)


def _faults(contributions: Iterable[Contribution]) -> Iterator[str]:
    # A contribution is listed once for each of its schemes.
    for contribution in {id(contribution): contribution for contribution in contributions}.values():
        if fault := fault_of(contribution):
            yield f"{_KINDS[type(contribution)]} {contribution.name}: {fault}"


def _is_module(plugin: object) -> TypeGuard[ModuleType]:
    return issubclass(type(plugin), ModuleType)  # unlike `isinstance`, a proxy cannot deceive it


def _hooks(manager: pluggy.PluginManager, plugin: object, name: str) -> list[tuple[str, pluggy.HookImpl]]:
    """Return the hooks that a plugin implements, without unknown ones that it marks as optional."""
    if manager.is_registered(plugin):
        raise ValueError(f"its module is a plugin already, by the entry point {manager.get_name(plugin)}")
    manager.register(plugin, name)
    return [
        (caller.name, implementation)
        for caller in manager.get_hookcallers(plugin) or ()
        for implementation in caller.get_hookimpls()
        if implementation.plugin is plugin and (caller.name in HOOKS or not implementation.optionalhook)
    ]


def _objection(plugin: object, hooks: set[str]) -> str | None:
    """Return why a plugin is rejected, or None."""
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
        from difflib import get_close_matches  # noqa: PLC0415 - seldom needed, and it slows discovery down

        meant = [f"did you mean {hook}?" for hook in get_close_matches(unknown[0], HOOKS, n=1)]
        return f"it implements the unknown hook {', '.join(unknown)}; {meant[0] if meant else f'the hooks are {known}'}"
    if unmarked := [hook for hook in HOOKS if hook not in hooks and callable(getattr(plugin, hook, None))]:
        return f"its {', '.join(unmarked)} is not marked with @statcore.plugins.hookimpl"
    return None if hooks else f"it implements none of the hooks {known}"


def _is_querier(item: object) -> TypeGuard[type[UtilizationMetricQuerier]]:
    return isinstance(item, type) and issubclass(item, UtilizationMetricQuerier)


def _contributions(hooks: Iterable[tuple[str, pluggy.HookImpl]]) -> dict[Offer, Contribution]:
    """Call the hooks, and return each contribution under every name by which it is offered."""
    contributions: dict[Offer, Contribution] = {}
    for hook, implementation in hooks:
        kind = HOOKS[hook]
        expected = f"{kind.__name__}{' or class of queriers' if kind is QuerierSpec else ''}"
        answer: object = implementation.function()
        close_coroutine(answer)
        if not isinstance(answer, list | tuple):
            raise TypeError(f"{hook} returned {type(answer).__name__}, not a list of {expected}")
        for item in cast("Sequence[object]", answer):
            contribution = QuerierSpec.of(item) if kind is QuerierSpec and _is_querier(item) else item
            if not isinstance(contribution, kind):
                raise TypeError(f"{hook} returned a list with {contribution!r:.200}, which is not a {expected}")
            names = (contribution.name,) if isinstance(contribution, QuerierSpec | Preset) else contribution.schemes
            for offer in (Offer.of(kind, name) for name in names):
                if offer in contributions:
                    raise ValueError(f"{hook} offers {offer} twice")
                contributions[offer] = contribution
    return contributions
