"""
The paper's Figure 1 in small
=============================

An operator K is learned from speech of 4 bits through d = 1, 2, 4 and 8 iterations. With the last
iterate as the estimate, deeper models learn less well; with an average of all iterates, they learn
better. :doc:`/figures` has the whole experiment.

:Application: speech, dequantization
:Regulariser: ℓ1 analysis, learned operator
:Algorithm: unrolled, averages, last iterate
"""

from importlib.resources import files
from pathlib import Path

import matplotlib.pyplot as plt
import torch

import ergodual as ed
from ergodual.bilevel import fit
from ergodual.speech.corpora import load_corpus

# %%
# The synthetic speech that comes with the package, in frames of 320 samples with a peak of 1 for
# each recording, and a mid-rise quantizer of 4 bits: the true sample is within η = 1/16.

corpus = load_corpus(Path(str(files("ergodual") / "data/synthetic")))
x_true = torch.as_tensor(corpus.frames)[::2]
step = 2 / 2**4
x_tilde = ((x_true.abs() / step).floor() + 0.5) * step * torch.where(x_true < 0, -1, 1)
print(f"{len(x_true)} frames")

# %%
# The obvious way is to take what the iteration ends with. The other output is the average with
# weights ∝ 1/k, whose gradient comes from the same sweep and costs the same.

losses = {}
for name, output in {"last iterate": ed.Last(), "average, 1/k": ed.Ergodic("1/k")}.items():
    for depth in (1, 2, 4, 8):
        problem = ed.Problem(F=ed.L1(), G=ed.Box(radius=step / 2), K=ed.Dense.dct(320))
        model = ed.Unrolled(problem, depth=depth, output=output)
        history = fit(model, x_tilde, x_true, epochs=5, batch_size=8, lr=0.2)
        losses[name, depth] = [epoch.train_loss for epoch in history.epochs]
        print(f"{name}, d = {depth}: {losses[name, depth][0]:.4f} -> {losses[name, depth][-1]:.4f}")

# %%
# The deeper model is the better one only where averages are taken.

figure, panels = plt.subplots(1, 2, figsize=(9, 3.2), sharey=True, layout="constrained")
for panel, name in zip(panels, ("last iterate", "average, 1/k"), strict=True):
    for depth in (1, 2, 4, 8):
        panel.plot(losses[name, depth], "o-", label=f"d = {depth}")
    panel.set(title=name, xlabel="epoch")
panels[0].set_ylabel("training loss")
panels[1].legend()
plt.show()
