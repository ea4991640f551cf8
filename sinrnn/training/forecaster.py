"""Forecaster: training a SinRNN on windows with Lightning."""

from collections.abc import Callable, Iterable
from typing import Any, Literal, Self

import lightning.pytorch as pl
import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from sinrnn._numbers import plain
from sinrnn.data.datamodule import windows_of
from sinrnn.data.windows import Batch
from sinrnn.forecasting.predictor import Predictor
from sinrnn.nn.rnn import SinRNN
from sinrnn.training import blocks, options
from sinrnn.training.adopt import settle
from sinrnn.training.checkpoint_io import CODE_KEYS, load_model
from sinrnn.training.loss import (
    BatchLoss,
    Losses,
    check_finite,
    gradient_norm,
    noisy,
    paired,
    shared,
)
from sinrnn.training.resume import restore_position, save_position
from sinrnn.training.rows import log_loss, write_first_row, write_row
from sinrnn.training.schedule import schedule, step_plateaus

OptimizerCallable = Callable[[Iterable[Tensor]], Optimizer]
SchedulerCallable = Callable[[Optimizer], LRScheduler | ReduceLROnPlateau]

READOUT_WINDOWS = 20_000  # plenty for H + 1 unknowns per output, and 8 MB of states at H = 50


class Forecaster(pl.LightningModule):
    """Learns to predict the value after a window: many-to-one, loss half_mse.

    What goes in and out, and every loss that is reported, is in the series' own units, whatever
    units the network works in.

    Args:
        input_size: Inputs per step, D.
        hidden_size: Hidden units, H.
        output_size: Outputs per step, O.
        bias: Whether the cell and the readout have biases.
        bptt_steps: Steps that the gradient reaches back; null is the whole window.
        init: How the weights start: orthogonal, linear, torch or notebook.
        standardise: Whether the network works in units of the training split's mean and deviation.
        log: Whether it works on logarithms; the series must be positive.
        relative: Whether it works on differences from a window's last value: level and trend pass.
        linear: Whether a least-squares autoregression on the same window is added; the network
            starts at zero beside it, and learns what it leaves over.
        units: "auto" sets standardise and linear, and chooses log, relative and a window that the
            data leave open, see `choose_units`; "given" takes what is given.
        optimizer: Any torch optimizer, by class name, with its arguments.
        scheduler: Any torch learning-rate scheduler, stepped once an epoch, or ReduceLROnPlateau at
            each validation; null keeps the rate.
        readout_epoch: The epoch (from 0) at whose start the readout Who is solved by least
            squares on the training windows, for the states as they are then; null never does it.
        readout_rcond: Singular values below this part of the largest count as zero then; less
            fits the windows better and makes rollouts unstable.
        updates: "batch" makes one step per batch, by autograd. "window" makes one per window, in
            the batch's order, as the notebook does: for torch.optim.SGD without momentum, networks
            without biases, one process, and gradients clipped by value if at all.
        loss: "last" compares the last output of a window with its target, or O outputs with as
            many; "every" compares each output with the value after it. Both go on over the
            predictions in closed loop that data.steps asks for.
        stateful: Whether a batch starts from the state that the one before it ended with,
            detached from it, with data.num_streams; an epoch starts from zeros.
        input_noise: Standard deviation of the noise that is added to what the network reads in
            training, in the units that it works in.

    Attributes:
        predictor: The `Predictor` that is trained; its units are fitted when fitting starts.
        gradient_norm: The norm of the last gradient, before clipping and without a scaler's scale.

    Raises:
        ValueError: As `SinRNN` and `Predictor`; or an option is out of its range, or contradicts
            another.

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
        self.save_hyperparameters(plain(dict(self.hparams)))  # also those of a subclass
        sizes = (input_size, hidden_size, output_size)
        net = SinRNN(*sizes, bias=bias, bptt_steps=bptt_steps, init=init)
        given = {"standardise": standardise, "log": log, "relative": relative, "linear": linear}
        self.predictor = Predictor(net, window=None, stateful=stateful, **given)
        self.choice = ""  # what `units: auto` chose, and why
        self.optimizer, self.scheduler = optimizer, scheduler
        self.readout_epoch, self.readout_rcond = plain((readout_epoch, readout_rcond))
        self.updates, self.stateful, self.input_noise = plain((updates, stateful, input_noise))
        options.check_alone(self.hparams)
        self.batch_loss = BatchLoss(loss, stateful)
        self.gradient_norm, self.processes = 0.0, 1
        self.gradient: dict[str, Tensor | None] = {}
        self.losses, self.ahead = Losses(), 0

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
        """The model of a checkpoint, as Lightning's; by default on the CPU, see `load_model`."""
        device = map_location or "cpu"
        model: Self = load_model(cls, checkpoint_path, device, strict, kwargs, hparams_file)
        return model

    def setup(self, stage: str) -> None:
        """Take window and horizon from the data, and fit the units where fitting starts.

        Raises:
            ValueError: Options of the model, the data and the trainer contradict each other.
        """
        self.processes = self.trainer.world_size
        settle(self, windows_of(self.trainer), stage)

    @property
    def net(self) -> SinRNN:
        """The network that learns, in the units that it works in."""
        return self.predictor.net

    def forward(self, x: Tensor) -> Tensor:
        """Predictions for windows; see `Predictor.forward`.

        Args:
            x: Windows (B, T, D), in the series' units.

        Returns:
            The predictions (B,), in the same units and dtype.
        """
        found: Tensor = self.predictor(x)
        return found

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """The loss of one batch, in the units that the network works in.

        Of its last window, where `updates` is "window"; else of the last batch of a block, see
        `sinrnn.training.blocks`.

        Raises:
            ValueError: The targets do not fit the outputs.
            FloatingPointError: The loss is not finite.
        """
        if self.ahead:
            batch, batch_idx = blocks.learn_all_but_last(self, batch, batch_idx)
        return self._loss(batch, batch_idx)

    def _loss(self, batch: Batch, batch_idx: int) -> Tensor:
        x, y, read = self._prepared(batch, batch_idx)
        loss = self.batch_loss(self.net, x, y, read)
        loss = shared(loss, len(x), self.trainer.strategy) if self.processes > 1 else loss
        check_finite("loss", loss.item(), self.global_step)
        return loss

    def _prepared(self, batch: Batch, batch_idx: int) -> tuple[Tensor, Tensor, Tensor]:
        x, y = self._inner(*paired(self.net, batch, ahead=self.updates == "batch"))
        if self.updates == "window":
            x, y = blocks.learn_each_but_last(self, x, y)
        # A run that is resumed draws the same noise.
        key = torch.initial_seed(), self.current_epoch, batch_idx, self.global_rank
        return x, y, noisy(x, self.input_noise, key) if self.input_noise else x

    def on_after_backward(self) -> None:
        """Measure the gradient, and stop before a step that would poison the weights.

        Raises:
            FloatingPointError: It is not finite, and no GradScaler skips the step.
        """
        scaler = getattr(self.trainer.precision_plugin, "scaler", None)
        self.gradient_norm = gradient_norm(self.net, scaler.get_scale() if scaler else 1.0)
        if not (scaler and scaler.is_enabled()):
            check_finite("gradient", self.gradient_norm, self.global_step)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep where training is, and the state that is carried."""
        save_position(self.trainer, checkpoint)
        checkpoint["before"], checkpoint["choice"] = self.batch_loss.after, self.choice
        for key in CODE_KEYS:
            checkpoint.get("hyper_parameters", {}).pop(key, None)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take it up again."""
        self.gradient = checkpoint.get("gradient", {})
        self.batch_loss.after = checkpoint.get("before")
        self.choice = f"{checkpoint.get('choice', '')}"

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Refuse what a callback has brought in, carry the state on, plan a block."""
        options.check_step(self.trainer, self.trainer.optimizers[0], self.updates)
        self.batch_loss.before = self.batch_loss.after
        self.ahead = blocks.steps_ahead(self, batch_idx)

    def validation_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Log half_mse/val and, from a second loader, half_mse/train."""
        self._log_loss("validate", dataloader_idx, batch, batch_idx)

    def on_validation_model_zero_grad(self) -> None:
        """Keep the last step's gradients: during validation the monitor shows them."""

    def on_validation_epoch_end(self) -> None:
        """Step a ReduceLROnPlateau, and write the epoch's row."""
        step_plateaus(self.trainer)
        write_row(self.trainer, self.losses)

    def test_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Log half_mse/test."""
        self._log_loss("test", dataloader_idx, batch, batch_idx)

    def predict_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> Tensor:
        """Predictions for a batch's windows, in the series' units; targets are not read."""
        return self.forward(batch if isinstance(batch, Tensor) else next(iter(batch)))

    def on_train_start(self) -> None:
        """Go on from where a checkpoint was, and write the losses before the first step."""
        restore_position(self.trainer, self.gradient)
        write_first_row(self.trainer, self)

    def on_train_epoch_start(self) -> None:
        """Forget the state, and solve the readout where `readout_epoch` asks for it."""
        options.check_epoch(self)
        self.batch_loss.after = None
        if self.current_epoch == self.readout_epoch:
            data = windows_of(self.trainer)
            if data is None:
                raise TypeError("readout_epoch needs a WindowDataModule to take the windows from")
            x, y = data.windows["train"].sample(READOUT_WINDOWS)
            self.net.fit_readout(*self._inner(x, y), self.readout_rcond)

    def configure_optimizers(self) -> Any:
        """The optimizer and the scheduler.

        Raises:
            ValueError: `updates` is "window", and the optimizer is not plain gradient descent.
        """
        optimizer = self.optimizer(self.parameters())
        scheduler = None if self.scheduler is None else self.scheduler(optimizer)
        options.check_plain(optimizer, self.updates)
        if scheduler is None:
            return optimizer
        return {"optimizer": optimizer, "lr_scheduler": schedule(scheduler)}

    def _inner(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Windows and targets as the network reads them and is to give them, in its dtype."""
        z, target = self.predictor.encode(x, y)
        return z.to(self.net.Wih), target.to(self.net.Wih)

    def _log_loss(self, run: str, loader: int, batch: Batch, batch_idx: int) -> None:
        name, metric = self.losses.of(run, loader)
        if not batch_idx:
            metric.reset()
        x, y = paired(self.net, batch)
        metric.update(self(x).double().reshape(y.shape), y.double())
        log_loss(self, name, metric)
