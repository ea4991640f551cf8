"""What happens while a network is trained: checkpoints, curves, a report at the end.

- `sinrnn.callbacks.checkpoint`: when a run is saved;
- `sinrnn.callbacks.monitor`: what TensorBoard shows during training;
- `sinrnn.callbacks.tensorboard`: the forms that TensorBoard takes;
- `sinrnn.callbacks.progress_bar`: one line in the terminal;
- `sinrnn.callbacks.final_report`: model file, pictures and report.
"""
