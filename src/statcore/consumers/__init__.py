"""Auto-scaling: reading what rules need, and deciding."""

from statcore.consumers.auto_scaler import Deployment
from statcore.consumers.decision import RuleOutcome, ScalingDecision, Verdict, decide
from statcore.consumers.deployment import DeploymentRepository
from statcore.consumers.observation import Abstention, Observation, PartialMean
from statcore.consumers.rules import Comparator, ComparatorRule, MetricSource, PresetQuery, ScalingRule, ThresholdRule
from statcore.consumers.schedule import ScheduleRepository

__all__ = [
    "Abstention",
    "Comparator",
    "ComparatorRule",
    "Deployment",
    "DeploymentRepository",
    "MetricSource",
    "Observation",
    "PartialMean",
    "PresetQuery",
    "RuleOutcome",
    "ScalingDecision",
    "ScalingRule",
    "ScheduleRepository",
    "ThresholdRule",
    "Verdict",
    "decide",
]
