"""Callbacks of Lightning: checkpoints, monitoring, and the final report.

- `sinrnn.callbacks.checkpoint`: saves the best and the last checkpoint;
- `sinrnn.callbacks.monitor`: logs training to TensorBoard;
- `sinrnn.callbacks.tensorboard`: the formats that TensorBoard takes;
- `sinrnn.callbacks.progress_bar`: one line in the terminal;
- `sinrnn.callbacks.final_report`: model file, pictures and report at the end.
"""
