"""Batteries of racks for statcore."""

from outside_batteries.queriers import BatteryMetricQuerier, PackMetricQuerier, PhaseMetricQuerier

__all__ = ["BatteryMetricQuerier", "PackMetricQuerier", "PhaseMetricQuerier"]
