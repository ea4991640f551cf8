"""What a Predictor's state must be, whether it comes from a file or from a state_dict."""

from typing import Any

import torch
from torch import Tensor, nn

# The buffers, and how many dimensions each has.
NUMBERS = {"mean": 0, "scale": 0, "intercept": 0, "coefficients": 1, "radius": 1, "coverage": 1}
NUMBERS["typical_error"] = 0
NUMBERS |= dict.fromkeys(("reach", "learnt", "seen", "tested"), 1)
LONGEST = 100  # characters of a name


def check_numbers(predictor: Any) -> None:
    """Refuse buffers that make no sense.

    Raises:
        ValueError: One has another dtype or shape, or a value that none can have.
    """
    for name, dimensions in NUMBERS.items():
        number = getattr(predictor, name)
        if number.dtype != torch.float64 or number.dim() != dimensions:
            raise ValueError(f"its {name} is {number.dtype} {tuple(number.shape)}")
    if not (predictor.scale > 0 and (predictor.radius >= 0).all()):
        raise ValueError("its scale and radius must be above 0")
    if not predictor.typical_error >= 0:
        raise ValueError("its typical_error must be at least 0")
    if not ((predictor.coverage >= 0) & (predictor.coverage <= 1)).all():
        raise ValueError("its coverage must be from 0 to 1")
    if len(predictor.coverage) not in (0, len(predictor.radius)):
        raise ValueError("its coverage is not of as many steps as its radius")
    for name in ("reach", "learnt", "seen", "tested"):
        if len(getattr(predictor, name)) not in (0, 2):
            raise ValueError(f"its {name} must be two numbers, or none")
    fitted = predictor.linear and predictor.calibrated
    if fitted and len(predictor.coefficients) != predictor.window:
        raise ValueError("its coefficients are not as many as its window has samples")


def check_plain(state: dict[str, Any], known: dict[str, Any]) -> None:
    """Refuse plain values that make no sense.

    Args:
        state: The values, by name.
        known: The same of another predictor.

    Raises:
        ValueError: A name or a value is none of a predictor's.
    """
    if state.keys() != known.keys():
        raise ValueError(f"it says {', '.join(state)}, and must say {', '.join(known)}")
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
    """Hold every state_dict that is loaded into a predictor to what a file is held to."""
    predictor.register_load_state_dict_pre_hook(_make_room)
    predictor.register_load_state_dict_post_hook(_check_loaded)


def _make_room(predictor: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
    """Give the buffers the length of those in the state_dict."""
    for name, dimensions in NUMBERS.items():
        found = state.get(prefix + name)
        if dimensions and isinstance(found, Tensor):
            setattr(predictor, name, getattr(predictor, name).new_zeros(found.shape))


def _check_loaded(predictor: nn.Module, keys: Any) -> None:
    if not keys.missing_keys:  # else torch says so
        check_numbers(predictor)
