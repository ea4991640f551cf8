"""The loggers of a run: metrics.csv and TensorBoard, without lost or repeated points on resume."""

from collections.abc import Mapping
from math import log10
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger, TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only
from tensorboard.compat.proto.summary_pb2 import Summary
from torch import Tensor

from sinrnn.training.csv_logger import ResumableCSVLogger
from sinrnn.training.event_file import EventFile

EVENTS = "events.out.tfevents.*"
# TensorBoard sorts curves by name and opens the first two groups.
RENAMED = {"learning_rate": "optimizer/learning_rate"}
RENAMED |= {
    f"gradient/{name}": f"optimizer/gradient_{name}"
    for name in ("norm", "norm_max", "clipped", "clipped_steps")
}


def make_loggers(
    folder: Path, step: int | None = None, logged: dict[str, Any] | None = None
) -> list[Logger]:
    """Return the loggers of a run.

    Args:
        folder: The run's folder.
        step: The step to resume from. Later points are removed. None removes all points.
        logged: The state of metrics.csv that the checkpoint of that step holds.

    Raises:
        ValueError: Rows of metrics.csv are missing or changed.
    """
    purged = 0 if step is None else step + 1
    events = Events(
        folder.parent.parent,
        folder.parent.name,
        folder.name,
        default_hp_metric=False,
        purge_step=purged if any(folder.glob(EVENTS)) else None,
    )
    return [events, ResumableCSVLogger(folder, step, logged)]


class Events(TensorBoardLogger):
    """TensorBoardLogger that adds losses on a log scale, and baselines and skills to compare with.

    Attributes:
        baselines: half_mse of each baseline on the validation split, by the name of its curve.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.baselines: dict[str, float] = {}

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Write all curves of a row as one event, which is five times as fast as one each."""
        row = {name: v.item() if isinstance(v, Tensor) else v for name, v in metrics.items()}
        curves = {RENAMED.get(name, name): v for name, v in row.items() if name != "epoch"}
        curves |= derived_curves(row, self.baselines)
        values = [Summary.Value(tag=tag, simple_value=value) for tag, value in curves.items()]
        writer: Any = self.experiment.file_writer
        writer.add_summary(Summary(value=values), step)


def derived_curves(row: Mapping[str, float], baselines: Mapping[str, float]) -> dict[str, float]:
    """Return the log10 of a row's losses and of the baselines, and the skill over each baseline.

    Args:
        row: Numbers by the name of their column in metrics.csv.
        baselines: half_mse of each baseline on the validation split.
    """
    losses = {name: row[name] for name in ("half_mse/train", "half_mse/val") if name in row}
    skills = {}
    if "half_mse/val" in losses:
        losses |= {f"half_mse/val_{name}": loss for name, loss in baselines.items()}
        if "epoch" in row:  # the skill before training would compress the scale of all others
            val = row["half_mse/val"]
            skills = {f"skill/{name}": 1 - val / loss for name, loss in baselines.items()}
    return skills | {f"log10_{name}": log10(loss) for name, loss in losses.items() if loss > 0}


def open_events(logger: TensorBoardLogger) -> None:
    """Open the logger's event file as an `EventFile` that TensorBoard reads after all others.

    TensorBoard reads event files in the order of their names, which hold the second of creation.
    A clock may have been set back, so the new file gets a second later than those of all others.
    """
    folder = Path(logger.log_dir)
    others = set(folder.glob(EVENTS))
    writer: Any = logger.experiment.file_writer
    writer.event_writer.close()
    (path,) = set(folder.glob(EVENTS)) - others
    seconds = [int(part) for other in others if (part := other.name.split(".")[3]).isdecimal()]
    _, _, _, now, rest = path.name.split(".", 4)
    second = max([int(now), *(each + 1 for each in seconds)])
    path = path.rename(path.with_name(f"events.out.tfevents.{second:010}.{rest}"))
    writer.event_writer = EventFile(path)
