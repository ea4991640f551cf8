"""The tanh recurrence, its hand-derived gradient, and the module around them."""
