"""The plugin, which contributes the backend `prometheus` and imports no driver."""

from __future__ import annotations

from statcore.imports import requires_extra
from statcore.plugins.hooks import API_VERSION, MetricBackendSpec, Options, hookimpl
from statcore.ports.metrics import MetricQuerierPort

STATCORE_PLUGIN_API = API_VERSION


async def open_prometheus(url: str, options: Options) -> MetricQuerierPort:
    """Open a client of the server at `url` with options of `PrometheusOptions` by name.

    Raises:
        MissingExtraError: the driver is not installed.
        InputError: the URL or an option cannot be used.
    """
    with requires_extra("prometheus"):
        from statcore_prometheus import PrometheusClient, PrometheusOptions  # noqa: PLC0415 - the driver is an extra
    return PrometheusClient(url, options=PrometheusOptions.from_settings(options))


@hookimpl
def statcore_metric_backends() -> list[MetricBackendSpec]:
    """Contribute `prometheus`."""
    return [
        MetricBackendSpec(
            name="prometheus",
            summary="a Prometheus server, or what speaks its HTTP API (Thanos, Mimir)",
            schemes=("http", "https"),
            open=open_prometheus,
            extra="prometheus",
        )
    ]
