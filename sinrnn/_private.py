"""Private names of torch, Lightning and jsonargparse: each stands here, with why it is needed."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import chain
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.nn.modules import module as _modules

# Of torch; bound once, since a call of the cell at T = 4 asks them all.

# An autograd.Function is opaque to torch.func's transforms: the cell must know that one runs.
transforms_active = torch._C._are_functorch_transforms_active
# Neither does torch.jit.trace see into one; the public torch.jit.is_tracing is slower.
jit_tracing = torch._C._is_tracing
# Nor do dispatch modes, of which torch has a public way to enter one alone.
dispatch_modes = torch._C._len_torch_dispatch_stack
# torch.is_autocast_enabled asks for one device; this answers for all, before the device is known.
any_autocast = torch._C._is_any_autocast_enabled
# A gradient of is_grads_batched stands for many, which memory that is used again must not hold.
is_batched = torch._C._functorch.is_legacy_batchedtensor
_top_hooks = torch._C._autograd._top_saved_tensors_default_hooks


def forward_mode() -> bool:
    """Whether a forward_ad.dual_level is open; torch has no public question for it."""
    return forward_ad._current_level >= 0


def saved_tensor_hooks() -> bool:
    """Whether default saved-tensor hooks are set; torch has only a public way to set them."""
    return _top_hooks(True) is not None


def own_parameters(module: nn.Module) -> Mapping[str, Tensor | None]:
    """A module's parameters as a dict: looking up its attributes costs 5 % of a call at T = 4."""
    return module._parameters


def is_plain(module: nn.Module) -> bool:
    """Whether nothing but its forward runs when a module is called, and nothing after its backward.

    Torch has only public ways to add a hook, and not to see one.
    """
    calls = (module._forward_hooks, module._forward_pre_hooks, module._backward_hooks)
    more = (module._backward_pre_hooks, _modules._has_any_global_hook())
    grads = ((w._backward_hooks, w._post_accumulate_grad_hooks) for w in module.parameters())
    return not any((*calls, *more, *chain(*grads)))


class KeepsDtype(nn.Module):
    """A module whose own buffers move with it and keep their dtype.

    `.to(dtype)`, `.half()` and Lightning's bf16-true all go through `_apply`, and torch has no
    public way to leave a buffer out.
    """

    def _apply(self, fn: Any, recurse: bool = True) -> Self:
        before = dict(self.named_buffers(recurse=False))
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        for name, number in before.items():
            moved = getattr(self, name)
            if moved.dtype != number.dtype:
                setattr(self, name, number.to(moved.device))
        return self


# Of Lightning.


def checkpoint_of(trainer: Any) -> dict[str, Any]:
    """What `trainer.save_checkpoint` writes: in public, it writes a file at once."""
    content: dict[str, Any] = trainer._checkpoint_connector.dump_checkpoint(False)
    return content


def is_within_accumulation(trainer: Any) -> bool:
    """Whether the batch at hand makes no step: nothing public knows the last batch, which does."""
    within: bool = trainer.fit_loop.epoch_loop._should_accumulate()
    return within


def validates_next(trainer: Any) -> bool:
    """Whether a validation follows the batch at hand; in public, only its settings can be read."""
    loop = trainer.fit_loop
    due: bool = loop.epoch_loop._should_check_val_fx(loop._data_fetcher)
    return due


def next_batch(trainer: Any) -> Any:
    """The next batch, where the one at hand is done: Lightning moves its counts once a step.

    Of a single process, whose strategy and precision leave batches alone.
    """
    fit_loop = trainer.fit_loop
    loop, fetcher = fit_loop.epoch_loop, fit_loop._data_fetcher
    add_steps(trainer, 1)
    zeroed = loop.automatic_optimization.optim_progress.optimizer.zero_grad
    batches = loop.batch_progress
    for counted in (zeroed.total, zeroed.current, batches.total, batches.current):
        counted.ready += 1
        counted.started += 1
        counted.completed += 1
    batches.total.processed += 1
    batches.current.processed += 1
    batch, _, _ = next(fetcher)
    batches.is_last_batch = fetcher.done
    return batch.to(trainer.strategy.root_device)


def add_steps(trainer: Any, count: int) -> None:
    """Count further steps; those that Lightning logs at, it counts apart from `global_step`."""
    loop = trainer.fit_loop.epoch_loop
    steps = loop.automatic_optimization.optim_progress.optimizer.step
    for counted in (steps.total, steps.current):
        counted.ready += count
        counted.completed += count
    loop._batches_that_stepped += count


# Of jsonargparse.


@contextmanager
def kept_parser_settings() -> Iterator[None]:
    """Put back the settings that are changed meanwhile: nothing public reads them.

    They are of the whole process, and a program of the user's own may parse with them, too.
    """
    from jsonargparse._common import parsing_settings  # slow to import

    before = dict(parsing_settings)
    try:
        yield
    finally:
        parsing_settings.clear()
        parsing_settings.update(before)
