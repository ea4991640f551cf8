"""SinRNN as a layer of a larger nn.Module: a classifier of noisy sine and square waves."""

import torch
from torch import Tensor, nn

from sinrnn import SinRNN


class Classifier(nn.Module):
    """An encoder computes 16 features at every step; a linear head reads their mean over time."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = SinRNN(input_size=1, hidden_size=32, output_size=16, bias=True)
        self.head = nn.Linear(16, 2)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits (B, 2) of windows (B, T, 1)."""
        return self.head(self.encoder.unroll(x)[1].relu().mean(1))


torch.manual_seed(0)
torch.set_num_threads(1)  # a second thread does not pay off for matrices this small
cycles = torch.arange(50) / (15 + 10 * torch.rand(6000, 1)) + torch.rand(6000, 1)
sine, square = torch.sin(2 * torch.pi * cycles), torch.rand(6000, 1) < 0.5
wave = torch.where(square, sine.sign() / 2**0.5, sine)  # both have the same power
x, label = (wave + 0.3 * torch.randn(6000, 50))[..., None], square[:, 0].long()
model = Classifier()
optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
for epoch in range(1, 9):
    for batch in torch.randperm(4000).split(32):  # the other 2000 are held out
        loss = nn.functional.cross_entropy(model(x[batch]), label[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    print(f"epoch {epoch}: cross entropy of the last batch {loss:.3f}")
with torch.no_grad():
    correct = (model(x[4000:]).argmax(1) == label[4000:]).double().mean()
print(f"accuracy {correct:.1%}, majority class {label[4000:].bincount().max() / 2000:.1%}")
