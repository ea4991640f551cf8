"""Reasons to refuse a forecast, or to doubt it."""

from typing import Any

from torch import Tensor

FAR = 10  # standard deviations beyond the run's series: from there on it is another series
NEAR = 0.05  # of the training range: values beyond it by no more may be chance
LOST = 1.05  # times a baseline's loss: the network is worse
FAILS = 0.8  # coverage of intervals whose nominal coverage is 0.9: they are too narrow


def check_like(predictor: Any, read: Tensor) -> None:
    """Check that values can belong to the series that a predictor was trained on.

    Args:
        predictor: The Predictor.
        read: The last values of a series, (T,).

    Raises:
        ValueError: They lie far from all values of that series, or the network reads several
            series.
    """
    if predictor.net.input_size != 1:
        raise ValueError(
            f"a forecast needs a network that reads 1 series, got {predictor.net.input_size}"
        )
    middle, mean, scale = read.median().item(), predictor.mean.item(), predictor.scale.item()
    low, high = predictor.seen.tolist() or (mean, mean)
    comparable = predictor.standardise and not (predictor.relative or predictor.log)
    if comparable and max(low - middle, middle - high) > FAR * scale:
        raise ValueError(
            f"the network was trained on values around {mean:.4g} with standard deviation "
            f"{scale:.4g}, the last {len(read)} values lie around {middle:.4g}: check the series "
            "and its unit"
        )


def cautions(predictor: Any, read: Tensor) -> tuple[str, ...]:
    """Return a sentence for each reason to doubt a forecast.

    Args:
        predictor: The Predictor.
        read: The values that it reads, (T,).
    """
    found = []
    if len(predictor.learnt) and not predictor.relative:  # `relative` passes the level through
        low, high = predictor.learnt.tolist()
        room = NEAR * (high - low)
        away = read[(read < low - room) | (read > high + room)]
        if len(away):
            far = max(away.tolist(), key=lambda value: max(low - value, value - high))
            found.append(
                f"{len(away)} of the last {len(read)} values lie outside the training range "
                f"({low:.4g} to {high:.4g}), the farthest at {far:.4g}: the network extrapolates"
            )
    if len(predictor.tested):
        network, baseline = predictor.tested.tolist()
        if network > LOST * baseline:
            found.append(
                f"{predictor.baseline} was better on the test split: half_mse {baseline:.2e}, the "
                f"network's {network:.2e}"
            )
    if len(predictor.coverage) and not predictor.radius.isinf().any():
        coverage = predictor.coverage.mean().item()
        if coverage < FAILS:
            found.append(
                f"the intervals are too narrow: they cover {coverage:.0%} of the test split "
                "instead of 90%"
            )
    return tuple(found)
