"""What a finished run is worth, in numbers and in plain words."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from sinrnn import baselines
from sinrnn.rnn import SinRNN

# Squared error of float64 arithmetic on numbers of order 1, with room for a long sum.
ROUNDING = 1e-26


@dataclass
class Rollout:
    """A closed loop beside the truth: `steps` predictions, each fed back as the next input.

    Attributes:
        start: Index in the series of the first prediction.
        warm_up: The window that was read first, (T,).
        prediction: (steps,).
        truth: (steps,).
    """

    start: int
    warm_up: Tensor
    prediction: Tensor
    truth: Tensor

    @property
    def rmse(self) -> float:
        """Root of the mean squared error over all steps, in the series' units."""
        return (self.prediction - self.truth).square().mean().sqrt().item()


@dataclass
class Results:
    """Everything that the closing table says.

    Attributes:
        half_mse: Loss by forecaster ("network" and each baseline), then by span.
        variance: Of the targets of each span.
        saturated: Share of hidden units with |h| > 0.99 after the validation windows.
        rollout: The closed loop from the test span on, or None where there can be none.
        seconds: Of training.
        where: What else the closing lists, by name: the run's folder, the TensorBoard command.
    """

    half_mse: dict[str, dict[str, float]]
    variance: dict[str, float]
    saturated: float
    rollout: Rollout | None = None
    seconds: float = 0.0
    where: dict[str, str] = field(default_factory=dict)


def losses(
    predictions: Mapping[str, Tensor],
    windows: Mapping[str, tuple[Tensor, Tensor]],
    horizon: int,
) -> dict[str, dict[str, float]]:
    """half_mse of the network and of each baseline, fitted on "train", over each span.

    Args:
        predictions: The network's, by span, (N,).
        windows: Windows (N, T) and targets (N,), by span.
        horizon: Steps from a window's end to its target.
    """
    rivals = baselines.baselines(*windows["train"], horizon)
    found: dict[str, dict[str, float]] = {name: {} for name in ("network", *rivals)}
    for span, (x, y) in windows.items():
        made = {"network": predictions[span]} | {name: r(x) for name, r in rivals.items()}
        for name, prediction in made.items():
            found[name][span] = baselines.half_mse(prediction.double(), y.double()).item()
    return found


@torch.no_grad()
def closed_loop(net: SinRNN, values: Tensor, start: int, window: int, most: int) -> Rollout | None:
    """Let the network read the window at `start`, then run on for up to `most` steps.

    Args:
        net: In the series' units, with horizon 1.
        values: The series (points,), as far as it is known.
        start: Index of the first sample read.
        window: Samples read.
        most: Predictions to make where the truth is known that far.

    Returns:
        The rollout, or None where there is no truth to compare with or horizon is not 1.
    """
    first = start + window
    truth = values[first : first + most].double()
    if net.horizon != 1 or net.input_size != net.output_size or len(truth) == 0:
        return None
    warm_up = values[start:first]
    made = net.rollout(warm_up[:, None].to(net.Wih), len(truth))[:, 0].double()
    return Rollout(first, warm_up.double(), made, truth)


def table(results: Results) -> str:
    """The closing table, as lines of text."""
    spans = list(results.variance)
    head = ["half_mse", *spans, "skill on test"]
    rows = []
    for name, row in results.half_mse.items():
        exact = row["test"] <= ROUNDING * results.variance["test"]
        if name == "network":
            note = ""
        elif exact:
            note = "exact up to rounding"
        else:
            note = _skill(results.half_mse["network"]["test"], row["test"])
        rows.append([name, *(f"{row[span]:.2e}" for span in spans), note])
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in [head, *rows]
    ]
    return "\n".join([lines[0], "-" * max(map(len, lines)), *lines[1:]])


def _skill(mse: float, mse_baseline: float) -> str:
    value = baselines.skill(mse, mse_baseline)
    if not math.isfinite(value):
        return f"{value}"
    if 0 < mse < 1e-3 * mse_baseline:  # 0.9997 says less than how far it is from 1
        return f"1 - {mse / mse_baseline:.0e}"
    return f"{value:.3f}" if abs(value) < 1000 else f"{value:.0e}"


def closing(results: Results) -> str:
    """The table, the closed loop, where everything is, and hints where something is wrong."""
    lines = [table(results), ""]
    facts = {}
    if results.rollout is None:
        facts["closed loop"] = "not run: it needs horizon 1 and samples after the test span's start"
    else:
        steps = len(results.rollout.truth)
        facts["closed loop"] = (
            f"RMSE {results.rollout.rmse:.2e} over {steps:,} steps from the test span on"
        )
    facts["training"] = f"{results.seconds:.1f} s"
    facts |= results.where
    width = max(map(len, facts))
    lines += [f"{name.ljust(width)}  {fact}" for name, fact in facts.items()]
    found = hints(results)
    if found:
        lines += ["", "What is wrong, and what to try:", *(f"- {hint}" for hint in found)]
    return "\n".join(lines)


def hints(results: Results) -> list[str]:
    """One sentence for each thing that is wrong with the run, with what to try."""
    found = []
    ours = results.half_mse["network"]
    last = results.half_mse["persistence"]["val"]
    if results.saturated > 0.5:
        found.append(
            f"{results.saturated:.0%} of the hidden units are saturated (|h| > 0.99), where tanh "
            "passes no gradient: start with --model.init orthogonal, or standardise the series "
            "with --data.standardise true."
        )
    if ours["train"] > 0.9 * results.variance["train"] / 2:
        found.append(
            "The training loss equals the variance: only the mean was learned. Raise the learning "
            "rate or the number of epochs, or look at the saturation."
        )
    elif ours["val"] >= last > 0:
        found.append(
            f"Repeating the last value is better on the validation span (half_mse {last:.2e} "
            f"against {ours['val']:.2e}): train longer, or read a longer window (--data.window)."
        )
    rollout = results.rollout
    if rollout is not None and rollout.rmse > rollout.truth.std(correction=0).item():
        found.append(
            "The closed loop is worse than predicting the mean: its small errors grow when they "
            "are fed back. Try a shorter window (--data.window), another seed, or to solve the "
            "readout at the end (--model.readout_epoch)."
        )
    return found
