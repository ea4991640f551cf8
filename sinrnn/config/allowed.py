"""What a config may name: these classes, each where its kind belongs, and nothing else.

A config file may come from a stranger. So it names classes and no functions, and only classes
that call nothing they are given and write nowhere but into the run's own folder.
"""

import inspect
import sys
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path, PurePath
from types import ModuleType
from typing import Any

import torch
from jsonargparse import set_parsing_settings
from torch.optim import Optimizer, lr_scheduler

from sinrnn.data import series, synthetic
from sinrnn.data.series import Series

CALLING = (lr_scheduler.LambdaLR, lr_scheduler.MultiplicativeLR)  # what they are given

_trusted: set[str] = set()  # jsonargparse never forgets what was allowed


def named(trainer: bool = True) -> dict[str, type]:
    """All classes that a config may name, by import path: where they are public, and defined.

    Args:
        trainer: Whether those of a trainer are among them; Lightning, which has them, is slow to
            import.
    """
    classes = chain(_classes(), _of_trainer() if trainer else [])
    found = {f"{module}.{cls.__name__}": cls for module, cls in classes}
    return found | {f"{cls.__module__}.{cls.__qualname__}": cls for cls in found.values()}


def _classes() -> Iterator[tuple[str, type]]:
    """Each class, and the module that a config names it in."""
    homes: list[tuple[str, ModuleType, type]] = [
        ("sinrnn", series, Series),
        ("sinrnn", synthetic, Series),
        ("torch.optim", torch.optim, Optimizer),
        ("torch.optim.lr_scheduler", lr_scheduler, lr_scheduler.LRScheduler),
    ]
    for home, module, kind in homes:
        for name, cls in inspect.getmembers(module, inspect.isclass):
            if issubclass(cls, kind) and cls not in CALLING and not name.startswith("_"):
                yield home, cls


def _of_trainer() -> Iterator[tuple[str, type]]:
    """The same for what a trainer takes.

    Not here: what takes functions (LambdaCallback), writes or reads where it is told
    (OnExceptionCheckpoint, DeepSpeedStrategy), or saves checkpoints in its own way (CheckpointIO).
    """
    from lightning.pytorch import accelerators, callbacks, profilers, strategies
    from lightning.pytorch.plugins import precision

    for cls in (
        accelerators.CPUAccelerator,
        accelerators.CUDAAccelerator,
        accelerators.MPSAccelerator,
        callbacks.DeviceStatsMonitor,
        callbacks.EarlyStopping,
        callbacks.EMAWeightAveraging,
        callbacks.GradientAccumulationScheduler,
        callbacks.LearningRateMonitor,
        callbacks.ModelCheckpoint,
        callbacks.ModelSummary,
        callbacks.RichModelSummary,
        callbacks.RichProgressBar,
        callbacks.StochasticWeightAveraging,
        callbacks.Timer,
        callbacks.TQDMProgressBar,
        callbacks.WeightAveraging,
        precision.DoublePrecision,
        precision.HalfPrecision,
        precision.MixedPrecision,
        precision.Precision,
        profilers.AdvancedProfiler,
        profilers.PassThroughProfiler,
        profilers.PyTorchProfiler,
        profilers.SimpleProfiler,
        strategies.DDPStrategy,
        strategies.FSDPStrategy,
        strategies.SingleDeviceStrategy,
    ):
        yield ".".join(cls.__module__.split(".")[:3]), cls  # as in lightning.pytorch.callbacks


def restrict(trusted: Sequence[str] = (), trainer: bool = True) -> None:
    """Let jsonargparse import these classes, by exactly these paths, and what is trusted.

    An entry of its lists stands for all that lies below it, too: what a class holds, its methods
    among it, is denied by name.

    Args:
        trusted: Modules of the user's own.
        trainer: As of `named`.

    Raises:
        ValueError: One of them cannot be.
    """
    if trusted:  # which may lie in the folder one is in, as for python -m
        sys.path.append(str(Path.cwd()))
    allowed = named(trainer)
    held = [f"{path}.{name}" for path, cls in allowed.items() for name in {*dir(cls), *dir(type)}]
    set_parsing_settings(
        import_path_denylist=["*", *held, *_trusted],
        import_path_allowlist=[*allowed, *trusted],
        instantiate_subclass_spec_in_any=False,
        config_read_mode_urls_enabled=False,
        config_read_mode_fsspec_enabled=False,
    )
    _trusted.update(trusted)


def check_paths(value: Any, key: str) -> None:
    """Refuse what would be written elsewhere than in the run's own folder, or over its own files.

    Args:
        value: The trainer's part of a config, as dicts and lists.
        key: Its name.

    Raises:
        ValueError: An argument names a folder, or a file that is not one of its own.
    """
    if isinstance(value, list):
        for each in value:
            check_paths(each, key)
    if not isinstance(value, dict):
        return
    for name, inner in value.items():
        where = key if name in ("init_args", "dict_kwargs") else f"{key}.{name}"
        if name in ("dirpath", "default_root_dir") and inner is not None:
            raise ValueError(f"{where} must be left out: a run writes into its own folder alone")
        in_folder = isinstance(inner, str) and (PurePath(inner).name != inner or "\\" in inner)
        if name == "filename" and in_folder:
            raise ValueError(f"{where} must be the name of a file, without a folder, got {inner!r}")
        if (name == "filename" and inner in ("best", "last")) or (name == "save_last" and inner):
            raise ValueError(
                f"{where} {inner!r} would replace checkpoints/{{best,last}}.ckpt, which a run "
                "keeps by itself: leave it out"
            )
        check_paths(inner, where)
