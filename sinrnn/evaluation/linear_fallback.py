"""The fallback to the linear part of a predictor whose network brings no clear gain."""

import torch

from sinrnn.data.windows import Windows, predict
from sinrnn.forecasting.predictor import Predictor

# Fewer validation windows cannot tell a small gain from chance: on 13 windows of stock prices, the
# best of 200 epochs gained 8 to 23 % there and lost 17 to 137 % on later data.
MIN_WINDOWS = 30
MIN_GAIN = 0.5  # standard errors


@torch.no_grad()
def linear_start(predictor: Predictor) -> Predictor:
    """Return a copy of the predictor as it was before training: with its linear part only."""
    start = predictor.copy()
    start.net.set_readout(torch.zeros_like(start.net.Who), None)
    return start


@torch.no_grad()
def keep_if_better(predictor: Predictor, windows: Windows) -> tuple[Predictor, str]:
    """Return the predictor if training improved it on the validation split, or else its start.

    Args:
        predictor: The trained predictor. One without a linear part is always kept.
        windows: The windows of the validation split.

    Returns:
        The predictor to keep, and the reason if the network is left out, or "".
    """
    if not predictor.linear:
        return predictor, ""
    start = linear_start(predictor)
    if len(windows) < MIN_WINDOWS:
        return start, (
            f"left out: {len(windows)} validation windows cannot tell its gain from chance "
            f"(at least {MIN_WINDOWS}); the forecast is that of the linear part"
        )
    target = windows.targets.double()
    before, after = ((predict(model, windows) - target).square() for model in (start, predictor))
    gain = before - after
    standard_error = gain.std() / len(gain) ** 0.5
    if gain.mean() > MIN_GAIN * standard_error:
        return predictor, ""
    gained = "nothing"
    if gain.mean() > 0:
        share, error = (float(part / before.mean()) for part in (gain.mean(), standard_error))
        gained = f"{share:.1%}, with a standard error of {error:.1%}"
    return start, (
        f"left out: on the validation split it gained {gained}; the forecast is that of the linear "
        "part"
    )
