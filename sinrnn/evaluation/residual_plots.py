"""Figure of the residuals."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from torch import Tensor

from sinrnn.evaluation._drawing import GREY, NETWORK, SECOND, blank, caption

QUANTILES = 100_000  # residuals that quantiles are taken of


def residuals(errors: Mapping[str, Tensor]) -> Figure:
    """Draw a histogram of the residuals, and their autocorrelation.

    The band contains 95 % of the autocorrelations of white noise. Values outside it show structure
    that a model could learn. Lag 0, which is always 1, is left out.

    Args:
        errors: Prediction - target in time order, (N,), by split.
    """
    figure, (left, right) = blank(1, 2, 3.6)
    finite = {
        name: (values if values.isfinite().all() else values[values.isfinite()]).numpy()
        for name, values in errors.items()
    }
    bins, beyond = _bins([*finite.values()])
    # The first histogram is filled and the second an outline, so that both stay visible.
    looks = ((SECOND, "-", {"fill": True, "alpha": 0.3}), (NETWORK, "--", {"lw": 1.8}))
    for (color, style, look), (name, values) in zip(looks, errors.items(), strict=False):
        counts, _ = np.histogram(finite[name].clip(bins[0], bins[-1]), bins)
        share = 100 * counts / max(len(finite[name]), 1)
        left.stairs(share, bins, color=color, label=name, **look)
        lags = np.arange(1, min(41, len(values)))
        around = (values - values.mean()).numpy()
        power = np.dot(around, around) or 1.0
        shared = [np.dot(around[lag:], around[: len(around) - lag]) / power for lag in lags]
        right.plot(lags, shared, style, marker=".", color=color, label=name)
    band = 1.96 / min(len(values) for values in errors.values()) ** 0.5
    right.axhspan(-band, band, color=GREY, alpha=0.3, lw=0, label="white noise, 95 %")
    right.set_ylim(-1.05, 1.05)
    sizes = {name: values.norm().item() / len(values) ** 0.5 for name, values in errors.items()}
    title = ", ".join(f"{name} {size:.1e}" for name, size in sizes.items())
    left.locator_params(axis="y", prune="upper")
    caption(left, f"prediction - target{beyond}", "windows in the bin, %", f"RMSE: {title}")
    caption(right, "lag, samples", "autocorrelation", "white noise stays within the band")
    return figure


def _bins(errors: Sequence[np.ndarray]) -> tuple[np.ndarray, str]:
    """Return the edges of 40 bins, and a note for the axis label if errors lie beyond them."""
    ends = np.array([end for some in errors if len(some) for end in (some.min(), some.max())])
    if not len(ends):
        return np.array([-0.5, 0.5]), ""
    low, high = ends.min(), ends.max()
    # Residuals that differ only by rounding leave no room for bins between them.
    if high - low < 1e-12 * max(abs(low), abs(high), 1e-290):
        return np.histogram_bin_edges(ends, 1), ""
    every = -(-sum(map(len, errors)) // QUANTILES)
    start, end = np.quantile(np.concatenate([some[::every] for some in errors]), (0.005, 0.995))
    room = (end - start) / 2
    if room > 0 and (low < start - room or high > end + room):  # outliers would squeeze all others
        low, high = max(low, start - room), min(high, end + room)
        return np.linspace(low, high, 41), " (outer bins: all beyond)"
    return np.linspace(low, high, 41), ""
