"""Whether the forecasts are worth anything: beside the mean, the last value, in a rollout."""

from math import isfinite

from sinrnn.evaluation.metrics import phase_drift, skill
from sinrnn.evaluation.report import Finding, in_steps, number, times
from sinrnn.evaluation.results import Results, Rollout


def constant(results: Results, unfit: bool) -> Finding:
    """Whether the network does better than the mean of its training targets.

    Args:
        results: Of a run.
        unfit: Whether its hidden units or its gradient are ill.
    """
    loss, half = results.half_mse["network"]["train"], results.variance["train"] / 2
    if half > 0:
        ratio = loss / half
    else:  # the targets are all the same: anything but that number, to rounding, is wrong
        ratio = float("inf") if loss > 1e-12 * max(map(abs, results.train_range)) ** 2 else 0.0
    fact = f"training loss {loss:.2e}, half the targets' variance {half:.2e}"
    if ratio <= 0.9:
        return fact, ""
    if not isfinite(ratio):
        wrong = f"The training loss is {loss:.2g}, of targets with variance {2 * half:.2g}."
    elif not _flat(results):
        wrong = (
            f"The training loss is {times(ratio)} half the variance of the targets: the mean alone "
            "would be as good or better."
        )
    elif ratio < 1.1:
        wrong = (
            f"The training loss equals half the variance of the targets ({loss:.2e} and "
            f"{half:.2e}): the output is constant, and only the mean was learnt."
        )
    else:
        wrong = (
            f"The output is constant, and not even the mean was learnt: the training loss is "
            f"{times(ratio)} half the variance of the targets."
        )
    cure = (
        "Cure what is said of its hidden units and its gradient first."
        if unfit
        else "Raise the learning rate (--model.optimizer.lr) or the number of epochs "
        "(--trainer.max_epochs)."
    )
    return fact, f"{wrong} {cure}"


def _flat(results: Results) -> bool:
    return results.flatness is None or results.flatness < 0.1


def last_value(results: Results, unlearnt: bool, unfit: bool) -> Finding:
    """Whether the network copies the last value that it read, or is worse than that.

    Args:
        results: Of a run.
        unlearnt: Whether it does no better than a constant.
        unfit: Whether that, or its gradient, is to be cured first.
    """
    ours = results.half_mse["network"]["val"]
    theirs = results.half_mse["persistence"]["val"]
    value = skill(ours, theirs)
    lag = None if unlearnt and _flat(results) else results.lag
    fact = f"skill against persistence {number(value)} on the validation split"
    if lag is not None:
        fact += f"; predictions fit the series best {in_steps(lag)} late"
    cure = "" if unfit else " Train longer, or read a longer window (--data.window)."
    problem = ""
    if theirs > 0 and value < -0.05:
        problem = (
            f"Repeating the last value is {times(ours / theirs)} better on the validation split "
            f"(half_mse {theirs:.2e} against {ours:.2e}).{cure}"
        )
    elif theirs > 0 and (value < 0.05 or (lag and value < 0.3)):
        late = f", and its predictions fit the series best {in_steps(lag)} late" if lag else ""
        problem = (
            f"It copies the last value: its skill against persistence is {value:.2f}{late}.{cure} "
            "Of a random walk there is nothing more to learn."
        )
    return fact, problem


def extrapolation(results: Results) -> Finding | None:
    """Whether validation asks for values that training never showed."""
    if results.outside is None:
        return None
    fact = f"{results.outside:.0%} of the validation targets outside the training range"
    ours, theirs = results.half_mse["network"]["val"], results.half_mse["persistence"]["val"]
    if results.outside <= 0.2 or ours < 0.5 * theirs:
        return fact, ""
    low, high = results.train_range
    return fact, (
        f"{results.outside:.0%} of the validation targets lie outside the training range "
        f"({low:.3g} to {high:.3g}): the validation loss measures extrapolation. Choose the splits "
        "(--data.train, --data.val) so that they look alike, or start with --model.init linear."
    )


def rollout(results: Results) -> Finding | None:
    """Whether the rollout stays alive, bounded and in phase."""
    loop = results.rollout
    if loop is None or len(loop.truth) < 20:
        return None
    spread = loop.truth.std(correction=0).item()
    fact = f"RMSE {loop.rmse:.2g} over {len(loop.truth):,} steps; standard deviation {spread:.2g}"
    # A rollout cannot be better than one step ahead, which noise limits.
    ahead = (2 * list(results.half_mse["network"].values())[-1]) ** 0.5
    if loop.rmse <= max(0.3 * spread, 2 * ahead) or spread == 0:
        return fact, ""
    return fact, _rollout_problem(loop, spread)


def _rollout_problem(loop: Rollout, spread: float) -> str:
    away = (loop.prediction - loop.truth.mean()).abs() / spread
    far = (~(away < 10)).nonzero()
    quarter = slice(-(len(loop.truth) // 4), None)
    ours, theirs = (v[quarter].std(correction=0) for v in (loop.prediction, loop.truth))
    amplitude = (ours / theirs).item() if theirs > 0 else 1.0
    drift = phase_drift(loop.prediction, loop.truth)
    if len(far) and away[0] >= 10:
        wrong = f"is {away[0]:.2g} standard deviations from the series from its first step on"
    elif len(far):
        wrong = f"grows: at step {int(far[0]) + 1:,} it is 10 standard deviations from the series"
    elif amplitude < 0.3:
        wrong = f"dies: in its last quarter it has {amplitude:.0%} of the series' amplitude"
    elif amplitude > 2 and ours > 2 * spread:  # not where the truth is flat at its end
        wrong = f"grows: in its last quarter it has {times(amplitude)} the series' amplitude"
    elif drift is not None and abs(drift[0]) > 0.1:
        wrong = (
            f"drifts in phase: after {drift[1]:.1f} periods it is {abs(drift[0]):.2f} periods "
            f"{'ahead' if drift[0] > 0 else 'behind'}, {abs(drift[0] / drift[1]):.3f} a period"
        )
    else:
        wrong = f"is off by {loop.rmse / spread:.2g} standard deviations of the series"
    return (
        f"The rollout {wrong}. Try a shorter window (--data.window), another seed, or to solve the "
        "readout at the end (--model.readout_epoch)."
    )
