"""Whether training worked: the scale, the hidden units, the gradient, its clipping, the curves."""

import math

import torch

from sinrnn.evaluation import metrics
from sinrnn.evaluation.diagnosis.words import Finding, option
from sinrnn.evaluation.report import in_steps, times
from sinrnn.evaluation.results import Results

LEVEL = 100  # times the range: tanh units and float32 have 5 digits left for what changes


def scale(results: Results) -> Finding | None:
    """Whether the level of what the network reads drowns what changes."""
    low, high = results.train_range
    settings = results.settings
    if settings.standardise or settings.relative:
        return None
    if settings.log:
        low, high = math.log(low), math.log(high)
    level, width = max(abs(low), abs(high)), high - low
    fact = f"the network reads values from {low:.4g} to {high:.4g}"
    if width <= 0 or level < LEVEL * width:
        return Finding(fact)
    ways = [option("model.standardise", "true")]
    ways += [] if settings.stateful else [option("model.relative", "true")]
    return Finding(
        fact,
        f"The network reads values around {(low + high) / 2:.4g} that differ by no more than "
        f"{width:.2g}: its units hardly see what changes, and float32 keeps "
        f"{max(7.2 - math.log10(level / width), 0):.0f} digits of it. Take the level off: "
        f"{' or '.join(ways)}.",
    )


def saturation(results: Results, losing: bool, beyond: bool) -> Finding:
    """Hidden units at the ends of tanh, where 1 - h² passes no gradient.

    Args:
        results: Of a run.
        losing: Whether it needs a cause.
        beyond: Whether it has to extrapolate, which may be why they saturate.
    """
    share, radius, settings = results.saturated, results.spectral_radius, results.settings
    fact = f"{share:.0%} of the hidden units beyond |h| > 0.99; spectral radius of Whh {radius:.3g}"
    if share <= 0.5 or not losing or (beyond and settings.standardise and radius <= 2):
        return Finding(fact)
    if radius > 2 or settings.standardise or settings.relative:
        cure = _start(results)
    else:
        cure = f"standardise the series ({option('model.standardise', 'true')})"
    return Finding(
        fact,
        f"{share:.0%} of the hidden units are beyond |h| > 0.99, where tanh passes no gradient; "
        f"Whh has spectral radius {radius:.3g}: {cure}.",
    )


def gradient_flow(results: Results, losing: bool, saturated: bool) -> Finding | None:
    """Whether dLoss/dh[t] reaches the start of the window, and in its size.

    Args:
        results: Of a run.
        losing: Whether it needs a cause.
        saturated: Whether its hidden units are to be cured first.
    """
    if results.trace is None:
        return None
    flow = metrics.gradient_flow(results.trace)[1]
    steps = len(flow)
    if flow.isnan().all():
        if results.settings.linear:
            return Finding("the readout is zero: the forecast is that of the linear part alone")
        dead = "No gradient reaches the hidden states: the readout Who is zero."
        return Finding("no gradient at all", dead * (results.trace.loss.item() > 0))
    reached, growth = int((flow > metrics.CARRIES).sum()), flow.max().item()
    fact = f"{reached} of {steps} steps carry gradient; |dLoss/dh[1]| is {flow[0]:.2g} of the last"
    problem, bptt_steps = "", results.settings.bptt_steps
    if bptt_steps is not None and bptt_steps >= steps:
        fact += f"; bptt_steps {bptt_steps} truncates nothing"
    elif bptt_steps is not None:
        cosine = results.trace.cosine(bptt_steps)
        fact += (
            f"; truncated to {in_steps(bptt_steps)}, its cosine with the full one is {cosine:.2f}"
        )
        if cosine < 0.7:
            problem = (
                f"Truncated to {bptt_steps} of {steps} steps, the gradient has a cosine of "
                f"{cosine:.2f} with the full one: it points elsewhere. Raise "
                f"{option('model.bptt_steps')}."
            )
    if growth > 100:
        clip = option("trainer.gradient_clip_val", 1)
        problem = (
            f"The gradient explodes: on its way back through the window |dLoss/dh[t]| becomes "
            f"{times(growth)} larger. To cure it, {_start(results)}"
            + ("." if results.settings.clip else f", or clip it ({clip}).")
        )
    elif 2 * reached < steps and not results.settings.linear:  # which reads all of the window
        problem = _vanishing(results, reached, steps, saturated)
    return Finding(fact, problem if losing else "")


def _vanishing(results: Results, reached: int, steps: int, saturated: bool) -> str:
    settings, cures = results.settings, list[str]()
    if settings.init != "orthogonal":
        cures.append(f"Start with {option('model.init', 'orthogonal')}.")
    # A period is worth a window that is longer than it, see `baselines`.
    if settings.period is None or reached > settings.period:
        cures.append(f"Read a shorter window ({option('data.window', max(reached, 2))}).")
    if not cures:
        return ""
    wrong = (
        f"The gradient vanishes: only {reached} of {steps} steps carry any (|dLoss/dh[t]| over "
        "a thousandth of the last), so little is learnt from the earlier ones."
    )
    return " ".join([wrong] if saturated else [wrong, *cures])


def _start(results: Results) -> str:
    if results.settings.init != "orthogonal":
        return f"start with {option('model.init', 'orthogonal')}"
    return f"lower the learning rate ({option('model.optimizer.lr')}{now(results.settings.lr)})"


def now(value: float | None) -> str:
    """What an option is, where that is known."""
    return "" if value is None else f", now {value:g}"


def clipping(results: Results, losing: bool) -> Finding | None:
    """Whether the clip value ever, or always, decides what a step does.

    Args:
        results: Of a run.
        losing: Whether it needs a cause.
    """
    history, clip = results.history, results.settings.clip
    if history is None or not history.norm:
        return None
    largest = max([*history.norm_max, *history.norm])
    typical = float(torch.tensor(history.norm, device="cpu").median())
    fact = f"gradient norm {typical:.2g} in the median, {largest:.2g} at most"
    if not clip or not history.clipped_steps:
        return Finding(f"{fact}; nothing is clipped")
    share = sum(history.clipped_steps) / len(history.clipped_steps)
    clipped = f"{share:.0%} of the steps clipped at" if share else "never clipped at"
    fact += f"; {clipped} {clip:g}"
    if share < 0.95 or not losing:
        return Finding(fact)
    return Finding(
        fact,
        f"Clipping was active in {share:.0%} of the steps (gradient norm {typical:.2g} in the "
        f"median, clip {clip:g}): it decides the step, not the gradient. Raise "
        f"{option('trainer.gradient_clip_val')}, or cure what makes the gradient so large.",
    )


def overfitting(results: Results, unlearnt: bool) -> Finding | None:
    """Whether validation got worse while training got better, and those weights were kept.

    Args:
        results: Of a run.
        unlearnt: Whether it does no better than a constant.
    """
    history = results.history
    if history is None or len(history.epochs) < 3:
        return None
    val, train = (torch.tensor(history.losses[name], device="cpu") for name in ("val", "train"))
    best = int(val.argmin())
    epoch, lowest, final = history.epochs[best], val[best].item(), val[-1].item()
    kept = results.settings.keep == "best"
    fact = f"validation loss lowest after epoch {epoch:g} of {history.epochs[-1]:g}"
    fact += ", whose weights were kept" if kept else ""
    # A part of the variance, so that rounding in the last digits of a perfect fit is none.
    rise = final - lowest > max(0.2 * lowest, 1e-4 * results.variance["val"])
    # A constant that passes the mean of the validation targets on its way is not one either.
    if kept or unlearnt or not (rise and train[-1] < 0.9 * train[best]):
        return Finding(fact)
    return Finding(
        fact,
        f"It overfits: the validation loss was lowest after epoch {epoch:g} ({lowest:.2e}) and has "
        f"risen to {final:.2e}, while the training loss fell from {train[best].item():.2e} to "
        f"{train[-1].item():.2e}. Keep the weights of the best epoch ({option('keep', 'best')}), "
        "take fewer hidden units, or give it more data.",
    )
