"""Checks of training: input scale, hidden units, gradient, clipping and overfitting."""

import math

import torch

from sinrnn.evaluation import metrics
from sinrnn.evaluation.diagnosis.words import Finding, option
from sinrnn.evaluation.report import in_steps, times
from sinrnn.evaluation.results import Results

LEVEL = 100  # times the range: beyond it, float32 resolves the range to 5 digits or fewer


def scale(results: Results) -> Finding | None:
    """Check whether the level of the network's inputs is large compared to their range."""
    low, high = results.train_range
    settings = results.settings
    if settings.standardise or settings.relative:
        return None
    if settings.log:
        low, high = math.log(low), math.log(high)
    level, width = max(abs(low), abs(high)), high - low
    fact = f"network inputs from {low:.4g} to {high:.4g}"
    if width <= 0 or level < LEVEL * width:
        return Finding(fact)
    options = [option("model.standardise", "true")]
    options += [] if settings.stateful else [option("model.relative", "true")]
    return Finding(
        fact,
        f"The network's inputs are near {(low + high) / 2:.4g} and vary by only {width:.2g}: the "
        "hidden units barely respond to the variation, and float32 resolves "
        f"{max(7.2 - math.log10(level / width), 0):.0f} digits of it. Remove the level: "
        f"{' or '.join(options)}.",
    )


def saturation(results: Results, poor: bool, beyond: bool) -> Finding:
    """Check whether hidden units are saturated, where 1 - h² passes no gradient.

    Args:
        results: The results of a run.
        poor: Whether the forecasts are poor; otherwise there is no problem to explain.
        beyond: Whether targets lie outside the training range, which can saturate units.
    """
    share, radius, settings = results.saturated, results.spectral_radius, results.settings
    fact = f"{share:.0%} of the hidden units saturated; spectral radius of Whh {radius:.3g}"
    if share <= 0.5 or not poor or (beyond and settings.standardise and radius <= 2):
        return Finding(fact)
    if radius > 2 or settings.standardise or settings.relative:
        suggestion = _start(results)
    else:
        suggestion = f"standardise the series ({option('model.standardise', 'true')})"
    return Finding(
        fact,
        f"{share:.0%} of the hidden units are saturated (|h| > 0.99) and pass almost no gradient; "
        f"Whh has spectral radius {radius:.3g}: {suggestion}.",
    )


def gradient_flow(results: Results, poor: bool, saturated: bool) -> Finding | None:
    """Check whether the gradient vanishes, explodes or is changed by truncation.

    Args:
        results: The results of a run.
        poor: Whether the forecasts are poor; otherwise there is no problem to explain.
        saturated: Whether the hidden units are saturated, which has its own suggestion.
    """
    if results.trace is None:
        return None
    flow = metrics.gradient_flow(results.trace)[1]
    steps = len(flow)
    if flow.isnan().all():
        if results.settings.linear:
            return Finding("the readout is zero: the forecast is that of the linear part")
        problem = "No gradient reaches the hidden states: the readout Who is zero."
        return Finding("no gradient", problem * (results.trace.loss.item() > 0))
    reached, growth = int((flow > metrics.NEGLIGIBLE).sum()), flow.max().item()
    fact = f"{reached} of {steps} steps receive gradient"
    fact += f"; |dLoss/dh[1]| is {flow[0]:.2g} of |dLoss/dh[T]|"
    problem, bptt_steps = "", results.settings.bptt_steps
    if bptt_steps is not None and bptt_steps >= steps:
        fact += f"; bptt_steps {bptt_steps} truncates nothing"
    elif bptt_steps is not None:
        cosine = results.trace.cosine(bptt_steps)
        fact += f"; truncated to {in_steps(bptt_steps)}, its cosine with the full gradient is "
        fact += f"{cosine:.2f}"
        if cosine < 0.7:
            problem = (
                f"Truncation to {bptt_steps} of {steps} steps changes the direction of the "
                f"gradient: its cosine with the full gradient is {cosine:.2f}. "
                f"Raise {option('model.bptt_steps')}."
            )
    if growth > 100:
        clip = option("trainer.gradient_clip_val", 1)
        problem = (
            f"The gradient explodes: |dLoss/dh[t]| becomes {times(growth)} larger on its way back "
            f"through the window. To prevent this, {_start(results)}"
            + ("." if results.settings.clip else f", or clip it ({clip}).")
        )
    elif 2 * reached < steps and not results.settings.linear:  # it reads the whole window
        problem = _vanishing(results, reached, steps, saturated)
    return Finding(fact, problem if poor else "")


def _vanishing(results: Results, reached: int, steps: int, saturated: bool) -> str:
    settings, suggestions = results.settings, list[str]()
    if settings.init != "orthogonal":
        suggestions.append(f"Start with {option('model.init', 'orthogonal')}.")
    # A window longer than the period is useful, see `baselines`.
    if settings.period is None or reached > settings.period:
        suggestions.append(f"Use a shorter window ({option('data.window', max(reached, 2))}).")
    if not suggestions:
        return ""
    problem = (
        f"The gradient vanishes: only {reached} of {steps} steps receive gradient (|dLoss/dh[t]| "
        "above 1/1000 of |dLoss/dh[T]|), so the network learns little from the earlier steps."
    )
    return " ".join([problem] if saturated else [problem, *suggestions])


def _start(results: Results) -> str:
    if results.settings.init != "orthogonal":
        return f"start with {option('model.init', 'orthogonal')}"
    return f"lower the learning rate ({option('model.optimizer.lr')}{now(results.settings.lr)})"


def now(value: float | None) -> str:
    """Return the current value of an option as text, or "" if it is not known."""
    return "" if value is None else f", now {value:g}"


def clipping(results: Results, poor: bool) -> Finding | None:
    """Check whether almost every step is clipped.

    Args:
        results: The results of a run.
        poor: Whether the forecasts are poor; otherwise there is no problem to explain.
    """
    history, clip = results.history, results.settings.clip
    if history is None or not history.norm:
        return None
    largest = max([*history.norm_max, *history.norm])
    typical = float(torch.tensor(history.norm, device="cpu").median())
    fact = f"median gradient norm {typical:.2g}, maximum {largest:.2g}"
    if not clip or not history.clipped_steps:
        return Finding(f"{fact}; no clipping")
    share = sum(history.clipped_steps) / len(history.clipped_steps)
    clipped = f"{share:.0%} of the steps clipped at" if share else "never clipped at"
    fact += f"; {clipped} {clip:g}"
    if share < 0.95 or not poor:
        return Finding(fact)
    return Finding(
        fact,
        f"{share:.0%} of the steps were clipped (median gradient norm {typical:.2g}, clip value "
        f"{clip:g}), so the clip value sets the size of the steps. Raise "
        f"{option('trainer.gradient_clip_val')}, or fix the cause of the large gradients.",
    )


def overfitting(results: Results, unlearnt: bool) -> Finding | None:
    """Check whether the validation loss rose while the training loss fell.

    It is no problem if the weights of the best epoch are kept.

    Args:
        results: The results of a run.
        unlearnt: Whether the network is no better than a constant.
    """
    history = results.history
    if history is None or len(history.epochs) < 3:
        return None
    val, train = (torch.tensor(history.losses[name], device="cpu") for name in ("val", "train"))
    best = int(val.argmin())
    epoch, lowest, final = history.epochs[best], val[best].item(), val[-1].item()
    kept = results.settings.keep == "best"
    fact = f"lowest validation loss after epoch {epoch:g} of {history.epochs[-1]:g}"
    fact += "; these weights were kept" if kept else ""
    # Relative to the variance, since the loss of a perfect fit changes by rounding errors.
    rise = final - lowest > max(0.2 * lowest, 1e-4 * results.variance["val"])
    # The loss of a constant is also lowest when it passes the mean of the validation targets.
    if kept or unlearnt or not (rise and train[-1] < 0.9 * train[best]):
        return Finding(fact)
    return Finding(
        fact,
        f"The network overfits: the validation loss was lowest after epoch {epoch:g} "
        f"({lowest:.2e}) and rose to {final:.2e}, while the training loss fell from "
        f"{train[best].item():.2e} to {train[-1].item():.2e}. Keep the weights of the best "
        f"epoch ({option('keep', 'best')}), use fewer hidden units, or train on more data.",
    )
