"""The tanh recurrence, its hand-derived gradient, and the module around them.

- `sinrnn.nn.rnn.SinRNN`: the cell with its readout;
- `sinrnn.nn.functional`: the recurrence, `sinrnn.nn.functional.tanh_rnn`, and the loss;
- `sinrnn.nn.bptt`: the gradient, equation by equation;
- `sinrnn.nn.init`: how weights start;
- `sinrnn.nn.trace`: one gradient, step by step.
"""
