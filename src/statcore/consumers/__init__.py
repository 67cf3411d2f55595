"""Auto-scaling: rules, the data that they need, and the decision on the number of replicas."""

from statcore.consumers.auto_scaling import Deployment, DeploymentRepository, ScheduleRepository
from statcore.consumers.decision import RuleOutcome, ScalingDecision, Verdict, decide
from statcore.consumers.observation import Abstention, Observation, PartialMean
from statcore.consumers.rules import Comparator, ComparatorRule, MetricSource, PresetQuery, ScalingRule, ThresholdRule

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
