"""The figures of a run that its results.json holds."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any, Self

from sinrnn.evaluation.metrics import skill
from sinrnn.evaluation.report import shown_skill
from sinrnn.evaluation.results import Results
from sinrnn.filesystem import local

LONGEST = 10**6  # bytes; a results.json has about 1,000


@dataclass(frozen=True)
class Summary:
    """The figures of a finished run.

    Attributes:
        half_mse: Loss by forecaster ("network" and each baseline), then by split.
        skill: Skill of the network on the test split, by baseline. Exact baselines are left out.
        rollout_rmse: Root mean squared error of the closed loop, in the series' units, or None.
        coverage: Share of the test samples within the 90 % intervals, or None.
        seconds: Duration of the training.
        epochs: Number of epochs, or None if it is not known.
    """

    half_mse: dict[str, dict[str, float]]
    skill: dict[str, float]
    rollout_rmse: float | None
    coverage: float | None
    seconds: float
    epochs: int | None = None

    @classmethod
    def of(cls, results: Results) -> Self:
        """Return the figures of a run's results."""
        network = results.half_mse["network"]["test"]
        skills = {
            name: skill(network, row["test"])
            for name, row in results.half_mse.items()
            if name != "network" and not results.exact(name, "test")
        }
        tested = results.backtest_report
        known = tested is not None and not tested.radius.isinf().any()
        return cls(
            results.half_mse,
            skills,
            None if results.rollout is None else results.rollout.rmse,
            tested.coverage.mean().item() if tested is not None and known else None,
            round(results.seconds, 3),
            results.epochs,
        )

    def content(self) -> bytes:
        """Return the content of results.json."""
        return (json.dumps(asdict(self), indent=1) + "\n").encode()

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read the figures from a results.json.

        Raises:
            ValueError: The file does not hold the figures of a run.
            OSError: The file does not exist or cannot be read.
        """
        if local(path).stat().st_size > LONGEST:
            raise ValueError(f"{path} must have at most {LONGEST:,} bytes")
        try:
            found = cls(**json.loads(path.read_text("utf-8")))
            network = found.half_mse["network"]
            splits = {split: network[split] for split in ("train", "val", "test")}
            _check({"half_mse": splits, "skill": found.skill, "seconds": found.seconds})
            for number in (found.rollout_rmse, found.coverage, found.epochs):
                _check({} if number is None else {"number": number})
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise ValueError(f"{path} is not a run's results: {error}") from error
        return found

    def figures(self) -> dict[str, float]:
        """Return the figures of the network by name, in the order of a table."""
        splits = ("train", "val", "test")
        found = {f"half_mse {split}": self.half_mse["network"][split] for split in splits}
        found |= {f"skill against {name}": value for name, value in self.skill.items()}
        rest = {"rollout RMSE": self.rollout_rmse, "coverage of 90%": self.coverage}
        found |= {name: value for name, value in rest.items() if value is not None}
        return found | {"seconds": self.seconds}


def _check(values: dict[str, Any]) -> None:
    """Check that all values are numbers or dicts of numbers."""
    for name, value in values.items():
        if isinstance(value, dict):
            _check(value)
        elif not isinstance(value, int | float) or isinstance(value, bool):
            raise ValueError(f"{name} must be a number, got {str(value)[:40]!r}")


def statistics_table(head: str, summaries: Sequence[Summary]) -> list[list[str]]:
    """Return the median, minimum and maximum of every figure of several runs, as rows of a table.

    Args:
        head: Title of the column of names.
        summaries: The figures of the runs.
    """
    by_name: dict[str, list[float]] = {}
    for summary in summaries:
        for name, value in summary.figures().items():
            by_name.setdefault(name, []).append(value)
    rows = [[head, "median", "minimum", "maximum"]]
    for name, values in by_name.items():
        runs = len(summaries)
        count = "" if len(values) == runs else f" ({len(values)}/{runs})"
        three = (median(values), min(values), max(values))
        rows.append([f"{name}{count}", *(_shown(name, value) for value in three)])
    return rows


def _shown(name: str, value: float) -> str:
    """Return a figure as text, with the digits that matter."""
    if name.startswith("coverage"):
        return f"{value:.1%}"
    if name.startswith("skill"):
        return shown_skill(value)
    return f"{value:.1f}" if name == "seconds" else f"{value:.2e}"
