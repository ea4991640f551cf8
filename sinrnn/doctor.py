"""Why a network does not learn: measured facts, and a sentence with advice where one is bad.

Each check looks at the results of a run, says what it measured, and, where that is an illness,
what is wrong and what to try.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from sinrnn.arguments import TRUST
from sinrnn.durable import refuse_links
from sinrnn.forecast_checks import constant, extrapolation, last_value, rollout
from sinrnn.messages import refuse
from sinrnn.results import History, Results
from sinrnn.rnn import SinRNN
from sinrnn.training_checks import clipping, gradient_flow, overfitting, saturation


class Check(NamedTuple):
    """What was looked at, what was measured, and what is wrong with it, if anything is."""

    name: str
    fact: str
    illness: str = ""


def diagnose(results: Results) -> list[Check]:
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
    return [Check(name, *found) for name, found in findings.items() if found]


def illnesses(results: Results) -> list[str]:
    """One or two sentences for each thing that is wrong, with numbers and what to try."""
    return [check.illness for check in diagnose(results) if check.illness]


def letter(checks: Sequence[Check]) -> str:
    """What was measured, a line a check, and below it what is wrong."""
    width = max(len(check.name) for check in checks)
    lines = [
        f"{'!' if check.illness else ' '} {check.name.ljust(width)}  {check.fact}"
        for check in checks
    ]
    found = [f"- {check.illness}" for check in checks if check.illness]
    if not found:
        return "\n".join([*lines, "", "Nothing is wrong with this run."])
    return "\n".join([*lines, "", "What is wrong, and what to try:", *found])


def main(argv: Sequence[str] | None = None) -> int:
    """Examine a run's folder and print what was measured; returns the exit status."""
    parser = argparse.ArgumentParser(
        description="What is wrong with a finished run, and what to try."
    )
    parser.add_argument("run", type=Path, help="The run's folder.")
    parser.add_argument("--trust", action="append", default=[], metavar="MODULE", help=TRUST)
    args = parser.parse_args(argv)
    try:
        print(letter(diagnose(_examined(args.run, args.trust))))  # noqa: T201
    except (ValueError, TypeError, OSError) as error:
        return refuse(error)
    return 0


def _examined(folder: Path, trusted: Sequence[str]) -> Results:
    """The results of the run in a folder."""
    from sinrnn.cli import configured  # which knows this file
    from sinrnn.examine import examine, predictions

    refuse_links(folder)
    net = SinRNN.load(folder / "model.safetensors")
    cli = configured(folder, net, trusted)
    data = cli.datamodule
    data.setup()
    history = History.read(folder / "metrics.csv")
    clip = cli.config.trainer.gradient_clip_val
    return examine(net, data, predictions(net, data), history, clip)
