"""A training loop by hand: truncated backpropagation along one long series, with carried state.

Each chunk starts from the detached final state of the one before: the state depends on the whole
series, the gradient reaches back to the start of the chunk.
"""

import torch
from torch.nn.functional import mse_loss

from sinrnn import MackeyGlass, SinRNN

torch.manual_seed(0)
torch.set_num_threads(1)  # a second thread does not pay off for matrices this small
series = MackeyGlass(points=2501).values().float() - 0.93  # 0.93 is about its mean
x, y = series[None, :-1, None], series[None, 1:, None]  # (1, T, D): samples and the next ones
net = SinRNN(input_size=1, hidden_size=32)
optimizer = torch.optim.Adam(net.parameters(), lr=1e-2)
for epoch in range(1, 41):
    h0, losses = None, []
    for chunk in torch.arange(2000).split(50):
        h, predicted = net.unroll(x[:, chunk], h0)  # many-to-many: a loss at every step
        loss = mse_loss(predicted, y[:, chunk])
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        h0 = h[:, -1].detach()
        losses.append(loss.item())
    if epoch % 10 == 0:
        print(f"epoch {epoch}: mse {sum(losses) / len(losses):.2e}")

with torch.no_grad():
    _, predicted = net.unroll(x)
line = 2 * x[:, 2000:] - x[:, 1999:-1]
print(f"500 held-out samples: mse {mse_loss(predicted[:, 2000:], y[:, 2000:]):.2e}")
print(f"persistence:          mse {mse_loss(x[:, 2000:], y[:, 2000:]):.2e}")
print(f"linear extrapolation: mse {mse_loss(line, y[:, 2000:]):.2e}")
