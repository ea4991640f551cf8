"""The diagnosis: all checks of a run, each with measurements, a problem and a suggestion.

A possible cause, such as a vanishing gradient, is a problem only if it has an effect, that is, if a
baseline forecasts better.
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
    """A check: its name, its measurements, and a problem or an observation, if there is one."""

    name: str
    fact: str
    problem: str = ""
    note: str = ""


class Diagnosis(list[Check]):
    """The checks of a run, shown as `format_diagnosis` formats them."""

    def __repr__(self) -> str:
        return format_diagnosis(self)


def diagnose(results: Results, command_line: bool = False) -> Diagnosis:
    """Return every check that the results have the data for, causes before their effects.

    If a cause is found, the checks of its effects make no suggestion.

    Args:
        results: The results of a run.
        command_line: Whether suggestions name options of scripts/train.py; else arguments in
            Python.
    """
    poor = bool(lost(results)) or bool(constant(results, has_cause=False).problem)
    epochs, inputs, outside = unreached(results), scale(results), extrapolation(results)
    scaled_badly, beyond = (bool(found and found.problem) for found in (inputs, outside))
    hidden = saturation(results, poor and not scaled_badly, beyond)
    flow = gradient_flow(results, poor and not scaled_badly, bool(hidden.problem))
    has_cause = any(found and found.problem for found in (epochs, inputs, hidden, flow))
    mean = constant(results, has_cause)
    unlearnt = bool(mean.problem)
    findings: dict[str, Finding | None] = {
        "epochs": epochs,
        "scale": inputs,
        "saturation": hidden,
        "gradient flow": flow,
        "clipping": clipping(results, poor),
        "constant output": mean,
        "extrapolation": outside,
        "baselines": baselines(results, has_cause or unlearnt, beyond),
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
    """Return one or two sentences for each problem, with numbers and a suggestion.

    Args:
        results: The results of a run.
        command_line: As for `diagnose`.
    """
    return findings(diagnose(results, command_line))[0]


def format_diagnosis(checks: Sequence[Check]) -> str:
    """Return a line of measurements for each check, and then all problems and observations."""
    width = max(len(check.name) for check in checks)
    lines = [
        filled(
            f"{'!' if check.problem else ' '} {check.name.ljust(width)}  {check.fact}",
            " " * (width + 4),
        )
        for check in checks
    ]
    problems, notes = findings(checks)
    lines += advice(problems, notes)
    return "\n".join(lines if problems else [*lines, "", "No problems found."])


def findings(checks: Sequence[Check]) -> tuple[list[str], list[str]]:
    """Return the problems and the observations, one or two sentences each."""
    problems, notes = (
        [line for check in checks for line in getattr(check, kind).split("\n") if line]
        for kind in ("problem", "note")
    )
    return problems, notes
