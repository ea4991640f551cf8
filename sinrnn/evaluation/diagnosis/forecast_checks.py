"""Whether the forecasts are worth anything: beside the mean, the baselines, in a rollout."""

from math import inf, isfinite
from typing import NamedTuple

from sinrnn.evaluation.diagnosis.training_checks import now
from sinrnn.evaluation.diagnosis.words import Finding, option
from sinrnn.evaluation.metrics import phase_drift, skill
from sinrnn.evaluation.report import in_steps, number, times
from sinrnn.evaluation.results import Results, Rollout
from sinrnn.forecasting.caution import FAILS, LOST

OUTSIDE = 0.2  # of the targets
# Times a baseline's loss: what is below TIE is rounding, and below CLOSE may be chance where the
# network wins on the other split.
TIE, CLOSE = 1.001, 1.25
LOOKED_AT = {"val": "validation", "test": "test"}


class Loss(NamedTuple):
    """The losses of the best baseline and of the network on a split."""

    split: str
    baseline: str
    theirs: float
    ours: float


def beside(results: Results) -> list[Loss]:
    """The network beside the best baseline, on the validation and the test split."""
    ours = results.half_mse["network"]
    pairs = ((split, results.best_baseline(split)) for split in LOOKED_AT)
    return [Loss(split, *best, ours[split]) for split, best in pairs if best]


def lost(results: Results) -> list[Loss]:
    """The same where the baseline is clearly better."""
    return [loss for loss in beside(results) if not loss.ours <= LOST * loss.theirs]


def constant(results: Results, ill: bool) -> Finding:
    """Whether the network does better than the mean of its training targets, where that is easy.

    Args:
        results: Of a run.
        ill: Whether what it reads, its hidden units or its gradient are to be cured first.
    """
    loss, half = results.half_mse["network"]["train"], results.variance["train"] / 2
    if half > 0:
        ratio = loss / half
    else:  # the targets are all the same: anything but that number, to rounding, is wrong
        ratio = float("inf") if loss > 1e-12 * max(map(abs, results.train_range)) ** 2 else 0.0
    fact = f"training loss {loss:.2e}, half the targets' variance {half:.2e}"
    flat = results.flatness is None or results.flatness < 0.1
    rows = [row["train"] for name, row in results.half_mse.items() if name != "network"]
    easy = not isfinite(ratio) or min([half, *rows]) < 0.9 * loss or ratio > 1.1
    if ratio <= (0.9 if flat else 1.0) or not easy:
        return Finding(fact)
    if not isfinite(ratio):
        wrong = f"The training loss is {loss:.2g}, of targets with variance {2 * half:.2g}."
    elif not flat:
        wrong = (
            f"The training loss is {times(ratio)} half the variance of the targets: their mean "
            "alone would be better."
        )
    elif ratio < 1.1:
        wrong = (
            f"The output is constant: the training loss is {ratio:.2f} times half the variance of "
            "the targets, so that hardly more than their mean was learnt."
        )
    else:
        wrong = (
            f"The output is constant, and not even the mean was learnt: the training loss is "
            f"{times(ratio)} half the variance of the targets."
        )
    settings = results.settings
    cure = f"Raise the learning rate ({option('model.optimizer.lr')}{now(settings.lr)})"
    if not _stopped(results):
        cure += f" or the number of epochs ({option('trainer.max_epochs')}{now(settings.epochs)})"
    if ill:
        cure = "Cure what is said of its scale, hidden units or gradient first"
    return Finding(fact, f"{wrong} {cure}.")


def _stopped(results: Results) -> bool:
    """Whether training ended before its last epoch, or went on for long in vain."""
    history, most = results.history, results.settings.epochs
    if history is None or len(history.epochs) < 2:
        return False
    early = most is not None and most > 0 and history.epochs[-1] < most
    best = min(range(len(history.epochs)), key=history.losses["val"].__getitem__)
    return early or history.epochs[best] < 0.9 * history.epochs[-1]


def extrapolation(results: Results) -> Finding | None:
    """Whether validation or test ask for values that training never showed."""
    if not results.outside:
        return None
    shares = " and ".join(
        f"{share:.0%} of the {LOOKED_AT[split]} targets" for split, share in results.outside.items()
    )
    fact = f"{shares} outside the training range"
    beyond = [loss.split for loss in lost(results) if results.outside.get(loss.split, 0) > OUTSIDE]
    if not beyond or results.settings.relative:
        return Finding(fact)
    split, (low, high) = beyond[-1], results.train_range
    relative = option("model.relative", "true")
    through = f"Take each window's last value off, so that level and trend pass ({relative}), or c"
    return Finding(
        fact,
        f"{results.outside[split]:.0%} of the {LOOKED_AT[split]} targets lie outside the training "
        f"range ({low:.3g} to {high:.3g}), and tanh units do not extrapolate. "
        f"{'C' if results.settings.stateful else through}hoose splits that look alike "
        f"({option('data.train')}, {option(f'data.{split}')}).",
    )


def baselines(results: Results, ill: bool, beyond: bool) -> Finding:
    """Whether a baseline forecasts better than the network, on the validation or the test split.

    Args:
        results: Of a run.
        ill: Whether something else is to be cured first.
        beyond: Whether it has to extrapolate, and advice is given on that.
    """
    facts = [
        f"skill {number(skill(loss.ours, loss.theirs))} on the {LOOKED_AT[loss.split]} split "
        f"against {loss.baseline}"
        for loss in beside(results)
    ]
    exact = [n for n in results.half_mse if n != "network" and results.exact(n, "val")]
    facts += [f"{name} is exact" for name in exact]
    if results.lag:
        facts.append(f"predictions fit the series best {in_steps(results.lag)} late")
    fact, found = "; ".join(facts), lost(results)
    if not found:
        return Finding(fact, note=_no_better(results))
    sentence, before = "", ""
    for loss in found:
        factor = f"{times(loss.ours / loss.theirs)} " * isfinite(loss.ours)
        name = "" if loss.baseline == before else f"{loss.baseline} is "
        sentence += f"{' and ' * bool(before)}{name}{factor}better on the {LOOKED_AT[loss.split]} "
        sentence += f"split (half_mse {loss.theirs:.2e} against {loss.ours:.2e})"
        before = loss.baseline
    sentence = f"{sentence[0].upper()}{sentence[1:]}"
    if close := _won_elsewhere(results, found):
        return Finding(fact, note=f"{sentence}, and the network on the {close} split.")
    cure = "" if ill else _cure(results, found, beyond)
    return Finding(fact, f"{sentence}.{cure}")


def _no_better(results: Results) -> str:
    """A sentence where a baseline is about as good as the network, or a little better."""
    for loss in beside(results):
        if loss.ours > TIE * loss.theirs:
            return (
                f"The network is no better than {loss.baseline} on the {LOOKED_AT[loss.split]} "
                f"split (half_mse {loss.ours:.2e} against {loss.theirs:.2e})."
            )
    return ""


def _won_elsewhere(results: Results, found: list[Loss]) -> str:
    """The split on which the network is better, where it is not much worse on the other."""
    (loss, *more), won = found, [loss for loss in beside(results) if loss.ours < loss.theirs]
    close = won and not more and loss.ours < CLOSE * loss.theirs
    return LOOKED_AT[won[0].split] if close else ""


def _cure(results: Results, found: list[Loss], beyond: bool) -> str:
    settings, cures = results.settings, []
    names = {loss.baseline.partition(" ")[0] for loss in found}
    level = names & {"persistence", "linear"} and not (settings.relative or settings.stateful)
    if level and not beyond:
        relative = option("model.relative", "true")
        cures.append(f"take each window's last value off, so that its level passes ({relative})")
    if "autoregression" in names and not (settings.linear or settings.stateful):
        loss = f" {option('model.loss', 'last')}" if settings.loss == "every" else ""
        cures.append(f"start as that autoregression ({option('model.linear', 'true')}{loss})")
    season = results.half_mse.get(f"seasonal naive ({settings.period})", {}).get("val", inf)
    worth = season < results.half_mse["persistence"]["val"]
    if settings.period and worth and settings.window <= settings.period < settings.longest:
        window = option("data.window", settings.period + 1)
        cures.append(f"read a whole period of {in_steps(settings.period)} ({window})")
    if not (cures or beyond) and results.history is not None and not _stopped(results):
        epochs = option("trainer.max_epochs")
        cures.append(f"train longer ({epochs}{now(settings.epochs)})")
    if not cures:
        return "" if beyond else f" Forecast with {found[-1].baseline}, or give it more data."
    sentence = ", and ".join(cures)
    return f" {sentence[0].upper()}{sentence[1:]}."


def intervals(results: Results) -> Finding | None:
    """Whether the intervals hold on the test split what they are to hold."""
    if results.coverage is None:
        return None
    fact = f"90% asked, {results.coverage:.0%} held on the test split"
    if results.coverage >= FAILS:
        return Finding(fact)
    return Finding(
        fact,
        f"The intervals are too narrow: they hold {results.coverage:.0%} of the test split and not "
        "90%, for its errors are larger than those on the validation split, which set the width. "
        f"Choose a validation split that is longer or more like what comes ({option('data.val')}).",
    )


def rollout(results: Results) -> Finding | None:
    """Whether the rollout stays alive, bounded and in phase, as far as one step ahead allows it."""
    loop = results.rollout
    if loop is None or len(loop.truth) < 20:
        return None
    spread = loop.truth.std(correction=0).item()
    fact = f"RMSE {loop.rmse:.2g} over {len(loop.truth):,} steps; standard deviation {spread:.2g}"
    split, one = list(results.half_mse["network"].items())[-1]
    # A rollout cannot be better than one step ahead, which noise limits.
    ahead = (2 * one) ** 0.5
    if loop.rmse <= max(0.3 * spread, 2 * ahead) or spread == 0:
        return Finding(fact)
    if wrong := _diverges(loop, spread):
        return Finding(fact, f"The rollout {wrong}. {_steadier(results)}")
    # Of noise and random walks nothing is known far ahead: there the mean is the best forecast.
    if ahead >= 0.1 * spread or one >= 0.1 * results.half_mse["persistence"][split]:
        return Finding(fact)
    ours, theirs = _last_quarter(loop)
    if ours < 0.3 * theirs:
        wrong = f"dies: in its last quarter it has {ours / theirs:.0%} of the series' amplitude"
        return Finding(fact, f"The rollout {wrong}. {_steadier(results)}")
    steadier = _steadier(results)
    return Finding(
        fact,
        note=f"The rollout {_leaves(loop, spread)}. Every rollout of a chaotic series does; for a "
        f"periodic one, {steadier[0].lower()}{steadier[1:]}",
    )


def _diverges(loop: Rollout, spread: float) -> str:
    away = (loop.prediction - loop.truth.mean()).abs() / spread
    far = (~(away < 10)).nonzero()
    ours, theirs = _last_quarter(loop)
    amplitude = (ours / theirs) if theirs > 0 else 1.0
    if len(far) and away[0] >= 10:
        return f"is {away[0]:.2g} standard deviations from the series from its first step on"
    if len(far):
        return f"grows: at step {int(far[0]) + 1:,} it is 10 standard deviations from the series"
    if amplitude > 2 and ours > 2 * spread:  # not where the truth is flat at its end
        return f"grows: in its last quarter it has {times(amplitude)} the series' amplitude"
    return ""


def _leaves(loop: Rollout, spread: float) -> str:
    drift = phase_drift(loop.prediction, loop.truth)
    if drift is not None and abs(drift[0]) > 0.1:
        return (
            f"drifts in phase: after {drift[1]:.1f} periods it is {abs(drift[0]):.2f} periods "
            f"{'ahead' if drift[0] > 0 else 'behind'}, {abs(drift[0] / drift[1]):.3f} a period"
        )
    return f"is off by {loop.rmse / spread:.2g} standard deviations of the series"


def _last_quarter(loop: Rollout) -> tuple[float, float]:
    """The deviation of the forecast's last quarter, and of what came."""
    quarter = slice(-(len(loop.truth) // 4), None)
    ours, theirs = (v[quarter].std(correction=0).item() for v in (loop.prediction, loop.truth))
    return ours, theirs


def _steadier(results: Results) -> str:
    """What made rollouts hold, see docs/forecasting.md."""
    settings = results.settings
    if settings.updates == "batch" and settings.input_noise == 0:
        inside = settings.standardise or settings.log or settings.relative
        deviation = 1.0 if inside else results.variance["train"] ** 0.5
        noise = option("model.input_noise", f"{0.05 * deviation:.1g}")
        return f"Train with noise on what it reads ({noise})."
    return f"Try another seed ({option('seed_everything')})."
