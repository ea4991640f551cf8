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
from sinrnn.evaluation.diagnosis.unreached import unreached
from sinrnn.evaluation.diagnosis.words import Finding, worded
from sinrnn.evaluation.report import advice
from sinrnn.evaluation.results import Results
from sinrnn.filesystem import filled


class Check(NamedTuple):
    """What was looked at and measured, and what is wrong with it, or an observation, if any."""

    name: str
    fact: str
    problem: str = ""
    note: str = ""


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
    losing = bool(lost(results)) or bool(constant(results, ill=False).problem)
    asked, read, far = unreached(results), scale(results), extrapolation(results)
    strange, beyond = (bool(found and found.problem) for found in (read, far))
    hidden = saturation(results, losing and not strange, beyond)
    flow = gradient_flow(results, losing and not strange, bool(hidden.problem))
    ill = any(found and found.problem for found in (asked, read, hidden, flow))
    mean = constant(results, ill)
    unlearnt = bool(mean.problem)
    findings: dict[str, Finding | None] = {
        "epochs": asked,
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
        Check(name, found.fact, *(worded(part, command_line) for part in found[1:]))
        for name, found in findings.items()
        if found
    )


def problems(results: Results, command_line: bool = False) -> list[str]:
    """One or two sentences for each thing that is wrong, with numbers and what to try.

    Args:
        results: Of a run.
        command_line: As `diagnose`.
    """
    return findings(diagnose(results, command_line))[0]


def format_diagnosis(checks: Sequence[Check]) -> str:
    """What was measured, a line a check, and below it what is wrong, and what was observed."""
    width = max(len(check.name) for check in checks)
    lines = [
        filled(
            f"{'!' if check.problem else ' '} {check.name.ljust(width)}  {check.fact}",
            " " * (width + 4),
        )
        for check in checks
    ]
    wrong, seen = findings(checks)
    lines += advice(wrong, seen)
    return "\n".join(lines if wrong else [*lines, "", "Nothing is wrong with this run."])


def findings(checks: Sequence[Check]) -> tuple[list[str], list[str]]:
    """What is wrong, and what is no fault, a sentence or two each."""
    wrong, seen = (
        [line for check in checks for line in getattr(check, kind).split("\n") if line]
        for kind in ("problem", "note")
    )
    return wrong, seen
