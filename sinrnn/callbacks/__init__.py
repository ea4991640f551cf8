"""What happens while a network is trained: checkpoints, curves, a report at the end."""
