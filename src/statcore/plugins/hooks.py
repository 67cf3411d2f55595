"""The hooks that a plugin implements, and the frozen specs that they return.

A plugin is a module that an entry point of the group `statcore` names.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import cached_property
from typing import Any, Final, Self, TypeAlias, cast

import attrs
import pluggy

from statcore.errors import InputError
from statcore.model.validation import check_line, check_mapping, check_name, read_only
from statcore.plugins.fields import QuerierField, read_fields
from statcore.ports.metrics import MetricQuerierPort
from statcore.ports.sink import StatisticsSinkPort
from statcore.ports.statistics import StatisticsPort
from statcore.promql.templates import Preset
from statcore.queriers.interface import UtilizationMetricQuerier

Options: TypeAlias = Mapping[str, Any]
"""The settings of an adapter by name, without the URL; the adapter checks them and names a bad one in an `InputError`."""

_WORDS: Final = re.compile(r"[A-Z]+(?![a-z])[a-z0-9]*|[A-Z]?[a-z0-9]+")
_SCHEME: Final = re.compile(r"[a-z][a-z0-9+.-]*")


def _check_querier(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    if not isinstance(value, type) or not issubclass(value, UtilizationMetricQuerier):
        raise InputError(f"{attribute.name} must be a class that implements UtilizationMetricQuerier, not {value!r:.200}")
    if missing := sorted(getattr(value, "__abstractmethods__", ())):
        raise InputError(f"{value.__name__} must implement UtilizationMetricQuerier, but lacks {', '.join(missing)}")


def _check_schemes(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    schemes = cast("tuple[object, ...]", value) if isinstance(value, tuple) else ()
    if not schemes or not all(isinstance(scheme, str) and _SCHEME.fullmatch(scheme) for scheme in schemes):
        raise InputError(f"{attribute.name} must be a tuple of lower-case URL schemes, not {value!r:.200}")


def _check_differences(_: object, attribute: attrs.Attribute[Any], value: Mapping[object, object]) -> None:
    for check, difference in value.items():
        if not (isinstance(check, str) and check and isinstance(difference, str) and difference):
            raise InputError(
                f"{attribute.name} must map names of checks to sentences, not {check!r:.80} to {difference!r:.80}"
            )


def _check_units(_: object, attribute: attrs.Attribute[Any], value: Mapping[object, object]) -> None:
    for metric, unit in value.items():
        if not (isinstance(metric, str) and isinstance(unit, str)):
            raise InputError(f"{attribute.name} must map metrics to units, not {metric!r:.80} to {unit!r:.80}")


def _check_factory(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    if not callable(value):
        raise InputError(f"{attribute.name} must be a function of a URL and options, not {value!r:.200}")


def _docstring(querier: type[UtilizationMetricQuerier]) -> str:
    """Return the docstring that a class itself has, or an empty text.

    An inherited docstring does not count, and neither does the signature that `dataclass` writes into a class without a
    docstring.
    """
    docstring: object = vars(querier).get("__doc__")
    text = docstring.strip() if isinstance(docstring, str) else ""
    if dataclasses.is_dataclass(querier) and text.startswith(f"{querier.__name__}("):
        signature = f"{querier.__name__}{inspect.signature(querier)}".replace(" -> None", "")
        return "" if text == signature else text
    return text


@attrs.frozen(kw_only=True)
class QuerierSpec:
    """A kind of querier; a hook may return only the class, from which `of` then makes the spec.

    Args:
        name: the name that users type: `statcore query NAME`.
        summary: one line for listings.
        querier: the class; its keyword-only fields become options.
        series: the metric name in the backend, to list what exists; None where each choice of the field `metric_name` has
            series of its own.
        metric_label: the label of `series` that tells its metrics apart, or None where `series` is the only metric.
        example: values of fields by name, as users would type them, for a class with required fields: `statcore plugins`
            builds a querier from them as a trial.
        units: by metric, the unit of the values that the querier answers, such as `bytes/s`; "1" is a share or a plain
            number. Dashboards show it, and list these metrics if the field `metric_name` has no choices.

    Raises:
        InputError: an argument is of another type, or a text is empty or has more than one line.
    """

    name: str = attrs.field(validator=check_name)
    summary: str = attrs.field(validator=check_line)
    querier: type[UtilizationMetricQuerier] = attrs.field(validator=_check_querier)
    series: str | None = attrs.field(default=None, validator=attrs.validators.optional(check_line))
    metric_label: str | None = attrs.field(default=None, validator=attrs.validators.optional(check_line))
    example: Mapping[str, object] | None = attrs.field(
        default=None, validator=attrs.validators.optional(check_mapping), hash=False
    )
    units: Mapping[str, str] = attrs.field(
        factory=dict[str, str], converter=read_only, validator=[check_mapping, _check_units], hash=False
    )

    @cached_property
    def fields(self) -> Sequence[QuerierField]:
        """The fields of the class, in the order of its constructor; the class is read once.

        Raises:
            PluginError: they cannot be read, for example because an annotation names something unknown.
        """
        return read_fields(self.querier)

    @classmethod
    def of(cls, querier: type[UtilizationMetricQuerier]) -> Self:
        """Make a spec of a class: `RackMetricQuerier` is named `rack`, and the first line of its docstring is the summary.

        Raises:
            InputError: it has no docstring, its name is not ASCII, or it does not implement `UtilizationMetricQuerier`.
        """
        name = querier.__name__
        if not name.isascii():
            raise InputError(f"the class name {name} must be ASCII, since users type it; or name the kind in a QuerierSpec")
        words = _WORDS.findall(re.sub(r"(Metric)?Querier$", "", name))
        summary = _docstring(querier).partition("\n")[0].rstrip(".")
        if not summary:
            raise InputError(f"{name} needs a docstring, whose first line is its summary in listings")
        return cls(name="-".join(words).lower(), summary=summary, querier=querier)


@attrs.frozen(kw_only=True)
class StatisticsStoreSpec:
    """A kind of store of live statistics.

    Args:
        name: its name in listings.
        summary: one line for listings.
        schemes: the URL schemes that choose it, in lower case.
        open: opens a reader of the store at a URL; raises `MissingExtraError` when its driver is not installed.
        open_sink: opens a writer in the same way; None where the store is read only.
        extra: the extra that installs its driver, or None.

    Raises:
        InputError: an argument is of another type, a text is empty or has more than one line, or there is no scheme.
    """

    name: str = attrs.field(validator=check_name)
    summary: str = attrs.field(validator=check_line)
    schemes: tuple[str, ...] = attrs.field(validator=_check_schemes)
    open: Callable[[str, Options], Awaitable[StatisticsPort]] = attrs.field(validator=_check_factory)
    open_sink: Callable[[str, Options], Awaitable[StatisticsSinkPort]] | None = attrs.field(
        default=None, validator=attrs.validators.optional(_check_factory)
    )
    extra: str | None = attrs.field(default=None, validator=attrs.validators.optional(check_line))


@attrs.frozen(kw_only=True)
class MetricBackendSpec:
    """A kind of metric backend.

    Args:
        name: its name in listings.
        summary: one line for listings.
        schemes: the URL schemes that choose it, in lower case.
        open: opens the backend at a URL; raises `MissingExtraError` when its driver is not installed.
        extra: the extra that installs its driver, or None.
        differences: where this backend differs from what `MetricQuerierPort` promises: the name of a check of
            `statcore.testing.metrics`, such as `values_are_exact`, to one sentence that says what happens instead.
            `MetricQuerierConformance` takes them, too, and verifies them.

    Raises:
        InputError: an argument is of another type, a text is empty or has more than one line, or there is no scheme.
    """

    name: str = attrs.field(validator=check_name)
    summary: str = attrs.field(validator=check_line)
    schemes: tuple[str, ...] = attrs.field(validator=_check_schemes)
    open: Callable[[str, Options], Awaitable[MetricQuerierPort]] = attrs.field(validator=_check_factory)
    extra: str | None = attrs.field(default=None, validator=attrs.validators.optional(check_line))
    differences: Mapping[str, str] = attrs.field(
        factory=dict[str, str], converter=read_only, validator=[check_mapping, _check_differences], hash=False
    )


Contribution: TypeAlias = QuerierSpec | StatisticsStoreSpec | MetricBackendSpec | Preset

HOOKS: Final[Mapping[str, type[Contribution]]] = {
    "statcore_queriers": QuerierSpec,
    "statcore_statistics_stores": StatisticsStoreSpec,
    "statcore_metric_backends": MetricBackendSpec,
    "statcore_presets": Preset,
}
"""By hook, the type of the items in the list that the hook returns."""
GROUP: Final = "statcore"
"""The entry-point group, and the prefix of every hook."""
API_VERSION: Final = 1
"""A plugin module sets `STATCORE_PLUGIN_API = 1`: the version of these hooks that it was written for."""

hookspec: Final = pluggy.HookspecMarker(GROUP)
hookimpl: Final = pluggy.HookimplMarker(GROUP)


@hookspec
def statcore_queriers() -> Sequence[QuerierSpec | type[UtilizationMetricQuerier]]:
    """Contribute kinds of querier: classes, or specs where a class alone does not say enough."""
    return ()


@hookspec
def statcore_statistics_stores() -> Sequence[StatisticsStoreSpec]:
    """Contribute kinds of store for live statistics."""
    return ()


@hookspec
def statcore_metric_backends() -> Sequence[MetricBackendSpec]:
    """Contribute kinds of metric backend."""
    return ()


@hookspec
def statcore_presets() -> Sequence[Preset]:
    """Contribute named queries that users fill in; a plugin with presets depends on `statcore[presets]`."""
    return ()
