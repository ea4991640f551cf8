"""Callbacks of Lightning: checkpoints, monitoring, and the final report.

- `sinrnn.callbacks.checkpoint`: saves the best and the last checkpoint;
- `sinrnn.callbacks.monitor`: logs training to TensorBoard;
- `sinrnn.callbacks.tensorboard`: the data that TensorBoard shows;
- `sinrnn.callbacks.progress_bar`: a progress bar of one line;
- `sinrnn.callbacks.final_report`: model file, figures and report at the end of a run.
"""
