"""The setup before training: check the options, choose units and window, calibrate."""

from collections.abc import Mapping
from typing import Any

from sinrnn.data.datamodule import WindowDataModule
from sinrnn.forecasting.choice import UnitsChoice, choose_units
from sinrnn.forecasting.predictor import Predictor
from sinrnn.training import options

EXTRA_STATE = "predictor._extra_state"


def set_up(model: Any, data: WindowDataModule | None, stage: str) -> None:
    """Check that a model and its data fit together. If training starts, fit the units.

    Args:
        model: A `Forecaster` with a trainer.
        data: The data, set up; None if the loaders are not those of a `WindowDataModule`.
        stage: The argument of Lightning's `setup` hook.

    Raises:
        ValueError: Options of the model, the data and the trainer contradict each other.
    """
    predictor, choice = model.predictor, None
    if data is not None:
        choice = _choose_window(predictor, data, model.hparams["units"], stage)
    options.check_together(model.trainer, data, model.hparams, stage)
    if data is not None:
        predictor.adopt(data.window, data.horizon, model.stateful or data.steps > 1)
        if stage == "fit" and not predictor.calibrated:
            predictor.calibrate(data.windows["train"], choice.units if choice else None)
    elif stage == "fit":
        options.check_fitted(predictor)
    model.choice = f"{choice or model.choice}"


def _choose_window(
    predictor: Predictor, data: WindowDataModule, units: str, stage: str
) -> UnitsChoice | None:
    """Set the window of the data: the given one, the predictor's, or with units "auto" a choice.

    Returns:
        The choice of units and window, or None if none was made.

    Raises:
        ValueError: Neither the data nor the predictor has a window, or a split is too short.
    """
    if units == "auto" and stage == "fit" and not predictor.calibrated:
        edges = {name: data.edges(name) for name in data.splits}
        choice = choose_units(data.values, edges, data.horizon, data.given_window)
        data.use_window(choice.window)
        return choice
    if not data.window:
        if predictor.window is None:
            raise ValueError("data.window is missing: set it, or train with model.units auto")
        data.use_window(predictor.window)
    return None


def restore_units(predictor: Predictor, content: Mapping[str, Any]) -> None:
    """Take units and window from a checkpoint, so that they are not chosen again.

    Args:
        predictor: The predictor of the resumed run.
        content: The content of the checkpoint.

    Raises:
        ValueError: The checkpoint holds invalid values for a predictor.
    """
    weights = content.get("state_dict")
    state = weights.get(EXTRA_STATE) if isinstance(weights, dict) else None
    if isinstance(state, dict):  # if not, loading the state_dict raises the error
        predictor.set_extra_state(state)
