"""Why a network does not learn: measured facts, and a sentence with advice where one is bad.

Each check looks at the results of a run, says what it measured, and, where that is bad,
what is wrong and what to try.
"""

from collections.abc import Sequence
from typing import NamedTuple

from sinrnn.evaluation.diagnosis.forecast_checks import constant, extrapolation, last_value, rollout
from sinrnn.evaluation.diagnosis.training_checks import (
    clipping,
    gradient_flow,
    overfitting,
    saturation,
)
from sinrnn.evaluation.report import advice
from sinrnn.evaluation.results import Results


class Check(NamedTuple):
    """What was looked at, what was measured, and what is wrong with it, if anything is."""

    name: str
    fact: str
    problem: str = ""


class Diagnosis(list[Check]):
    """The checks of a run; shows itself as `format_diagnosis` writes it."""

    def __repr__(self) -> str:
        return format_diagnosis(self)


def diagnose(results: Results) -> Diagnosis:
    """Every check for which the results hold what it needs, causes before their effects.

    Where the cause is ill, the checks of its effects leave their own advice out.
    """
    flow = gradient_flow(results)
    no_flow = bool(flow and flow[1])
    mean = constant(results, results.saturated > 0.5 or no_flow)
    unlearnt = bool(mean[1])
    findings = {
        "saturation": saturation(results),
        "gradient flow": flow,
        "clipping": clipping(results),
        "constant output": mean,
        "last value": last_value(results, unlearnt, unlearnt or no_flow),
        "overfitting": overfitting(results, unlearnt),
        "extrapolation": extrapolation(results),
        "rollout": rollout(results),
    }
    return Diagnosis(Check(name, *found) for name, found in findings.items() if found)


def problems(results: Results) -> list[str]:
    """One or two sentences for each thing that is wrong, with numbers and what to try."""
    return [check.problem for check in diagnose(results) if check.problem]


def format_diagnosis(checks: Sequence[Check]) -> str:
    """What was measured, a line a check, and below it what is wrong."""
    width = max(len(check.name) for check in checks)
    lines = [
        f"{'!' if check.problem else ' '} {check.name.ljust(width)}  {check.fact}"
        for check in checks
    ]
    found = advice([check.problem for check in checks if check.problem])
    return "\n".join(lines + (found or ["", "Nothing is wrong with this run."]))
