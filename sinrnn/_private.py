"""All private names of torch, Lightning and jsonargparse that are used, with the reasons."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import chain
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.nn.modules import module as _modules

# torch. The names are bound once, since every call of the cell uses all of them.

# torch.func's transforms cannot see into an autograd.Function; there is no public query.
transforms_active = torch._C._are_functorch_transforms_active
# Nor can torch.jit.trace; the public torch.jit.is_tracing is slower.
jit_tracing = torch._C._is_tracing
# Nor can dispatch modes; there is no public query.
dispatch_modes = torch._C._len_torch_dispatch_stack
# The public torch.is_autocast_enabled needs a device; this is a quick test for all devices.
any_autocast = torch._C._is_any_autocast_enabled
# Gradients of is_grads_batched must not be written to reused memory; there is no public query.
is_batched = torch._C._functorch.is_legacy_batchedtensor
_top_hooks = torch._C._autograd._top_saved_tensors_default_hooks


def forward_mode() -> bool:
    """Return whether a forward_ad.dual_level is open; torch has no public query."""
    return forward_ad._current_level >= 0


def saved_tensor_hooks() -> bool:
    """Return whether default saved-tensor hooks are set; publicly they can only be set."""
    return _top_hooks(True) is not None


def own_parameters(module: nn.Module) -> Mapping[str, Tensor | None]:
    """Return a module's parameters as a dict; attribute look-ups cost 5 % of a call at T = 4."""
    return module._parameters


def has_no_hooks(module: nn.Module) -> bool:
    """Return whether a module has no hooks; publicly hooks can only be added."""
    calls = (module._forward_hooks, module._forward_pre_hooks, module._backward_hooks)
    more = (module._backward_pre_hooks, _modules._has_any_global_hook())
    grads = ((w._backward_hooks, w._post_accumulate_grad_hooks) for w in module.parameters())
    return not any((*calls, *more, *chain(*grads)))


class KeepsDtype(nn.Module):
    """A module whose own buffers keep their dtype and move with the module.

    `.to(dtype)`, `.half()` and Lightning's bf16-true call `_apply`, from which torch has no public
    way to exclude a buffer.
    """

    def _apply(self, fn: Any, recurse: bool = True) -> Self:
        before = dict(self.named_buffers(recurse=False))
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        for name, buffer in before.items():
            moved = getattr(self, name)
            if moved.dtype != buffer.dtype:
                setattr(self, name, buffer.to(moved.device))
        return self


# Lightning.


class QuickHookName(nn.Module):
    """A module on which Lightning notes the running hook, 150 times an epoch, without checks.

    nn.Module looks whether each attribute is a parameter, a module or a buffer.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "_current_fx_name":
            self.__dict__[name] = value
        else:
            super().__setattr__(name, value)


def checkpoint_of(trainer: Any) -> dict[str, Any]:
    """Return the content of a checkpoint; the public `save_checkpoint` writes a file."""
    content: dict[str, Any] = trainer._checkpoint_connector.dump_checkpoint(False)
    return content


def is_within_accumulation(trainer: Any) -> bool:
    """Return whether the current batch only accumulates gradients; there is no public query."""
    within: bool = trainer.fit_loop.epoch_loop._should_accumulate()
    return within


def validates_next(trainer: Any) -> bool:
    """Return whether a validation follows the current batch; only its settings are public."""
    loop = trainer.fit_loop
    due: bool = loop.epoch_loop._should_check_val_fx(loop._data_fetcher)
    return due


def next_batch(trainer: Any) -> Any:
    """Finish the current batch within a step and return the next one.

    It advances the counts that Lightning advances once per step. It is for one process, with a
    strategy and precision that do not change batches.
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
    """Add to Lightning's counts of steps; the count for logging is separate from `global_step`."""
    loop = trainer.fit_loop.epoch_loop
    steps = loop.automatic_optimization.optim_progress.optimizer.step
    for counted in (steps.total, steps.current):
        counted.ready += count
        counted.completed += count
    loop._batches_that_stepped += count


# jsonargparse.


def import_verdicts() -> object:
    """Return the object that holds the import rules in force; new rules make a new object."""
    from jsonargparse._common import parsing_settings  # slow to import

    return parsing_settings["import_path_verdicts"]


@contextmanager
def kept_parser_settings() -> Iterator[None]:
    """Restore the parser settings on exit; there is no public way to read them.

    They are global, and the user's program may use jsonargparse too.
    """
    from jsonargparse._common import parsing_settings  # slow to import

    before = dict(parsing_settings)
    try:
        yield
    finally:
        parsing_settings.clear()
        parsing_settings.update(before)
