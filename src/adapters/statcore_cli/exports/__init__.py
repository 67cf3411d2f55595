"""Exports: the queries of kinds and presets as other programs evaluate them, Grafana and Prometheus itself."""
