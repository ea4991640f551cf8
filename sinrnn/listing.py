"""`runs`: the runs in a folder as a table."""

import html
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sinrnn import run_folder
from sinrnn.config import files
from sinrnn.config.files import flatten
from sinrnn.evaluation import columns
from sinrnn.evaluation.results import History
from sinrnn.evaluation.summary import Summary
from sinrnn.filesystem import WIDTH, escaped, filled, refuse_links

if TYPE_CHECKING:
    from pandas import DataFrame

# Settings that do not affect training.
SKIP = ("name", "resume", "config", "threads", "figures", "monitor", "trainer.enable_progress_bar")
MOST = 8  # settings shown


@dataclass
class Row:
    """A run in the table.

    Attributes:
        folder: The run's folder.
        state: "finished", "unfinished", or "broken: " and the reason.
        val: The network's half_mse on the validation split, or None; the least so far if the run
            is unfinished.
        test: Its half_mse on the test split, or None.
        seconds: Seconds of training, or None.
        settings: The config's values by dotted name.
    """

    folder: Path
    state: str = "unfinished"
    val: float | None = None
    test: float | None = None
    seconds: float | None = None
    settings: dict[str, Any] = field(default_factory=dict)


class RunTable:
    """A table of runs: their losses, and the settings that differ between them.

    Args:
        rows: The runs.
    """

    def __init__(self, rows: list[Row]) -> None:
        self.rows = rows

    def to_pandas(self) -> "DataFrame":
        """Return a row for each run: name, version, state, val, test, seconds, differing settings.

        Returns:
            A DataFrame; unknown numbers are nan.
        """
        from pandas import DataFrame  # slow to import

        rows = self.rows
        numbers = {
            name: [math.nan if (v := getattr(row, name)) is None else v for row in rows]
            for name in ("val", "test", "seconds")
        }
        known: dict[str, list[Any]] = {
            "name": [row.folder.parent.name for row in rows],
            "version": [row.folder.name for row in rows],
            "state": [row.state for row in rows],
        }
        settings = {name: [row.settings.get(name) for row in rows] for name in self.differing()}
        return DataFrame(known | numbers | settings)

    def differing(self) -> list[str]:
        """Return the dotted names of settings that differ between runs.

        If a class differs, its arguments are not listed.
        """
        known = [row.settings for row in self.rows if row.settings]
        names = sorted({name for settings in known for name in settings}, key=_order)
        found = [
            name
            for name in names
            if not name.startswith(SKIP) and len({repr(each.get(name)) for each in known}) > 1
        ]
        classes = {name: f"{name.partition('.init_args.')[0]}.class_path" for name in found}
        return [name for name in found if classes[name] not in found]

    def _cells(self, most: int = MOST) -> list[list[str]]:
        shown = self.differing()[:most]
        rows = [["run", "val", "test", "seconds", *map(_short, shown)]]
        for row in self.rows:
            numbers = [_loss(row.val), _loss(row.test)]
            state = row.state.partition(":")[0]
            numbers.append(state if row.seconds is None else f"{row.seconds:.1f}")
            settings = [_value(name, row.settings.get(name)) for name in shown]
            rows.append([f"{row.folder.parent.name}/{row.folder.name}", *numbers, *settings])
        return [[escaped(cell) for cell in row] for row in rows]

    def _rest(self, most: int = MOST) -> list[str]:
        """Return lines about what does not fit into the table."""
        more = len(self.differing()) - most
        differ = "setting differs" if more == 1 else "settings differ"
        lines = [f"{more} more {differ}: see .to_pandas()"] * (more > 0)
        broken = [row for row in self.rows if row.state.startswith("broken")]
        return lines + [escaped(f"{row.folder} is {row.state}") for row in broken]

    def __repr__(self) -> str:
        if not self.rows:
            return "no runs"
        for most in range(min(MOST, len(self.differing())), -1, -1):
            text = columns.text(self._cells(most))
            if max(map(len, text.split("\n"))) <= WIDTH:
                break
        return "\n".join([text, *map(filled, self._rest(most))])

    def _repr_html_(self) -> str:
        if not self.rows:
            return "no runs"
        return columns.as_html(self._cells()) + "<br>".join(map(html.escape, self._rest()))


def runs(folder: str | Path = "runs") -> RunTable:
    """List the runs in a folder, with their losses and the settings that differ.

    Args:
        folder: The folder of all runs, or of the versions of one name, runs/NAME.

    Raises:
        FileNotFoundError: There is no such folder.

    Example:
        >>> from sinrnn import Forecaster, WindowDataModule, fit, runs
        >>> model, data = Forecaster(hidden_size=8), WindowDataModule()
        >>> run = fit(model, data, max_epochs=2, figures=False, enable_progress_bar=False)
        >>> len(runs("runs").rows)
        1
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no folder {folder}: name one that holds runs")
    names = [folder, *sorted(path for path in folder.iterdir() if path.is_dir())]
    return RunTable([_row(run) for name in names for run in run_folder.versions(name)])


def _row(folder: Path) -> Row:
    """Read a run's row."""
    row = Row(folder)
    try:
        refuse_links(folder)
        row.settings = dict(flatten(files.read(folder)))
        if (folder / run_folder.SERIES).is_file():  # its path differs between all runs
            row.settings.pop("data.series.init_args.path", None)
        losses = History.read(folder / run_folder.METRICS).losses["val"]
        row.val = min(losses, default=None)
        if (folder / run_folder.RESULTS).exists():
            summary = Summary.read(folder / run_folder.RESULTS)
            row.val, row.test = (summary.half_mse["network"][split] for split in ("val", "test"))
            row.state, row.seconds = "finished", summary.seconds
    except (ValueError, OSError) as error:
        row.state = f"broken: {error}"
    return row


def _order(name: str) -> tuple[int, str]:
    """Return the sort key of a setting: those of the model, the data, the seed, the trainer."""
    sections = ("model.", "data.", "seed_everything", "trainer.")
    found = [i for i, section in enumerate(sections) if name.startswith(section)]
    return (found or [len(sections)])[0], name


def _short(name: str) -> str:
    """Return the last part of a dotted name."""
    return name.removesuffix(".class_path").rpartition(".")[2]


def _value(name: str, value: Any) -> str:
    """Format a setting; a class without its module."""
    text = "" if value is None else f"{value}"
    return _short(text) if name.endswith(".class_path") else text


def _loss(value: float | None) -> str:
    return "" if value is None else f"{value:.2e}"
