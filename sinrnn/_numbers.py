"""Conversion of numpy scalars to Python numbers."""

from typing import Any


def plain(value: Any) -> Any:
    """Return numpy scalars, also in a list, tuple or dict, as Python numbers; others unchanged.

    Configs and checkpoints are read without running code, which numpy scalars would need.
    """
    if type(value) is dict:
        return {name: plain(each) for name, each in value.items()}
    if type(value) in (list, tuple):
        found = [plain(each) for each in value]
        changed = any(new is not old for new, old in zip(found, value, strict=True))
        return type(value)(found) if changed else value
    is_scalar = type(value).__module__ == "numpy" and getattr(value, "ndim", 1) == 0
    return value.item() if is_scalar and hasattr(value, "item") else value
