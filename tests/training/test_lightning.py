"""Plain Lightning: a Trainer, loggers and callbacks of its own, on an array."""

import csv

import lightning.pytorch as pl
import numpy as np
import torch
from fitting import EXPECTED
from lightning.pytorch.callbacks import EarlyStopping, LearningRateMonitor, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger

from sinrnn import Forecaster, WindowDataModule
from sinrnn.nn.functional import half_mse

pytestmark = EXPECTED


def test_trainer_fits_tests_and_predicts_with_lightnings_own_loggers_and_callbacks(
    tmp_path, capsys
):
    torch.set_default_dtype(torch.float32)  # as in a process of its own
    values = np.sin(np.arange(300) * 0.1).astype(np.float32)
    model, data = Forecaster(hidden_size=8), WindowDataModule(values)
    saved = ModelCheckpoint(monitor="half_mse/val", save_last=True)
    stopping = EarlyStopping("half_mse/val", min_delta=1.0, patience=2)
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=9,
        logger=CSVLogger(tmp_path),
        log_every_n_steps=1,
        callbacks=[saved, stopping, LearningRateMonitor("epoch")],
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(model, data)
    assert trainer.current_epoch == 3  # stopped
    (tested,) = trainer.test(model, data, verbose=False)
    (made,) = trainer.predict(model, data)
    assert capsys.readouterr().out == ""

    x, target = data.windows["test"][:]
    assert torch.equal(made, model.predictor(x[..., 0]))
    loss = half_mse(made, target[:, 0]).item()
    torch.testing.assert_close(tested, {"half_mse/test": loss})
    with (tmp_path / "lightning_logs" / "version_0" / "metrics.csv").open() as file:
        rows = [*csv.DictReader(file)]
    epochs = [row["epoch"] for row in rows if row["half_mse/val"]]
    assert epochs == ["", "0", "1", "2"]  # the first before training
    assert {float(row["lr-Adam"]) for row in rows if row["lr-Adam"]} == {1e-3}
    again = Forecaster.load_from_checkpoint(saved.last_model_path)
    assert torch.equal(again.predictor(x[..., 0]), made)
