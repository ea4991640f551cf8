"""Why a network does not learn: measured facts, and a sentence with advice where one is bad.

Each check looks at the results of a run and at what the run was set to, says what it measured, and,
where that is bad, what is wrong and what to try. What might be a cause, such as a gradient that
vanishes, is called wrong only where there is an effect: a baseline that forecasts better.
"""

from collections.abc import Sequence
from typing import NamedTuple

from sinrnn.evaluation.diagnosis.forecast_checks import (
    baselines,
    constant,
    extrapolation,
    intervals,
    lost,
    rollout,
)
from sinrnn.evaluation.diagnosis.training_checks import (
    clipping,
    gradient_flow,
    overfitting,
    saturation,
    scale,
)
from sinrnn.evaluation.diagnosis.words import worded
from sinrnn.evaluation.report import Finding, advice
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


def diagnose(results: Results, command_line: bool = False) -> Diagnosis:
    """Every check for which the results hold what it needs, causes before their effects.

    Where a cause is found, the checks of its effects leave their own advice out.

    Args:
        results: Of a run.
        command_line: Whether advice names options of scripts/train.py, or else Python's arguments.
    """
    losing = bool(lost(results)) or bool(constant(results, ill=False)[1])
    read, far = scale(results), extrapolation(results)
    strange, beyond = (bool(found and found[1]) for found in (read, far))
    hidden = saturation(results, losing and not strange, beyond)
    flow = gradient_flow(results, losing and not strange, bool(hidden[1]))
    ill = any(found and found[1] for found in (read, hidden, flow))
    mean = constant(results, ill)
    unlearnt = bool(mean[1])
    findings: dict[str, Finding | None] = {
        "scale": read,
        "saturation": hidden,
        "gradient flow": flow,
        "clipping": clipping(results, losing),
        "constant output": mean,
        "extrapolation": far,
        "baselines": baselines(results, ill or unlearnt, beyond),
        "overfitting": overfitting(results, unlearnt),
        "rollout": rollout(results),
        "intervals": intervals(results),
    }
    return Diagnosis(
        Check(name, found[0], worded(found[1], command_line))
        for name, found in findings.items()
        if found
    )


def problems(results: Results, command_line: bool = False) -> list[str]:
    """One or two sentences for each thing that is wrong, with numbers and what to try.

    Args:
        results: Of a run.
        command_line: As `diagnose`.
    """
    return [check.problem for check in diagnose(results, command_line) if check.problem]


def format_diagnosis(checks: Sequence[Check]) -> str:
    """What was measured, a line a check, and below it what is wrong."""
    width = max(len(check.name) for check in checks)
    lines = [
        f"{'!' if check.problem else ' '} {check.name.ljust(width)}  {check.fact}"
        for check in checks
    ]
    found = advice([check.problem for check in checks if check.problem])
    return "\n".join(lines + (found or ["", "Nothing is wrong with this run."]))
