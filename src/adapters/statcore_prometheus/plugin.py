"""The plugin: describes this adapter to statcore. It imports no driver."""

from __future__ import annotations

from statcore.plugins import API_VERSION, MetricBackendSpec, hookimpl, requires_extra
from statcore.plugins.hooks import Options
from statcore.ports.metrics import MetricQuerierPort

STATCORE_PLUGIN_API = API_VERSION


async def open_prometheus(url: str, options: Options) -> MetricQuerierPort:
    """Open a client of the server at `url`; `options` are those of `PrometheusOptions` by name.

    Raises:
        MissingExtraError: the driver is not installed.
        InputError: the URL or an option cannot be used.
    """
    with requires_extra("prometheus"):
        from statcore_prometheus.client import PrometheusClient  # noqa: PLC0415 - the driver is an extra
    from statcore_prometheus.options import PrometheusOptions  # noqa: PLC0415 - listing the plugin does not need it

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
