"""What a config asks for that may never happen: options that count epochs, or lack another one."""

from typing import Any

from sinrnn.evaluation.results import Need

# Arguments of schedulers that count epochs, and how many more it takes to see what they do: a step
# sets the rate of the next epoch.
COUNTS = {"step_size": 1, "milestones": 1, "T_max": 0, "T_0": 0, "total_iters": 0, "total_steps": 0}
# The same of callbacks, by class.
CALLBACKS = {
    "EarlyStopping": ("patience", 1),  # validations
    "ModelCheckpoint": ("every_n_epochs", 0),
    "StochasticWeightAveraging": ("swa_epoch_start", 1),
}


def at(content: Any, *path: str) -> Any:
    """What a config has at a place; None where it has no such place."""
    for name in path:
        content = content.get(name) if isinstance(content, dict) else None
    return content


def needs(content: dict[str, Any]) -> dict[str, Need]:
    """The epochs that options of a config need until all has happened that they ask for.

    Args:
        content: The config; what is not a count there is left out.
    """
    every = _count(at(content, "trainer", "check_val_every_n_epoch")) or 1
    found: dict[str, tuple[Any, int]] = {
        "model.readout_epoch": (at(content, "model", "readout_epoch"), 1),
        "trainer.check_val_every_n_epoch": (every, 0),
        "trainer.min_epochs": (at(content, "trainer", "min_epochs"), 0),
    }
    scheduler = at(content, "model", "scheduler", "init_args")
    for name, more in COUNTS.items():
        value = at(scheduler, name)
        last = max(value, default=None, key=_order) if isinstance(value, list) else value
        found[f"model.scheduler.{name}"] = (last, more)
    made = {n: Need(v, v + more) for n, (v, more) in found.items() if _count(v) is not None}
    callbacks = at(content, "trainer", "callbacks")
    for callback in callbacks if isinstance(callbacks, list) else []:
        name = f"{at(callback, 'class_path')}".rpartition(".")[2]
        argument, more = CALLBACKS.get(name, ("", 0))
        value = _count(at(callback, "init_args", argument))
        if value is not None:
            waits = name == "EarlyStopping"
            epochs = (value + more) * (every if waits else 1)
            made[f"{name}'s {argument}"] = Need(value, epochs, option=False, waits=waits)
    return made


def _count(value: Any) -> int | None:
    """A value that is a count, else None."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _order(value: Any) -> int:
    count = _count(value)
    return -1 if count is None else count


def unused(content: dict[str, Any]) -> dict[str, str]:
    """Options that are set and have no effect without another one, and which that is."""
    trainer, model = content.get("trainer"), content.get("model")
    without = {
        "model.readout_rcond": (
            at(model, "readout_rcond") not in (None, 1e-10),  # the default
            at(model, "readout_epoch"),
            "model.readout_epoch",
        ),
        "trainer.gradient_clip_algorithm": (
            at(trainer, "gradient_clip_algorithm") is not None,
            at(trainer, "gradient_clip_val"),
            "trainer.gradient_clip_val",
        ),
    }
    return {name: other for name, (given, has, other) in without.items() if given and has is None}
