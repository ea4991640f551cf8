"""The config of a model and data that were built in Python."""

import inspect
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
import yaml
from lightning.pytorch import Trainer
from torch.optim import lr_scheduler

from sinrnn._numbers import plain
from sinrnn.callbacks.monitor import Monitor
from sinrnn.config.files import NOT_STORED
from sinrnn.data import synthetic
from sinrnn.data.arrays import ArraySeries
from sinrnn.data.datamodule import WindowDataModule
from sinrnn.data.series import FileSeries, Series
from sinrnn.run_folder import SERIES
from sinrnn.training.forecaster import Forecaster

# What a Trainer gets unless something else is asked for.
TRAINER_DEFAULTS = {"enable_model_summary": False, "num_sanity_val_steps": 0}


def dump_config(
    model: Forecaster,
    data: WindowDataModule,
    monitor: Monitor,
    trainer: dict[str, Any],
    folder: Path,
    **options: Any,
) -> str:
    """What a run does, as `scripts/train.py --config` reads it.

    Objects other than sinrnn's own and torch's optimizers and schedulers are code: a note stands
    in their place, which a parser refuses.

    Args:
        model: What is trained.
        data: What it learns from.
        monitor: What shows training in TensorBoard.
        trainer: Arguments of Lightning's Trainer, by name.
        folder: The run's, where an `ArraySeries` is stored.
        **options: The other options of `scripts/train.py`, by name.

    Returns:
        YAML, with every default written out.
    """
    config = _plain(options) | {
        "trainer": {n: _plain(value) for n, value in (_defaults(Trainer) | trainer).items()},
        "model": _model(model),
        "data": _data(data, folder),
        "monitor": _attributes(monitor),
    }
    text: str = yaml.safe_dump(config, sort_keys=False)
    return text


def _model(model: Forecaster) -> dict[str, Any]:
    if type(model) is not Forecaster:
        return {"class": _not_stored(model)}
    found = {name: _plain(value) for name, value in model.hparams.items()}
    for name, home in {"optimizer": torch.optim, "scheduler": lr_scheduler}.items():
        found[name] = _built(getattr(model, name), home)
    return {name: found[name] for name in inspect.signature(Forecaster).parameters}


def _data(data: WindowDataModule, folder: Path) -> dict[str, Any]:
    if type(data) is not WindowDataModule:
        return {"class": _not_stored(data)}
    given = data.splits | {"window": data.given_window}
    found = _attributes(data, given) | {"series": _series(data.series, folder)}
    found.pop("seed")  # it is seed_everything
    return found


def _defaults(of: Callable[..., Any]) -> dict[str, Any]:
    """The arguments that have a default, by name."""
    return {
        name: parameter.default
        for name, parameter in inspect.signature(of).parameters.items()
        if parameter.default is not parameter.empty
    }


def _attributes(of: object, more: dict[str, Any] | None = None) -> dict[str, Any]:
    """The arguments that an object of ours was made with, which are attributes of it."""
    known = vars(of) | (more or {})
    bases = [base for base in type(of).__mro__ if base.__module__.startswith("sinrnn.")]
    names = [name for base in bases for name in inspect.signature(base).parameters]
    return {name: _plain(known[name]) for name in names if name in known}


def _series(series: Series, folder: Path) -> Any:
    if isinstance(series, ArraySeries):
        series = FileSeries(folder / SERIES)
    name = type(series).__name__
    if type(series) not in (FileSeries, *vars(synthetic).values()):
        return _not_stored(series)
    return {"class_path": f"sinrnn.{name}", "init_args": _attributes(series)}


def _built(made: Callable[..., Any] | None, home: Any) -> Any:
    """A class of torch's, or a partial of one with keyword arguments."""
    if made is None:
        return None
    made = made if isinstance(made, partial) else partial(made)
    cls = made.func
    name = getattr(cls, "__name__", "")
    if getattr(home, name, None) is not cls or made.args:
        return _not_stored(cls)
    found = {name: _plain(value) for name, value in (_defaults(cls) | made.keywords).items()}
    return {"class_path": f"{home.__name__}.{name}", "init_args": found}


def _plain(value: Any) -> Any:
    """A value as YAML has it."""
    value = plain(value)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, torch.Tensor) and value.dim() == 0:
        return value.item()
    return _not_stored(value)


def _not_stored(value: Any) -> str:
    cls = value if inspect.isclass(value) or inspect.isfunction(value) else type(value)
    return f"{NOT_STORED}{cls.__module__}.{cls.__qualname__}"
