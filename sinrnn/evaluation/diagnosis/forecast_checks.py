"""Checks of forecasts: constant output, extrapolation, baselines, intervals and rollout."""

from math import inf, isfinite
from typing import NamedTuple

from sinrnn.evaluation.diagnosis.training_checks import now
from sinrnn.evaluation.diagnosis.words import Finding, option
from sinrnn.evaluation.metrics import phase_drift, skill
from sinrnn.evaluation.report import in_steps, number, times
from sinrnn.evaluation.results import Results, Rollout
from sinrnn.forecasting.caution import FAILS, LOST

OUTSIDE = 0.2  # of the targets
# Times a baseline's loss. Below TIE, the difference is rounding. Below CLOSE, it may be chance if
# the network is better on the other split.
TIE, CLOSE = 1.001, 1.25
SPLITS = {"val": "validation", "test": "test"}


class Comparison(NamedTuple):
    """The losses of the best baseline and of the network on a split."""

    split: str
    baseline: str
    theirs: float
    ours: float


def comparisons(results: Results) -> list[Comparison]:
    """Compare the network with the best baseline on the validation and the test split."""
    ours = results.half_mse["network"]
    pairs = ((split, results.best_baseline(split)) for split in SPLITS)
    return [Comparison(split, *best, ours[split]) for split, best in pairs if best]


def lost(results: Results) -> list[Comparison]:
    """Return the comparisons in which the baseline is clearly better."""
    return [loss for loss in comparisons(results) if not loss.ours <= LOST * loss.theirs]


def constant(results: Results, has_cause: bool) -> Finding:
    """Check whether the network is better than the mean of the training targets.

    It is no problem if no baseline is better than the mean either.

    Args:
        results: The results of a run.
        has_cause: Whether a problem of the scale, the hidden units or the gradient was found.
    """
    loss, half = results.half_mse["network"]["train"], results.variance["train"] / 2
    if half > 0:
        ratio = loss / half
    else:  # all targets are equal: the prediction must be that number, up to rounding
        ratio = float("inf") if loss > 1e-12 * max(map(abs, results.train_range)) ** 2 else 0.0
    fact = f"training loss {loss:.2e}, half the targets' variance {half:.2e}"
    flat = results.flatness is None or results.flatness < 0.1
    rows = [row["train"] for name, row in results.half_mse.items() if name != "network"]
    easy = not isfinite(ratio) or min([half, *rows]) < 0.9 * loss or ratio > 1.1
    if ratio <= (0.9 if flat else 1.0) or not easy:
        return Finding(fact)
    if not isfinite(ratio):
        problem = f"The training loss is {loss:.2g}; the variance of the targets is {2 * half:.2g}."
    elif not flat:
        problem = (
            f"The training loss is {times(ratio)} half the variance of the targets: predicting "
            "their mean would be better."
        )
    elif ratio < 1.1:
        problem = (
            f"The output is constant: the training loss is {ratio:.2f} times half the variance of "
            "the targets, so the network has learnt little more than their mean."
        )
    else:
        problem = (
            "The output is constant, but not the mean of the targets: the training loss is "
            f"{times(ratio)} half their variance."
        )
    settings = results.settings
    suggestion = f"Raise the learning rate ({option('model.optimizer.lr')}{now(settings.lr)})"
    if not _stopped(results):
        epochs = option("trainer.max_epochs")
        suggestion += f" or the number of epochs ({epochs}{now(settings.epochs)})"
    if has_cause:
        suggestion = "First fix the problem of the scale, the hidden units or the gradient"
    return Finding(fact, f"{problem} {suggestion}.")


def _stopped(results: Results) -> bool:
    """Return whether training ended early, or did not improve in the last tenth of its epochs."""
    history, most = results.history, results.settings.epochs
    if history is None or len(history.epochs) < 2:
        return False
    early = most is not None and most > 0 and history.epochs[-1] < most
    best = min(range(len(history.epochs)), key=history.losses["val"].__getitem__)
    return early or history.epochs[best] < 0.9 * history.epochs[-1]


def extrapolation(results: Results) -> Finding | None:
    """Check whether targets of validation or test lie outside the range of the training split."""
    if not results.outside:
        return None
    shares = " and ".join(
        f"{share:.0%} of the {SPLITS[split]} targets" for split, share in results.outside.items()
    )
    fact = f"{shares} outside the training range"
    beyond = [loss.split for loss in lost(results) if results.outside.get(loss.split, 0) > OUTSIDE]
    if not beyond or results.settings.relative:
        return Finding(fact)
    split, (low, high) = beyond[-1], results.train_range
    relative = option("model.relative", "true")
    pass_level = (
        "Predict differences from the last value of each window, so that level and trend pass "
        f"through ({relative}), or c"
    )
    return Finding(
        fact,
        f"{results.outside[split]:.0%} of the {SPLITS[split]} targets lie outside the training "
        f"range ({low:.3g} to {high:.3g}), and tanh units do not extrapolate. "
        f"{'C' if results.settings.stateful else pass_level}hoose splits with similar ranges "
        f"({option('data.train')}, {option(f'data.{split}')}).",
    )


def baselines(results: Results, has_cause: bool, beyond: bool) -> Finding:
    """Check whether a baseline is better than the network on the validation or the test split.

    Args:
        results: The results of a run.
        has_cause: Whether another check found the cause, and makes the suggestion.
        beyond: Whether targets lie outside the training range, and that check makes a suggestion.
    """
    facts = [
        f"skill {number(skill(loss.ours, loss.theirs))} on the {SPLITS[loss.split]} split "
        f"against {loss.baseline}"
        for loss in comparisons(results)
    ]
    exact = [n for n in results.half_mse if n != "network" and results.exact(n, "val")]
    facts += [f"{name} is exact" for name in exact]
    if results.lag:
        facts.append(f"predictions lag the series by {in_steps(results.lag)}")
    fact, found = "; ".join(facts), lost(results)
    if not found:
        return Finding(fact, note=_no_better(results))
    sentence, before = "", ""
    for loss in found:
        factor = f"{times(loss.ours / loss.theirs)} " * isfinite(loss.ours)
        name = "" if loss.baseline == before else f"{loss.baseline} is "
        sentence += f"{' and ' * bool(before)}{name}{factor}better on the {SPLITS[loss.split]} "
        sentence += f"split (half_mse {loss.theirs:.2e} against {loss.ours:.2e})"
        before = loss.baseline
    sentence = f"{sentence[0].upper()}{sentence[1:]}"
    if close := _better_split(results, found):
        return Finding(fact, note=f"{sentence}, but the network is better on the {close} split.")
    suggestion = "" if has_cause else _suggestion(results, found, beyond)
    return Finding(fact, f"{sentence}.{suggestion}")


def _no_better(results: Results) -> str:
    """Return a sentence if a baseline is slightly better than the network, else ""."""
    for loss in comparisons(results):
        if loss.ours > TIE * loss.theirs:
            return (
                f"The network is no better than {loss.baseline} on the {SPLITS[loss.split]} "
                f"split (half_mse {loss.ours:.2e} against {loss.theirs:.2e})."
            )
    return ""


def _better_split(results: Results, found: list[Comparison]) -> str:
    """Return the split on which the network is better, if it is slightly worse on the other."""
    (loss, *more), won = found, [loss for loss in comparisons(results) if loss.ours < loss.theirs]
    close = won and not more and loss.ours < CLOSE * loss.theirs
    return SPLITS[won[0].split] if close else ""


def _suggestion(results: Results, found: list[Comparison], beyond: bool) -> str:
    settings, suggestions = results.settings, []
    names = {loss.baseline.partition(" ")[0] for loss in found}
    level = names & {"persistence", "linear"} and not (settings.relative or settings.stateful)
    if level and not beyond:
        relative = option("model.relative", "true")
        suggestions.append(f"predict differences from each window's last value ({relative})")
    if "autoregression" in names and not (settings.linear or settings.stateful):
        loss = f" {option('model.loss', 'last')}" if settings.loss == "every" else ""
        linear = option("model.linear", "true")
        suggestions.append(f"start from that autoregression ({linear}{loss})")
    season = results.half_mse.get(f"seasonal naive ({settings.period})", {}).get("val", inf)
    useful = season < results.half_mse["persistence"]["val"]
    if settings.period and useful and settings.window <= settings.period < settings.longest:
        window = option("data.window", settings.period + 1)
        suggestions.append(f"read a whole period of {in_steps(settings.period)} ({window})")
    if not (suggestions or beyond) and results.history is not None and not _stopped(results):
        epochs = option("trainer.max_epochs")
        suggestions.append(f"train longer ({epochs}{now(settings.epochs)})")
    if not suggestions:
        return "" if beyond else f" Use {found[-1].baseline} instead, or train on more data."
    sentence = ", and ".join(suggestions)
    return f" {sentence[0].upper()}{sentence[1:]}."


def intervals(results: Results) -> Finding | None:
    """Check the coverage of the intervals on the test split."""
    if results.coverage is None:
        return None
    fact = f"90% nominal, {results.coverage:.0%} coverage on the test split"
    if results.coverage >= FAILS:
        return Finding(fact)
    return Finding(
        fact,
        f"The intervals are too narrow: they cover {results.coverage:.0%} of the test split "
        "instead of 90%. The errors on the validation split, which set the width, are smaller. "
        f"Choose a validation split that is longer or later in the series ({option('data.val')}).",
    )


def rollout(results: Results) -> Finding | None:
    """Check whether the rollout grows, fades or drifts in phase."""
    loop = results.rollout
    if loop is None or len(loop.truth) < 20:
        return None
    spread = loop.truth.std(correction=0).item()
    fact = f"RMSE {loop.rmse:.2g} over {len(loop.truth):,} steps"
    fact += f"; standard deviation of the series {spread:.2g}"
    split, one = list(results.half_mse["network"].items())[-1]
    # A rollout cannot be more accurate than one-step predictions, which noise limits.
    ahead = (2 * one) ** 0.5
    if loop.rmse <= max(0.3 * spread, 2 * ahead) or spread == 0:
        return Finding(fact)
    if problem := _diverges(loop, spread):
        return Finding(fact, f"The rollout {problem}. {_steadier(results)}")
    # Far ahead, the best forecast of noise or of a random walk is a constant.
    if ahead >= 0.1 * spread or one >= 0.1 * results.half_mse["persistence"][split]:
        return Finding(fact)
    ours, theirs = _last_quarter(loop)
    if ours < 0.3 * theirs:
        problem = f"fades: its last quarter has {ours / theirs:.0%} of the series' amplitude"
        return Finding(fact, f"The rollout {problem}. {_steadier(results)}")
    steadier = _steadier(results)
    return Finding(
        fact,
        note=f"The rollout {_leaves(loop, spread)}. This is expected of a chaotic series. For a "
        f"periodic series, {steadier[0].lower()}{steadier[1:]}",
    )


def _diverges(loop: Rollout, spread: float) -> str:
    away = (loop.prediction - loop.truth.mean()).abs() / spread
    far = (~(away < 10)).nonzero()
    ours, theirs = _last_quarter(loop)
    amplitude = (ours / theirs) if theirs > 0 else 1.0
    if len(far) and away[0] >= 10:
        return f"starts {away[0]:.2g} standard deviations away from the series"
    if len(far):
        return f"grows: at step {int(far[0]) + 1:,} it is 10 standard deviations off the series"
    if amplitude > 2 and ours > 2 * spread:  # unless the truth is flat at its end
        return f"grows: its last quarter has {times(amplitude)} the series' amplitude"
    return ""


def _leaves(loop: Rollout, spread: float) -> str:
    drift = phase_drift(loop.prediction, loop.truth)
    if drift is not None and abs(drift[0]) > 0.1:
        return (
            f"drifts in phase: after {drift[1]:.1f} periods it is {abs(drift[0]):.2f} periods "
            f"{'ahead' if drift[0] > 0 else 'behind'}, {abs(drift[0] / drift[1]):.3f} per period"
        )
    return f"has an RMSE of {loop.rmse / spread:.2g} standard deviations of the series"


def _last_quarter(loop: Rollout) -> tuple[float, float]:
    """Return the standard deviations of the last quarter of the forecast and of the truth."""
    quarter = slice(-(len(loop.truth) // 4), None)
    ours, theirs = (v[quarter].std(correction=0).item() for v in (loop.prediction, loop.truth))
    return ours, theirs


def _steadier(results: Results) -> str:
    """Return a suggestion for a more stable rollout, see docs/forecasting.md."""
    settings = results.settings
    if settings.updates == "batch" and settings.input_noise == 0:
        inside = settings.standardise or settings.log or settings.relative
        deviation = 1.0 if inside else results.variance["train"] ** 0.5
        noise = option("model.input_noise", f"{0.05 * deviation:.1g}")
        return f"Train with input noise ({noise})."
    return f"Try another seed ({option('seed_everything')})."
