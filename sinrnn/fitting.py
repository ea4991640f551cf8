"""`fit`: training from Python."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import torch

from sinrnn import run_folder
from sinrnn._numbers import plain
from sinrnn.run import Run
from sinrnn.seeds import Seeds, train_seeds

if TYPE_CHECKING:
    from sinrnn.callbacks.monitor import Monitor
    from sinrnn.data.datamodule import WindowDataModule
    from sinrnn.training.forecaster import Forecaster


@overload
def fit(
    model: "Forecaster",
    data: "WindowDataModule",
    *,
    name: str = "run",
    folder: str | Path = "runs",
    resume: str | Path | Run | None = None,
    keep: str = "best",
    figures: bool = True,
    monitor: "Monitor | None" = None,
    threads: int | None = 1,
    seed: int | None = None,
    seeds: None = None,
    **trainer: Any,
) -> Run: ...


@overload
def fit(
    model: "Forecaster",
    data: "WindowDataModule",
    *,
    name: str = "run",
    folder: str | Path = "runs",
    keep: str = "best",
    figures: bool = True,
    monitor: "Monitor | None" = None,
    threads: int | None = 1,
    seed: int | None = None,
    seeds: int,
    **trainer: Any,
) -> Seeds: ...


def fit(
    model: "Forecaster",
    data: "WindowDataModule",
    *,
    name: str = "run",
    folder: str | Path = "runs",
    resume: str | Path | Run | None = None,
    keep: str = "best",
    figures: bool = True,
    monitor: "Monitor | None" = None,
    threads: int | None = 1,
    seed: int | None = None,
    seeds: int | None = None,
    **trainer: Any,
) -> Run | Seeds:
    """Train a model and write a run's folder, as scripts/train.py does.

    Ctrl-C finishes the current step and saves a checkpoint, from which the run can be resumed.

    Args:
        model: The model, which is trained in place.
        data: The data.
        name: The run's folder is the first free `folder`/`name`/version_0, version_1, ...
        folder: The folder of all runs.
        resume: A run to resume, or its folder; model and data must be those of that run.
        keep: Weights to save and report: the "best" on the validation split, or the "last".
        figures: Whether to draw figures/ at the end.
        monitor: The callback that logs to TensorBoard; None logs everything.
        threads: CPU threads of torch during training; None does not change them.
        seed: Seed of all random numbers, which also draws the weights again and sets the order of
            the windows; None changes neither.
        seeds: Number of seeds to train with: seed (or 0), seed + 1, ..., in parallel processes,
            each in its own version folder.
        **trainer: Arguments of Lightning's Trainer: max_epochs, gradient_clip_val, callbacks, ...

    Returns:
        The run; after Ctrl-C, it has a checkpoint and no report. With `seeds`, all runs, with a
        table and a picture of them.

    Raises:
        TypeError: model is not a Forecaster, data is not a WindowDataModule, or an argument is
            unknown.
        ValueError: Options contradict each other or the data; or the run to resume has other ones.
        FloatingPointError: The loss or its gradient is no longer finite.

    Example:
        >>> from sinrnn import Forecaster, WindowDataModule, fit
        >>> model, data = Forecaster(hidden_size=8, linear=True), WindowDataModule()
        >>> run = fit(model, data, max_epochs=2, figures=False, enable_progress_bar=False)
        >>> run.results.half_mse["network"]["test"] < 1e-6
        True
    """
    import lightning.pytorch as pl  # Lightning and jsonargparse are slow to import

    from sinrnn.callbacks.monitor import Monitor
    from sinrnn.config.dump import TRAINER_DEFAULTS, dump_config
    from sinrnn.data.datamodule import WindowDataModule
    from sinrnn.job import prepare
    from sinrnn.training.forecaster import Forecaster
    from sinrnn.training.quiet import quietly

    for what, given, cls in (("model", model, Forecaster), ("data", data, WindowDataModule)):
        if not isinstance(given, cls):
            raise TypeError(f"{what} must be a {cls.__name__}, got {type(given).__name__}")
    resumed = resume.folder if isinstance(resume, Run) else Path(resume) if resume else None
    monitor = monitor or Monitor()
    trainer, threads, seed, seeds = plain((TRAINER_DEFAULTS | trainer, threads, seed, seeds))
    if seeds is not None and resumed is not None:
        raise ValueError("seeds and resume exclude each other: resume each run separately")
    parent = Path(folder) / run_folder.folder_name(name)
    with quietly(threads):
        threads = torch.get_num_threads()

        def config(folder: Path, seed: int) -> str:
            options = {"name": name, "threads": threads, "keep": keep, "figures": figures}
            options |= {"resume": None, "seed_everything": seed}
            return dump_config(model, data, monitor, trainer, folder, **options)

        if seeds is not None:
            return train_seeds(
                config,
                parent,
                seed or 0,
                seeds,
                data.series,
                threads=threads,
                figures=figures,
                progress=trainer.get("enable_progress_bar") is not False,
            )
        if seed is not None:
            pl.seed_everything(seed, verbose=False)
            model.net.reset_parameters()
            data.seed = seed
        job = prepare(
            model,
            data,
            lambda folder: config(folder, data.seed),
            trainer=trainer,
            monitor=monitor,
            parent=parent,
            resume=resumed,
            keep=keep,
            figures=figures,
            command=lambda folder: f"fit(model, data, resume={str(folder)!r})",
            command_line=False,
        )
        return Run(job.finish())
