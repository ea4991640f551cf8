"""Training with Lightning.

- `sinrnn.training.forecaster.Forecaster`: the LightningModule;
- `sinrnn.training.loss`: which outputs are compared with which values;
- `sinrnn.training.options`: options that contradict each other;
- `sinrnn.training.loss_log`: the losses that every logger gets;
- `sinrnn.training.online`: one update per window;
- `sinrnn.training.blocks`: several steps in one of Lightning's;
- `sinrnn.training.checkpoint_io`: checkpoints written whole or not at all;
- `sinrnn.training.loggers`: what a run logs to, and TensorBoard's events;
- `sinrnn.training.csv_logger`: metrics.csv;
- `sinrnn.training.signals`: Ctrl-C and SIGTERM.
"""
