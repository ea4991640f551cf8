"""Checks of a Predictor's state when it is loaded from a file or a state_dict."""

from typing import Any

import torch
from torch import Tensor, nn

# The buffers and their numbers of dimensions.
NUMBERS = {"mean": 0, "scale": 0, "intercept": 0, "coefficients": 1, "radius": 1, "coverage": 1}
NUMBERS["typical_error"] = 0
NUMBERS |= dict.fromkeys(("reach", "learnt", "seen", "tested"), 1)
LONGEST = 100  # characters of a name


def check_numbers(predictor: Any) -> None:
    """Raise a ValueError if a buffer has a wrong dtype, shape or value."""
    for name, dimensions in NUMBERS.items():
        number = getattr(predictor, name)
        if number.dtype != torch.float64 or number.dim() != dimensions:
            raise ValueError(f"its {name} is {number.dtype} {tuple(number.shape)}")
    if not (predictor.scale > 0 and (predictor.radius >= 0).all()):
        raise ValueError("its scale must be above 0, its radius at least 0")
    if not predictor.typical_error >= 0:
        raise ValueError("its typical_error must be at least 0")
    if not ((predictor.coverage >= 0) & (predictor.coverage <= 1)).all():
        raise ValueError("its coverage must be from 0 to 1")
    radius, coverage = len(predictor.radius), len(predictor.coverage)
    if coverage not in (0, radius):
        raise ValueError(f"its coverage must have the {radius} steps of its radius, got {coverage}")
    for name in ("reach", "learnt", "seen", "tested"):
        if len(getattr(predictor, name)) not in (0, 2):
            raise ValueError(f"its {name} must be two numbers, or none")
    window, coefficients = predictor.window, len(predictor.coefficients)
    if predictor.linear and predictor.calibrated and coefficients != window:
        raise ValueError(
            f"its coefficients must be {window}, one for each sample of its window, got "
            f"{coefficients}"
        )


def check_plain(state: dict[str, Any], known: dict[str, Any]) -> None:
    """Raise a ValueError if plain values have a wrong name, type or range.

    Args:
        state: The values to check, by name.
        known: Valid ones, those of another predictor.
    """
    if state.keys() != known.keys():
        raise ValueError(f"its values must be {', '.join(known)}, got {', '.join(state)}")
    for name, before in known.items():
        value = state[name]
        if isinstance(before, bool):
            fits = isinstance(value, bool)
        elif name == "baseline":
            named = isinstance(value, str) and value.isprintable() and len(value) <= LONGEST
            fits = value is None or named
        else:
            fits = type(value) is int and value >= 1
        if not fits and not (name == "window" and value is None):
            raise ValueError(f"its {name} is {value!r}")


def check_when_loaded(predictor: nn.Module) -> None:
    """Make `load_state_dict` of a predictor apply the checks that `Predictor.load` applies."""
    predictor.register_load_state_dict_pre_hook(_make_room)
    predictor.register_load_state_dict_post_hook(_check_loaded)


def _make_room(predictor: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
    """Resize the buffers to those of the state_dict."""
    for name, dimensions in NUMBERS.items():
        found = state.get(prefix + name)
        if dimensions and isinstance(found, Tensor):
            setattr(predictor, name, getattr(predictor, name).new_zeros(found.shape))


def _check_loaded(predictor: nn.Module, keys: Any) -> None:
    if not keys.missing_keys:  # else torch says so
        check_numbers(predictor)
