"""`Forecaster`: the LightningModule that trains a SinRNN on windows of a series."""

from collections.abc import Callable, Iterable
from typing import Any, Literal, Self

import lightning.pytorch as pl
import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from sinrnn._numbers import plain
from sinrnn._private import QuickHookName
from sinrnn.data.datamodule import windows_of
from sinrnn.data.windows import Batch
from sinrnn.forecasting.predictor import Predictor
from sinrnn.nn.rnn import SinRNN
from sinrnn.training import blocks, options
from sinrnn.training.checkpoint_io import CODE_KEYS, load_model
from sinrnn.training.loop_state import restore_loop_state, save_loop_state
from sinrnn.training.loss import (
    BatchLoss,
    Losses,
    add_noise,
    check_batch,
    check_finite,
    gradient_norm,
    mean_over_processes,
)
from sinrnn.training.loss_log import log_initial_losses, log_loss, log_losses
from sinrnn.training.lr_scheduler import scheduler_config, step_plateau_schedulers
from sinrnn.training.setup import set_up

OptimizerCallable = Callable[[Iterable[Tensor]], Optimizer]
SchedulerCallable = Callable[[Optimizer], LRScheduler | ReduceLROnPlateau]

READOUT_WINDOWS = 20_000  # enough for H + 1 unknowns per output; 8 MB of states at H = 50


class Forecaster(QuickHookName, pl.LightningModule):
    """Trains a SinRNN to predict the value that follows a window, with half_mse as the loss.

    Inputs, predictions and reported losses are in the units of the series. The network may work in
    other units; see `Predictor`.

    Args:
        input_size: Number of inputs per step, D.
        hidden_size: Number of hidden units, H.
        output_size: Number of outputs, O.
        bias: Add biases to the hidden layer and to the readout.
        bptt_steps: Number of steps that the gradient reaches back in time. null: the whole window.
        init: Initialisation of the weights: orthogonal, linear, torch or notebook.
        standardise: Scale values by the mean and standard deviation of the training split.
        log: Work on the logarithm of the series, which must be positive.
        relative: Work on differences from the last value of each window, at any level of values.
        linear: Add a linear autoregression on the same window, fitted by least squares. The network
            starts at zero and learns the residuals.
        units: "auto" sets standardise and linear, and chooses log, relative and, if data.window is
            not given, the window (see `choose_units`). "given" uses the options as they are.
        optimizer: Any torch optimizer, by class name, with its arguments.
        scheduler: Any torch learning-rate scheduler. ReduceLROnPlateau steps after each validation,
            all others after each epoch. null keeps the learning rate constant.
        readout_epoch: Epoch (counted from 0) at whose start the readout is solved by least squares
            on the training windows. null: never.
        readout_rcond: Cutoff of that solution: singular values below this fraction of the largest
            are treated as zero. A smaller cutoff fits better but makes rollouts less stable.
        updates: "batch" updates the weights once per batch. "window" updates them once per window,
            in order, as the notebook does. It requires torch.optim.SGD without momentum, no biases
            and a single process, and it clips gradients by value only.
        loss: "last" compares the last output of a window with its target. "every" compares the
            output of each step with the next value. Both include the closed-loop predictions if
            data.steps is above 1.
        stateful: Start each batch from the final state of the previous one, without its gradient.
            Requires data.num_streams. Each epoch starts from zeros.
        input_noise: Standard deviation of the Gaussian noise added to the network's inputs during
            training, in the units that the network works in.

    Attributes:
        predictor: The `Predictor` that is trained. Its units are fitted when training starts.
        gradient_norm: Norm of the last gradient, before clipping and without loss scaling.

    Raises:
        ValueError: `SinRNN` or `Predictor` refuses an argument, or an option is out of range or
            contradicts another.

    Example:
        >>> from functools import partial
        >>> import lightning.pytorch as pl
        >>> model = Forecaster(hidden_size=16, optimizer=partial(torch.optim.Adam, lr=0.01))
        >>> trainer = pl.Trainer(
        ...     max_epochs=5, logger=False, enable_checkpointing=False, enable_progress_bar=False
        ... )
        >>> trainer.fit(model, WindowDataModule())
        >>> trainer.callback_metrics["half_mse/val"].item() < 0.01
        True
    """

    def __init__(
        self,
        input_size: int = 1,
        hidden_size: int = 50,
        output_size: int = 1,
        bias: bool = False,
        bptt_steps: int | None = None,
        init: str = "orthogonal",
        standardise: bool = False,
        log: bool = False,
        relative: bool = False,
        linear: bool = False,
        units: Literal["given", "auto"] = "given",
        optimizer: OptimizerCallable = torch.optim.Adam,
        scheduler: SchedulerCallable | None = None,
        readout_epoch: int | None = None,
        readout_rcond: float = 1e-10,
        updates: Literal["batch", "window"] = "batch",
        loss: Literal["last", "every"] = "last",
        stateful: bool = False,
        input_noise: float = 0.0,
    ) -> None:
        super().__init__()
        if units == "auto":
            standardise = linear = True
        self.save_hyperparameters(ignore=["optimizer", "scheduler"])
        self.save_hyperparameters(plain(dict(self.hparams)))  # including those of a subclass
        sizes = (input_size, hidden_size, output_size)
        net = SinRNN(*sizes, bias=bias, bptt_steps=bptt_steps, init=init)
        given = {"standardise": standardise, "log": log, "relative": relative, "linear": linear}
        self.predictor = Predictor(net, window=None, stateful=stateful, **given)
        self.choice = ""  # the choice made by `units: auto`, with its reason
        self.optimizer, self.scheduler = optimizer, scheduler
        self.readout_epoch, self.readout_rcond = plain((readout_epoch, readout_rcond))
        self.updates, self.stateful, self.input_noise = plain((updates, stateful, input_noise))
        options.check_alone(self.hparams)
        self.batch_loss, self.losses = BatchLoss(loss, stateful), Losses()
        self.gradient_norm, self.processes, self.extra_steps = 0.0, 1, 0
        self.gradient: dict[str, Tensor | None] = {}

    @classmethod
    def load_from_checkpoint(
        cls,
        checkpoint_path: Any,
        map_location: Any = None,
        hparams_file: Any = None,
        strict: bool | None = None,
        weights_only: bool | None = None,
        **kwargs: Any,
    ) -> Self:
        """Load a model from a checkpoint, as Lightning does, without running code from the file."""
        device = map_location or "cpu"
        model: Self = load_model(cls, checkpoint_path, device, strict, kwargs, hparams_file)
        return model

    def setup(self, stage: str) -> None:
        """Take window and horizon from the data. If training starts, fit the units.

        Raises:
            ValueError: Options of the model, the data and the trainer contradict each other.
        """
        self.processes = self.trainer.world_size
        set_up(self, windows_of(self.trainer), stage)

    @property
    def net(self) -> SinRNN:
        """The network that is trained."""
        return self.predictor.net

    def forward(self, x: Tensor) -> Tensor:
        """Predict the value after each window, (B, T, D) -> (B,); see `Predictor.forward`."""
        prediction: Tensor = self.predictor(x)
        return prediction

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the loss of a batch, in the units that the network works in.

        Steps that Lightning does not see come first, see `sinrnn.training.blocks`.

        Raises:
            ValueError: The targets do not fit the outputs.
            FloatingPointError: The loss is not finite.
        """
        if self.extra_steps:
            batch, batch_idx = blocks.take_extra_steps(self, batch, batch_idx)
        x, y, inputs = self._prepare(batch, batch_idx)
        if self.updates == "window":  # always without noise
            x, y = blocks.take_window_steps(self, x, y)
            inputs = x
        return self._loss(x, y, inputs)

    def _loss(self, x: Tensor, y: Tensor, inputs: Tensor) -> Tensor:
        loss = self.batch_loss(self.net, x, y, inputs)
        if self.processes > 1:
            loss = mean_over_processes(loss, len(x), self.trainer.strategy)
        check_finite("loss", loss.item(), self.global_step)
        return loss

    def _prepare(self, batch: Batch, batch_idx: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return windows, targets and the network's inputs: the windows, with noise if set."""
        checked = check_batch(self.net, batch, closed_loop=self.updates == "batch")
        x, y = self.predictor.encode(*checked)
        # A resumed run draws the same noise.
        key = torch.initial_seed(), self.current_epoch, batch_idx, self.global_rank
        return x, y, add_noise(x, self.input_noise, key) if self.input_noise else x

    def backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        """Set the gradients of the weights, by autograd if they were not computed with the loss."""
        if not self.batch_loss.set_gradients(self.net):
            super().backward(loss, *args, **kwargs)

    def on_after_backward(self) -> None:
        """Measure the gradient, and stop before it makes the weights infinite or NaN.

        Raises:
            FloatingPointError: The gradient is not finite, and no GradScaler skips the step.
        """
        scaler = getattr(self.trainer.precision_plugin, "scaler", None)
        self.gradient_norm = gradient_norm(self.net, scaler.get_scale() if scaler else 1.0)
        if not (scaler and scaler.is_enabled()):
            check_finite("gradient", self.gradient_norm, self.global_step)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the loop state, the hidden state and the choice of units to a checkpoint."""
        save_loop_state(self.trainer, checkpoint)
        checkpoint["hidden_state"], checkpoint["choice"] = self.batch_loss.final_state, self.choice
        for key in CODE_KEYS:
            checkpoint.get("hyper_parameters", {}).pop(key, None)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore what `on_save_checkpoint` added; the loop state waits for `on_train_start`."""
        self.gradient = checkpoint.get("gradient", {})
        self.batch_loss.final_state = checkpoint.get("hidden_state")
        self.choice = f"{checkpoint.get('choice', '')}"

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Check the options, which callbacks may change; keep the state; plan a block."""
        options.check_step(self.trainer, self.trainer.optimizers[0], self.updates)
        self.batch_loss.initial_state = self.batch_loss.final_state
        alone = blocks.is_plain(self)  # set in any case: a batch that failed did not end its plan
        self.batch_loss.by_hand = alone and blocks.can_skip_autograd(self)
        self.extra_steps = blocks.count_extra_steps(self, batch_idx) if alone else 0

    def on_train_batch_end(self, outputs: Any, batch: Batch, batch_idx: int) -> None:
        """End the plan of the batch, so that `training_step` works outside of a Trainer."""
        self.extra_steps, self.batch_loss.by_hand = 0, False

    def validation_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Log half_mse/val and, from a second loader, half_mse/train."""
        self._log_loss("validate", dataloader_idx, batch, batch_idx)

    def on_validation_model_zero_grad(self) -> None:
        """Keep the gradients of the last step: the monitor logs them during validation."""

    def on_validation_epoch_end(self) -> None:
        """Step ReduceLROnPlateau schedulers and log the losses."""
        step_plateau_schedulers(self.trainer)
        log_losses(self.trainer, self.losses)

    def test_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Log half_mse/test."""
        self._log_loss("test", dataloader_idx, batch, batch_idx)

    def predict_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> Tensor:
        """Predict the value after each window of a batch; targets in the batch are ignored."""
        return self.forward(batch if isinstance(batch, Tensor) else next(iter(batch)))

    def on_train_start(self) -> None:
        """Restore the loop state of a checkpoint, or log the losses before the first step."""
        restore_loop_state(self.trainer, self.gradient)
        log_initial_losses(self.trainer, self)

    def on_train_epoch_start(self) -> None:
        """Reset the hidden state. In the epoch `readout_epoch`, solve the readout."""
        options.check_epoch(self)
        self.batch_loss.final_state = None
        if self.current_epoch == self.readout_epoch:
            data = windows_of(self.trainer)
            if data is None:
                raise TypeError("readout_epoch needs a WindowDataModule: train with one")
            x, y = data.windows["train"].sample(READOUT_WINDOWS)
            self.net.fit_readout(*self.predictor.encode(x, y), self.readout_rcond)

    def configure_optimizers(self) -> Any:
        """Return the optimizer and, if one is set, its scheduler.

        Raises:
            ValueError: `updates` is "window" and the optimizer is not plain gradient descent.
        """
        optimizer = self.optimizer(self.parameters())
        scheduler = None if self.scheduler is None else self.scheduler(optimizer)
        options.check_plain(optimizer, self.updates)
        if scheduler is None:
            return optimizer
        return {"optimizer": optimizer, "lr_scheduler": scheduler_config(scheduler)}

    def _log_loss(self, run: str, loader: int, batch: Batch, batch_idx: int) -> None:
        name, metric = self.losses.of(run, loader)
        if not batch_idx:
            metric.reset()
        x, y = check_batch(self.net, batch)
        metric.update(self(x).double().reshape(y.shape), y.double())
        log_loss(self, name, metric)
