"""
A model in a loop of your own
=============================

Layers of Ergodual are modules whose gradients are exact, so torch's own loop learns them, alone or
between other layers. ``fit`` is there for what one would otherwise write again each time.

:Application: 1-D signals, denoising
:Regulariser: total variation, learned weight
:Algorithm: unrolled, last iterate, Adam
"""

import torch
from torch import nn

import ergodual as ed
from ergodual.bilevel import fit, project_

torch.manual_seed(0)
truth = torch.rand(256, 1, 8).repeat_interleave(8, -1)
noisy = truth + 0.1 * torch.randn_like(truth)


def network() -> nn.Module:
    torch.manual_seed(0)
    tv = ed.Problem(
        F=ed.L1(nn.Parameter(torch.tensor(0.02))), G=ed.SquaredL2(), K=ed.Gradient(axes=-1)
    )
    correction = nn.Conv1d(1, 1, 5, padding=2)
    return nn.Sequential(ed.Unrolled(tv, depth=20, output=ed.Last()), correction)


# %%
# The obvious loop, and what it misses
# ------------------------------------
# A weight below 0 makes the problem non-convex, and a step of the optimizer may take it there. On
# signals without noise the best weight is 0, and momentum carries it across:

layer = network()[0]
optimizer = torch.optim.Adam(layer.parameters(), lr=1e-2)
try:
    for _ in range(20):
        optimizer.zero_grad()
        nn.functional.mse_loss(layer(truth), truth).backward()
        optimizer.step()
except ed.ErgodualError as error:
    print(error)

# %%
# The better loop: ``project_`` after each step
# ---------------------------------------------

model = network()
optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
for _ in range(100):
    optimizer.zero_grad()
    loss = nn.functional.mse_loss(model(noisy), truth)
    loss.backward()
    optimizer.step()
    project_(model)
print(f"a loop of one's own: {float(loss.detach()):.5f}")

# %%
# The same by ``fit``, which has checkpoints, schedules, mini-batches and many processes
# ---------------------------------------------------------------------------------------

model = network()
rate = {"optimizer": "adam", "lr": 1e-2, "schedule": "constant"}
history = fit(model, noisy, truth, epochs=100, batch_size=256, loss=nn.MSELoss(), **rate)
print(f"fit:                 {history.epochs[-1].train_loss:.5f}")

# %%
# In Lightning
# ------------
# This page runs without it; where it is installed, the module is that of :doc:`/learning`:
#
# .. code-block:: python
#
#     class Denoiser(lightning.LightningModule):
#         def __init__(self):
#             super().__init__()
#             self.network = network()
#
#         def training_step(self, batch, index):
#             noisy, truth = batch
#             return nn.functional.mse_loss(self.network(noisy), truth)
#
#         def on_train_batch_end(self, *_):
#             project_(self.network)
#
#         def configure_optimizers(self):
#             return torch.optim.Adam(self.parameters(), lr=1e-2)
