"""Registry of plugins: all that they offer, look-ups by name, and conflicts between plugins."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import nullcontext
from operator import itemgetter
from threading import TIMEOUT_MAX
from typing import Final, Self, TypeVar, cast

import attrs

from statcore.errors import InputError, PluginError
from statcore.plugins.hooks import Contribution, MetricBackendSpec, QuerierSpec, StatisticsStoreSpec
from statcore.plugins.loading import LOAD_TIMEOUT_S, Around, Loaded, Offer, find_candidates, load_plugins
from statcore.plugins.report import PluginReport, PluginStatus, origins
from statcore.promql.templates import Preset

_logger: Final = logging.getLogger("statcore.plugins")
_C = TypeVar("_C", QuerierSpec, StatisticsStoreSpec, MetricBackendSpec, Preset)


@attrs.frozen
class PluginRegistry:
    """The plugins of this environment; each instance discovers them anew, and shares nothing with other instances.

    Attributes:
        reports: a report on each plugin, in the order of their names.
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
        """Import every installed plugin that is not disabled, and call its hooks.

        A plugin that fails gets a report and one warning in the log `statcore.plugins`; the other plugins are still loaded.

        Args:
            disabled: names of entry points not to import.
            timeout_s: how many seconds each plugin may take; a plugin that hangs stays in its thread.
            around: takes a report with the plugin's name, and returns the context in which the plugin is loaded, in the
                thread that loads it; for hosts that watch what plugins do, for example to standard output.
            trial: whether to try each kind once, as `statcore plugins` does: a plugin with a kind that fails is reported
                as broken, and its kinds can still be used.

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
            _logger.warning(
                "no plugin is called %s, which the settings disable; the plugins are %s", _listed(unknown), _listed(names)
            )
        loaded = load_plugins(candidates, disabled=disabled, timeout_s=timeout_s, around=around, trial=trial)
        owners = _owners(loaded)
        loaded = [_rejected_for_conflicts(plugin, owners) for plugin in loaded]
        reports = (*(plugin.report for plugin in loaded), *unreadable)
        for report in reports:
            if report.status.is_fault:
                _logger.warning(
                    "statcore plugin %s is %s: %s; %s", report.origin, report.status, report.error, report.remedy
                )
        return cls(reports, _owners(loaded))

    @property
    def queriers(self) -> Mapping[str, QuerierSpec]:
        """Every kind of querier that can be used, by name, in alphabetical order."""
        return self._sole(QuerierSpec)

    @property
    def presets(self) -> Mapping[str, Preset]:
        """Every preset of a plugin that can be used, by name, in alphabetical order."""
        return self._sole(Preset)

    def querier(self, name: str) -> QuerierSpec:
        """Return one kind of querier.

        Raises:
            InputError: no plugin offers it.
            PluginError: no plugin offers it, but a plugin that failed may offer it; or two plugins offer it.
        """
        return self._find(QuerierSpec, name)

    def origin(self, querier: str) -> PluginReport:
        """Return the report on the plugin that offers a kind of querier.

        Raises:
            InputError: no plugin offers it.
            PluginError: no plugin offers it, but a plugin that failed may offer it; or two plugins offer it.
        """
        return self._owner(QuerierSpec, querier).report

    def preset(self, name: str, *, others: Iterable[str] = ()) -> Preset:
        """Return one preset; an error names `others` among the presets that are known.

        Raises:
            InputError: no plugin offers it.
            PluginError: no plugin offers it, but a plugin that failed may offer it; or two plugins offer it.
        """
        return self._find(Preset, name, others)

    def preset_origin(self, name: str) -> PluginReport:
        """Return the report on the plugin that offers a preset.

        Raises:
            InputError: no plugin offers it.
            PluginError: no plugin offers it, but a plugin that failed may offer it; or two plugins offer it.
        """
        return self._owner(Preset, name).report

    def statistics_store(self, scheme: str) -> StatisticsStoreSpec:
        """Return the kind of store that a URL scheme names.

        Raises:
            InputError: no plugin offers it.
            PluginError: no plugin offers it, but a plugin that failed may offer it; or two plugins offer it.
        """
        return self._find(StatisticsStoreSpec, scheme)

    def metric_backend(self, scheme: str) -> MetricBackendSpec:
        """Return the kind of backend that a URL scheme names.

        Raises:
            InputError: no plugin offers it.
            PluginError: no plugin offers it, but a plugin that failed may offer it; or two plugins offer it.
        """
        return self._find(MetricBackendSpec, scheme)

    def statistics_store_origin(self, scheme: str) -> PluginReport:
        """Return the report on the plugin that offers a kind of store.

        Raises:
            InputError: no plugin offers it.
            PluginError: no plugin offers it, but a plugin that failed may offer it; or two plugins offer it.
        """
        return self._owner(StatisticsStoreSpec, scheme).report

    def metric_backend_origin(self, scheme: str) -> PluginReport:
        """Return the report on the plugin that offers a kind of backend.

        Raises:
            InputError: no plugin offers it.
            PluginError: no plugin offers it, but a plugin that failed may offer it; or two plugins offer it.
        """
        return self._owner(MetricBackendSpec, scheme).report

    def _sole(self, kind: type[_C]) -> dict[str, _C]:
        found = [
            (offer.name, contribution)
            for offer, owners in self._owners.items()
            if len(owners) == 1 and isinstance(contribution := owners[0].contributions[offer], kind)
        ]
        return dict(sorted(found, key=itemgetter(0)))

    def _find(self, kind: type[_C], name: str, others: Iterable[str] = ()) -> _C:
        return cast("_C", self._owner(kind, name, others).contributions[Offer.of(kind, name)])

    def _owner(self, kind: type[Contribution], name: str, others: Iterable[str] = ()) -> Loaded:
        """Return the plugin that offers a name of a kind; the errors are as in `querier`."""
        offer = Offer.of(kind, name)
        owners = self._owners.get(offer, ())
        if len(owners) == 1:
            return owners[0]
        if owners:
            raise PluginError(
                f"{offer} is offered by {origins(plugin.report for plugin in owners)}; uninstall or disable one of them",
                plugin=", ".join(plugin.report.name for plugin in owners),
            )
        sole = {known.name for known, owners in self._owners.items() if known.kind == offer.kind and len(owners) == 1}
        known = sorted(sole.union(others))
        message = f"there is no {offer!s:.100}; known are: {', '.join(known) or 'none'}"
        if blocked := [report.name for report in self.reports if report.status is PluginStatus.BLOCKED]:
            message += f"; disabled plugins: {', '.join(blocked)}"
        # A plugin that was not loaded may offer it.
        failed = [report for report in self.reports if report.status.is_fault and not report.offers]
        if not failed:
            raise InputError(message)
        causes = "; ".join(f"{report.origin} is {report.status}: {report.error!s:.400}" for report in failed)
        raise PluginError(f"{message}; it may belong to {causes}", plugin=", ".join(report.name for report in failed))


def _owners(loaded: Iterable[Loaded]) -> dict[Offer, list[Loaded]]:
    owners: defaultdict[Offer, list[Loaded]] = defaultdict(list)
    for plugin in loaded:
        for offer in plugin.contributions:
            owners[offer].append(plugin)
    return owners


def _rejected_for_conflicts(plugin: Loaded, owners: Mapping[Offer, Sequence[Loaded]]) -> Loaded:
    """Return a plugin with a report that rejects it where another plugin offers the same name, otherwise unchanged."""
    errors = [
        f"{offer} is offered by {origins(owner.report for owner in owners[offer])}"
        for offer in plugin.contributions
        if len(owners[offer]) > 1
    ]
    if not errors:
        return plugin
    errors += [plugin.report.error] if plugin.report.error else []
    remedy = f"uninstall or disable one of them, for example STATCORE_DISABLE_PLUGINS={plugin.report.name}"
    report = attrs.evolve(plugin.report, status=PluginStatus.REJECTED, error="; ".join(errors), remedy=remedy)
    return plugin._replace(report=report)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(map(repr, names)))
