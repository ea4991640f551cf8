"""Checks on resume: which settings may change, and that the series is the same."""

from pathlib import Path
from typing import Any

import yaml

from sinrnn.config.files import check_text, flatten

# Settings that may change when a run is resumed.
RESUME_MAY_CHANGE = (
    "config",
    "resume",
    "name",
    "threads",
    "keep",
    "figures",
    "monitor",
    "data.series.init_args.path",  # the values are compared instead
    "trainer.gradient_clip",  # the remedy if the loss diverges
    "trainer.max_epochs",
    "trainer.max_steps",
    "trainer.max_time",
    "trainer.enable_progress_bar",
)


def refuse_changes(config: str, before: str, checkpoint: Path) -> None:
    """Check that a resumed run keeps all settings that the checkpoint would silently override.

    Args:
        config: The config, as YAML text.
        before: The config of the checkpoint.
        checkpoint: The path of the checkpoint.

    Raises:
        ValueError: A setting differs that may not change.
    """
    try:
        check_text(before, "its config", code=True)
    except ValueError as error:
        raise ValueError(f"{checkpoint}: {error}") from error
    was, now = (dict(flatten(yaml.safe_load(text))) for text in (before, config))
    for key in dict.fromkeys([*was, *now]):
        if was.get(key) != now.get(key) and not key.startswith(RESUME_MAY_CHANGE):
            raise ValueError(
                f"{key} is {was.get(key)} in {checkpoint} and cannot become {now.get(key)} when a "
                "run is resumed: leave it, or start a new run"
            )


def is_as_long(config: str, before: str) -> bool:
    """Return whether a resumed run is to end where the run of the checkpoint was to end.

    Args:
        config: The config, as YAML text.
        before: The config of the checkpoint.
    """
    was, now = (dict(flatten(yaml.safe_load(text))) for text in (before, config))
    lengths = (f"trainer.max_{unit}" for unit in ("epochs", "steps", "time"))
    return all(was.get(key) == now.get(key) for key in lengths)


def refuse_other_series(now: Any, before: Any, checkpoint: Path | None) -> None:
    """Check that a run is resumed on the same values. The config holds only the series' name.

    Args:
        now: The `digest` of the series.
        before: The digest in the checkpoint, or None.
        checkpoint: The path of the checkpoint.

    Raises:
        ValueError: The digests differ.
    """
    if not isinstance(before, dict) or now == before:
        return
    if now["points"] != before.get("points"):
        differs = f"it has {now['points']} points instead of {before.get('points')}"
    elif now["dtype"] != before.get("dtype"):
        differs = f"it is {now['dtype']} instead of {before.get('dtype')}"
    else:
        differs = "its values differ"
    raise ValueError(
        f"the series is not the one that {checkpoint} was trained on: {differs}: restore it, or "
        "start a new run"
    )
