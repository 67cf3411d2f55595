"""What all plugins together offer, and whom to blame for what is missing."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from threading import TIMEOUT_MAX
from typing import Final, Self, TypeVar, cast

import attrs

from statcore.errors import InputError, PluginError
from statcore.plugins.hooks import MetricBackendSpec, QuerierSpec, StatisticsStoreSpec
from statcore.plugins.loading import Around, Candidate, Loaded, Offer, find_candidates, load_each, offer
from statcore.plugins.report import PluginReport, PluginStatus
from statcore.promql.preset import Preset

LOAD_TIMEOUT_S: Final = 5.0
"""How long a plugin may take to load, unless told otherwise."""

_OURS: Final = "statcore"
_log: Final = logging.getLogger("statcore.plugins")
_C = TypeVar("_C", QuerierSpec, StatisticsStoreSpec, MetricBackendSpec, Preset)


@attrs.frozen
class PluginRegistry:
    """The plugins of this environment; every instance discovers for itself and shares nothing.

    Attributes:
        reports: what became of each plugin, by name.
    """

    reports: tuple[PluginReport, ...]
    _owners: Mapping[Offer, Sequence[Loaded]] = attrs.field(repr=False)

    @classmethod
    def discover(
        cls,
        *,
        disabled: Collection[str] = (),
        timeout_s: float = LOAD_TIMEOUT_S,
        around: Around = nullcontext,
        trial: bool = False,
    ) -> Self:
        """Import every installed plugin that is not disabled and ask its hooks.

        A plugin that fails costs nothing but itself: it gets a report and one warning in the log `statcore.plugins`.

        Args:
            disabled: names of entry points not to import.
            timeout_s: how many seconds each plugin may take; one that hangs is left behind in its thread.
            around: makes a context that a plugin is loaded in, in the thread that loads it, from a report with its name;
                for hosts that watch what plugins do, for example to standard output.
            trial: whether to try each kind once, as `statcore plugins` does: a plugin with a kind that fails is reported
                as broken, and its kinds can be asked for all the same.

        Raises:
            InputError: `disabled` is one text, or `timeout_s` is not above zero or too long to wait for.
            PluginError: a plugin calls this while it is loaded itself.
        """
        if isinstance(disabled, str):
            raise InputError(f"disabled takes a collection of names, not one text: {disabled!r}")
        if not isinstance(cast("object", timeout_s), int | float) or not 0 < timeout_s <= TIMEOUT_MAX:
            raise InputError(f"timeout_s must be a number above zero and at most {TIMEOUT_MAX:.0f}, not {timeout_s!r}")
        disabled = frozenset(disabled)
        candidates, unreadable = find_candidates()
        names = {candidate.name for candidate in candidates}
        if unknown := disabled - names:
            which, known = (", ".join(sorted(map(repr, those))) for those in (unknown, names))
            _log.warning("no plugin is called %s, which the settings disable; the plugins are %s", which, known)
        loaded = list(_load_all(candidates, disabled, lambda found: load_each(found, timeout_s, around, trial=trial)))
        owners = _owners(loaded)
        loaded = [attrs.evolve(plugin, report=_with_conflicts(plugin, owners)) for plugin in loaded]
        reports = (*(plugin.report for plugin in loaded), *unreadable)
        for report in reports:
            if report.status.is_fault:
                _log.warning("statcore plugin %s is %s: %s; %s", report.origin, report.status, report.error, report.remedy)
        return cls(reports, _owners(loaded))

    @property
    def queriers(self) -> Mapping[str, QuerierSpec]:
        """Every kind of querier that can be asked for, by name, in alphabetical order."""
        return self._sole(QuerierSpec)

    @property
    def presets(self) -> Mapping[str, Preset]:
        """Every preset of a plugin that can be asked for, by name, in alphabetical order."""
        return self._sole(Preset)

    def querier(self, name: str) -> QuerierSpec:
        """Return one kind of querier.

        Raises:
            InputError: no plugin offers it.
            PluginError: no plugin offers it but some are broken, whose it may be; or two offer it.
        """
        return self._find(QuerierSpec, name)

    def origin(self, querier: str) -> PluginReport:
        """Return the report on the plugin that offers a kind of querier; the errors are those of `querier`."""
        self.querier(querier)
        return self._owners[offer(QuerierSpec, querier)][0].report

    def preset(self, name: str, *, others: Iterable[str] = ()) -> Preset:
        """Return one preset; the errors are those of `querier`, and name `others` among those that are known."""
        return self._find(Preset, name, others)

    def preset_origin(self, name: str) -> PluginReport:
        """Return the report on the plugin that offers a preset; the errors are those of `querier`."""
        self.preset(name)
        return self._owners[offer(Preset, name)][0].report

    def statistics_store(self, scheme: str) -> StatisticsStoreSpec:
        """Return the kind of store that a URL scheme names; the errors are those of `querier`."""
        return self._find(StatisticsStoreSpec, scheme)

    def metric_backend(self, scheme: str) -> MetricBackendSpec:
        """Return the kind of backend that a URL scheme names; the errors are those of `querier`."""
        return self._find(MetricBackendSpec, scheme)

    def statistics_store_origin(self, scheme: str) -> PluginReport:
        """Return the report on the plugin that offers a kind of store; the errors are those of `querier`."""
        self.statistics_store(scheme)
        return self._owners[offer(StatisticsStoreSpec, scheme)][0].report

    def metric_backend_origin(self, scheme: str) -> PluginReport:
        """Return the report on the plugin that offers a kind of backend; the errors are those of `querier`."""
        self.metric_backend(scheme)
        return self._owners[offer(MetricBackendSpec, scheme)][0].report

    def _sole(self, kind: type[_C]) -> dict[str, _C]:
        sole = [(key.name, owners[0].contributions[key]) for key, owners in self._owners.items() if len(owners) == 1]
        found = {name: contribution for name, contribution in sole if isinstance(contribution, kind)}
        return {name: found[name] for name in sorted(found)}

    def _find(self, kind: type[_C], name: str, others: Iterable[str] = ()) -> _C:
        wanted = offer(kind, name)
        owners = self._owners.get(wanted, ())
        if len(owners) == 1:
            return cast("_C", owners[0].contributions[wanted])
        if owners:
            raise PluginError(
                f"{wanted} is offered by {_origins(plugin.report for plugin in owners)}; uninstall or disable one of them",
                plugin=", ".join(plugin.report.name for plugin in owners),
            )
        sole = {key.name for key, owners in self._owners.items() if key.kind == wanted.kind and len(owners) == 1}
        known = sorted(sole.union(others))
        message = f"there is no {wanted!s:.100}; known are: {', '.join(known) or 'none'}"
        if blocked := [report.name for report in self.reports if report.status is PluginStatus.BLOCKED]:
            message += f"; disabled plugins: {', '.join(blocked)}"
        # What a plugin that did not load would offer nobody knows: it may be the one that is wanted.
        failed = [report for report in self.reports if report.status.is_fault and not report.offers]
        if not failed:
            raise InputError(message)
        causes = "; ".join(f"{report.origin} is {report.status}: {report.error!s:.400}" for report in failed)
        raise PluginError(f"{message}; it may belong to {causes}", plugin=", ".join(report.name for report in failed))


def _owners(loaded: Iterable[Loaded]) -> dict[Offer, list[Loaded]]:
    owners: defaultdict[Offer, list[Loaded]] = defaultdict(list)
    for plugin in loaded:
        for key in plugin.contributions:
            owners[key].append(plugin)
    return owners


def _load_all(
    candidates: Iterable[Candidate],
    disabled: Collection[str],
    load: Callable[[Iterable[Candidate]], Iterator[Loaded]],
) -> Iterator[Loaded]:
    by_name: defaultdict[str, list[Candidate]] = defaultdict(list)
    for candidate in candidates:
        by_name[candidate.name].append(candidate)
    alone = {name for name, namesakes in by_name.items() if len(namesakes) == 1 and name not in disabled}
    loaded = load(by_name[name][0] for name in by_name if name in alone)
    for name, namesakes in by_name.items():
        if name in alone:
            yield next(loaded)
        elif name in disabled:
            yield from (Loaded(candidate.report(PluginStatus.BLOCKED)) for candidate in namesakes)
        else:
            yield from _ambiguous(namesakes)


def _ambiguous(namesakes: Sequence[Candidate]) -> list[Loaded]:
    reports = [candidate.report(PluginStatus.REJECTED) for candidate in namesakes]
    error = f"the plugin name is taken more than once, by {_origins(reports)}"
    remedy = f"uninstall {' or '.join(sorted({candidate.distribution for candidate in namesakes} - {_OURS}))}"
    return [Loaded(attrs.evolve(report, error=error, remedy=remedy)) for report in reports]


def _with_conflicts(plugin: Loaded, owners: Mapping[Offer, Sequence[Loaded]]) -> PluginReport:
    errors = [
        f"{key} is offered by {_origins(owner.report for owner in owners[key])}"
        for key in plugin.contributions
        if len(owners[key]) > 1
    ]
    if not errors:
        return plugin.report
    errors += [plugin.report.error] if plugin.report.error else []
    remedy = f"uninstall or disable one of them, for example STATCORE_DISABLE_PLUGINS={plugin.report.name}"
    return attrs.evolve(plugin.report, status=PluginStatus.REJECTED, error="; ".join(errors), remedy=remedy)


def _origins(reports: Iterable[PluginReport]) -> str:
    return " and ".join(report.origin for report in reports)
