"""Do the arguments fit each other? One sentence where they do not."""

from torch import Tensor


def check(
    x: Tensor,
    h0: Tensor | None,
    Wih: Tensor,
    Whh: Tensor,
    bh: Tensor | None,
    depth: int | None,
    Who: Tensor | None = None,
    bo: Tensor | None = None,
    *,
    steps: bool = True,
) -> None:
    """Raise where the arguments of the recurrence misfit; shapes as in `bptt.tanh_rnn`.

    Without `steps`, x is one step, (B, D).

    Raises:
        TypeError: An argument is not a tensor of floating-point numbers.
        ValueError: Shapes or dtypes do not fit each other, T is 0, or depth is below 1.
    """
    if _fits(x, h0, Wih, Whh, bh, depth, Who, bo, steps):
        return
    given: dict[str, Tensor] = {"x": x, "Wih": Wih, "Whh": Whh}
    for name, tensor in (("h0", h0), ("bh", bh), ("Who", Who), ("bo", bo)):
        if tensor is not None:
            given[name] = tensor
    for name, tensor in given.items():
        if not isinstance(tensor, Tensor) or not tensor.is_floating_point():
            kind = tensor.dtype if isinstance(tensor, Tensor) else type(tensor).__name__
            raise TypeError(f"{name} must be a tensor of floating-point numbers, got {kind}")
    shapes = {name: tuple(tensor.shape) for name, tensor in given.items()}
    if len(shapes["Wih"]) != 2:
        raise ValueError(f"Wih must be (H, D), got {shapes['Wih']}")
    H, D = shapes["Wih"]
    if not steps and (len(shapes["x"]) != 2 or shapes["x"][1] != D):
        raise ValueError(f"x must be (B, {D}) to fit Wih {(H, D)}, got {shapes['x']}")
    if steps and (len(shapes["x"]) != 3 or shapes["x"][2] != D or shapes["x"][1] < 1):
        raise ValueError(
            f"x must be (B, T, {D}) with T >= 1 to fit Wih {(H, D)}, got {shapes['x']}"
        )
    if shapes["Whh"] != (H, H):
        raise ValueError(f"Whh must be {(H, H)} to fit Wih {(H, D)}, got {shapes['Whh']}")
    if "bh" in shapes and shapes["bh"] != (H,):
        raise ValueError(f"bh must be {(H,)} to fit Wih {(H, D)}, got {shapes['bh']}")
    if "h0" in shapes and shapes["h0"] != (shapes["x"][0], H):
        raise ValueError(
            f"h0 must be {(shapes['x'][0], H)} to fit x {shapes['x']} and Wih {(H, D)}, "
            f"got {shapes['h0']}"
        )
    if "Who" in shapes and (len(shapes["Who"]) != 2 or shapes["Who"][1] != H):
        raise ValueError(f"Who must be (O, {H}) to fit Wih {(H, D)}, got {shapes['Who']}")
    if "bo" in shapes and shapes["bo"] != shapes["Who"][:1]:
        raise ValueError(
            f"bo must be {shapes['Who'][:1]} to fit Who {shapes['Who']}, got {shapes['bo']}"
        )
    for name, tensor in given.items():
        if tensor.dtype != Wih.dtype:
            raise ValueError(
                f"the dtypes must agree, got {name} {tensor.dtype} and Wih {Wih.dtype}"
            )
    if depth is not None and (not isinstance(depth, int) or depth < 1):
        raise ValueError(f"depth must be at least 1 step or None, got {depth}")


def _fits(
    x: Tensor,
    h0: Tensor | None,
    Wih: Tensor,
    Whh: Tensor,
    bh: Tensor | None,
    depth: int | None,
    Who: Tensor | None,
    bo: Tensor | None,
    steps: bool,
) -> bool:
    """Whether there is nothing to complain of: the same conditions, in a quarter of the time."""
    try:
        B, T, D = x.shape if steps else (x.shape[0], 1, x.shape[1])  # len(x) would fix B in export
        H, dtype = len(Whh), x.dtype
        return (
            dtype.is_floating_point
            and T > 0
            and (steps or x.dim() == 2)
            and Wih.shape == (H, D)
            and Wih.dtype is dtype
            and Whh.shape == (H, H)
            and Whh.dtype is dtype
            and (h0 is None or (h0.shape == (B, H) and h0.dtype is dtype))
            and (bh is None or (bh.shape == (H,) and bh.dtype is dtype))
            and (Who is None or (Who.shape == (len(Who), H) and Who.dtype is dtype))
            and (bo is None or Who is None or (bo.shape == Who.shape[:1] and bo.dtype is dtype))
            and (depth is None or (isinstance(depth, int) and depth > 0))
        )
    except (AttributeError, IndexError, TypeError, ValueError):
        return False
