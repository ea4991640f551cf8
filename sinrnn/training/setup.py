"""How a model and its data agree on units and window when fitting starts."""

from collections.abc import Mapping
from typing import Any

from sinrnn.data.datamodule import WindowDataModule
from sinrnn.forecasting.choice import UnitsChoice, choose_units
from sinrnn.forecasting.predictor import Predictor
from sinrnn.training import options

EXTRA_STATE = "predictor._extra_state"


def set_up(model: Any, data: WindowDataModule | None, stage: str) -> None:
    """Check that a model and its data go together, and fit the units where fitting starts.

    Args:
        model: A `Forecaster` with a trainer.
        data: Set up; None where the loaders are not a `WindowDataModule`'s.
        stage: As Lightning's `setup` is given it.

    Raises:
        ValueError: Options of the model, the data and the trainer contradict each other.
    """
    predictor, choice = model.predictor, None
    if data is not None:
        choice = choose(predictor, data, model.hparams["units"], stage)
    options.check_together(model.trainer, data, model.hparams, stage)
    if data is not None:
        predictor.adopt(data.window, data.horizon, model.stateful or data.steps > 1)
        if stage == "fit" and not predictor.calibrated:
            predictor.calibrate(data.windows["train"], choice.units if choice else None)
    elif stage == "fit":
        options.check_fitted(predictor)
    model.choice = f"{choice or model.choice}"


def choose(
    predictor: Predictor, data: WindowDataModule, units: str, stage: str
) -> UnitsChoice | None:
    """Choose units and window where that is asked for, or give the data the predictor's window.

    Args:
        predictor: What is trained.
        data: Set up.
        units: "auto" chooses, before the predictor is calibrated.
        stage: As Lightning's `setup` is given it.

    Returns:
        The choice, where one was made.

    Raises:
        ValueError: Neither the data nor the predictor have a window; or a split is too short.
    """
    if units == "auto" and stage == "fit" and not predictor.calibrated:
        edges = {name: data.edges(name) for name in data.splits}
        choice = choose_units(data.values, edges, data.horizon, data.given_window)
        data.use_window(choice.window)
        return choice
    if not data.window:
        if predictor.window is None:
            raise ValueError("data.window is not given: give it, or train with model.units auto")
        data.use_window(predictor.window)
    return None


def restore_units(predictor: Predictor, content: Mapping[str, Any]) -> None:
    """Take units and window from a checkpoint, so that they are not chosen again.

    Args:
        predictor: What is to be trained on.
        content: The checkpoint's.

    Raises:
        ValueError: It holds values that no predictor has.
    """
    state = content.get("state_dict")
    found = state.get(EXTRA_STATE) if isinstance(state, dict) else None
    if isinstance(found, dict):  # else loading the state_dict says what is wrong
        predictor.set_extra_state(found)
