"""What a network is worth on its data, as numbers, text and pictures."""
