"""Arithmetic of Prometheus: operators, sums, means and deviations of floats, NaN and infinities included."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from typing import Final, TypeAlias

from statcore_memory.semantics import Semantics

Fold: TypeAlias = Callable[[Sequence[float]], float]
"""Computes one number from a sequence of at least one number."""


def divide(dividend: float, divisor: float) -> float:
    """Return the quotient as IEEE 754 defines it, also for a divisor of zero."""
    if divisor:
        return dividend / divisor
    if not dividend or math.isnan(dividend):
        return math.nan
    return math.copysign(math.inf, dividend) * math.copysign(1.0, divisor)


ARITHMETIC: Final[Mapping[str, Callable[[float, float], float]]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": divide,
}
COMPARISONS: Final[Mapping[str, Callable[[float, float], bool]]] = {
    "==": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    "<": operator.lt,
    ">=": operator.ge,
    "<=": operator.le,
}


def compensated_sum(numbers: Sequence[float]) -> float:
    """Return the sum with Neumaier's compensation, which adds the rounding errors up separately."""
    total, rounded_off = _compensated(numbers)
    return total if math.isinf(total) else total + rounded_off


def mean_so_far(numbers: Sequence[float], *, compensated: bool) -> float:
    """Return the mean, updated number by number, so that no sum overflows; infinities of both signs give NaN."""
    mean = rounded_off = 0.0
    for count, number in enumerate(numbers, 1):
        if math.isinf(mean) and not math.isnan(number) and number != -mean:
            continue
        step = number / count - mean / count
        if compensated:
            mean, rounded_off = _add(mean, rounded_off, step)
        else:
            mean += step
    return mean if math.isinf(mean) else mean + rounded_off


def mean(numbers: Sequence[float]) -> float:
    """Return the compensated sum divided by the count; where the sum overflows, the mean updated number by number."""
    total, rounded_off = _compensated(numbers)
    if not math.isfinite(total):
        return mean_so_far(numbers, compensated=True)
    return total / len(numbers) + rounded_off / len(numbers)


def least(numbers: Sequence[float]) -> float:
    """Return the least number, or NaN where all are NaN."""
    return min((number for number in numbers if not math.isnan(number)), default=math.nan)


def greatest(numbers: Sequence[float]) -> float:
    """Return the greatest number, or NaN where all are NaN."""
    return max((number for number in numbers if not math.isnan(number)), default=math.nan)


def variance(numbers: Sequence[float]) -> float:
    """Return the variance of a population, updated number by number (Welford)."""
    mean, squares = numbers[0], 0.0
    for count, number in enumerate(numbers[1:], 2):
        distance = number - mean
        mean += distance / count
        squares += distance * (number - mean)
    return squares / len(numbers)


def _variance_of_numbers(numbers: Sequence[float]) -> float:
    return variance(numbers) if math.isfinite(numbers[0]) else math.nan


def folds(semantics: Semantics) -> Mapping[str, Fold]:
    """Return the fold of each aggregation operator, over the values of a group in their order."""
    old = semantics is Semantics.PROMETHEUS_2
    variance_of = variance if old else _variance_of_numbers
    return {
        # The built-in sum compensates errors in some versions of Python.
        "sum": (lambda numbers: reduce(operator.add, numbers)) if old else compensated_sum,
        "avg": (lambda numbers: mean_so_far(numbers, compensated=False)) if old else mean,
        "min": least,
        "max": greatest,
        "count": lambda numbers: float(len(numbers)),
        "group": lambda _: 1.0,
        "stddev": lambda numbers: math.sqrt(variance_of(numbers)),
        "stdvar": variance_of,
    }


def folds_over_time(semantics: Semantics) -> Mapping[str, Fold]:
    """Return the fold of each function over time, over the values of a window in their order."""
    old = semantics is Semantics.PROMETHEUS_2
    return {
        "avg_over_time": (lambda numbers: mean_so_far(numbers, compensated=True)) if old else mean,
        "min_over_time": least,
        "max_over_time": greatest,
        "sum_over_time": compensated_sum,
        "last_over_time": lambda numbers: numbers[-1],
    }


def _compensated(numbers: Sequence[float]) -> tuple[float, float]:
    total = rounded_off = 0.0
    for number in numbers:
        total, rounded_off = _add(total, rounded_off, number)
    return total, rounded_off


def _add(total: float, rounded_off: float, number: float) -> tuple[float, float]:
    raised = total + number
    larger, smaller = (total, number) if abs(total) >= abs(number) else (number, total)
    return raised, rounded_off + ((larger - raised) + smaller)
