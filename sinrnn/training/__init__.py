"""Training with Lightning.

- `sinrnn.training.forecaster.Forecaster`: the LightningModule;
- `sinrnn.training.loss`: the losses of training batches and of the splits;
- `sinrnn.training.options`: checks of the options;
- `sinrnn.training.setup`: units and window, before training starts;
- `sinrnn.training.blocks`: several training steps within one of Lightning's;
- `sinrnn.training.online`: one update per window;
- `sinrnn.training.lr_scheduler`: when schedulers step;
- `sinrnn.training.loss_log`: logging of the losses;
- `sinrnn.training.loggers` and `sinrnn.training.csv_logger`: TensorBoard and metrics.csv;
- `sinrnn.training.checkpoint_io`: atomic checkpoints;
- `sinrnn.training.loop_state`: the state of Lightning's loops in a checkpoint;
- `sinrnn.training.signals`: Ctrl-C and SIGTERM;
- `sinrnn.training.trainer` and `sinrnn.training.quiet`: the Trainer, and Lightning's messages.
"""
