"""Options of a config that may have no effect: they need more epochs, or another option."""

from typing import Any

from sinrnn.evaluation.results import Need

# Arguments of schedulers that count epochs, and how many more epochs they need to take effect: a
# step sets the learning rate of the next epoch.
COUNTS = {"step_size": 1, "milestones": 1, "T_max": 0, "T_0": 0, "total_iters": 0, "total_steps": 0}
# Arguments of callbacks that count epochs, by class, likewise.
CALLBACKS = {
    "EarlyStopping": ("patience", 1),  # counts validations
    "ModelCheckpoint": ("every_n_epochs", 0),
    "StochasticWeightAveraging": ("swa_epoch_start", 1),
}


def get_nested(content: Any, *path: str) -> Any:
    """Return the value at a path of keys, or None."""
    for name in path:
        content = content.get(name) if isinstance(content, dict) else None
    return content


def needs(content: dict[str, Any]) -> dict[str, Need]:
    """Return, by option, the number of epochs that it needs to take effect.

    Args:
        content: The config. Options that are not set to a count are left out.
    """
    every = _count(get_nested(content, "trainer", "check_val_every_n_epoch")) or 1
    found: dict[str, tuple[Any, int]] = {
        "model.readout_epoch": (get_nested(content, "model", "readout_epoch"), 1),
        "trainer.check_val_every_n_epoch": (every, 0),
        "trainer.min_epochs": (get_nested(content, "trainer", "min_epochs"), 0),
    }
    scheduler = get_nested(content, "model", "scheduler", "init_args")
    for name, more in COUNTS.items():
        value = get_nested(scheduler, name)
        last = max(value, default=None, key=_order) if isinstance(value, list) else value
        found[f"model.scheduler.{name}"] = (last, more)
    counted = {n: Need(v, v + more) for n, (v, more) in found.items() if _count(v) is not None}
    callbacks = get_nested(content, "trainer", "callbacks")
    for callback in callbacks if isinstance(callbacks, list) else []:
        name = f"{get_nested(callback, 'class_path')}".rpartition(".")[2]
        argument, more = CALLBACKS.get(name, ("", 0))
        value = _count(get_nested(callback, "init_args", argument))
        if value is not None:
            waits = name == "EarlyStopping"
            epochs = (value + more) * (every if waits else 1)
            counted[f"{name}'s {argument}"] = Need(value, epochs, option=False, waits=waits)
    return counted


def _count(value: Any) -> int | None:
    """Return a value that is a count, else None."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _order(value: Any) -> int:
    count = _count(value)
    return -1 if count is None else count


def unused(content: dict[str, Any]) -> dict[str, str]:
    """Return the options that are set but have no effect, with the missing option each needs."""
    trainer, model = content.get("trainer"), content.get("model")
    without = {
        "model.readout_rcond": (
            get_nested(model, "readout_rcond") not in (None, 1e-10),  # the default
            get_nested(model, "readout_epoch"),
            "model.readout_epoch",
        ),
        "trainer.gradient_clip_algorithm": (
            get_nested(trainer, "gradient_clip_algorithm") is not None,
            get_nested(trainer, "gradient_clip_val"),
            "trainer.gradient_clip_val",
        ),
    }
    return {name: other for name, (given, has, other) in without.items() if given and has is None}
