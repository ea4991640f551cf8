"""The tanh recurrence, its hand-derived gradient, and the module around them.

- `sinrnn.nn.rnn.SinRNN`: the cell and its readout as an nn.Module;
- `sinrnn.nn.functional`: the recurrence `tanh_rnn` and the loss `half_mse` as functions;
- `sinrnn.nn.bptt`: the gradient, equation by equation;
- `sinrnn.nn.init`: weight initialisations;
- `sinrnn.nn.trace`: the gradient of one batch, step by step.
"""
