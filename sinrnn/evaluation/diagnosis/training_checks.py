"""Whether training worked: the hidden units, the gradient, its clipping, the loss curves."""

import torch

from sinrnn.evaluation.report import Finding, in_steps, times
from sinrnn.evaluation.results import Results


def saturation(results: Results) -> Finding:
    """Hidden units at the ends of tanh, where 1 - h² passes no gradient."""
    share, radius = results.saturated, results.spectral_radius
    fact = f"{share:.0%} of the hidden units beyond |h| > 0.99; spectral radius of Whh {radius:.3g}"
    if share <= 0.5:
        return fact, ""
    advice = "standardise the series (--model.standardise true) or start with --model.init linear"
    return fact, (
        f"{share:.0%} of the hidden units are beyond |h| > 0.99, where tanh passes no gradient; "
        f"Whh has spectral radius {radius:.3g}: {_start(results) if radius > 2 else advice}."
    )


def gradient_flow(results: Results) -> Finding | None:
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
        dead = "No gradient reaches the hidden states: the readout Who is zero."
        return "no gradient at all", dead * (results.trace.loss.item() > 0)
    flow = (flows / flows[:, -1:]).median(0).values
    reached, growth = int((flow > 1e-3).sum()), flow.max().item()
    fact = f"{reached} of {steps} steps carry gradient; |dLoss/dh[1]| is {flow[0]:.2g} of the last"
    problem, bptt_steps = "", results.bptt_steps
    if bptt_steps is not None and bptt_steps < steps:
        cosine = results.trace.cosine(bptt_steps)
        fact += (
            f"; truncated to {in_steps(bptt_steps)}, its cosine with the full one is {cosine:.2f}"
        )
        if cosine < 0.7:
            problem = (
                f"Truncated to {bptt_steps} of {steps} steps, the gradient has a cosine of "
                f"{cosine:.2f} with the full one: it points elsewhere. Raise --model.bptt_steps."
            )
    if growth > 100:
        problem = (
            f"The gradient explodes: on its way back through the window |dLoss/dh[t]| becomes "
            f"{times(growth)} larger. To cure it, {_start(results)}, or clip it "
            "(--trainer.gradient_clip_val 1)."
        )
    elif 2 * reached < steps:
        problem = (
            f"The gradient vanishes: only {reached} of {steps} steps carry any (|dLoss/dh[t]| over "
            "a thousandth of the last), so nothing is learnt from the earlier ones. "
            + ("" if results.init == "orthogonal" else "Start with --model.init orthogonal. ")
            + "Read a shorter window (--data.window)."
        )
    return fact, problem


def _start(results: Results) -> str:
    if results.init == "orthogonal":
        return "lower the learning rate (--model.optimizer.lr)"
    return "start with --model.init orthogonal"


def clipping(results: Results) -> Finding | None:
    """Whether the clip value ever, or always, decides what a step does."""
    history, clip = results.history, results.clip
    if history is None or not history.norm:
        return None
    largest = max([*history.norm_max, *history.norm])
    typical = float(torch.tensor(history.norm, device="cpu").median())
    fact = f"gradient norm {typical:.2g} in the median, {largest:.2g} at most"
    if not clip or not history.clipped_steps:
        return f"{fact}; nothing is clipped", ""
    share = sum(history.clipped_steps) / len(history.clipped_steps)
    fact += f"; {share:.0%} of the steps clipped at {clip:g}"
    if share == 0:
        # By value, entries are compared with it, and their norm may be larger.
        seen = f" (largest gradient norm {largest:.2g})" if largest <= clip else ""
        return fact, (
            f"Clipping was never active: no step came to the clip value of {clip:g}{seen}. It "
            "guards against nothing here: leave it out, or lower --trainer.gradient_clip_val."
        )
    if share < 0.95:
        return fact, ""
    return fact, (
        f"Clipping was active in {share:.0%} of the steps (gradient norm {typical:.2g} in the "
        f"median, clip {clip:g}): it decides the step, not the gradient. Raise "
        "--trainer.gradient_clip_val, or cure what makes the gradient so large."
    )


def overfitting(results: Results, unlearnt: bool) -> Finding | None:
    """Whether validation got worse while training got better.

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
    fact = f"validation loss lowest after epoch {epoch:g} of {history.epochs[-1]:g}"
    # A part of the variance, so that rounding in the last digits of a perfect fit is none.
    rise = final - lowest > max(0.2 * lowest, 1e-4 * results.variance["val"])
    # A constant that passes the mean of the validation targets on its way is not one either.
    if unlearnt or not (rise and train[-1] < 0.9 * train[best]):
        return fact, ""
    return fact, (
        f"It overfits: the validation loss was lowest after epoch {epoch:g} ({lowest:.2e}) and has "
        f"risen to {final:.2e}, while the training loss fell from {train[best].item():.2e} to "
        f"{train[-1].item():.2e}. Stop there (lightning.pytorch.callbacks.EarlyStopping), take "
        "fewer hidden units, or give it more data."
    )
