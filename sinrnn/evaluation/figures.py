"""All figures of a run by name, drawn on demand."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial

import torch
from matplotlib.figure import Figure
from torch import Tensor

from sinrnn.data.splits import Splits
from sinrnn.evaluation import loss_plots, plots, residual_plots
from sinrnn.evaluation.results import ROUNDING, Results
from sinrnn.nn.functional import half_mse


class Figures(Mapping[str, Figure]):
    """Figures by name. Each is drawn on first access.

    Args:
        draws: The functions that draw them, by name.
    """

    def __init__(self, draws: Mapping[str, Callable[[], Figure]]) -> None:
        self._draws, self._drawn = draws, dict[str, Figure]()

    def __getitem__(self, name: str) -> Figure:
        if name not in self._drawn:
            self._drawn[name] = self._draws[name]()
        return self._drawn[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._draws)

    def __len__(self) -> int:
        return len(self._draws)

    def __repr__(self) -> str:
        return f"figures: {', '.join(self)}"


def pictures(
    data: Splits,
    predicted: dict[str, Tensor],
    results: Results,
    readout_epoch: int | None = None,
) -> dict[str, Callable[[], Figure]]:
    """Return the functions that draw the figures of a network and its run, by name."""
    quantity = data.series.names[0]
    found: dict[str, Callable[[], Figure]] = {
        "windows": partial(plots.sample_windows, _samples(data, predicted), data.horizon, quantity)
    }
    history = results.history
    if history is not None and history.epochs:
        rows = results.half_mse.items()
        levels = {name: row["val"] for name, row in rows if name != "network"} | _noise(data)
        found["losses"] = partial(
            loss_plots.loss_curves, history, levels, readout_epoch, results.settings.epochs
        )
    for name in [name for name in ("val", "train", "test") if name in predicted]:
        found[f"predictions_{name}"] = partial(_predictions, name, data, predicted[name], quantity)
    found["residuals"] = partial(_residuals, data, predicted)
    if results.trace is not None:
        found["gradient_flow"] = partial(
            plots.gradient_flow, results.trace, results.settings.bptt_steps
        )
    if results.rollout is not None:
        found["rollout"] = partial(plots.rollout, results.rollout, quantity)
    if results.backtest_report is not None:
        found["backtest"] = partial(plots.backtest, results.backtest_report)
    return found


def _predictions(name: str, data: Splits, predicted: Tensor, quantity: str) -> Figure:
    first = data.edges(name)[0] + data.window + data.horizon - 1
    targets = data.windows[name].view(slice(None))[1][:, 0].double()
    return plots.predictions(name, first, data.horizon, targets, predicted, quantity)


def _residuals(data: Splits, predicted: dict[str, Tensor]) -> Figure:
    targets = {name: data.windows[name].view(slice(None))[1][:, 0] for name in ("train", "val")}
    return residual_plots.residuals({name: predicted[name] - y for name, y in targets.items()})


def _noise(data: Splits) -> dict[str, float]:
    """Return half_mse of the noise-free series on the validation split, if it is known."""
    targets = data.windows["val"].targets.double()
    first = data.edges("val")[0] + data.window + data.horizon - 1
    free = data.series.noise_free(first + len(targets))[first:].to(targets)
    floor = half_mse(free, targets).item()
    return {"noise floor": floor} if floor > ROUNDING * targets.var(correction=0).item() else {}


def _samples(
    data: Splits, predicted: dict[str, Tensor]
) -> dict[str, list[tuple[int, Tensor, float, float]]]:
    """Return at most 4 windows of each split: first index, window, target, prediction."""
    samples = {}
    for name in ("train", "val"):
        windows = data.windows[name]
        # Golden-section positions, which are spread and do not match any period of the series.
        parts = torch.arange(min(4, len(windows)), dtype=torch.float64, device="cpu")
        places = ((parts + 0.5) * (5**0.5 - 1) / 2) % 1
        chosen = (places.sort().values * len(windows)).long()
        x, y = windows[chosen]
        samples[name] = [
            (data.edges(name)[0] + int(i), x[row, :, 0], y[row].item(), predicted[name][i].item())
            for row, i in enumerate(chosen)
        ]
    return samples
