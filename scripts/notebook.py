"""Compare the notebook's training from many random starts with baselines and with best.yaml.

All settings are those of configs/notebook.yaml and configs/best.yaml. The starts are trained in
float64, in as many processes as there are cores.
"""

import argparse
import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from contextlib import chdir
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor
from tqdm import tqdm, trange

from sinrnn import SinRNN
from sinrnn.cli.train import TrainCLI
from sinrnn.data.datamodule import WindowDataModule
from sinrnn.data.windows import predict
from sinrnn.evaluation import baselines, loss_plots
from sinrnn.filesystem import CONFIGS
from sinrnn.nn.functional import half_mse
from sinrnn.training.online import descend
from sinrnn.training.quiet import quiet

SPLITS = ("train", "val")
PRINTED = {"before training": (268.99, 261.04), "after 500 epochs": (0.00521, 0.00542)}


def configured(name: str, *args: str) -> TrainCLI:
    """Return model, data and settings of a shipped config."""
    return TrainCLI(["--config", str(CONFIGS / f"{name}.yaml"), *args])


def learn_one(net: SinRNN, data: WindowDataModule, epochs: int, lr: float, clip: float) -> Tensor:
    """Train one start and return both losses and the saturation by epoch, (E, 3)."""
    torch.set_num_threads(1)
    both = [data.windows[name][:] for name in SPLITS]
    x, y = both[0]
    found = []
    for epoch in range(epochs + 1):
        if epoch:
            descend(net, x, y, lr, clip)
        with torch.no_grad():
            losses = [half_mse(net(inputs), targets) for inputs, targets in both]
            beyond = net.unroll(x)[0][:, -1].abs() > 0.99
        found.append(torch.stack([*losses, beyond.double().mean()]))
    return torch.stack(found)


def learn(starts: int, epochs: int | None) -> tuple[WindowDataModule, Tensor, Tensor]:
    """Train all starts and return both losses (E, 2, S) and the saturation (E, S) by epoch."""
    config = configured("notebook")
    data, given = config.datamodule, config.config
    data.setup()
    torch.manual_seed(given.seed_everything)
    sizes = {"hidden_size": given.model.hidden_size, "init": given.model.init}
    depth, dtype = given.model.bptt_steps, torch.float64
    nets = [SinRNN(**sizes, bptt_steps=depth, dtype=dtype) for _ in range(starts)]
    lr = config.model.configure_optimizers().defaults["lr"]
    one = partial(
        learn_one,
        data=data,
        epochs=epochs or given.trainer.max_epochs,
        lr=lr,
        clip=given.trainer.gradient_clip_val,
    )
    with multiprocessing.get_context("spawn").Pool(min(starts, os.cpu_count() or 1)) as pool:
        found = torch.stack(list(tqdm(pool.imap(one, nets), total=starts, unit="start")), -1)
    return data, found[:, :2], found[:, 2]


def best(seeds: int, precision: str) -> tuple[Tensor, float]:
    """Train best.yaml with seeds 0, 1, ...; return both losses (2, S) and the median seconds."""
    found, seconds = [], []
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        for seed in trange(seeds, unit="run", desc=f"best.yaml, {precision}"):
            args = (f"--seed_everything={seed}", f"--trainer.precision={precision}")
            job = configured("best", *args, "--trainer.enable_progress_bar=false").job()
            cast(Any, job.trainer).callbacks.remove(job.final_report)  # it draws figures
            started = time.perf_counter()
            job.trainer.fit(job.model, job.data)
            seconds.append(time.perf_counter() - started)
            model, windows = job.model, job.data.windows
            found.append(
                [
                    half_mse(predict(model, windows[name]), windows[name].targets).item()
                    for name in SPLITS
                ]
            )
    return torch.tensor(found, dtype=torch.float64).T, statistics.median(seconds)


def row(name: str, values: Sequence[float] | Tensor) -> str:
    """Return a line of the table: both losses, or their median, minimum and maximum."""
    cells = []
    for value in values:
        spread = torch.as_tensor(value, dtype=torch.float64).flatten()
        median = statistics.median(spread.tolist())  # Tensor.median is the lower of the middle two
        low, middle, high = (f"{v:.2e}" for v in (spread.min(), median, spread.max()))
        cells.append(middle if len(spread) == 1 else f"{middle} ({low} .. {high})")
    return f"{name:42}" + "".join(f"{cell:33}" for cell in cells).rstrip()


def main() -> None:
    """Train, print the table and draw the figure."""
    parser = argparse.ArgumentParser(allow_abbrev=False, description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--starts", type=int, default=64, help="number of random starts (default: 64)"
    )
    parser.add_argument(
        "--epochs", type=int, help="number of epochs (default: 500, as in the config)"
    )
    parser.add_argument(
        "--seeds", type=int, default=20, help="number of runs of best.yaml (default: 20)"
    )
    parser.add_argument(
        "--figure",
        type=Path,
        default=Path("notebook.png"),
        help="PNG to write (default: notebook.png)",
    )
    args = parser.parse_args()
    for name in ("starts", "seeds"):
        if getattr(args, name) < 1:
            parser.error(f"--{name} must be at least 1, got {getattr(args, name)}")
    if args.epochs is not None and args.epochs < 1:
        parser.error(f"--epochs must be at least 1, got {args.epochs}")
    if not args.figure.resolve().parent.is_dir():
        parser.error(f"--figure {args.figure}: there is no such folder")
    quiet()

    data, curves, saturated = learn(args.starts, args.epochs)
    windows = {n: (x[..., 0], y[:, 0]) for n in SPLITS for x, y in [data.windows[n][:]]}
    mean = windows["train"][1].mean()
    levels = {"mean of the training targets": [half_mean(y, mean) for _, y in windows.values()]}
    for name, baseline in baselines.baselines(*windows["train"], data.horizon).items():
        levels[name] = [half_mse(baseline(x), y).item() for x, y in windows.values()]
    good = {precision: best(args.seeds, precision) for precision in ("32-true", "64-true")}

    lines = [f"{'half_mse: median (minimum .. maximum)':42}{'train':33}val", "-" * 106]
    lines += [row(f"notebook, {when}", values) for when, values in PRINTED.items()]
    epochs = len(curves) - 1
    lines.append(row(f"same training, {args.starts} starts, before", curves[0]))
    lines.append(row(f"same training, {args.starts} starts, {epochs} epochs", curves[-1]))
    lines += [row(name, values) for name, values in levels.items()]
    for precision, (values, seconds) in good.items():
        kind = f"float{precision[:2]}, {seconds:.1f} s"
        lines.append(row(f"best.yaml, {args.seeds} seeds, {kind}", values))
    low, middle, high = saturated[-1].min(), saturated[-1].median(), saturated[-1].max()
    lines.append(
        f"\nsaturated units, |h| > 0.99, after training: {middle:.1%} ({low:.1%} .. {high:.1%})"
    )
    print("\n" + "\n".join(lines))

    shown = {
        "mean of the training targets, val": levels["mean of the training targets"][1],
        "persistence, val": levels["persistence"][1],
    }
    named = {name: curves[:, i] for i, name in enumerate(SPLITS)}
    loss_plots.many_starts(range(epochs + 1), named, saturated, shown).savefig(args.figure)
    print(f"figure {args.figure}")


def half_mean(target: Tensor, mean: Tensor) -> float:
    """Return half_mse of predicting one number."""
    return half_mse(mean.expand_as(target), target).item()


if __name__ == "__main__":
    main()
