"""What may change where a run goes on, and what two configs differ in."""

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
    "data.series.init_args.path",  # the values are compared themselves
    "trainer.gradient_clip",  # what stops an explosion
    "trainer.max_epochs",
    "trainer.max_steps",
    "trainer.max_time",
    "trainer.enable_progress_bar",
)


def refuse_changes(config: str, before: str, checkpoint: Path) -> None:
    """Refuse to resume where a checkpoint would silently override what is asked for now.

    Args:
        config: The config, as YAML text.
        before: That of the checkpoint.
        checkpoint: The checkpoint's file.

    Raises:
        ValueError: A setting differs that must not.
    """
    try:
        check_text(before, "its config", code=True)
    except ValueError as error:
        raise ValueError(f"{checkpoint}: {error}") from error
    was, now = (dict(flatten(yaml.safe_load(text))) for text in (before, config))
    for key in dict.fromkeys([*was, *now]):
        if was.get(key) != now.get(key) and not key.startswith(RESUME_MAY_CHANGE):
            raise ValueError(
                f"{key} is {was.get(key)} in {checkpoint} and cannot become {now.get(key)} where a "
                "run goes on: leave it, or start a new run"
            )


def refuse_other_series(now: Any, before: Any, checkpoint: Path | None) -> None:
    """Refuse to resume on another series than before, of which a config knows only the name.

    Args:
        now: The series' `digest`.
        before: That of the checkpoint, or None.
        checkpoint: The checkpoint's file.

    Raises:
        ValueError: They differ.
    """
    if not isinstance(before, dict) or now == before:
        return
    if now["points"] != before.get("points"):
        differs = f"it has {now['points']} points and had {before.get('points')}"
    elif now["dtype"] != before.get("dtype"):
        differs = f"it is {now['dtype']} and was {before.get('dtype')}"
    else:
        differs = "its values differ"
    raise ValueError(
        f"the series is another than that of {checkpoint}: {differs}: restore it, or start a new "
        "run"
    )
