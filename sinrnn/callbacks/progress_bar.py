"""The progress bar."""

import sys
from typing import TYPE_CHECKING

import lightning.pytorch as pl
from lightning.pytorch.callbacks import ProgressBar

if TYPE_CHECKING:
    from tqdm import tqdm

# The bar takes the remaining columns. In a narrow terminal, the end of the line is cut off.
FORMAT = "{desc}{postfix} |{bar}| {elapsed}<{remaining}, {rate_fmt}"


class Progress(ProgressBar):
    """One line for the whole training: epoch, losses, time left, steps per second."""

    bar: "tqdm | None" = None
    is_disabled = False

    def disable(self) -> None:
        """Show nothing; Lightning calls this on all processes but the first."""
        self.is_disabled = True

    def enable(self) -> None:
        """Show the bar."""
        self.is_disabled = False

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Open the bar."""
        from tqdm.auto import tqdm  # in a notebook it warns if there are no widgets

        steps = trainer.max_epochs * trainer.num_training_batches if trainer.max_epochs else 0
        self.bar = tqdm(
            total=steps if 0 < steps < float("inf") else None,
            initial=trainer.fit_loop.epoch_loop.batch_progress.total.completed,
            unit="step",
            disable=self.is_disabled,
            dynamic_ncols=True,
            bar_format=FORMAT,
            file=sys.stdout,
            mininterval=0.1 if sys.stdout.isatty() else 10,  # seconds; a log keeps every line
        )

    def on_train_batch_end(self, trainer: pl.Trainer, *args: object, **kwargs: object) -> None:
        """Update the bar after one or more steps."""
        if self.bar is not None:
            self.bar.update(trainer.fit_loop.total_batch_idx + 1 - self.bar.n)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Show the losses of the epoch."""
        if self.bar is not None and trainer.state.fn == "fit":
            losses = {
                name.removeprefix("half_mse/"): f"{value:.2e}"
                for name, value in trainer.callback_metrics.items()
                if name.startswith("half_mse/")
            }
            epoch = f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}"
            self.bar.set_description_str(epoch, refresh=False)
            self.bar.set_postfix(losses, refresh=False)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Close the bar at 100 %, also if training ended early."""
        if self.bar is not None:
            self.bar.total = self.bar.n
            self.bar.close()
