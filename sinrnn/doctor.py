"""Why a network does not learn: measured facts, and a sentence with advice where one is bad.

Each check looks at the results of a run, says what it measured, and, where that is an illness,
what is wrong and what to try.
"""

from collections.abc import Sequence
from math import isfinite
from typing import NamedTuple

import torch

from sinrnn.backtest import phase_drift
from sinrnn.baselines import skill
from sinrnn.report import Results, Rollout


class Check(NamedTuple):
    """What was looked at, what was measured, and what is wrong with it, if anything is."""

    name: str
    fact: str
    illness: str = ""


def diagnose(results: Results) -> list[Check]:
    """Every check for which the results hold what it needs, causes before their effects."""
    checks = [check(results) for check in CHECKS]
    return [check for check in checks if check is not None]


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


def saturation(results: Results) -> Check:
    """Hidden units at the ends of tanh, where 1 - h² passes no gradient."""
    share, radius = results.saturated, results.spectral_radius
    fact = f"{share:.0%} of the hidden units beyond |h| > 0.99; spectral radius of Whh {radius:.3g}"
    if share <= 0.5:
        return Check("saturation", fact)
    if radius > 2:
        advice = _start(results)
    else:
        advice = (
            "standardise the series (--data.standardise true) or start with --model.init linear"
        )
    return Check(
        "saturation",
        fact,
        f"{share:.0%} of the hidden units are beyond |h| > 0.99, where tanh passes no gradient; "
        f"Whh has spectral radius {radius:.3g}: {advice}.",
    )


def _start(results: Results) -> str:
    if results.init == "orthogonal":
        return "lower the learning rate (--model.optimizer.lr)"
    return "start with --model.init orthogonal"


def _steps(count: float) -> str:
    return f"{count:,} step{'' if count == 1 else 's'}"


def gradient_flow(results: Results) -> Check | None:
    """Whether dLoss/dh[t] reaches the start of the window, and in its size.

    Each window is compared with its own last step, and the median taken, so that a few windows
    with large errors do not speak for all.
    """
    if results.trace is None:
        return None
    flows = results.trace.grad_h.double().norm(dim=2)
    flows = flows[flows[:, -1] > 0]
    steps = flows.shape[1]
    if len(flows) == 0:
        illness = "No gradient reaches the hidden states: the readout Who is zero." * (
            results.trace.loss.item() > 0
        )
        return Check("gradient flow", "no gradient at all", illness)
    flow = (flows / flows[:, -1:]).median(0).values
    reached, growth = int((flow > 1e-3).sum()), flow.max().item()
    fact = f"{reached} of {steps} steps carry gradient; |dLoss/dh[1]| is {flow[0]:.2g} of the last"
    illness = ""
    if growth > 100:
        illness = (
            f"The gradient explodes: on its way back through the window |dLoss/dh[t]| becomes "
            f"{times(growth)} larger. To cure it, {_start(results)}, or clip it "
            "(--trainer.gradient_clip_val 1)."
        )
    elif 2 * reached < steps:
        illness = (
            f"The gradient vanishes: only {reached} of {steps} steps carry any (|dLoss/dh[t]| over "
            "a thousandth of the last), so nothing is learnt from the earlier ones. "
            + ("" if results.init == "orthogonal" else "Start with --model.init orthogonal. ")
            + "Read a shorter window (--data.window)."
        )
    depth = results.depth
    if depth is not None and depth < steps:
        cosine = results.trace.cosine(depth)
        fact += f"; truncated to {_steps(depth)}, its cosine with the full one is {cosine:.2f}"
        if cosine < 0.7 and not illness:
            illness = (
                f"Truncated to {depth} of {steps} steps, the gradient has a cosine of {cosine:.2f} "
                "with the full one: it points elsewhere. Raise --model.depth."
            )
    return Check("gradient flow", fact, illness)


def clipping(results: Results) -> Check | None:
    """Whether the clip value ever, or always, decides what a step does."""
    history, clip = results.history, results.clip
    if history is None or not history.norm:
        return None
    largest = max([*history.norm_max, *history.norm])
    typical = float(torch.tensor(history.norm).median())
    fact = f"gradient norm {typical:.2g} in the median, {largest:.2g} at most"
    if not clip or not history.clipped_steps:
        return Check("clipping", f"{fact}; nothing is clipped")
    share = sum(history.clipped_steps) / len(history.clipped_steps)
    fact += f"; {share:.0%} of the steps clipped at {clip:g}"
    if share == 0:
        # By value, entries are compared with it, and their norm may be larger.
        seen = f" (largest gradient norm {largest:.2g})" if largest <= clip else ""
        return Check(
            "clipping",
            fact,
            f"Clipping was never active: no step came to the clip value of {clip:g}{seen}. It "
            "guards against nothing here: leave it out, or lower --trainer.gradient_clip_val.",
        )
    if share < 0.95:
        return Check("clipping", fact)
    return Check(
        "clipping",
        fact,
        f"Clipping was active in {share:.0%} of the steps (gradient norm {typical:.2g} in the "
        f"median, clip {clip:g}): it decides the step, not the gradient. Raise "
        "--trainer.gradient_clip_val, or cure what makes the gradient so large.",
    )


def constant(results: Results) -> Check:
    """Whether the network does better than the mean of its training targets."""
    loss, half_variance = results.half_mse["network"]["train"], results.variance["train"] / 2
    size = max(map(abs, results.train_range))
    if half_variance > 0:
        ratio = loss / half_variance
    else:  # the targets are all the same: anything but that number, to rounding, is wrong
        ratio = float("inf") if loss > 1e-12 * size**2 else 0.0
    fact = f"training loss {loss:.2e}, half the targets' variance {half_variance:.2e}"
    if ratio <= 0.9:
        return Check("constant output", fact)
    flow = gradient_flow(results)
    if results.saturated > 0.5 or (flow and flow.illness):
        cure = "Cure what is said of its hidden units and its gradient first."
    else:
        cure = (
            "Raise the learning rate (--model.optimizer.lr) or the number of epochs "
            "(--trainer.max_epochs)."
        )
    flat = results.flatness is None or results.flatness < 0.1
    if not isfinite(ratio):
        wrong = (
            f"The training loss is {loss:.2g}, of targets with variance {2 * half_variance:.2g}."
        )
        return Check("constant output", fact, f"{wrong} {cure}")
    if ratio < 1.1 and flat:
        wrong = (
            f"The training loss equals half the variance of the targets ({loss:.2e} and "
            f"{half_variance:.2e}): the output is constant, and only the mean was learned."
        )
    elif flat:
        wrong = (
            f"The output is constant, and not even the mean was learned: the training loss is "
            f"{times(ratio)} half the variance of the targets."
        )
    else:
        wrong = (
            f"The training loss is {times(ratio)} half the variance of the targets: the mean alone "
            "would be as good or better."
        )
    return Check("constant output", fact, f"{wrong} {cure}")


def last_value(results: Results) -> Check:
    """Whether the network copies the last value that it read, or is worse than that."""
    ours = results.half_mse["network"]["val"]
    theirs = results.half_mse["persistence"]["val"]
    value, lag = skill(ours, theirs), results.lag
    fact = f"skill against persistence {_number(value)} on validation"
    ill, flow = constant(results).illness, gradient_flow(results)
    cure = " Train longer, or read a longer window (--data.window)."
    if ill or (flow and flow.illness):
        cure = ""
    if ill and (results.flatness is None or results.flatness < 0.1):
        lag = None
    if lag is not None:
        fact += f"; predictions fit the series best {_steps(lag)} late"
    illness = ""
    if theirs > 0 and value < -0.05:
        illness = (
            f"Repeating the last value is {times(ours / theirs)} better on the validation span "
            f"(half_mse {theirs:.2e} against {ours:.2e}).{cure}"
        )
    elif theirs > 0 and (value < 0.05 or (lag and value < 0.3)):
        late = f", and its predictions fit the series best {_steps(lag)} late" if lag else ""
        illness = (
            f"It copies the last value: its skill against persistence is {value:.2f}{late}.{cure} "
            "Of a random walk there is nothing more to learn."
        )
    return Check("last value", fact, illness)


def _number(value: float) -> str:
    return f"{value:.2f}" if abs(value) < 1000 else f"{value:.1e}"


def times(factor: float) -> str:
    """A factor in words: two digits, and no exponent as long as anybody can read it."""
    return f"{float(f'{factor:.2g}'):,.15g} times" if factor < 1e9 else f"{factor:.0e} times"


def overfitting(results: Results) -> Check | None:
    """Whether validation got worse while training got better."""
    history = results.history
    if history is None or len(history.epochs) < 3:
        return None
    val, train = (torch.tensor(history.losses[name]) for name in ("val", "train"))
    best = int(val.argmin())
    epoch, lowest, final = history.epochs[best], val[best].item(), val[-1].item()
    fact = f"validation loss lowest after epoch {epoch:g} of {history.epochs[-1]:g}"
    # A part of the variance, so that rounding in the last digits of a perfect fit is none.
    rise = final - lowest > max(0.2 * lowest, 1e-4 * results.variance["val"])
    # A constant that passes the mean of the validation targets on its way is not one either.
    if not (rise and train[-1] < 0.9 * train[best]) or constant(results).illness:
        return Check("overfitting", fact)
    return Check(
        "overfitting",
        fact,
        f"It overfits: the validation loss was lowest after epoch {epoch:g} ({lowest:.2e}) and has "
        f"risen to {final:.2e}, while the training loss fell from {train[best].item():.2e} to "
        f"{train[-1].item():.2e}. Stop there (lightning.pytorch.callbacks.EarlyStopping), take "
        "fewer hidden units, or give it more data.",
    )


def extrapolation(results: Results) -> Check | None:
    """Whether validation asks for values that training never showed."""
    if results.outside is None:
        return None
    fact = f"{results.outside:.0%} of the validation targets outside the training range"
    ours, theirs = results.half_mse["network"]["val"], results.half_mse["persistence"]["val"]
    if results.outside <= 0.2 or ours < 0.5 * theirs:
        return Check("extrapolation", fact)
    low, high = results.train_range
    return Check(
        "extrapolation",
        fact,
        f"{results.outside:.0%} of the validation targets lie outside the training range "
        f"({low:.3g} to {high:.3g}): the validation loss measures extrapolation. Choose the spans "
        "(--data.train, --data.val) so that they look alike, or start with --model.init linear.",
    )


def closed_loop(results: Results) -> Check | None:
    """Whether the rollout stays alive, bounded and in phase."""
    loop = results.rollout
    if loop is None or len(loop.truth) < 20:
        return None
    spread = loop.truth.std(correction=0).item()
    fact = f"RMSE {loop.rmse:.2g} over {len(loop.truth):,} steps; standard deviation {spread:.2g}"
    # A rollout cannot be better than one step ahead, which noise limits.
    ahead = (2 * list(results.half_mse["network"].values())[-1]) ** 0.5
    if loop.rmse <= max(0.3 * spread, 2 * ahead) or spread == 0:
        return Check("rollout", fact)
    return Check("rollout", fact, _rollout_illness(loop, spread))


def _rollout_illness(loop: Rollout, spread: float) -> str:
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


CHECKS = (
    saturation,
    gradient_flow,
    clipping,
    constant,
    last_value,
    overfitting,
    extrapolation,
    closed_loop,
)
