"""Whether a forecast can be made from what is read, and what to be told with it."""

from typing import Any

from torch import Tensor

FAR = 10  # deviations of the training split: what lies so far beyond all its series is another one
NEAR = 0.05  # of the range learnt: what lies beyond by no more may be chance
LOST = 1.05  # times a baseline's loss
FAILS = 0.8  # coverage of intervals that are to hold 0.9


def check_like(predictor: Any, read: Tensor) -> None:
    """Refuse what cannot be the series that was learnt from, nor go on from it.

    Args:
        predictor: The Predictor.
        read: The last values of a series, (T,).

    Raises:
        ValueError: They lie far from all values of the series, train, val and test; or it reads
            more series than one.
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
            f"the network has learnt from values around {mean:.4g} with deviation {scale:.4g}, "
            f"the last {len(read)} of this series lie around {middle:.4g}: another series or unit?"
        )


def cautions(predictor: Any, read: Tensor) -> tuple[str, ...]:
    """A sentence for each reason not to believe a forecast.

    Args:
        predictor: The Predictor.
        read: What it reads, (T,).
    """
    found = []
    if len(predictor.learnt) and not predictor.relative:  # else level and trend pass through
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
        ours, theirs = predictor.tested.tolist()
        if ours > LOST * theirs:
            found.append(
                f"{predictor.baseline} was better on the test split: half_mse {theirs:.2e} against "
                f"{ours:.2e} of the network"
            )
    if len(predictor.coverage) and not predictor.radius.isinf().any():
        held = predictor.coverage.mean().item()
        if held < FAILS:
            found.append(
                f"the intervals are too narrow: they held {held:.0%} of the test split, not 90%"
            )
    return tuple(found)
