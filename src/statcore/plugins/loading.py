"""Importing one plugin and asking its hooks, so that nothing it raises reaches another."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import ModuleType
from typing import Final, TypeGuard, cast

import attrs
import pluggy

from statcore.errors import MissingExtraError
from statcore.model.coroutines import discard
from statcore.model.text import describe
from statcore.plugins import spec
from statcore.plugins.contributions import Contribution, MetricBackendSpec, QuerierSpec, StatisticsStoreSpec
from statcore.plugins.discovery import Candidate
from statcore.plugins.raised_at import raised_at
from statcore.plugins.report import PluginReport, PluginStatus
from statcore.plugins.spec import API_VERSION, GROUP
from statcore.plugins.trial import fault_of
from statcore.promql.preset import Preset
from statcore.queriers.interface import UtilizationMetricQuerier

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
    manager.add_hookspecs(spec)
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
        discard(answer)
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
