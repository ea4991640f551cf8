"""Numbers as they are stored: Python's own."""

from typing import Any


def plain(value: Any) -> Any:
    """A numpy scalar as the Python number that it is, in a list, tuple or dict too; else as given.

    What is stored must be plain: files with numpy's numbers are not read, as they would be code.
    """
    if type(value) is dict:
        return {name: plain(each) for name, each in value.items()}
    if type(value) in (list, tuple):
        found = [plain(each) for each in value]
        changed = any(new is not old for new, old in zip(found, value, strict=True))
        return type(value)(found) if changed else value
    is_scalar = type(value).__module__ == "numpy" and getattr(value, "ndim", 1) == 0
    return value.item() if is_scalar and hasattr(value, "item") else value
