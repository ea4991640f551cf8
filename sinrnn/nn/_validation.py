"""Checks that the arguments of the recurrence fit each other."""

from torch import Tensor, strided


def check(
    x: Tensor,
    h0: Tensor | None,
    Wih: Tensor,
    Whh: Tensor,
    bh: Tensor | None,
    bptt_steps: int | None,
    Who: Tensor | None = None,
    bo: Tensor | None = None,
    *,
    steps: bool = True,
) -> None:
    """Check the arguments of the recurrence; shapes as in `functional.tanh_rnn`.

    With steps=False, x is one step, (B, D).

    Raises:
        TypeError: An argument is not a dense tensor of floating-point numbers.
        ValueError: Shapes or dtypes do not fit each other, T is 0, or bptt_steps is below 1.
    """
    try:
        B, T, D = x.shape if steps else (x.shape[0], 1, x.shape[1])  # len(x) would fix B in export
        H, dtype = len(Whh), x.dtype
        if (
            dtype.is_floating_point
            and x.layout is strided
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
            and (bptt_steps is None or (isinstance(bptt_steps, int) and bptt_steps > 0))
        ):
            return
    except (AttributeError, IndexError, RuntimeError, TypeError, ValueError):
        pass  # nested tensors have no shape and raise RuntimeError
    named = {"x": x, "Wih": Wih, "Whh": Whh, "bh": bh, "h0": h0, "Who": Who, "bo": bo}
    _explain(named, bptt_steps, steps)


def _explain(named: dict[str, Tensor | None], bptt_steps: int | None, steps: bool) -> None:
    """Repeat the conditions of `check`, which is four times as fast, and raise the message."""
    given = {n: t for n, t in named.items() if t is not None or n in ("x", "Wih", "Whh")}
    shapes = {name: _shape(name, tensor) for name, tensor in given.items()}
    if len(shapes["Wih"]) != 2:
        raise ValueError(f"Wih must be (H, D), got {shapes['Wih']}")
    (H, D), x, Who = shapes["Wih"], shapes["x"], shapes.get("Who", ())
    cell = f"Wih {(H, D)}"
    samples = f"(B, T, {D}) with T >= 1" if steps else f"(B, {D})"
    dims = 3 if steps else 2
    wanted = {  # the shape required, whether it is met, and the argument that requires it
        "x": (samples, len(x) == dims and x[-1] == D and (x[1] > 0 or not steps), cell),
        "Whh": (f"{(H, H)}", shapes["Whh"] == (H, H), cell),
        "bh": (f"{(H,)}", shapes.get("bh") == (H,), cell),
        "h0": (f"{(*x[:1], H)}", shapes.get("h0") == (*x[:1], H), f"x {x} and {cell}"),
        "Who": (f"(O, {H})", len(Who) == 2 and Who[1] == H, cell),
        "bo": (f"{Who[:1]}", shapes.get("bo") == Who[:1], f"Who {Who}"),
    }
    for name, (shape, fits, to) in wanted.items():
        if name in shapes and not fits:
            raise ValueError(f"{name} must be {shape} to fit {to}, got {shapes[name]}")
    dtypes = {name: tensor.dtype for name, tensor in given.items() if tensor is not None}
    for name, dtype in dtypes.items():
        if dtype != dtypes["Wih"]:
            raise ValueError(f"the dtypes must agree, got {name} {dtype} and Wih {dtypes['Wih']}")
    if bptt_steps is not None and (not hasattr(bptt_steps, "__index__") or bptt_steps < 1):
        raise ValueError(f"bptt_steps must be at least 1 step or None, got {bptt_steps}")


def _shape(name: str, tensor: Tensor | None) -> tuple[int, ...]:
    if not isinstance(tensor, Tensor) or not tensor.is_floating_point():
        kind = tensor.dtype if isinstance(tensor, Tensor) else type(tensor).__name__
        raise TypeError(f"{name} must be a tensor of floating-point numbers, got {kind}")
    check_dense(name, tensor)
    return tuple(tensor.shape)


def check_dense(name: str, tensor: Tensor) -> None:
    """Raise a TypeError for nested and sparse tensors."""
    if tensor.is_nested:
        raise TypeError(
            f"{name} must be a dense tensor, got a nested one: use torch.nested.to_padded_tensor, "
            "and lengths"
        )
    if tensor.layout is not strided:
        raise TypeError(f"{name} must be a dense tensor, got {tensor.layout}: use to_dense()")
